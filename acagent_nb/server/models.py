"""The routes that list models, bring them, make them and take them away."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from .. import names
from ..errors import BadName, ServerError
from . import body, making, pull, show, upload
from .engine import Engine
from .manifest import Model
from .reply import BARE_JSON, Stream, refusal, reply
from .store import Store
from .unknown import bad_name, missing, refuse_bad


class Models:
    """What stands behind `/api` for models as such."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine

    async def tags(self, request: Request) -> Response:
        """All models."""
        return reply({"models": [show.tag(model) for model in self.store.models()]})

    async def show(self, request: Request) -> Response:
        """One model, in full."""
        asked = body.read(await request.body(), "ShowRequest", body.SHOW)
        name = asked.get("model") or asked.get("name", "")
        if not name:
            raise ServerError("model is required", status=400)
        refuse_bad(name)
        model = self.store.find(name)
        if model is None:
            raise missing(name, f"model '{names.parse(name).short}' not found")
        return reply(show.show(model, verbose=asked.get("verbose", False), system=asked.get("system", "")))

    async def pull(self, request: Request) -> Response | Stream:
        """Bring a model here."""
        asked = body.read(await request.body(), "PullRequest", body.PULL)
        name = asked.get("model") or asked.get("name", "")
        refuse_bad(name)
        if names.source(name) == "cloud" and self.store.find(name) is None:
            raise missing(name, "")
        lines = self._replacing(name, pull.pull(self.store, name, asked.get("insecure", False)))
        return await _told(lines, streamed=asked.get("stream", True))

    async def create(self, request: Request) -> Response | Stream:
        """Make a model out of another, or out of uploaded files."""
        asked = body.read(await request.body(), "CreateRequest", body.CREATE)
        name = asked.get("model") or asked.get("name", "")
        refuse_bad(name)
        self.store.refuse(names.parse(name))
        lines = self._replacing(name, making.create(self.store, asked))
        return await _told(lines, streamed=asked.get("stream", True))

    async def blob(self, request: Request) -> Response:
        """Whether a blob is here."""
        return await upload.head(self.store, request)

    async def copy(self, request: Request) -> Response:
        """Give a model a second name."""
        asked = body.read(await request.body(), "CopyRequest", body.COPY)
        source, to = asked.get("source", ""), asked.get("destination", "")
        refuse_bad(source, f'source "{source}" is invalid')
        refuse_bad(to, f'destination "{to}" is invalid')
        model = self.store.find(source)
        if model is None:
            raise ServerError(f'model "{source}" not found', status=404)
        old = self.store.find(to)
        self.store.copy(model, to)
        if old is not None:
            self._let_go(old)
        return Response()

    async def delete(self, request: Request) -> Response:
        """Take a model's name away."""
        asked = body.read(await request.body(), "DeleteRequest", body.DELETE)
        name = asked.get("model") or asked.get("name", "")
        refuse_bad(name, f'name "{name}" is invalid')
        model = self.store.find(name)
        if model is None:
            raise ServerError(f"model '{name}' not found", status=404)
        self.store.delete(model)
        self._let_go(model)
        return Response()

    async def _replacing(
        self, name: str, lines: AsyncGenerator[dict[str, Any], None]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The lines of what may put another model in the place of this one."""
        old = self.store.find(name)
        async with aclosing(lines):
            async for line in lines:
                yield line
        if old is not None:
            self._let_go(old)

    def _let_go(self, model: Model) -> None:
        """Unload a model that has no name any more, or show it under one it has: /api/ps tells of none that is gone."""
        named = [other for other in self.store.models() if other.digest == model.digest]
        if named:
            self.engine.rename(named)
        else:
            self.engine.unload(model)


def found(store: Store, name: str) -> Model:
    """The model of this name; `ServerError` as chat and generate say it."""
    try:
        model = store.find(name)
    except BadName:
        raise bad_name(name) from None
    if model is None:
        raise missing(name, f"model '{name}' not found")
    return model


async def _told(lines: AsyncGenerator[dict[str, Any], None], *, streamed: bool) -> Response | Stream:
    """Progress as it comes, or only how it ended."""
    if streamed:
        return Stream(_encoded(lines))
    last: dict[str, Any] = {}
    try:
        async with aclosing(lines):
            async for line in lines:
                last = line
    except ServerError as error:
        return refusal(error, BARE_JSON)
    return reply(last, content_type=BARE_JSON)


async def _encoded(lines: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines):  # a client that leaves ends its pull at once
        async for line in lines:
            yield msgspec.json.encode(line) + b"\n"
