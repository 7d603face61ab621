"""The OpenAI-compatible routes: other words for the same questions and answers as those of `/api`.

    request ─► wanted.py ─► Asked ─► talk.answer ─► choices.py ─► chunks, or one object

So a model's system prompt, messages and template, what happens to a prompt that is too long, and what is
refused are the same whichever way it is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadName, ServerError
from . import ask, talk
from . import wanted as openais
from .ask import Asked
from .choices import Chat, Completions
from .engine import Engine
from .hear import Piece
from .manifest import Model
from .models import found
from .reply import BARE_JSON, MORE, Stream, openai_error, reply
from .store import Store
from .tell import Metrics
from .wanted import Wanted

_EVENTS = "text/event-stream"


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
        name = request.path_params["name"]
        try:
            model = self.store.find(name)
        except BadName:
            model = None
        return _missing(name) if model is None else reply(_told(model), content_type=BARE_JSON)

    async def chat(self, request: Request) -> Response | Stream:
        """The next message of a conversation."""
        return await self._answered(request, openais.chat, Chat)

    async def completions(self, request: Request) -> Response | Stream:
        """What follows a prompt."""
        return await self._answered(request, openais.completion, Completions)

    async def _answered(self, request: Request, read: Callable[[bytes], Wanted], form: type[Chat]) -> Response | Stream:
        try:
            wanted = read(await request.body())
            if not wanted.name and form is Chat:
                raise ServerError("model is required", status=400)
            if not wanted.name:
                return _missing("")
            model = found(self.store, wanted.name)
            questions = [] if wanted.empty else wanted.questions(model)
        except ServerError as error:
            return _refusal(error)
        if not questions:
            choices = form(wanted.name, stream=wanted.stream, usage=wanted.usage)
            pieces = self._loaded(model, wanted, choices)
        else:
            choices = form(wanted.name, len(wanted.requests), wanted.each, stream=wanted.stream, usage=wanted.usage)
            pieces = self._told(questions, choices, request.scope[MORE])
        return _Stream(pieces, _EVENTS if wanted.stream else BARE_JSON)

    async def _loaded(self, model: Model, wanted: Wanted, choices: Chat) -> AsyncGenerator[bytes, None]:
        """All that is done when nothing is asked."""
        load = ask.without_question(model, wanted.requests[0], "generate")
        await talk.loaded(self.engine, model, load, None)
        yield choices.end(Piece(), "load", Metrics())

    async def _told(
        self, questions: list[Asked], choices: Chat, more: Callable[[bytes], object]
    ) -> AsyncGenerator[bytes, None]:
        """The answers, one after the other: what they have in common is read only once, and one slot is taken."""
        for at, question in enumerate(questions):
            async with aclosing(talk.answer(self.engine, question, choices, more)) as pieces:
                async for piece in pieces:
                    if choices.told == len(questions):
                        yield piece
                    elif piece:
                        yield bytes(piece)  # a `Last` that is not the last of them all
            if choices.told <= at:
                return  # a clean end without a reason


class _Stream(Stream):
    """A stream whose errors have OpenAI's form."""

    def refused(self, error: ServerError) -> Response:
        """See `Stream`."""
        return _refusal(error)

    def broken(self, error: ServerError) -> bytes:
        """See `Stream`."""
        return b"data: " + bytes(_refusal(error).body) + b"\n\n"


def _told(model: Model) -> dict[str, Any]:
    created = model.changed // 1_000_000_000
    return {"id": model.name.short, "object": "model", "created": created, "owned_by": model.name.namespace}


def _missing(name: str) -> Response:
    return openai_error(404, f"model '{name}' not found")


def _refusal(error: ServerError) -> Response:
    """An error in OpenAI's form; the engine's own has it already, with more in it."""
    if error.message.startswith('{"error":'):
        return Response(error.message, error.status, headers={"content-type": BARE_JSON})
    return openai_error(error.status, error.message)
