"""The OpenAI-compatible routes: llama.cpp speaks them itself, so requests and answers pass as they are.

Two things differ from Ollama: an answer names its model in full (`tiny:latest`), and a client that leaves
an answer that it does not stream frees the slot only after up to a second, because llama.cpp looks no sooner.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadName, ServerError
from . import ask, settings
from .engine import Engine
from .line import Broken, Unreachable
from .reply import BARE_JSON, reply
from .store import Model, Store

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
        except msgspec.DecodeError as error:
            return _error(400, str(error), "invalid_request_error")
        name = asked.get("model") or ""
        model = self._find(name) if isinstance(name, str) else None
        if model is None:
            return _missing(name)
        try:
            values, load = ask.loading(model, _OPENAI)
        except ServerError as error:
            return _error(error.status, error.message, "api_error")
        if not request.url.path.endswith("embeddings"):
            defaults = settings.per_request(values, load.num_ctx)
            if any(asked.get(limit) for limit in ("max_tokens", "max_completion_tokens")):
                del defaults["n_predict"]
            asked = defaults | {key: value for key, value in asked.items() if value is not None}
        return _Passed(self._pieces(model, load, request.url.path, msgspec.json.encode(asked)))

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


class _Passed:
    """The engine's answer, status and all, as it comes."""

    def __init__(self, pieces: AsyncGenerator[Any, None]) -> None:
        self.pieces = pieces

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        begun = False
        try:
            async for piece in self.pieces:
                if begun:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    continue
                status, content_type = piece
                headers = [(b"content-type", content_type.encode())]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                begun = True
        except (ServerError, Broken) as error:
            text = error.message if isinstance(error, ServerError) else "the engine's process died"
            refusal = _error(500, text, "api_error")
            if not begun:
                await refusal(scope, receive, send)
                return
            event = b"data: " + bytes(refusal.body) + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            await self.pieces.aclose()
        await send({"type": "http.response.body", "body": b""})


def _told(model: Model) -> dict[str, Any]:
    created = model.changed // 1_000_000_000
    return {"id": model.name.short, "object": "model", "created": created, "owned_by": model.name.namespace}


def _missing(name: Any) -> Response:
    return _error(404, f"model '{name}' not found", "not_found_error")


def _error(status: int, text: str, kind: str) -> Response:
    """An error in OpenAI's form."""
    return reply({"error": {"message": text, "type": kind, "param": None, "code": None}}, status, BARE_JSON)
