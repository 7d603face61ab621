"""`Plain` and `AsyncPlain`: how httpx reaches a server over http:// that needs no proxy, as Ollama mostly is.

httpx's own way is made for every server there is: it takes 10 us of a processor for each token, which
Ollama sends as a chunk of its own, and 26 ms to be imported. Here all chunks that have come are read at
once, and a connection is kept when its answer was read to its end. `framing.py` reads the answers.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import httpx

from .framing import Answer, head

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

_PIECE = 256 * 1024  # bytes that are read at a time, at most
_MOST_IDLE = 20


class Plain(httpx.BaseTransport):
    """For blocking clients; threads may share it."""

    def __init__(self) -> None:
        self._idle: dict[bytes, list[socket.socket]] = defaultdict(list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and read the head of its answer."""
        limits = request.extensions.get("timeout", {})
        idle = self._idle[request.url.netloc]
        line = self._kept(idle) or self._connected(request, limits)
        try:
            with suppress(httpx.WriteError):  # a server may refuse a request before it has all of it, and say why
                _send(line, request, limits)
            line.settimeout(limits.get("read"))
            answer, first = Answer(request.method), b""
            while not answer.status:
                first = answer.feed(_received(line))
        except BaseException:
            _give_up(line)
            line.close()
            raise
        return _response(answer, _Body(idle, line, answer, first), line)

    def close(self) -> None:
        """Close the connections that are not in use."""
        for idle in list(self._idle.values()):
            while line := _popped(idle):
                line.close()

    def _kept(self, idle: list[socket.socket]) -> socket.socket | None:
        """A connection of an earlier request, if its server has not closed it since."""
        while line := _popped(idle):
            line.setblocking(False)
            try:
                line.recv(1)  # nothing was asked, so all that it can say is that it has ended
            except BlockingIOError:
                return line
            except OSError:
                pass
            line.close()
        return None

    def _connected(self, request: httpx.Request, limits: Mapping[str, float | None]) -> socket.socket:
        if "trace" in request.extensions:
            request.extensions["trace"]("connection.connect_tcp.started", {})
        with _as(httpx.ConnectError, httpx.ConnectTimeout):
            # As bytes, because Python imports 1 ms of tables to encode a name that is text.
            place: Any = (request.url.raw_host, request.url.port or 80)
            line = socket.create_connection(place, limits.get("connect"))
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if "trace" in request.extensions:
            request.extensions["trace"]("connection.connect_tcp.complete", {"return_value": _Socket(line)})
        return line


class AsyncPlain(httpx.AsyncBaseTransport):
    """The same for `async` code; see `Plain`."""

    def __init__(self) -> None:
        self._idle: dict[bytes, list[_Line]] = defaultdict(list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and read the head of its answer."""
        limits = request.extensions.get("timeout", {})
        idle = self._idle[request.url.netloc]
        line = self._kept(idle) or await self._connected(request, limits)
        try:
            answer, first = Answer(request.method), b""
            if isinstance(request.stream, httpx.ByteStream):
                with suppress(httpx.WriteError):  # as above
                    await _asend(line, request, limits)
            else:
                first = answer.feed(await _asend_and_hear(line, request, limits))
            while not answer.status:
                first = answer.feed(await _areceived(line, limits.get("read")))
        except BaseException:
            _give_up(line.writer.get_extra_info("socket"))
            line.writer.transport.abort()
            raise
        body = _AsyncBody(idle, line, answer, first, limits.get("read"))
        return _response(answer, body, line.writer.get_extra_info("socket"))

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        for idle in self._idle.values():
            while line := _popped(idle):
                line.writer.close()

    def _kept(self, idle: list[_Line]) -> _Line | None:
        while line := _popped(idle):
            if not (line.reader.at_eof() or line.writer.is_closing()):
                return line
            line.writer.close()
        return None

    async def _connected(self, request: httpx.Request, limits: Mapping[str, float | None]) -> _Line:
        import asyncio

        if "trace" in request.extensions:
            await request.extensions["trace"]("connection.connect_tcp.started", {})
        with _as(httpx.ConnectError, httpx.ConnectTimeout):
            opening = asyncio.open_connection(request.url.host, request.url.port or 80, limit=_PIECE)
            return _Line(*await _within(limits.get("connect"), opening))


class _Line(NamedTuple):
    """A connection of asynchronous code."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Body(httpx.SyncByteStream):
    """What follows an answer's head."""

    def __init__(self, idle: list[socket.socket], line: socket.socket, answer: Answer, first: bytes) -> None:
        self._idle, self._line, self._answer, self._first = idle, line, answer, first

    def __iter__(self) -> Iterator[bytes]:
        yield self._first
        while not self._answer.complete:
            yield self._answer.feed(_received(self._line))

    def close(self) -> None:
        if not self._answer.complete:
            with suppress(httpx.TransportError):  # its end has mostly come by now
                self._line.setblocking(False)
                self._answer.feed(_received(self._line))
        if self._answer.keeps and len(self._idle) < _MOST_IDLE:
            self._idle.append(self._line)
        else:
            self._line.close()


class _AsyncBody(httpx.AsyncByteStream):
    """The same for `async` code."""

    def __init__(self, idle: list[_Line], line: _Line, answer: Answer, first: bytes, limit: float | None) -> None:
        self._idle, self._line, self._answer, self._first, self._limit = idle, line, answer, first, limit

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        yield self._first
        while not self._answer.complete:
            yield self._answer.feed(await _areceived(self._line, self._limit))

    async def aclose(self) -> None:
        if self._answer.keeps and len(self._idle) < _MOST_IDLE:
            self._idle.append(self._line)
        else:
            self._line.writer.transport.abort()


def _response(answer: Answer, body: httpx.SyncByteStream | httpx.AsyncByteStream, line: Any) -> httpx.Response:
    extensions = {"network_stream": _Socket(line)}
    return httpx.Response(answer.status, headers=answer.headers, stream=body, extensions=extensions)


class _Socket:
    """What httpx calls a network stream, as far as it is needed here."""

    def __init__(self, line: Any) -> None:
        self._line = line

    def get_extra_info(self, _: str) -> Any:
        """The socket, so that another thread can shut it."""
        return self._line


def _send(line: socket.socket, request: httpx.Request, limits: Mapping[str, float | None]) -> None:
    assert isinstance(request.stream, httpx.SyncByteStream)
    line.settimeout(limits.get("write"))
    ahead = head(request)
    for piece in request.stream:
        with _as(httpx.WriteError, httpx.WriteTimeout):
            line.sendall(ahead + piece)
        ahead = b""
    with _as(httpx.WriteError, httpx.WriteTimeout):
        line.sendall(ahead)


async def _asend(line: _Line, request: httpx.Request, limits: Mapping[str, float | None]) -> None:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    ahead = head(request)
    async for piece in request.stream:
        line.writer.write(ahead + piece)
        ahead = b""
        with _as(httpx.WriteError, httpx.WriteTimeout):
            await _within(limits.get("write"), line.writer.drain())
    line.writer.write(ahead)


async def _asend_and_hear(line: _Line, request: httpx.Request, limits: Mapping[str, float | None]) -> bytes:
    """Send a request that takes its time, but no more once the server answers: the first bytes of what it says.

    One that refuses it may soon reset the connection, and then asyncio forgets what had come before.
    """
    import asyncio

    sending = asyncio.ensure_future(_asend(line, request, limits))
    hearing = asyncio.ensure_future(_areceived(line, None))
    try:
        await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done():
            with suppress(httpx.WriteError):
                await sending
        with _as(httpx.ReadError, httpx.ReadTimeout):
            return await _within(limits.get("read"), hearing)
    finally:
        for work in (sending, hearing):
            work.cancel()
        await asyncio.gather(sending, hearing, return_exceptions=True)


def _give_up(line: Any) -> None:
    """Have the server learn at once that a connection is closed, even if there is more on the way than it reads."""
    with suppress(OSError):  # it knows already
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if os.name == "nt" else "ii", 1, 0))


def _received(line: socket.socket) -> bytes:
    """The next bytes, or none at the connection's end."""
    with _as(httpx.ReadError, httpx.ReadTimeout):
        return line.recv(_PIECE)


async def _areceived(line: _Line, seconds: float | None) -> bytes:
    with _as(httpx.ReadError, httpx.ReadTimeout):
        return await _within(seconds, line.reader.read(_PIECE))


async def _within(seconds: float | None, work: Awaitable[T]) -> T:
    """Wait for something, but not longer than that."""
    if seconds is None:
        return await work
    import asyncio

    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError as late:  # which is no TimeoutError in Python 3.10
        raise TimeoutError from late


@contextmanager
def _as(error: type[httpx.TransportError], late: type[httpx.TransportError]) -> Generator[None, None, None]:
    """The system's errors as httpx's."""
    try:
        yield
    except TimeoutError as raised:
        raise late(str(raised)) from raised
    except OSError as raised:
        raise error(str(raised)) from raised


def _popped(idle: list[T]) -> T | None:
    """One of them, if there are any; another thread may be quicker at any time."""
    try:
        return idle.pop()
    except IndexError:
        return None
