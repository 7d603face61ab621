"""Answers over ASGI: JSON, errors in Ollama's form, and streams that stop when their reader leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from ..errors import BadName, ServerError
from .talk import Last, error_line

JSON, BARE_JSON = "application/json; charset=utf-8", "application/json"
LINES = "application/x-ndjson"
LEAVING = "acagent_nb.leaving"  # in a request's scope: what to call when its connection is lost; see `Http`
MORE = "acagent_nb.more"  # and: what sends more of its answer's body at once, when the first of it has gone
_NOTHING_MORE = Last()
_LARGEST = 256 << 20  # bytes of a request's body: some hundred images; blobs come by another way


def reply(value: Any, status: int = 200, content_type: str = JSON) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, headers={"content-type": content_type})


def refusal(error: ServerError, content_type: str = JSON) -> Response:
    """An error in Ollama's form, with its HTTP status."""
    return reply({"error": error.message}, error.status, content_type)


def openai_error(status: int, text: str) -> Response:
    """An error in OpenAI's form; its kind follows from the status."""
    kinds = {400: "invalid_request_error", 404: "not_found_error", 501: "not_implemented_error"}
    kind = kinds.get(status, "api_error")
    return reply({"error": {"message": text, "type": kind, "param": None, "code": None}}, status, BARE_JSON)


class Stream:
    """An answer that comes piece by piece.

    An error before the first piece has its HTTP status, a later one is a last line. Nothing is sent
    before the first piece is there.

    Parameters
    ----------
    pieces
        What to send; closed when the stream ends, however it does.
    content_type
        Of the answer; an error before the first piece has its own.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], content_type: str = LINES) -> None:
        self.pieces = pieces
        self.content_type = content_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with contextlib.aclosing(self.pieces) as pieces:
            try:
                piece = await anext(pieces, _NOTHING_MORE)
            except Exception as fault:  # here as in `Route`
                await self.refused(_said(fault))(scope, receive, send)
                return
            headers = [(b"content-type", self.content_type.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                while not isinstance(piece, Last):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    piece = await anext(pieces, _NOTHING_MORE)
            except Exception as fault:  # here, too
                piece = Last(self.broken(_said(fault)))
            await send({"type": "http.response.body", "body": piece})

    def refused(self, error: ServerError) -> Response:
        """What is answered instead, before the first piece."""
        return refusal(error)

    def broken(self, error: ServerError) -> bytes:
        """The last piece of a stream that goes wrong."""
        return error_line(error)


Answerer = Callable[[Request], Awaitable[Any]]


class Route:
    """An endpoint that stops working for a client that has gone.

    Parameters
    ----------
    answerer
        Takes the request; gives a `Response` or a `Stream`. `ServerError` and `BadName` become errors
        in Ollama's form.
    """

    def __init__(self, answerer: Answerer) -> None:
        self.answerer = answerer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, _limited(receive))
        try:
            await request.body()
        except ClientDisconnect:
            return
        except ServerError as error:
            await refusal(error)(scope, receive, send)
            return
        work = asyncio.current_task()
        assert work is not None  # the server runs each request in a task
        leaving: set[Callable[[], object]] = scope[LEAVING]
        leaving.add(work.cancel)
        try:
            await self._answer(request, scope, receive, send)
        except asyncio.CancelledError:
            pass  # the client has left, or the server ends: nobody is there to hear more of it
        finally:
            leaving.discard(work.cancel)

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self.answerer(request)
        except Exception as fault:  # whatever is wrong in here, a client gets an error that it can read
            response = refusal(_said(fault))
        await response(scope, receive, send)


def _said(fault: Exception) -> ServerError:
    """What a client is told of whatever went wrong."""
    if isinstance(fault, ServerError):
        return fault
    if isinstance(fault, BadName):
        return ServerError("invalid model name", status=400)
    if isinstance(fault, OSError) and fault.strerror:  # a full disk, a folder that is not ours
        return ServerError(f"{f'{fault.filename}: ' if fault.filename else ''}{fault.strerror.lower()}")
    logging.getLogger(__name__).error("a request failed", exc_info=fault)
    return ServerError(f"internal error: {type(fault).__name__}")


def _limited(receive: Receive) -> Receive:
    """Lets no body fill the memory: it is held whole until it has been read."""
    length = 0

    async def limited() -> Message:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > _LARGEST:
            raise ServerError("http: request body too large", status=413)
        return message

    return limited
