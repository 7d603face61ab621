"""One answer from lease to last line: what the routes and the engine do together."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from ..errors import ServerError
from . import fit
from .ask import Asked
from .engine import Engine
from .hear import Answer, Piece, joined
from .line import Broken, Line, Unreachable
from .manifest import Model
from .process import Child
from .settings import Load
from .tell import Generate, Metrics, Shape

DIED = "an error was encountered while running the model: unexpected EOF"


class Last(bytes):
    """A stream's last piece, known as such, so that the end goes out with it and not after it."""


async def answer(
    engine: Engine, asked: Asked, shape: Shape, more: Callable[[bytes], object]
) -> AsyncGenerator[bytes, None]:
    """An answer's lines: one line for each piece and a last one, or a single one if it is not streamed.

    Parameters
    ----------
    engine, asked, shape
        Who is asked, for what, and in which form it is told.
    more
        Takes the lines between those that are yielded, the moment they are there: see `MORE`.

    Yields
    ------
    bytes
        The first lines, all that were ready together, and a `Last`.

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
                    raise ServerError(DIED) from error
                continue
            except Broken as error:
                await child.gone()
                raise ServerError(DIED) from error
            try:
                async with aclosing(_told(child, asked, shape, more, line, began, loaded)) as told:
                    async for lines in told:
                        yield lines
            except Broken as error:
                await child.gone()
                raise ServerError(DIED) from error
            finally:
                line.close()
            return


async def _told(
    child: Child,
    asked: Asked,
    shape: Shape,
    more: Callable[[bytes], object],
    line: Line,
    began: int,
    loaded: int,
) -> AsyncGenerator[bytes, None]:
    """The lines of an answer that has begun."""
    told = Answer(asked.prefix, asked.top_logprobs)
    pieces: list[Piece] = []
    generates = isinstance(shape, Generate) and "messages" in asked.body

    def lines(data: bytes) -> bytes:
        new = told.read(data)
        if not asked.stream or generates:
            pieces.extend(new)
        return b"".join([shape.line(piece) for piece in new]) if asked.stream else b""

    def sent(data: bytes) -> bool:
        if said := lines(data):
            more(said)
        return not told.whole

    while asked.stream and not told.whole and (data := await line.read()):
        if first := lines(data):
            yield first
            break
    if not told.whole:
        await line.pour(sent)
    whole = joined(pieces)
    context = await _context(child, asked, whole) if generates and told.done_reason else None
    if not told.done_reason and asked.stream:
        return  # a clean end without a reason: Ollama's stream, too, then ends without `done`
    metrics = Metrics.of(time.perf_counter_ns() - began, loaded, told.timings)
    end = shape.last(Piece() if asked.stream else whole, told.done_reason, metrics, context)
    yield Last(msgspec.json.encode(end) + (b"\n" if asked.stream else b""))


async def _context(child: Child, asked: Asked, whole: Piece) -> list[int]:
    """The tokens of the conversation so far, which `/api/generate` gives for the next request."""
    prompt = await fit.rendered(child, asked, asked.body["messages"])
    text = prompt + (f"{whole.thinking}\n</think>\n\n" if whole.thinking else "") + whole.text
    return [*(asked.context or ()), *await fit.tokens_of(child, text)]


async def loaded(engine: Engine, model: Model, load: Load, keep_alive: float | None) -> None:
    """Load a model, and leave it loaded for its keep_alive."""
    async with engine.lease(model, load, keep_alive):
        pass


def error_line(error: ServerError) -> bytes:
    """An error in the middle of a stream."""
    return json.dumps({"error": error.message}).encode() + b"\n"
