"""HTTP/1.1 as bytes: a request's head, and an answer out of whatever pieces its bytes come in. No I/O.

llhttp (httptools) reads the answers, in C. What it leaves to others is here: answers without a body, those
that end with their connection, and a limit to what a server can have us keep. Source: RFC 9112.
"""

from __future__ import annotations

import httptools
import httpx

_LONGEST = 64 * 1024  # bytes in a row, such as a head's, that bring nothing of the body


def head(request: httpx.Request) -> bytes:
    """The first bytes of a request; the length of its body, if it has one, must be among its headers."""
    fields = b"".join(b"%b: %b\r\n" % field for field in request.headers.raw)
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode(), request.url.raw_path, fields)


class Answer:
    """An answer, read from whatever pieces its bytes come in. No I/O.

    Attributes
    ----------
    status
        0 until its head is there.
    complete
        Whether its body is there to its end.
    """

    def __init__(self, method: str) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self._bodiless = method == "HEAD"
        self._endless = False  # its body ends with the connection
        self._persists = False
        self._apart = 0  # bytes since the last that had some of the body
        self._pieces: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)  # as some servers write

    @property
    def keeps(self) -> bool:
        """Whether the connection can be used again."""
        return self.complete and self._persists

    def feed(self, data: bytes) -> bytes:
        """Take what has come, nothing being the connection's end; gives back what of it is the body's.

        Raises
        ------
        httpx.RemoteProtocolError
            It is no HTTP, or it ends too early.
        """
        if not data:
            self.complete = self._endless
            if not self.complete:
                raise httpx.RemoteProtocolError("the server closed the connection before its answer was complete")
            return b""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.complete:
                raise _wrong() from error
            self._persists = False  # after bytes that nobody asked for, the connection is not used again
        body = b"".join(self._pieces)
        self._pieces.clear()
        self._apart = 0 if body else self._apart + len(data)
        if self.complete:
            if self._bodiless and not data.endswith(b"\n"):  # llhttp may take the rest for the beginning of a body
                self._persists = False
            del self._parser  # it holds us as we hold it
        elif self._apart > _LONGEST:
            raise _wrong()
        return body

    def on_message_begin(self) -> None:
        """An answer, which must not follow the one that was asked for; llhttp calls this, and all below."""
        if self.complete:
            raise _wrong()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody reads."""
        if not self.status:
            self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head's end; that of an interim answer (100 and so on) says nothing."""
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = []
            return
        told = httpx.Headers(self.headers)
        coding = told.get("transfer-encoding", "").lower()
        if coding not in ("", "chunked"):
            raise _wrong()
        self.status = status
        self.complete = self._bodiless = self._bodiless or status in (204, 304)
        self._endless = not (self._bodiless or coding or "content-length" in told)
        ends = self._endless or "close" in told.get("connection", "").lower()
        self._persists = self._parser.get_http_version() == "1.1" and not ends

    def on_body(self, piece: bytes) -> None:
        """Some of the body, unless there must be none."""
        if self.complete:
            raise _wrong()
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The end of the answer, or of an interim one."""
        self.complete = self.status > 0


def _wrong() -> httpx.RemoteProtocolError:
    return httpx.RemoteProtocolError("what the server sent is no HTTP/1.1")
