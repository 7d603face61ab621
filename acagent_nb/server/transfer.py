"""A blob's bytes, from its registry into its partial file: parts side by side, resumed, and tried again.

No server is trusted to send what it was asked for: each answer is taken by what it says of itself, and
nothing is written outside the part that it is for.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, ParamSpec, TypeVar

import httpx

from ..errors import ServerError
from .manifest import Layer
from .partial import Part, Partial, writing
from .registry import Broken, Registry

_P = ParamSpec("_P")
_T = TypeVar("_T")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class How(NamedTuple):
    """The measures of a download; sizes are bytes, times seconds. The defaults are Ollama's where it has them."""

    smallest: int = 100_000_000  # a part, unless it is the last one
    largest: int = 1_000_000_000
    at_once: int = 16
    step: int = 1 << 20  # bytes in memory for each part
    tries: int = 6  # in a row without any progress
    pause: float = 1.0  # before the second try, then twice as long each time
    connect: float = 30.0
    stall: float = 30.0  # without a byte
    tick: float = 0.06  # between two progress lines
    note: float = 2.0  # between two notes on the disk of how far it is
    poll: float = 0.1  # between two looks at what another server is doing


async def transfer(registry: Registry, layer: Layer, file: Partial, how: How) -> None:
    """Get all bytes of a blob that its file does not have yet.

    Raises
    ------
    ServerError
        In Ollama's words; what has come is in the file.
    """
    await _Transfer(registry, layer, file, how).run()


class _NoRanges(Exception):
    """The registry sends the whole blob when asked for a part of it."""


class _Transfer:
    def __init__(self, registry: Registry, layer: Layer, file: Partial, how: How) -> None:
        self.registry = registry
        self.layer = layer
        self._file = file
        self._how = how

    async def run(self) -> None:
        """Get all that is missing."""
        how = self._how
        async with self.registry.connected(connect=how.connect, stall=how.stall) as client:
            turns = asyncio.Semaphore(how.at_once)

            async def in_turn(part: Part) -> None:
                async with turns:
                    await self._insist(lambda: self._get(client, part), lambda: part.completed)

            try:
                await _all([in_turn(part) for part in self._file.parts if part.completed < part.size])
            except _NoRanges:
                await self._insist(lambda: self._get_whole(client), lambda: self._file.completed)

    async def _insist(self, get: Callable[[], Coroutine[Any, Any, None]], completed: Callable[[], int]) -> None:
        """Try until it works; progress since the last try gives all tries back."""
        tries, best = 0, completed()
        while True:
            try:
                return await get()
            except Broken as error:
                if completed() > best:
                    tries, best = 0, completed()
                tries += 1
                if tries >= self._how.tries:
                    raise ServerError(f"max retries exceeded: {error}") from None
                await asyncio.sleep(self._how.pause * 2 ** (tries - 1))

    async def _get(self, client: httpx.AsyncClient, part: Part) -> None:
        """The rest of one part, which may need several answers."""
        while part.completed < part.size:
            before = part.completed
            asked = {"Range": f"bytes={part.position}-{part.end - 1}"}
            async with self.registry.asked(client, f"blobs/{self.layer.digest}", asked) as response:
                if response.status_code == 206:
                    await self._take(response, [part], _start(response, part, self.layer.size))
                elif part.size == self.layer.size and not part.completed:
                    await self._take(response, [part], 0)  # asked for all, got all
                else:
                    raise _NoRanges
            if part.completed == before:
                raise Broken("unexpected EOF")

    async def _get_whole(self, client: httpx.AsyncClient) -> None:
        """The whole blob in one answer; what is there already is skipped."""
        async with self.registry.asked(client, f"blobs/{self.layer.digest}", {}) as response:
            await self._take(response, self._file.parts, 0)

    async def _take(self, response: httpx.Response, parts: list[Part], position: int) -> None:
        """Write an answer's bytes, the first of which belongs at a position, into these parts."""
        length = response.headers.get("Content-Length")
        if response.status_code == 200 and length not in (None, str(self.layer.size)):
            raise Broken(f"the registry sends {length} bytes of {self.layer.size}")
        missing = iter([part for part in parts if part.completed < part.size])
        part = next(missing, None)
        held, since = bytearray(), time.monotonic()
        try:
            async for chunk in response.aiter_raw():
                seen = position
                position += len(chunk)
                while part is not None and position > part.position + len(held):
                    start = part.position + len(held)
                    held += chunk[start - seen : part.end - seen]
                    now = time.monotonic()
                    ends = part.position + len(held) == part.end
                    if ends or len(held) >= self._how.step or now - since >= self._how.tick:
                        full, held, since = held, bytearray(), now
                        await self._keep(part, full)
                    if not ends:
                        break
                    part = next(missing, None)
                if part is None:
                    return  # whatever more it sends
        finally:
            if part is not None and held:
                await self._keep(part, held)
        if response.status_code == 200:
            raise Broken("unexpected EOF")

    async def _keep(self, part: Part, data: bytearray) -> None:
        with writing(self._file.path):
            await in_thread(self._file.write, part.position, data)
        part.completed += len(data)


def _start(response: httpx.Response, part: Part, total: int) -> int:
    """Where a partial answer begins; `Broken` if that is not where the part goes on."""
    said = response.headers.get("Content-Range", "")
    told = _RANGE.fullmatch(said)
    if not told or int(told[1]) != part.position or told[3] not in ("*", str(total)):
        raise Broken(f"asked for bytes {part.position}-{part.end - 1}/{total}, got {said or 'no Content-Range'}")
    return part.position


async def _all(work: list[Coroutine[Any, Any, None]]) -> None:
    """Run all side by side; the first failure stops the others."""
    tasks = [asyncio.create_task(each) for each in work]
    if not tasks:
        return
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [error for error in ended if isinstance(error, Exception)]
    if failed:
        raise failed[0]


async def in_thread(function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Run it in a thread, to its end even if cancelled: nothing may write to a file that was given up."""
    work = asyncio.create_task(asyncio.to_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # seen: the cancellation matters more
        raise
