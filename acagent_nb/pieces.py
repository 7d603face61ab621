"""Bytes on their way: an answer's pieces into lines, a file into pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator
from pathlib import Path

_PIECE = 256 * 1024  # bytes of a file that are in memory at a time


def of(file: Path, went: Callable[[int], None]) -> Generator[bytes, None, None]:
    """A file in pieces, so that a model of many gigabytes is never in memory; `went` hears how much was taken."""
    with file.open("rb") as data:
        while piece := data.read(_PIECE):
            yield piece
            went(data.tell())


async def aof(file: Path, went: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    """The same for asynchronous code; other tasks go on while a piece is read."""
    import asyncio

    with file.open("rb") as data:  # opening it is quick, and reading has a thread
        while piece := await asyncio.to_thread(data.read, _PIECE):
            yield piece
            went(data.tell())


class _Splitter:
    """Lines out of bytes that were cut anywhere."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes end."""
        first, *more = data.split(b"\n")
        self._parts.append(first)
        if not more:
            return []
        whole = [b"".join(self._parts), *more[:-1]]
        self._parts = [more[-1]]
        return whole

    def rest(self) -> list[bytes]:
        """A last line that has no end."""
        last = b"".join(self._parts)
        return [last] if last else []


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """An answer's bytes as lines, without their ends."""
    split = _Splitter()
    for chunk in chunks:
        yield from split.feed(chunk)
    yield from split.rest()


async def alines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same for asynchronous code."""
    split = _Splitter()
    async for chunk in chunks:
        for line in split.feed(chunk):
            yield line
    for line in split.rest():
        yield line
