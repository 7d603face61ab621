"""The values that travel: a `Request` goes out, events come in, a `Reply` (see `replies.py`) is what stays.

    Request ──► Pulling* ──► (Thinking | Text | ToolCall | Note)* ──► Done ──► ToolResult* ──► ... ──► Done

A call of tools is a round: the results follow its `Done`, and the model goes on. All values are
frozen and hold the wire's words. Durations are integer nanoseconds, as Ollama sends them.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from .options import Options


class ToolCall(Struct, frozen=True, tag=True):
    """The model asks for a function to be called; calls always come whole.

    Attributes
    ----------
    name, arguments
        Of the function; the arguments are what the model made of its schema, and not checked yet.
    id
        By which a result says what it is the result of; empty where the server gives none.
    """

    name: str
    arguments: dict[str, Any]
    id: str = ""


class Message(Struct, frozen=True):
    """One turn of a conversation.

    Attributes
    ----------
    role
        "system", "user", "assistant" or "tool".
    content
        The text.
    thinking
        What the assistant thought before it said this.
    images
        Pictures that belong to the text, each as base64 without a data-URI's beginning.
    tool_calls
        What the assistant asks to be called.
    tool_name, tool_call_id
        For the role "tool": which function, and which call, the content is the result of.
    """

    role: str
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


Think = bool | Literal["low", "medium", "high", "max"]


class Request(Struct, frozen=True):
    """What is asked of a model; a field that is `None` is not sent.

    Attributes
    ----------
    model
        The name as its server knows it, without `local_`.
    messages
        The conversation, oldest first; empty to load the model only.
    options
        Model options; only those that were set are sent.
    format
        "json", or a JSON schema that the answer must follow.
    think
        Whether, or how hard, a thinking model thinks first; `None` leaves it to the server.
    keep_alive
        How long the model stays loaded afterwards: seconds, or a duration such as "5m".
    tools
        The functions that the model may ask for, as JSON schemas in the form that both APIs share.
    truncate
        Whether a conversation that is too long may be cut. `None` is our own default: it may not,
        and is refused with `ContextTooLong`.
    provider
        Who answers: "ollama", "openai", or the name of an endpoint in `params.toml`.
    """

    model: str
    messages: tuple[Message, ...] = ()
    options: Options = Options()
    format: str | dict[str, Any] | None = None
    think: Think | None = None
    keep_alive: float | str | None = None
    tools: tuple[dict[str, Any], ...] = ()
    truncate: bool | None = None
    provider: str = "ollama"

    @property
    def local(self) -> bool:
        """Whether it is for an Ollama server."""
        return self.provider == "ollama"


class Stats(Struct, frozen=True):
    """What an answer cost, as its server counted it; `None` where the server did not say.

    Attributes
    ----------
    prompt_eval_count, eval_count
        Tokens of the prompt and of the answer. A chunk of a stream is not a token.
    total_duration, load_duration, prompt_eval_duration, eval_duration
        Nanoseconds.
    """

    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of the answer for each second spent on generating them."""
        return self.eval_count / (self.eval_duration / 1e9) if self.eval_count and self.eval_duration else None

    @classmethod
    def sum(cls, each: list[Stats]) -> Stats:
        """Several together, each figure by itself; one that no member of `each` has stays `None`."""
        told = {name: [value for stats in each if (value := getattr(stats, name)) is not None] for name in _FIGURES}
        return cls(**{name: sum(values) for name, values in told.items() if values})


_FIGURES = Stats.__struct_fields__


class Text(Struct, frozen=True, tag=True):
    """The next piece of the answer."""

    text: str


class Thinking(Struct, frozen=True, tag=True):
    """The next piece of what the model thinks before it answers."""

    text: str


class ToolResult(Struct, frozen=True, tag=True):
    """What a function of the caller's gave back.

    Attributes
    ----------
    call
        The call that it answers.
    content
        The result as text, as the model is told it.
    failed
        Whether the function raised; the content is then its error.
    """

    call: ToolCall
    content: str
    failed: bool = False


class Note(Struct, frozen=True, tag=True):
    """Something that the user should know though the answer comes, such as an option that does nothing."""

    text: str


class Pulling(Struct, frozen=True, tag=True):
    """How far a download has come.

    Attributes
    ----------
    model
        What is pulled.
    status
        The server's own words, such as "pulling manifest" or "success".
    completed, total
        Bytes of all the layers seen so far; 0 before the first one has begun.
    """

    model: str
    status: str
    completed: int = 0
    total: int = 0


class Done(Struct, frozen=True, tag=True):
    """The answer's end.

    Attributes
    ----------
    done_reason
        "stop", "length", "load" or "unload"; empty where the server gave none.
    stats
        What it cost.
    digest
        Of the model that answered, hexadecimal; empty where it is not known.
    truncated
        Whether a part of the conversation was cut off to fit the context window; `None` where that
        can't be known.
    replayed
        Whether it was not asked for now: the answer comes from a recording, and so do its figures.
    seconds, first_seconds
        Seconds that a replayed answer, and its first word, took when it was recorded; `None` for all others.
    server
        Version of the server that gave a replayed answer, and "embedded" if it was ours; empty for all others.
    """

    done_reason: str = ""
    stats: Stats = Stats()
    digest: str = ""
    truncated: bool | None = None
    replayed: bool = False
    seconds: float | None = None
    first_seconds: float | None = None
    server: str = ""


Event = Pulling | Thinking | Text | ToolCall | ToolResult | Note | Done
