"""uvicorn's HTTP with what it lacks: a limit, heads that go out with their bodies, word of a leaving, a short way out.

No client may send for ever without completing anything: a single endless header fills the memory, and
the time to put its pieces together grows with the square of its length; 64 MB keep the server busy for
most of a minute. A head on its own costs a system call, and wakes the client for nothing. And to hear of
a client's leaving by ASGI's messages takes a second task for each request, as to send by them takes a
task's turn for each token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .reply import LEAVING, MORE

_APART = 0.01  # seconds between two writes of an answer: no eye sees more, and each costs us and the client a turn
_LARGEST = 1 << 20  # bytes of a request's line and headers, as in Go
_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Http(HttpToolsProtocol):
    """One connection."""

    _unread = 0  # bytes since a head, a piece of a body or a whole message

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._leaving: set[Callable[[], object]] = set()

    def data_received(self, data: bytes) -> None:
        """Read on, unless there has been enough of nothing."""
        self._unread += len(data)
        if self._unread > _LARGEST:
            self.transport.write(_REFUSAL)
            self.transport.close()
        else:
            super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._unread = 0
        super().on_headers_complete()
        scope = cast(dict[str, Any], self.scope)
        joins = self.scope["method"] != "HEAD" and not self.expect_100_continue  # else there may be a head and no body
        outlet = Outlet(self.transport, joins=joins)
        scope[LEAVING], scope[MORE] = self._leaving, outlet.more
        self.cycle.transport = cast(asyncio.Transport, outlet)

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        super().on_message_complete()
        if not self.pipeline:  # a large body has stopped the reading, without which nobody hears of the end
            self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or has all that it wanted."""
        super().connection_lost(exc)
        for told in tuple(self._leaving):
            told()


class Outlet:
    """A transport as one request's answer uses it, which sends together what comes together.

    What is written first, the head, waits for what follows at once, unless `joins` is false; and lines that
    come in quick succession wait for each other. What ends the answer takes along all that has waited.
    """

    def __init__(self, transport: asyncio.Transport, *, joins: bool) -> None:
        self.close, self.is_closing = transport.close, transport.is_closing
        self._write = transport.write
        self._joins = joins
        self._head = b""
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sent = 0.0

    def write(self, data: bytes) -> None:
        """Hold the head, or send it with the first of its body; from then on, whatever comes."""
        if self._joins:
            self._head, self._joins = data, False
        else:
            self._write(self._head + self._waiting() + data)
            self._head = b""
            self._sent = asyncio.get_running_loop().time()

    def more(self, lines: bytes) -> None:
        """Send some of a body without a told length, whose head has gone out; for a slow reader it waits below."""
        self._lines.append(lines)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            now = loop.time()  # and all connections send in the same turns
            if now < self._sent + _APART:
                self._timer = loop.call_at((now // _APART + 1) * _APART, self._send)
            else:
                self._send()

    def _send(self) -> None:
        lines = self._waiting()
        if not self.is_closing():  # else the client has left
            self._write(lines)
            self._sent = asyncio.get_running_loop().time()

    def _waiting(self) -> bytes:
        """The lines that wait, as one chunk; they no longer do."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        body = b"".join(self._lines)
        self._lines.clear()
        return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
