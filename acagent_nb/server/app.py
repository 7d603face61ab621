"""Ollama's API as an ASGI application: routes only, the work is done in the other rooms."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import ServerError
from . import absent, ask, body, durations, talk, turns
from .embeds import Embeddings
from .engine import Engine
from .guard import Guard
from .hear import Piece
from .manifest import Model
from .models import Models, found
from .reply import JSON, LINES, MORE, Route, Stream, reply
from .store import Store
from .tell import Chat, Generate, Metrics
from .upload import Upload
from .v1 import OpenAI

EQUALS = "0.32.15"  # the version of Ollama whose API this is


def create(store: Store, engine: Engine, *, loopback: bool = True) -> ASGIApp:
    """The application.

    Parameters
    ----------
    store, engine
        Its models, and what answers for them; whoever made the engine ends it.
    loopback
        Whether it will listen on loopback only; see `Guard`.
    """
    api, models, embeds, v1 = (
        Api(store, engine),
        Models(store, engine),
        Embeddings(store, engine),
        OpenAI(store, engine),
    )
    routes: list[tuple[str, str, Any]] = [
        ("GET", "/", api.root),
        ("GET", "/api/version", api.version),
        ("GET", "/api/tags", models.tags),
        ("GET", "/api/status", api.status),
        ("GET", "/api/ps", api.ps),
        ("POST", "/api/show", models.show),
        ("POST", "/api/chat", api.chat),
        ("POST", "/api/generate", api.generate),
        ("POST", "/api/embed", embeds.embed),
        ("POST", "/api/embeddings", embeds.embeddings),
        ("POST", "/api/pull", models.pull),
        ("POST", "/api/create", models.create),
        ("HEAD", "/api/blobs/{digest}", models.blob),
        ("POST", "/api/copy", models.copy),
        ("DELETE", "/api/delete", models.delete),
        ("GET", "/v1/models", v1.models),
        ("GET", "/v1/models/{name:path}", v1.model),
        ("POST", "/v1/chat/completions", v1.chat),
        ("POST", "/v1/completions", v1.completions),
        ("POST", "/v1/embeddings", embeds.openai),
    ]
    routes += [(method, path, absent.answerer(path, said)) for (method, path), said in absent.ROUTES.items()]
    answerers = [(method, path, Route(answer)) for method, path, answer in routes]
    app = Starlette(
        routes=[
            *(Path(path, route, methods=[method]) for method, path, route in answerers),
            Path("/api/blobs/{digest}", Upload(store), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _unknown},
    )
    app.router.redirect_slashes = False
    return Guard(_Fixed({(method, path): route for method, path, route in answerers}, app), loopback=loopback)


class _Fixed:
    """Finds by a table who answers a fixed path; Starlette, which looks through its list in layers, does the rest."""

    def __init__(self, table: dict[tuple[str, str], Route], rest: ASGIApp) -> None:
        self.table = table
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.table.get((scope["method"], scope["path"]), self.rest)(scope, receive, send)


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
        return reply({"version": EQUALS, "engine": {"name": "xllamacpp", "version": _engine_version()}})

    async def status(self, request: Request) -> Response:
        """Whether models of the cloud can be asked: never here."""
        return reply({"cloud": {"disabled": True, "source": "env"}})

    async def ps(self, request: Request) -> Response:
        """The models that are loaded."""
        return reply({"models": self.engine.running()})

    async def chat(self, request: Request) -> Response | Stream:
        """The next message of a conversation."""
        asked = durations.with_seconds(body.read(await request.body(), "ChatRequest", body.CHAT))
        for message in asked.get("messages", []):
            turns.check_images(message.get("images", []))
        turns.check_think(asked.get("think"))
        if not asked.get("model"):
            raise ServerError("model is required", status=400)
        return await self._answered(asked, Chat(asked["model"]), request.scope[MORE])

    async def generate(self, request: Request) -> Response | Stream:
        """What follows a prompt."""
        asked = durations.with_seconds(body.read(await request.body(), "GenerateRequest", body.GENERATE))
        turns.check_images(asked.get("images", []))
        turns.check_think(asked.get("think"))
        if not asked.setdefault("model", ""):
            raise ServerError("model '' not found", status=404)
        return await self._answered(asked, Generate(asked["model"]), request.scope[MORE])

    async def _answered(
        self, asked: dict[str, Any], shape: Chat | Generate, more: Callable[[bytes], object]
    ) -> Response | Stream:
        """What the two ways to ask have in common: load, unload, or an answer."""
        turns.check_top(asked)
        model = found(self.store, asked["model"])
        if ask.empty(asked):
            reason = await self._load_only(model, asked, "chat" if isinstance(shape, Chat) else "generate")
            return reply(shape.last(Piece(), reason, Metrics()))
        question = ask.chat(model, asked) if isinstance(shape, Chat) else ask.generate(model, asked)
        lines = talk.answer(self.engine, question, shape, more)
        return Stream(lines, LINES if question.stream else JSON)

    async def _load_only(self, model: Model, asked: dict[str, Any], task: str) -> str:
        """Do what a request without a question asks for; its `done_reason`."""
        alive = asked.get("keep_alive")
        if alive == 0:
            self.engine.unload(model)
            return "unload"
        await talk.loaded(self.engine, model, ask.without_question(model, asked, task), alive)
        return "load"


@cache  # it costs a millisecond, and clients ask again and again whether anybody is there
def _engine_version() -> str:
    return version("xllamacpp")


async def _unknown(request: Request, error: Exception) -> Response:
    """An unknown route or method, as Ollama's router answers it."""
    assert isinstance(error, HTTPException)  # it is registered for nothing else
    text = {404: "404 page not found", 405: "405 method not allowed"}.get(error.status_code, error.detail)
    return Response(text, error.status_code, headers={"content-type": "text/plain"})
