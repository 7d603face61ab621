"""The OpenAI-compatible routes: llama.cpp speaks them itself, so requests and streams pass nearly as they are.

An answer that is not streamed is asked for as a stream, and put together here (`gather.py` says why).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadName, ServerError
from . import ask, settings, show
from .engine import Engine
from .gather import Gathered
from .line import Broken, Unreachable
from .manifest import Model
from .reply import BARE_JSON, openai_error, reply
from .store import Store
from .talk import DIED

# Ollama's defaults on these routes where the request names none.
_OPENAI = {"temperature": 1.0, "top_p": 1.0}


class OpenAI:
    """What stands behind `/v1`."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine

    async def models(self, request: Request) -> Response:
        """All models, as OpenAI lists them."""
        told = [_told(model) for model in self.store.models()]
        return reply({"object": "list", "data": told}, content_type=BARE_JSON)

    async def model(self, request: Request) -> Response:
        """One model."""
        found = self._find(request.path_params["name"])
        return _missing(request.path_params["name"]) if found is None else reply(_told(found), content_type=BARE_JSON)

    async def passed(self, request: Request) -> Any:
        """One request to the engine of the model that it names."""
        try:
            asked = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, or too deep
            return openai_error(400, str(error))
        name = asked.get("model") or ""
        model = self._find(name) if isinstance(name, str) else None
        if model is None:
            return _missing(name)
        try:
            values, load = ask.loading(model, _OPENAI)
        except ServerError as error:
            return openai_error(error.status, error.message)
        path = request.url.path
        can = show.capabilities(model)
        if "completion" not in can:
            return openai_error(400, f'"{name}" does not support {"chat" if "chat" in path else "generate"}')
        if asked.get("suffix"):
            return openai_error(501, "the embedded server fills gaps on /api/generate only")
        if asked.get("tools") and "tools" not in can:
            return openai_error(400, f"{model.name.full} does not support tools")
        defaults = settings.per_request(values, load.num_ctx)
        if any(asked.get(limit) for limit in ("max_tokens", "max_completion_tokens")):
            del defaults["n_predict"]
        asked = defaults | {key: value for key, value in asked.items() if value is not None}
        if asked.get("stream"):
            return _Passed(self._pieces(model, load, path, msgspec.json.encode(asked)), model, name)
        each = asked["n"] if isinstance(asked.get("n"), int) and asked["n"] > 0 else 1
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        return await _whole(self._pieces(model, load, path, msgspec.json.encode(asked)), Gathered(name, each))

    async def _pieces(self, model: Model, load: settings.Load, path: str, body: bytes) -> AsyncGenerator[Any, None]:
        """First the status and the content type, then what comes."""
        for last in (False, True):
            async with self.engine.lease(model, load) as child:
                try:
                    line = await child.ask(path, body)
                except Unreachable:  # it died between two requests: start another
                    await child.end()
                    if last:
                        raise
                    continue
                try:
                    yield line.status, line.content_type
                    while data := await line.read():
                        yield data
                except Broken:
                    await child.gone()
                    raise
                finally:
                    line.close()
                return

    def _find(self, name: str) -> Model | None:
        try:
            return self.store.find(name)
        except BadName:
            return None


async def _whole(pieces: AsyncGenerator[Any, None], gathered: Gathered) -> Response:
    """A stream as one object; a refusal as it is."""
    async with aclosing(pieces):
        try:
            status, content_type = await anext(pieces)
            if status != 200:
                refused = b"".join([piece async for piece in pieces])
                return Response(refused, status, headers={"content-type": content_type})
            async for piece in pieces:
                gathered.read(piece)
            return reply(gathered.told(), content_type=BARE_JSON)
        except (ServerError, Broken) as error:
            return _failed(error)


class _Passed:
    """The engine's answer, status and all, as it comes, but for the model's name, which is the client's."""

    def __init__(self, pieces: AsyncGenerator[Any, None], model: Model, name: str) -> None:
        self.pieces = pieces
        # inside of a text the quotes would be escaped, so this is nothing but the field
        self.theirs, self.ours = f'"model":"{model.digest}"'.encode(), b'"model":' + msgspec.json.encode(name)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun, rest = False, b""
        async with aclosing(self.pieces) as pieces:
            try:
                async for piece in pieces:
                    if begun:
                        whole, end, rest = (rest + piece).rpartition(b"\n\n")
                        if end:
                            await send(
                                {"type": "http.response.body", "body": self._told(whole + end), "more_body": True}
                            )
                        continue
                    status, content_type = piece
                    headers = [(b"content-type", content_type.encode())]
                    await send({"type": "http.response.start", "status": status, "headers": headers})
                    begun = True
            except (ServerError, Broken) as error:
                refusal = _failed(error)
                if not begun:
                    await refusal(scope, receive, send)
                    return
                rest += b"data: " + bytes(refusal.body) + b"\n\n"
        await send({"type": "http.response.body", "body": self._told(rest)})

    def _told(self, events: bytes) -> bytes:
        events = events.replace(self.theirs, self.ours)
        # llama.cpp opens a completion with an event that holds nothing, which the openai package can't read
        return events.removeprefix(b"data: null\n\n")


def _told(model: Model) -> dict[str, Any]:
    created = model.changed // 1_000_000_000
    return {"id": model.name.short, "object": "model", "created": created, "owned_by": model.name.namespace}


def _missing(name: Any) -> Response:
    return openai_error(404, f"model '{name}' not found")


def _failed(error: ServerError | Broken) -> Response:
    if isinstance(error, ServerError):
        return openai_error(error.status, error.message)
    return openai_error(500, DIED)
