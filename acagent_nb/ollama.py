"""Ollama's protocol as flows: generators that say what to send and are told what came. No I/O.

A flow yields `Open(...)` and is sent the status, yields `READ` and is sent the next line (`None` at
the end), and yields everything else to whoever watches: events, or its one result. Closing a flow
half-way closes its connection, which is how Ollama is told to stop.

Source of all shapes: Ollama's `api/types.go` and recordings of real servers (`tests/wire/`).
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .errors import ContextTooLong, Incomplete, LLMError, ModelMissing, ServerError
from .messages import (
    Done,
    Event,
    Model,
    Pulling,
    Request,
    Running,
    Stats,
    Text,
    Thinking,
    ToolCall,
    Version,
)


class Open(Struct, frozen=True):
    """Send this request; the answer's status comes back."""

    method: str
    path: str
    body: bytes | None = None


class Read(Enum):
    """Read one line of the answer; it comes back without its end, or `None` when all is read."""

    LINE = "line"


READ = Read.LINE

T = TypeVar("T")
Flow = Generator[Open | Read | T, Any, None]


def chat(request: Request, *, pull: bool = True) -> Flow[Event]:
    """Ask a model; one that is missing is pulled first, once, unless `pull` is false.

    Raises
    ------
    ModelMissing, ContextTooLong, ServerError
        As the server says.
    Incomplete
        The stream ended before the server said it was done.
    """
    ask = Open("POST", "/api/chat", _chat_body(request))
    status = yield ask
    if status == 404 and pull:
        error = yield from _refusal(status, request.model)
        if not isinstance(error, ModelMissing):
            raise error
        yield from pulling(request.model)
        status = yield ask
    if status != 200:
        raise (yield from _refusal(status, request.model))
    while (line := (yield READ)) is not None:
        if not line.strip():
            continue
        chunk = _decode(_CHUNK, line)
        if chunk.error:
            raise _error(chunk.error, 200, request.model)
        message = chunk.message
        if message.thinking:
            yield Thinking(message.thinking)
        if message.content:
            yield Text(message.content)
        for call in message.tool_calls or ():
            yield ToolCall(call.function.name, call.function.arguments, call.id)
        if chunk.done:
            yield Done(chunk.done_reason, msgspec.convert(chunk, Stats, from_attributes=True))
            return
    raise Incomplete(
        "The answer broke off: the server closed the stream before it was done.",
        "Ask again; a model that repeats itself is cut off like this (repeat_penalty helps).",
    )


def pulling(model: str) -> Flow[Pulling]:
    """Download a model, with its progress over all layers seen so far.

    Raises
    ------
    ModelMissing
        The registry does not have it, or does not let us.
    ServerError
        Anything else that the server says went wrong.
    """
    status = yield Open("POST", "/api/pull", msgspec.json.encode({"model": model}))
    if status != 200:
        raise (yield from _refusal(status, model))
    layers: dict[str, tuple[int, int]] = {}
    while (line := (yield READ)) is not None:
        if not line.strip():
            continue
        step = _decode(_STEP, line)
        if step.error:
            raise _pull_error(step.error, model)
        if step.digest:
            layers[step.digest] = min(step.completed, step.total), step.total
        completed, total = (sum(column) for column in zip((0, 0), *layers.values(), strict=True))
        yield Pulling(model, step.status, completed, total)
        if step.status == "success":
            return
    raise Incomplete(f"Pulling {model} broke off.", "Pull it again: what has come is kept.")


def tags() -> Flow[list[Model]]:
    """The models that the server has."""
    yield (yield from _fetch("/api/tags", _TAGS)).models


def ps() -> Flow[list[Running]]:
    """The models that are loaded."""
    yield (yield from _fetch("/api/ps", _PS)).models


def version() -> Flow[Version]:
    """What the server says it is."""
    yield (yield from _fetch("/api/version", _VERSION))


class _Function(Struct, frozen=True):
    name: str
    arguments: dict[str, Any] = {}


class _Call(Struct, frozen=True):
    function: _Function
    id: str = ""


class _Part(Struct, frozen=True):
    content: str = ""
    thinking: str = ""
    tool_calls: list[_Call] | None = None


class _Chunk(Struct, frozen=True):
    """A line of a chat's stream; every metric may be missing."""

    message: _Part = _Part()
    done: bool = False
    done_reason: str = ""
    error: str = ""
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None


class _Step(Struct, frozen=True):
    """A line of a pull's stream; `completed` is missing while it is 0."""

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0
    error: str = ""


class _Tags(Struct, frozen=True):
    models: list[Model] = []


class _Ps(Struct, frozen=True):
    models: list[Running] = []


class _Error(Struct, frozen=True):
    error: str


_CHUNK = msgspec.json.Decoder(_Chunk)
_STEP = msgspec.json.Decoder(_Step)
_TAGS = msgspec.json.Decoder(_Tags)
_PS = msgspec.json.Decoder(_Ps)
_VERSION = msgspec.json.Decoder(Version)
_ERROR = msgspec.json.Decoder(_Error)


def _chat_body(request: Request) -> bytes:
    """The request's JSON, without what was not set."""
    body = {name: value for name in ("format", "think", "keep_alive") if (value := getattr(request, name)) is not None}
    body |= {"model": request.model, "messages": request.messages}
    if options := request.options.sent():
        body["options"] = options
    return msgspec.json.encode(body)


def _decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    try:
        return decoder.decode(line)
    except msgspec.DecodeError as error:
        raise ServerError(
            f"The server sent something that is not Ollama's protocol ({error}).", "Is this really an Ollama server?"
        ) from None


def _body() -> Generator[Read, bytes | None, bytes]:
    """All that is left of the answer."""
    lines = []
    while (line := (yield READ)) is not None:
        lines.append(line)
    return b"\n".join(lines)


def _fetch(path: str, decoder: msgspec.json.Decoder[T]) -> Generator[Open | Read, Any, T]:
    """GET a JSON document."""
    status = yield Open("GET", path)
    if status != 200:
        raise (yield from _refusal(status))
    return _decode(decoder, (yield from _body()))


def _refusal(status: int, model: str = "") -> Generator[Read, bytes | None, LLMError]:
    """The error that an answer with this status tells in its body."""
    body = yield from _body()
    try:
        return _error(_ERROR.decode(body).error, status, model)
    except msgspec.DecodeError:
        said = body.decode(errors="replace").strip()
        brief = said.splitlines()[0][:200] if said and not said.startswith("<") else "no reason given"
        return ServerError(f"The server answered {status}: {brief}.", _STATUS_HINTS.get(status, ""), status=status)


_STATUS_HINTS = {
    403: "It refuses this host name or origin: reach it as localhost, or set OLLAMA_ORIGINS on the server.",
    404: "Is this really an Ollama server? Check OLLAMA_HOST.",
    502: "The proxy in front of the server can't reach it.",
}

_HINTS = (  # what a server's words contain, and the one thing to do
    ("does not support thinking", "Ask without think, or choose a model that thinks."),
    ("server busy", "Try again in a moment."),
    ("memory", "Choose a smaller model, or a smaller num_ctx."),
    ("invalid model name", "Names look like llama3.2, llama3.2:1b or hf.co/user/model:Q4_K_M."),
)


def _error(text: str, status: int, model: str) -> LLMError:
    """The error of our tree for the server's words."""
    if status == 404 and "not found" in text:
        return ModelMissing(
            f"The server does not have the model {model}.", "Leave out pull=False and it is pulled first."
        )
    if "context" in text and ("exceed" in text or "longer than" in text):
        return ContextTooLong(f"The prompt does not fit the model's context: {text}", "Shorten it, or raise num_ctx.")
    hint = next((hint for needle, hint in _HINTS if needle in text), "")
    return ServerError(f"The server could not answer: {text}", hint, status=status)


_PULL_HINTS = (
    ("no such host", "The server has no network, or no DNS; pull again when it has."),
    ("connection refused", "The registry does not answer; pull again later."),
    ("requires a newer version", "Update Ollama on the server."),
    ("no space left", "Free some disk space on the server, then pull again: what has come is kept."),
    ("digest mismatch", "Pull again; the damaged part has been removed."),
)


def _pull_error(text: str, model: str) -> LLMError:
    """The error of our tree for what a pull ended with."""
    if "file does not exist" in text:
        return ModelMissing(f"There is no model {model} to pull.", "Check the name against the library's list.")
    if any(word in text for word in ("unauthorized", "denied", "realm")):  # a realm is where one would log in
        return ModelMissing(f"The registry does not let us pull {model}: {text}", "Is it private, or misspelt?")
    hint = next((hint for needle, hint in _PULL_HINTS if needle in text), "")
    return ServerError(f"Pulling {model} failed: {text}", hint, status=200)
