"""Asking a model of an Ollama server, as flows (see `wire.py`).

A model that is missing is pulled and asked again, a server that is busy is asked again after a while:

    ask ─► 404? pull, ask again ─► busy? wait, ask again ─► pieces ─► how it fitted its context ─► Done
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from . import alarm
from .delivery import pulling
from .errors import Incapable, Incomplete, LLMError, ModelMissing, ServerError
from .facts import Facts
from .library import suggest
from .messages import Done, Event, Message, Note, Pulling, Request, Stats, Text, Thinking, ToolCall
from .refusals import PULL, error_of, refusal
from .wire import READ, Flow, Header, Open, Step, Wait, decode, post, rest

_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds between the times a busy server is asked, unless it names its own
_LONGEST_PAUSE = 30.0


def chat(request: Request, *, pull: bool = True, facts: Facts | None = None) -> Flow[Event]:
    """Ask a model; one that is missing is pulled first, once, unless `pull` is false.

    Raises
    ------
    ModelMissing, ContextTooLong, Incapable, OutOfMemory, Busy, ServerError
        As the server says.
    Incomplete
        The stream ended before the server said it was done.
    """
    yield from _answer(request, post("/api/chat", _chat_body(request)), pull, facts or Facts())


def generate(request: Request, body: dict[str, Any], *, pull: bool = True, facts: Facts | None = None) -> Flow[Event]:
    """Have a text gone on with, see `Client.generate`; `body` holds what a chat does not have."""
    ask = post("/api/generate", {**_shared(request), **body})
    yield from _answer(request, ask, pull, facts or Facts())


def load(request: Request, *, pull: bool = True, missing: str = PULL) -> Flow[Event]:
    """Load a model as a request without a word asks for it; yields `Pulling` and one `Done`.

    A `keep_alive` of 0 unloads it; `missing` is the advice if the server does not have it.
    """
    body = _shared(request)
    del body["truncate"]
    try:
        yield from asked(post("/api/chat", {**body, "messages": []}), request.model, pull, missing)
    except Incapable:  # one that only makes embeddings
        yield from asked(post("/api/embed", body), request.model, pull, missing)
    chunk = decode(_CHUNK, (yield from rest()))
    yield Done(chunk.done_reason or "", _stats(chunk))


def asked(ask: Open, model: str, pull: bool, missing: str = PULL) -> Generator[Step | Pulling, Any, None]:
    """Send a request until it is accepted: after a pull if the model is missing, after a pause if the server is busy.

    Nothing has come of it before, so asking again is safe.
    """
    status = yield from _patient(ask)
    if status == 404:
        error = yield from refusal(status, model, missing)
        if not isinstance(error, ModelMissing):
            raise error
        if not pull:
            yield from suggest(error, model)
            raise error
        yield from _pulled(model)
        status = yield from _patient(ask)
    if status != 200:
        raise (yield from refusal(status, model, missing))


def _pulled(model: str) -> Flow[Pulling]:
    """Get a model that is needed for an answer; an error that its name may be the reason of names one like it."""
    try:
        yield from pulling(model)
    except LLMError as error:
        if isinstance(error, ModelMissing) or type(error) is ServerError:  # a server without a network says only that
            yield from suggest(error, model)
        raise


def _patient(ask: Open) -> Generator[Step, Any, int]:
    """Send a request, again and again while the server is busy, but not for ever; gives back the status."""
    for pause in _PAUSES:
        status: int = yield ask
        if status not in (429, 503):
            return status
        told = yield Header("retry-after")
        seconds = float(told) if told and told.isdecimal() else pause
        if seconds > _LONGEST_PAUSE:
            return status
        yield Wait(seconds)
    last: int = yield ask
    return last


def _answer(request: Request, ask: Open, pull: bool, facts: Facts) -> Flow[Event]:
    """The events of an answer that streams in."""
    assert isinstance(ask.body, bytes)
    yield from facts.warnings(request.options)
    if any(turn.images for turn in request.messages):
        yield from _sees(request, pull, facts)
    yield from asked(ask, request.model, pull)
    while (line := (yield READ)) is not None:
        if not line.strip():
            continue
        chunk = decode(_CHUNK, line)
        if chunk.error:
            raise error_of(chunk.error, 200, request.model)
        message = chunk.message or _NOTHING
        if thinking := message.thinking or chunk.thinking:
            yield Thinking(thinking)
        if text := message.content or chunk.response:
            yield Text(text)
        for call in message.tool_calls or ():
            yield ToolCall(call.function.name, call.function.arguments, call.id)
        if chunk.done:
            with suppress(LLMError):  # all is said; this is only so that the connection can be used again
                yield from rest()
            yield from _end(request, len(ask.body), chunk, facts)
            return
    raise Incomplete(
        "The answer broke off: the server closed the stream before it was done.",
        "Ask again; a model that repeats itself is cut off like this (repeat_penalty helps).",
    )


def _sees(request: Request, pull: bool, facts: Facts) -> Generator[Step | Pulling, Any, None]:
    """Refuse pictures for a model without vision: servers before 0.30 ignore them in silence."""
    try:
        yield from facts.needs("vision", request)
    except ModelMissing as error:
        if not pull:
            yield from suggest(error, request.model)
            raise
        yield from _pulled(request.model)
        yield from facts.needs("vision", request)


def _end(request: Request, sent: int, chunk: _Chunk, facts: Facts) -> Flow[Event]:
    """The answer's end, with a note if it did not fit the context window."""
    stats = _stats(chunk)
    loaded = yield from facts.running(request)
    num_ctx = loaded.context_length if loaded else 0
    cut = yield from alarm.truncated(request, sent, stats, num_ctx or None, facts)
    if cut:
        window = f" of {num_ctx:,} tokens" if num_ctx else ""
        yield Note(
            f"This did not fit the context window{window}: the model did not see all of it. "
            "A greater num_ctx or a shorter prompt helps."
        )
    yield Done(chunk.done_reason or "", stats, loaded.digest if loaded else "", cut)


class _Function(Struct, frozen=True):
    name: str
    arguments: dict[str, Any] = {}


class _Call(Struct, frozen=True):
    function: _Function
    id: str = ""


class _Part(Struct, frozen=True):
    content: str | None = ""  # servers that only speak like Ollama send `null` where there is nothing
    thinking: str | None = ""
    tool_calls: list[_Call] | None = None


class _Chunk(Stats, frozen=True):
    """A line of a chat's stream, or of a generation's; every metric may be missing."""

    message: _Part | None = None
    response: str | None = ""
    thinking: str | None = ""
    done: bool = False
    done_reason: str | None = ""
    error: str | None = ""


_CHUNK = msgspec.json.Decoder(_Chunk)
_NOTHING = _Part()


def _stats(chunk: _Chunk) -> Stats:
    return Stats(*(getattr(chunk, name) for name in Stats.__struct_fields__))


def _shared(request: Request) -> dict[str, Any]:
    """What chats and generations have in common, without what was not set."""
    body = {name: value for name in ("format", "think", "keep_alive") if (value := getattr(request, name)) is not None}
    body["model"] = request.model
    if options := request.options.sent():
        body["options"] = options
    if not request.truncate:
        body["truncate"] = False
    return body


def _chat_body(request: Request) -> dict[str, Any]:
    body = {**_shared(request), "messages": [_turn(message) for message in request.messages]}
    return {**body, "tools": request.tools} if request.tools else body


def _turn(message: Message) -> dict[str, Any]:
    """One turn in the wire's words, without what is empty."""
    said = {name: value for name in message.__struct_fields__ if (value := getattr(message, name))}
    said |= {"role": message.role, "content": message.content}
    if message.tool_calls:
        said["tool_calls"] = [
            {**({"id": call.id} if call.id else {}), "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return said
