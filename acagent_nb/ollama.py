"""Asking a model, as a flow (see `wire.py`): one that is missing is pulled and asked again."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from .delivery import pulling
from .errors import Incomplete, ModelMissing
from .messages import Done, Event, Request, Stats, Text, Thinking, ToolCall
from .wire import READ, Flow, Open, decode, error_of, refusal


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
        error = yield from refusal(status, request.model)
        if not isinstance(error, ModelMissing):
            raise error
        yield from pulling(request.model)
        status = yield ask
    if status != 200:
        raise (yield from refusal(status, request.model))
    while (line := (yield READ)) is not None:
        if not line.strip():
            continue
        chunk = decode(_CHUNK, line)
        if chunk.error:
            raise error_of(chunk.error, 200, request.model)
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


class _Chunk(Stats, frozen=True):
    """A line of a chat's stream; every metric may be missing."""

    message: _Part = _Part()
    done: bool = False
    done_reason: str = ""
    error: str = ""


_CHUNK = msgspec.json.Decoder(_Chunk)


def _chat_body(request: Request) -> bytes:
    """The request's JSON, without what was not set."""
    body = {name: value for name in ("format", "think", "keep_alive") if (value := getattr(request, name)) is not None}
    body |= {"model": request.model, "messages": request.messages}
    if options := request.options.sent():
        body["options"] = options
    return msgspec.json.encode(body)
