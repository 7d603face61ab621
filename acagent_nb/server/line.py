"""HTTP to a child process, with little work for each chunk: one connection a request, closed to cancel it.

httpx and h11 take longer for a chunk than a small model for a token; here llhttp (httptools) parses,
and whoever reads gets all the bytes that have come since it last read, in one piece, or has them
handed on the moment they come.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple, cast

import httptools

_DYING = 0.05  # seconds in which a killed process still takes connections


class Broken(ConnectionError):
    """The child closed the connection before its answer was whole."""


class Unreachable(Broken):
    """Nobody took the connection, or it was closed at once: the child was dying already, so ask another."""


class Address(NamedTuple):
    """Where a child listens: a Unix socket's path, or else a port on loopback with its key."""

    path: str = ""
    port: int = 0
    key: str = ""


class Line(asyncio.Protocol):
    """One request's connection, and its answer as it comes.

    Attributes
    ----------
    status
        The answer's HTTP status.
    content_type
        Its media type.
    """

    def __init__(self) -> None:
        self.status = 0
        self.content_type = ""
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._whole = self._lost = False
        self._started = False
        self._waiting: asyncio.Future[None] | None = None
        self._into: Callable[[bytes], bool] | None = None
        self._fault: Exception | None = None
        self._transport: asyncio.Transport | None = None

    async def read(self) -> bytes:
        """All that has come since the last call, at least one byte; empty at the answer's end."""
        while not self._pieces:
            if self._whole:
                return b""
            if self._lost:
                raise Broken("unexpected EOF")
            await self._news()
        return self._taken()

    async def pour(self, into: Callable[[bytes], bool]) -> None:
        """Hand on what comes the moment it comes, without a task's turn, until the end or until `into` has enough.

        Parameters
        ----------
        into
            Takes bytes, and says whether it wants more. What it raises is raised here.
        """
        self._into = into
        try:
            self._hand_on()
            while self._into is not None and not self._whole:
                if self._lost:
                    raise Broken("unexpected EOF")
                await self._news()
        finally:
            self._into = None
        if self._fault is not None:
            raise self._fault

    async def rest(self) -> bytes:
        """The remaining answer in one piece."""
        pieces = []
        while data := await self.read():
            pieces.append(data)
        return b"".join(pieces)

    async def begun(self) -> None:
        """Wait for the answer's status and headers."""
        while not self._started:
            if self._lost:
                raise Broken("unexpected EOF")
            await self._news()

    def close(self) -> None:
        """Close the connection: the engine stops and frees its slot."""
        if self._transport is not None:
            self._transport.abort()

    async def _news(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _taken(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        return data

    def _hand_on(self) -> None:
        """Pour what has come, or tell the reader of it."""
        if self._into is not None and self._pieces:
            try:
                if self._into(self._taken()):
                    if not (self._whole or self._lost):
                        return
                else:
                    self._into = None
            except Exception as fault:  # the reader's to raise, not the event loop's
                self._fault, self._into = fault, None
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = cast(asyncio.Transport, transport)  # it is one by its methods, whichever loop runs

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._lost = True
            self.close()
        self._hand_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by whomever."""
        self._lost = True
        del self._parser  # it holds us as we hold it; nothing comes any more, so the collector need not look for us
        self._wake()

    # llhttp's side

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        if name.lower() == b"content-type":
            self.content_type = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The answer has begun."""
        self.status = self._parser.get_status_code()
        self._started = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body, without the framing of chunks."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        self._whole = True


async def ask(address: Address, path: str, body: bytes) -> Line:
    """Post to a child; the line is open, and its status known, when this returns.

    Raises
    ------
    Unreachable
        Nobody took the connection, or not for long.
    Broken
        It was closed before the answer began.
    """
    loop = asyncio.get_running_loop()
    key = f"Authorization: Bearer {address.key}\r\n" if address.key else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{key}"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    data = head.encode() + body
    asked = loop.time()
    try:
        line = await (_by_socket(address.path, data) if address.path else _by_port(address.port, data))
    except OSError as error:
        raise Unreachable(str(error)) from error
    try:
        await line.begun()
    except Broken as error:
        if loop.time() - asked < _DYING:
            raise Unreachable(str(error)) from error
        raise
    except BaseException:  # a cancelled wait must free the slot too
        line.close()
        raise
    return line


async def _by_socket(path: str, data: bytes) -> Line:
    """Connect and send at once: of many requests that come together, the first is at work while the next is read."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                break
            except BlockingIOError:  # hundreds wait there already: it has not had the time to let them in
                await asyncio.sleep(0.01)
        sent = sock.send(data)
        transport, line = await asyncio.get_running_loop().create_unix_connection(Line, sock=sock)
    except BaseException:
        sock.close()
        raise
    if sent < len(data):
        transport.write(data[sent:])
    return line


async def _by_port(port: int, data: bytes) -> Line:
    transport, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    transport.write(data)
    return line
