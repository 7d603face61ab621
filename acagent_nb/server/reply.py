"""Answers over ASGI: JSON, errors in Ollama's form, and streams that stop when their reader leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..errors import BadName, ServerError
from .talk import error_line

JSON, BARE_JSON = "application/json; charset=utf-8", "application/json"
LINES = "application/x-ndjson"


def reply(value: Any, status: int = 200, content_type: str = JSON) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, headers={"content-type": content_type})


def refusal(error: ServerError, content_type: str = JSON) -> Response:
    """An error in Ollama's form, with its HTTP status."""
    return reply({"error": error.message}, error.status, content_type)


class Stream:
    """An answer that comes piece by piece.

    An error before the first piece has its HTTP status, a later one is a last line. Nothing is sent
    before the first piece is there.

    Parameters
    ----------
    pieces
        What to send; closed when the stream ends, however it does.
    content_type
        Of the answer, and (if there is one before the first piece) of the error.
    """

    def __init__(self, pieces: AsyncGenerator[bytes, None], content_type: str = LINES, error_type: str = JSON) -> None:
        self.pieces = pieces
        self.content_type = content_type
        self.error_type = error_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        async with contextlib.aclosing(self.pieces) as pieces:
            try:
                first = await anext(pieces, b"")
            except ServerError as error:
                await refusal(error, self.error_type)(scope, receive, send)
                return
            headers = [(b"content-type", self.content_type.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": first, "more_body": True})
            try:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except ServerError as error:
                await send({"type": "http.response.body", "body": error_line(error), "more_body": True})
            await send({"type": "http.response.body", "body": b""})


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
        request = Request(scope, receive)
        await request.body()  # after it, the next message can only be the client's leaving
        work = asyncio.ensure_future(self._answer(request, scope, receive, send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the server ends and cancels what is left: nobody is there to hear more of it
        finally:
            gone.cancel()
            if not work.done():
                work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self.answerer(request)
        except ServerError as error:
            response = refusal(error)
        except BadName:
            response = refusal(ServerError("invalid model name", status=400))
        except Exception as fault:  # whatever is wrong in here, a client gets an error that it can read
            logging.getLogger(__name__).exception("a request failed")
            response = refusal(ServerError(f"internal error: {type(fault).__name__}"))
        await response(scope, receive, send)


async def _gone(receive: Receive) -> None:
    """Wait until the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
