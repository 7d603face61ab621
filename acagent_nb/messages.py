"""The values that travel: a `Request` goes out, events come in, a `Reply` is what stays.

    Request ──► Pulling* ──► (Thinking | Text | ToolCall)* ──► Done

They are frozen and hold the wire's words. Durations are integer nanoseconds, as Ollama sends them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from msgspec import Struct, field

from .options import Options


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation.

    Attributes
    ----------
    role
        "system", "user", "assistant" or "tool".
    content
        The text.
    """

    role: str
    content: str


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
    """

    model: str
    messages: tuple[Message, ...] = ()
    options: Options = Options()
    format: str | dict[str, Any] | None = None
    think: Think | None = None
    keep_alive: float | str | None = None


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


class Text(Struct, frozen=True, tag=True):
    """The next piece of the answer."""

    text: str


class Thinking(Struct, frozen=True, tag=True):
    """The next piece of what the model thinks before it answers."""

    text: str


class ToolCall(Struct, frozen=True, tag=True):
    """The model asks for a function to be called; calls always come whole."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


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
    """

    done_reason: str = ""
    stats: Stats = Stats()


Event = Pulling | Thinking | Text | ToolCall | Done


class Reply(Struct, frozen=True):
    """A whole answer.

    Attributes
    ----------
    text, thinking
        All pieces put together.
    tool_calls
        The calls the model asked for, in order.
    model
        Who answered, by the name the server knows.
    options
        What was sent.
    done_reason
        See `Done`; `None` if the answer never came to its end.
    stats
        What it cost.
    """

    text: str
    model: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    options: Options = field(default_factory=Options)
    done_reason: str | None = None
    stats: Stats = Stats()

    @property
    def complete(self) -> bool:
        """False for what is left of an answer that was stopped or broke off."""
        return self.done_reason is not None

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, request: Request, events: Iterable[Event]) -> Reply:
        """Put the events of an answer together, however far it came."""
        text, thinking, calls, done = [], [], [], None
        for event in events:
            match event:
                case Text(piece):
                    text.append(piece)
                case Thinking(piece):
                    thinking.append(piece)
                case ToolCall():
                    calls.append(event)
                case Done():
                    done = event
        return cls(
            "".join(text),
            request.model,
            "".join(thinking),
            tuple(calls),
            request.options,
            done.done_reason if done else None,
            done.stats if done else Stats(),
        )


class Details(Struct, frozen=True):
    """What a model's file says of itself, in the wire's words."""

    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class Model(Struct, frozen=True):
    """A model that a server has.

    Attributes
    ----------
    name
        With its tag: "tiny:latest".
    size
        Bytes on disk.
    digest
        Of its manifest, hexadecimal.
    """

    name: str
    size: int = 0
    digest: str = ""
    modified_at: str = ""
    details: Details = Details()


class Running(Struct, frozen=True):
    """A model that is loaded right now.

    Attributes
    ----------
    size, size_vram
        Bytes in memory, all and on the GPU.
    expires_at
        When it will be unloaded, as RFC 3339 text: "for ever" lies in a year that not every
        calendar can hold.
    context_length
        Tokens; 0 on servers before 0.10.0, which do not say.
    """

    name: str
    size: int = 0
    size_vram: int = 0
    digest: str = ""
    expires_at: str = ""
    context_length: int = 0

    @property
    def processor(self) -> str:
        """Where it runs: "CPU", "GPU", or how much of it on the GPU, as in "40% GPU"."""
        share = self.size_vram / self.size if self.size else 0.0
        return "CPU" if share == 0 else "GPU" if share >= 1 else f"{share:.0%} GPU"


class Shown(Struct, frozen=True):
    """What a server knows of a model.

    Attributes
    ----------
    capabilities
        What it can do: "completion", "tools", "thinking", "vision", "insert", "embedding"; empty on
        servers before 0.6.4, which do not say.
    parameters
        The model's own options, one a line: a name, blanks, a value in Go's syntax.
    template, system
        Its chat template, and the system prompt that it comes with.
    model_info
        What its file says, by the file's keys; long lists are empty.
    modelfile
        How it was made, in the words of Ollama's Modelfile.
    messages
        The turns that it comes with.
    """

    capabilities: tuple[str, ...] = ()
    details: Details = Details()
    parameters: str = ""
    template: str = ""
    system: str = ""
    license: str = ""
    model_info: dict[str, Any] = {}
    modelfile: str = ""
    modified_at: str = ""
    messages: tuple[dict[str, Any], ...] = ()

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was made for, if its file says so."""
        length = self.model_info.get(f"{self.model_info.get('general.architecture')}.context_length")
        return length if isinstance(length, int) else None


class Version(Struct, frozen=True):
    """What a server says it is.

    Attributes
    ----------
    version
        Ollama's version; "0.0.0" for one built from source.
    engine
        What the embedded server runs on; `None` for Ollama itself.
    """

    version: str
    engine: dict[str, Any] | None = None
