"""The answer of a cloud model, from the lines of its stream to events (see `wire.py`).

    data: {"choices": [{"delta": {"content": "Hi"}}]}  ─► Text("Hi")
    data: [DONE]                                       ─► Done(...)

Source of the shapes: OpenAI's API reference, and what llama.cpp, vLLM and others add to it: thoughts
stand in `reasoning_content` or in `reasoning`, an error may come in the middle, and a server may not
stream at all.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .denials import denied, said_in
from .errors import Incomplete, ServerError
from .keys import Provider
from .messages import Done, Event, Note, Request, Stats, Text, Thinking, ToolCall
from .wire import READ, Flow, rest

T = TypeVar("T")


def events(request: Request, server: Provider) -> Flow[Event]:
    """The events of an answer that streams in, or comes as one document."""
    calls = _Calls()
    finish, usage, ended = "", _Usage(), False
    while (line := (yield READ)) is not None:
        if line.startswith(b"data:"):
            data = line[5:].strip()
        elif line.lstrip().startswith(b"{"):  # a server that does not stream
            data = line + b"\n" + (yield from rest())
            ended = True
        elif line.lstrip().startswith(b"<"):
            raise _foreign(server.name, "a page")
        else:
            continue
        if data == b"[DONE]":
            ended = True
            break
        if not data or data == b"null":
            continue
        chunk = decode(_CHUNK, data, server.name)
        if chunk.error:
            raise denied(200, said_in(chunk.error), request.model, server)
        if ended and not chunk.choices:
            raise _foreign(server.name, "an answer without choices")
        usage = chunk.usage or usage
        for choice in chunk.choices or ():
            part = choice.delta or choice.message or _Part()
            if thinking := part.reasoning_content or part.reasoning:
                yield Thinking(thinking)
            if text := part.content or part.refusal:
                yield Text(text)
            calls.add(part.tool_calls or ())
            finish = choice.finish_reason or finish
    if not (finish or ended):
        raise Incomplete("The answer broke off: the server closed the stream before it was done.", "Ask again.")
    yield from calls.whole(finish)
    if finish == "content_filter":
        yield Note(f"The content filter of {server.name} ended the answer.")
    stats = Stats(prompt_eval_count=usage.prompt_tokens, eval_count=usage.completion_tokens)
    yield Done("stop" if finish == "tool_calls" else finish, stats)


class _Calls:
    """Calls of functions, put together from their pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, tuple[str, str, list[str]]] = {}

    def add(self, pieces: Sequence[_Call]) -> None:
        """Take the next pieces; one without an index begins a call if it has a name, and else goes on with the last."""
        for piece in pieces:
            last = max(self._calls, default=-1)
            place = piece.index if piece.index is not None else last + bool(piece.function.name)
            id, name, arguments = self._calls.get(place, ("", "", []))
            more = piece.function.arguments
            arguments.append(more if isinstance(more, str) else msgspec.json.encode(more).decode() if more else "")
            self._calls[place] = (id or piece.id or "", name or piece.function.name or "", arguments)

    def whole(self, finish: str) -> Generator[ToolCall, Any, None]:
        """The calls, in their order."""
        for _, (id, name, pieces) in sorted(self._calls.items()):
            try:
                arguments = msgspec.json.decode("".join(pieces).strip() or "{}", type=dict[str, Any])
            except (msgspec.DecodeError, RecursionError):
                if finish == "length":
                    raise Incomplete(
                        f"The answer broke off in the middle of a call of {name}.", "Ask with a greater num_predict."
                    ) from None
                raise ServerError(
                    f"The model called {name} with arguments that are no JSON object.", "Ask again.", status=200
                ) from None
            yield ToolCall(name, arguments, id)


class _Function(Struct, frozen=True):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Function = _Function()


class _Part(Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(Struct, frozen=True):
    delta: _Part | None = None
    message: _Part | None = None
    finish_reason: str | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(Struct, frozen=True):
    """One event of a chat's stream."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)


def decode(decoder: msgspec.json.Decoder[T], data: bytes, provider: str) -> T:
    """Read JSON of OpenAI's protocol; `ServerError` if it is none."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _foreign(provider, str(error)) from None


def _foreign(provider: str, what: str) -> ServerError:
    return ServerError(
        f"{provider} sent something that is not OpenAI's protocol ({what}).",
        "Check the endpoint's address: it often ends in /v1.",
        status=200,
    )
