"""Ollama's API as an ASGI application: routes only, the work is done in the other rooms."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from .. import names
from ..errors import BadName, ServerError
from . import ask, body, durations, pull, show, talk
from .engine import Engine
from .guard import Guard
from .hear import Piece
from .reply import BARE_JSON, JSON, LINES, Route, Stream, refusal, reply
from .store import Model, Store, refuse_bad
from .tell import Chat, Generate, Metrics
from .v1 import OpenAI

EQUALS = "0.32.15"  # the version of Ollama whose API this is


def create(store: Store, engine: Engine, *, loopback: bool = True) -> Starlette:
    """The application.

    Parameters
    ----------
    store, engine
        Its models, and what answers for them; whoever made the engine ends it.
    loopback
        Whether it will listen on loopback only; see `Guard`.
    """
    api, v1 = Api(store, engine), OpenAI(store, engine)
    routes: list[tuple[str, str, Any]] = [
        ("GET", "/", api.root),
        ("GET", "/api/version", api.version),
        ("GET", "/api/tags", api.tags),
        ("GET", "/api/ps", api.ps),
        ("POST", "/api/show", api.show),
        ("POST", "/api/chat", api.chat),
        ("POST", "/api/generate", api.generate),
        ("POST", "/api/embed", api.embed),
        ("POST", "/api/pull", api.pull),
        ("POST", "/api/copy", api.copy),
        ("DELETE", "/api/delete", api.delete),
        ("GET", "/v1/models", v1.models),
        ("GET", "/v1/models/{name:path}", v1.model),
        ("POST", "/v1/chat/completions", v1.passed),
        ("POST", "/v1/completions", v1.passed),
        ("POST", "/v1/embeddings", v1.passed),
    ]

    app = Starlette(
        routes=[Path(path, Route(answer), methods=[method]) for method, path, answer in routes],
        middleware=[Middleware(Guard, loopback=loopback)],
        exception_handlers={HTTPException: _unknown},
    )
    app.router.redirect_slashes = False
    return app


class Api:
    """What stands behind `/api`."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine

    async def root(self, request: Request) -> Response:
        """Whether anybody is there."""
        return Response("Ollama is running", headers={"content-type": "text/plain; charset=utf-8"})

    async def version(self, request: Request) -> Response:
        """The version of Ollama that this equals, and the engine."""
        engine = {"name": "xllamacpp", "version": version("xllamacpp")}
        return reply({"version": EQUALS, "engine": engine})

    async def tags(self, request: Request) -> Response:
        """All models."""
        return reply({"models": [show.tag(model) for model in self.store.models()]})

    async def ps(self, request: Request) -> Response:
        """The models that are loaded."""
        return reply({"models": self.engine.running()})

    async def show(self, request: Request) -> Response:
        """One model, in full."""
        asked = body.read(await request.body(), "ShowRequest", body.SHOW)
        name = asked.get("model") or asked.get("name", "")
        if not name:
            raise ServerError("model is required", status=400)
        model = self.store.find(name)
        if model is None:
            raise ServerError(f"model '{names.parse(name).short}' not found", status=404)
        return reply(show.show(model, verbose=asked.get("verbose", False)))

    async def chat(self, request: Request) -> Response | Stream:
        """The next message of a conversation."""
        asked = _with_seconds(body.read(await request.body(), "ChatRequest", body.CHAT))
        for message in asked.get("messages", []):
            ask.check_images(message.get("images", []))
        ask.check_think(asked.get("think"))
        if not asked.get("model"):
            raise ServerError("model is required", status=400)
        return await self._answered(asked, Chat(asked["model"]))

    async def generate(self, request: Request) -> Response | Stream:
        """What follows a prompt."""
        asked = _with_seconds(body.read(await request.body(), "GenerateRequest", body.GENERATE))
        ask.check_images(asked.get("images", []))
        ask.check_think(asked.get("think"))
        if not asked.setdefault("model", ""):
            raise ServerError("model '' not found", status=404)
        return await self._answered(asked, Generate(asked["model"]))

    async def _answered(self, asked: dict[str, Any], shape: Chat | Generate) -> Response | Stream:
        """What the two ways to ask have in common: load, unload, or an answer."""
        model = self._model(asked["model"])
        if ask.empty(asked):
            reason = await self._load_only(model, asked)
            return reply(shape.last(Piece(), reason, Metrics()))
        question = ask.chat(model, asked) if isinstance(shape, Chat) else ask.generate(model, asked)
        lines = talk.answer(self.engine, question, shape)
        return Stream(lines, LINES if question.stream else JSON)

    async def _load_only(self, model: Model, asked: dict[str, Any]) -> str:
        """Do what a request without a question asks for; its `done_reason`."""
        alive = asked.get("keep_alive")
        if alive == 0:
            self.engine.unload(model)
            return "unload"
        _, load = ask.loading(model, asked.get("options", {}), shift=asked.get("shift", True))
        await talk.loaded(self.engine, model, load, alive)
        return "load"

    async def embed(self, request: Request) -> Response:
        """Texts as vectors."""
        asked = _with_seconds(body.read(await request.body(), "EmbedRequest", body.EMBED))
        texts = asked.get("input", [])
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ServerError("invalid input type", status=400)
        name = asked.get("model", "")
        refuse_bad(name)
        model = self.store.find(name)
        if model is None:
            raise ServerError(f'model "{name}" not found, try pulling it first', status=404)
        began = time.perf_counter_ns()
        alive = asked.get("keep_alive")
        _, load = ask.loading(model, asked.get("options", {}))
        texts = [text for text in texts if text]
        if not texts:
            await talk.loaded(self.engine, model, load, alive)
            return reply({"model": name, "embeddings": []})
        vectors, tokens, loaded = await talk.embed(
            self.engine, model, load, alive, texts,
            truncate=asked.get("truncate", True), dimensions=asked.get("dimensions", 0),
        )  # fmt: skip
        total = time.perf_counter_ns() - began
        return reply(
            {
                "model": name,
                "embeddings": vectors,
                "total_duration": total,
                "load_duration": loaded,
                "prompt_eval_count": tokens,
            }
        )

    async def pull(self, request: Request) -> Response | Stream:
        """Bring a model here."""
        asked = body.read(await request.body(), "PullRequest", body.PULL)
        name = asked.get("model") or asked.get("name", "")
        refuse_bad(name)
        lines = pull.pull(self.store, name)
        if asked.get("stream", True):
            return Stream(_encoded(lines))
        last: dict[str, Any] = {}
        try:
            async for line in lines:
                last = line
        except ServerError as error:
            return refusal(error, BARE_JSON)
        return reply(last, content_type=BARE_JSON)

    async def copy(self, request: Request) -> Response:
        """Give a model a second name."""
        asked = body.read(await request.body(), "CopyRequest", body.COPY)
        source, to = asked.get("source", ""), asked.get("destination", "")
        refuse_bad(source, f'source "{source}" is invalid')
        refuse_bad(to, f'destination "{to}" is invalid')
        model = self.store.find(source)
        if model is None:
            raise ServerError(f'model "{source}" not found', status=404)
        self.store.copy(model, to)
        return Response()

    async def delete(self, request: Request) -> Response:
        """Take a model's name away."""
        asked = body.read(await request.body(), "DeleteRequest", body.DELETE)
        name = asked.get("model") or asked.get("name", "")
        refuse_bad(name, f'name "{name}" is invalid')
        model = self._model(name)
        self.store.delete(model)
        if all(other.digest != model.digest for other in self.store.models()):
            self.engine.unload(model)  # so that /api/ps shows no model that is not there
        return Response()

    def _model(self, name: str) -> Model:
        """The model of this name; `ServerError` as chat, generate and delete say it."""
        try:
            model = self.store.find(name)
        except BadName:
            raise ServerError("invalid model name", status=400) from None
        if model is None:
            raise ServerError(f"model '{name}' not found", status=404)
        return model


def _with_seconds(asked: dict[str, Any]) -> dict[str, Any]:
    """The request with its `keep_alive` in seconds, checked before anything else is, as in Ollama."""
    if "keep_alive" in asked:
        asked["keep_alive"] = durations.keep_alive(asked["keep_alive"])
    return asked


async def _encoded(lines: AsyncIterator[dict[str, Any]]) -> AsyncGenerator[bytes, None]:
    async for line in lines:
        yield msgspec.json.encode(line) + b"\n"


async def _unknown(request: Request, error: Exception) -> Response:
    """An unknown route or method, as Ollama's router answers it."""
    assert isinstance(error, HTTPException)  # it is registered for nothing else
    text = {404: "404 page not found", 405: "405 method not allowed"}.get(error.status_code, error.detail)
    return Response(text, error.status_code, headers={"content-type": "text/plain"})
