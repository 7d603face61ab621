"""uvicorn's HTTP with a limit that it lacks: no client may send for ever without completing anything.

Without it a single endless header fills the memory, and the time to put its pieces together grows with
the square of its length: 64 MB keep the server busy for most of a minute.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST = 1 << 20  # bytes of a request's line and headers, as in Go
_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Http(HttpToolsProtocol):
    """One connection."""

    _unread = 0  # bytes since a head, a piece of a body or a whole message

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

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._unread = 0
        super().on_message_complete()
