"""What can go wrong, each with what happened and the one thing to do.

LLMError
├── BadName         (ValueError)        a model's or a host's name that no server accepts
├── BadOption       (ValueError)        an option that does not exist, or a value it can't take
├── ContextTooLong  (ValueError)        a prompt longer than the model's context window
├── ModelMissing    (LookupError)       a model that is not there and could not be pulled
├── ServerDown      (ConnectionError)   nobody answers at the address, or the line broke
├── ServerError                         the server answered with an error; carries `status`
├── Incomplete                          an answer that ended before the server said it was done
└── MissingExtra    (ImportError)       a part that an optional extra installs
Interrupted         (KeyboardInterrupt) the user stopped an answer; no Exception, so nothing swallows it
"""

from __future__ import annotations


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


class ContextTooLong(LLMError, ValueError):
    """The prompt does not fit the model's context window."""


class ModelMissing(LLMError, LookupError):
    """The server does not have the model, and it was not or could not be pulled."""


class ServerDown(LLMError, ConnectionError):
    """Nothing answers at the address, or the connection broke."""


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
