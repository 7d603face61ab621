"""One answer from lease to last line: what the routes and the engine do together."""

from __future__ import annotations

import json
import math
import time
from array import array
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec

from ..errors import ServerError
from . import fit
from .ask import Asked
from .engine import Engine
from .hear import Answer, Piece, joined
from .line import Broken, Line, Unreachable
from .process import Child
from .settings import Load
from .store import Model
from .tell import Chat, Generate, Metrics

_DIED = "an error was encountered while running the model: unexpected EOF"


async def answer(engine: Engine, asked: Asked, shape: Chat | Generate) -> AsyncGenerator[bytes, None]:
    """An answer's lines: one line for each piece and a last one, or a single one if it is not streamed.

    Yields
    ------
    bytes
        One or more whole lines: all that were ready together.

    Raises
    ------
    ServerError
        Before the first line or in the middle: the model can't be loaded, the engine refuses, or
        its process died. An answer that is closed early frees its slot at once.
    """
    began = time.perf_counter_ns()
    for last in (False, True):
        async with engine.lease(asked.model, asked.load, asked.keep_alive) as child:
            loaded = time.perf_counter_ns() - began
            try:
                line = await fit.opened(child, asked)
            except Unreachable as error:  # it died between two requests, unnoticed so far: start another
                await child.end()
                if last:
                    raise ServerError(_DIED) from error
                continue
            except Broken as error:
                await child.gone()
                raise ServerError(_DIED) from error
            try:
                async for lines in _told(child, asked, shape, line, began, loaded):
                    yield lines
            except Broken as error:
                await child.gone()
                raise ServerError(_DIED) from error
            finally:
                line.close()
            return


async def _told(
    child: Child, asked: Asked, shape: Chat | Generate, line: Line, began: int, loaded: int
) -> AsyncIterator[bytes]:
    """The lines of an answer that has begun."""
    told = Answer(asked.prefix, asked.top_logprobs)
    pieces: list[Piece] = []
    generates = isinstance(shape, Generate) and "messages" in asked.body
    while data := await line.read():
        new = told.read(data)
        if not asked.stream or generates:
            pieces += new
        if asked.stream and new:
            yield b"".join([shape.line(piece) for piece in new])
    whole = joined(pieces)
    context = await _context(child, asked, whole) if generates and told.done_reason else None
    if not told.done_reason and asked.stream:
        return  # a clean end without a reason: Ollama's stream, too, then ends without `done`
    metrics = Metrics.of(time.perf_counter_ns() - began, loaded, told.timings)
    end = shape.last(Piece() if asked.stream else whole, told.done_reason, metrics, context)
    yield msgspec.json.encode(end) + (b"\n" if asked.stream else b"")


async def _context(child: Child, asked: Asked, whole: Piece) -> list[int]:
    """The tokens of the conversation so far, which `/api/generate` gives for the next request."""
    prompt = await fit.rendered(child, asked, asked.body["messages"])
    text = prompt + (f"{whole.thinking}\n</think>\n\n" if whole.thinking else "") + whole.text
    return [*(asked.context or ()), *await fit.tokens_of(child, text)]


async def loaded(engine: Engine, model: Model, load: Load, keep_alive: float | None) -> None:
    """Load a model, and leave it loaded for its keep_alive."""
    async with engine.lease(model, load, keep_alive):
        pass


async def embed(
    engine: Engine,
    model: Model,
    load: Load,
    keep_alive: float | None,
    texts: list[str],
    *,
    truncate: bool,
    dimensions: int,
) -> tuple[list[list[float]], int, int]:
    """Texts as vectors of length 1.

    Parameters
    ----------
    truncate
        Whether a text that is too long loses its end, or is refused.
    dimensions
        Only so many of each vector's first numbers; 0 for all.

    Returns
    -------
    tuple
        The vectors, how many tokens the texts had, and nanoseconds until the model was loaded.

    Raises
    ------
    ServerError
        See `answer`; and status 400 for a text that is too long.
    """
    began = time.perf_counter_ns()
    most = min(load.num_ctx, load.num_batch)
    for last in (False, True):
        async with engine.lease(model, load, keep_alive) as child:
            loaded = time.perf_counter_ns() - began
            try:
                told = await _embedded(child, texts, most, truncate=truncate)
                break
            except Broken as error:
                if isinstance(error, Unreachable) and not last:
                    await child.end()
                    continue
                await child.gone()
                raise ServerError(_DIED) from error
    vectors = [array("f", b64decode(each["embedding"])).tolist() for each in told["data"]]
    if dimensions > 0:
        vectors = [_unit(vector[:dimensions]) for vector in vectors]
    return vectors, int(told["usage"]["prompt_tokens"]), loaded


async def _embedded(child: Child, texts: list[str], most: int, *, truncate: bool) -> dict[str, Any]:
    """The engine's answer; texts of more than `most` tokens are cut, or refused."""

    async def ask(inputs: list[Any]) -> dict[str, Any]:
        return dict(await child.asked("/v1/embeddings", {"input": inputs, "encoding_format": "base64"}))

    try:
        return await ask(texts)
    except ServerError as refusal:
        if "too large" not in refusal.message and "exceed" not in refusal.message:
            raise
        if not truncate:
            raise ServerError("the input length exceeds the context length", status=400) from refusal
    return await ask([(await fit.tokens_of(child, text))[:most] for text in texts])


def _unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]


def error_line(error: ServerError) -> bytes:
    """An error in the middle of a stream."""
    return json.dumps({"error": error.message}).encode() + b"\n"
