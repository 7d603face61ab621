"""What can go wrong, each with what happened and the one thing to do.

LLMError
├── BadName         (ValueError)        a model's or a host's name that no server accepts
├── BadOption       (ValueError)        an option that does not exist, or a value it can't take
├── BadPrompt       (TypeError)         something that is no prompt, image, tool or format
├── BadParams       (ValueError)        a params.toml, or its like in code, that can't be read
├── BadAnswer       (ValueError)        an answer that is not what its format promises; carries `reply`
├── ContextTooLong  (ValueError)        a prompt longer than the context window; carries `needed`, `num_ctx`
├── ModelMissing    (LookupError)       a model that is not there and could not be pulled
├── NotRecorded     (LookupError)       a replay is asked for something that its recording does not have
├── KeyMissing      (LookupError)       a cloud model without the key that its server wants
├── ServerDown      (ConnectionError)   nobody answers at the address, or the line broke
├── TimedOut        (TimeoutError)      the call took longer than its `timeout`
├── ServerError                         the server answered with an error; carries `status`
│   ├── Busy                            it has too much to do, also after some waiting
│   ├── Refused                         it does not let us: the key, the host name or the right is missing
│   ├── Incapable                       the model can't do what was asked: tools, thinking, pictures
│   ├── OutOfMemory                     the model does not fit the machine
│   └── DiskFull                        a pull or a create found no space
├── Incomplete                          an answer that ended before the server said it was done
└── MissingExtra    (ImportError)       a part that an optional extra installs
Interrupted         (KeyboardInterrupt) the user stopped an answer; no Exception, so nothing swallows it
Warned              (UserWarning)       what a caller should know, though the answer came
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .replies import Reply


class LLMError(Exception):
    """The root of all errors that this package raises on purpose.

    Parameters
    ----------
    message
        What happened, one sentence.
    hint
        The one thing to do about it, or an empty string where there is none.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class BadName(LLMError, ValueError):
    """A model's or a host's name that no server would accept."""


class BadOption(LLMError, ValueError):
    """An unknown model option, or a value of the wrong kind or outside its range."""


class BadPrompt(LLMError, TypeError):
    """What was given is no prompt, image, tool or format that a model could be asked with."""


class BadParams(LLMError, ValueError):
    """A `params.toml`, the same in code, or a recording says something that can't be meant, or can't be read."""


class BadAnswer(LLMError, ValueError):
    """The answer is not what its format promises.

    Parameters
    ----------
    message, hint
        See `LLMError`; never the answer itself.
    reply
        The answer as it came.
    """

    def __init__(self, message: str, hint: str = "", *, reply: Reply | None = None) -> None:
        super().__init__(message, hint)
        self.reply = reply


class ContextTooLong(LLMError, ValueError):
    """The prompt does not fit the model's context window.

    Parameters
    ----------
    message, hint
        See `LLMError`.
    needed
        Tokens of the prompt; `None` where the server does not say.
    num_ctx
        Tokens of the window that it did not fit; `None` where the server does not say.
    """

    def __init__(self, message: str, hint: str = "", *, needed: int | None = None, num_ctx: int | None = None) -> None:
        super().__init__(message, hint)
        self.needed = needed
        self.num_ctx = num_ctx


class ModelMissing(LLMError, LookupError):
    """The server does not have the model, and it was not or could not be pulled."""


class NotRecorded(LLMError, LookupError):
    """Answers are replayed from a recording, and it has none to this question, or there is no such file."""


class KeyMissing(LLMError, LookupError):
    """A cloud model is asked for, and there is no key for its server."""


class ServerDown(LLMError, ConnectionError):
    """Nothing answers at the address, or the connection broke."""


class TimedOut(LLMError, TimeoutError):
    """The call took longer than the `timeout` that was given for it."""


class ServerError(LLMError):
    """The server answered with an error.

    Parameters
    ----------
    message, hint
        See `LLMError`; the message holds the server's own words.
    status
        The HTTP status; 200 for an error that came in the middle of a stream.
    """

    def __init__(self, message: str, hint: str = "", *, status: int = 500) -> None:
        super().__init__(message, hint)
        self.status = status


class Busy(ServerError):
    """The server has too much to do; it was asked again a few times before this is raised."""


class Refused(ServerError):
    """The server does not let us: a key, a right or an accepted host name is missing."""


class Incapable(ServerError):
    """The model can't do what was asked: call tools, think, look at pictures, chat at all."""


class OutOfMemory(ServerError):
    """The model does not fit the memory of the server's machine."""


class DiskFull(ServerError):
    """The server has no space left for what it should store."""


class Incomplete(LLMError):
    """The stream ended with neither `done` nor an error, so the answer is only a part."""


class MissingExtra(LLMError, ImportError):
    """Something needs an optional extra that is not installed."""


class Interrupted(KeyboardInterrupt):
    """An answer was stopped by the user; what had come is kept.

    Like `LLMError` it carries `message` and `hint`, but it is no `Exception`: a loop that
    catches those must not go on after Ctrl-C.
    """

    def __init__(self, message: str = "The answer was stopped.", hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class Warned(UserWarning):
    """What a caller should know though the answer came: an option without effect, a prompt that was cut."""
