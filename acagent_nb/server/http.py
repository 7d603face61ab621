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
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .reply import LEAVING, MORE

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
        scope[LEAVING], scope[MORE] = self._leaving, partial(_more, self.cycle)
        if self.scope["method"] != "HEAD" and not self.expect_100_continue:  # else there may be a head and no body
            self.cycle.transport = cast(asyncio.Transport, _Joined(self.transport))

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


def _more(cycle: RequestResponseCycle, body: bytes) -> None:
    """Send a piece of a body without a told length, whose head has gone out; a slow reader's waits in the transport."""
    if not cycle.disconnected:
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(body), body))


class _Joined:
    """A transport as one request's answer uses it: what is written first, the head, waits for what follows at once."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self.close, self.is_closing = transport.close, transport.is_closing

    def write(self, data: bytes) -> None:
        """Hold the head, or send it with the first of its body; from then on, whatever comes."""
        if self._head is None:
            self._head = data
            return
        self._transport.write(self._head + data)
        self.write = self._transport.write  # type: ignore[method-assign]  # nothing is held any more
