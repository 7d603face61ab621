"""Texts as vectors: `/api/embed`, the older `/api/embeddings` and OpenAI's, from the request to the answer.

The engine cuts a batch of texts that differ in length into pieces of equal length, and takes a text's mean
over its last piece only: of 1,000 texts asked for at once 700 had a wrong vector. So a child is asked for
one text at a time, by whomever, which costs a quarter more time for short texts and a small model. The
texts of models that only read (the BERT family) are not cut, and go together. While a child answers a
question the engine begins no vectors in it, so texts leave a child that is asked one, and the server's
engine finds them another. If it finds none, they wait for the answer's end.
"""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from ..errors import BadName, ServerError
from . import ask, body, durations, fit, talk
from .engine import Engine
from .line import Broken, Unreachable
from .manifest import Model
from .process import Child
from .reply import BARE_JSON, openai_error, reply
from .settings import Load
from .store import Store
from .unknown import missing, refuse_bad

Result = TypeVar("Result")
_AS_THEY_ARE = -1  # llama.cpp's word for vectors whose length says something too


class _Told(NamedTuple):
    """A vector for each text, and how many tokens the texts had together."""

    vectors: list[list[float]]
    tokens: int


class _Overtaken(Exception):
    """A child has got rivals while texts are left; those that have their vectors are not asked again."""


class Embeddings:
    """What stands behind the three routes."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine

    async def embed(self, request: Request) -> Response:
        """Texts as vectors of length 1."""
        asked = durations.with_seconds(body.read(await request.body(), "EmbedRequest", body.EMBED))
        texts = asked.get("input", [])
        texts = ([texts] if texts else []) if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ServerError("invalid input type", status=400)
        began = time.perf_counter_ns()
        asking = self._asking(asked)
        if not texts:
            await asking.load_only()
            return reply({"model": asking.name, "embeddings": []})
        told, loaded = await asking.vectors(texts, truncate=asked.get("truncate", True))
        return reply(
            {
                "model": asking.name,
                "embeddings": _shortened(told.vectors, asked.get("dimensions", 0)),
                "total_duration": time.perf_counter_ns() - began,
                "load_duration": loaded,
                "prompt_eval_count": told.tokens,
            }
        )

    async def embeddings(self, request: Request) -> Response:
        """One text as a vector of its own length."""
        asked = durations.with_seconds(body.read(await request.body(), "EmbeddingRequest", body.EMBEDDINGS))
        asking = self._asking(asked)
        if not asked.get("prompt"):
            await asking.load_only()
            return reply({"embedding": []})
        told, _ = await asking.vectors([asked["prompt"]], embd_normalize=_AS_THEY_ARE)
        return reply({"embedding": told.vectors[0]})

    async def openai(self, request: Request) -> Response:
        """Texts, or tokens, as vectors of length 1, in OpenAI's form."""
        try:
            asked = body.read(await request.body(), "EmbedRequest", body.OPENAI_EMBED)
            given = asked.get("input")
            texts = given if isinstance(given, list) and not _is_tokens(given) else [given]
            if not texts or not all((isinstance(text, str) and text) or _is_tokens(text) for text in texts):
                raise ServerError("invalid input", status=400)
            asking = self._asking(asked)
            told, _ = await asking.vectors(texts)
        except ServerError as error:
            return openai_error(error.status, error.message)
        except BadName:
            return openai_error(404, f"model '{asked.get('model', '')}' not found")
        vectors = _shortened(told.vectors, asked.get("dimensions", 0))
        if asked.get("encoding_format") == "base64":
            data: list[Any] = [b64encode(array("f", vector).tobytes()).decode() for vector in vectors]
        else:
            data = vectors
        return reply(
            {
                "object": "list",
                "data": [{"object": "embedding", "embedding": each, "index": at} for at, each in enumerate(data)],
                "model": asking.name,
                "usage": {"prompt_tokens": told.tokens, "total_tokens": told.tokens},
            },
            content_type=BARE_JSON,
        )

    def _asking(self, asked: dict[str, Any]) -> _Asking:
        name = asked.get("model", "")
        refuse_bad(name)
        model = self.store.find(name)
        if model is None:
            raise missing(name, f'model "{name}" not found, try pulling it first')
        _, load = ask.loading(model, asked.get("options", {}))
        return _Asking(self.engine, name, model, load, asked.get("keep_alive"))


class _Asking:
    """One request's model, and how to ask it."""

    def __init__(self, engine: Engine, name: str, model: Model, load: Load, keep_alive: float | None) -> None:
        self.engine, self.name, self.model, self.load, self.keep_alive = engine, name, model, load, keep_alive

    async def load_only(self) -> None:
        """Load the model, and leave it loaded for its keep_alive."""
        await talk.loaded(self.engine, self.model, self.load, self.keep_alive)

    async def vectors(self, texts: list[Any], *, truncate: bool = True, **more: Any) -> tuple[_Told, int]:
        """The engine's answer to texts or lists of tokens, and nanoseconds until the model was loaded.

        A text must be in one batch. One that is longer is counted, cut to the context if it may be, and
        if it is still too long for the batch the model is loaded anew with a longer one, which it keeps.
        """
        done: dict[int, _Told] = {}

        async def asked(child: Child, rivals: int, inputs: list[Any]) -> _Told:
            if "bert" in self.model.header.architecture:
                return await _batch(child, inputs, more)
            for at in sorted(range(len(inputs)), key=lambda at: -len(inputs[at])):  # so a refusal comes at once
                if at not in done:
                    done[at] = await self._alone(child, rivals, inputs[at], more)
                    rivals = 0  # one text has waited long enough to look for another child
            return _Told([done[at].vectors[0] for at in range(len(inputs))], sum(each.tokens for each in done.values()))

        async def first(child: Child, rivals: int) -> _Told | list[list[int]]:
            if not self.load.rounded:  # else the engine's context is larger than ours: it would take too much
                try:
                    return await asked(child, rivals, texts)
                except ServerError as refusal:
                    if "too large" not in refusal.message and "exceed" not in refusal.message:
                        raise
            tokens = [text if isinstance(text, list) else await fit.tokens_of(child, text) for text in texts]
            if not truncate and max(map(len, tokens)) > self.load.num_ctx:
                raise ServerError("the input length exceeds the context length", status=400)
            tokens = [each[: self.load.num_ctx] for each in tokens]
            short = max(map(len, tokens)) <= max(self.load.num_batch, child.load.longest)
            return await asked(child, rivals, tokens) if short else tokens

        began = time.perf_counter_ns()
        told, loaded = await self._with_child(self.load, first, began)
        if not isinstance(told, _Told):
            tokens = told
            longer = replace(self.load, longest=self.load.num_ctx)
            told, loaded = await self._with_child(longer, lambda child, rivals: asked(child, rivals, tokens), began)
            assert isinstance(told, _Told)  # `asked` gives nothing else
        return told, loaded

    async def _with_child(
        self, load: Load, work: Callable[[Child, int], Awaitable[Result]], began: int
    ) -> tuple[Result, int]:
        """Do something with a child, or with the next one if that gets rivals or turns out to be dead.

        `work` is given the child, and how many rivals its texts have from the start: then there was no other.
        """
        loaded, died = 0, False
        while True:
            async with self.engine.lease(self.model, load, self.keep_alive, embeds=True) as child:
                loaded = loaded or time.perf_counter_ns() - began
                try:
                    return await work(child, self.engine.rivals(child)), loaded
                except _Overtaken:
                    continue
                except Broken as error:
                    if isinstance(error, Unreachable) and not died:
                        died = True
                        await child.end()
                        continue
                    await child.gone()
                    raise ServerError(talk.DIED) from error

    async def _alone(self, child: Child, rivals: int, text: Any, more: dict[str, Any]) -> _Told:
        """One text's vector, while nobody else asks this child for any, unless it has more rivals by then."""
        await child.embeds.acquire()
        if self.engine.rivals(child) > rivals:
            child.embeds.release()
            raise _Overtaken
        work = asyncio.ensure_future(_batch(child, [text], more))
        # not when the client leaves: the engine may still have the text, and would put the next one beside it
        work.add_done_callback(lambda _: child.embeds.release())
        return await asyncio.shield(work)


async def _batch(child: Child, texts: list[Any], more: dict[str, Any]) -> _Told:
    told = await child.asked("/v1/embeddings", {"input": texts, "encoding_format": "base64", **more})
    vectors = [array("f", b64decode(each["embedding"])).tolist() for each in told["data"]]
    return _Told(vectors, int(told["usage"]["prompt_tokens"]))


def _shortened(vectors: list[list[float]], dimensions: int) -> list[list[float]]:
    return [_unit(vector[:dimensions]) for vector in vectors] if dimensions > 0 else vectors


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)


def _unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]
