"""A server that answers as OpenAI's does, over a real socket, with what a test has written for it."""

from __future__ import annotations

import json
import random
import select
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass(frozen=True)
class Told:
    """One answer.

    Attributes
    ----------
    cuts
        A seed: the body is sent in pieces cut at random places; `None` sends it whole.
    late, stall
        Seconds before the status line, and after the body without ending the answer.
    breaks
        Close the connection after the body without ending the answer.
    """

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/event-stream"),)
    cuts: int | None = None
    late: float = 0.0
    stall: float = 0.0
    breaks: bool = False


@dataclass
class Seen:
    """What a test sees of the server."""

    url: str
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: Event = field(default_factory=Event)  # a client went away too early


def stream(*chunks: Any, end: bytes = b"data: [DONE]\n\n", **how: Any) -> Told:
    """A chat's stream; bytes are sent as they are."""
    lines = [each if isinstance(each, bytes) else b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks]
    return Told(b"".join(lines) + end, **how)


def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    """One chunk of a stream."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def document(value: Any, status: int = 200, **headers: str) -> Told:
    """An answer that is no stream, or a refusal."""
    more = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Told(json.dumps(value).encode(), status, (("Content-Type", "application/json"), *more))


def refusal(status: int, message: str, code: str | None = None, param: str | None = None, **more: Any) -> Told:
    """A refusal of the form that OpenAI documents."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return document({"error": error}, status, **more)


@contextmanager
def openai_like(*answers: Told) -> Iterator[Seen]:
    """Give these answers, one after the other; the last one is repeated."""
    queue = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            seen.requests.append((self.command, self.path, json.loads(body) if body else None))
            seen.headers.append({name.lower(): value for name, value in self.headers.items()})
            told = queue.pop(0) if len(queue) > 1 else queue[0]
            try:
                self._wait(told.late)
                self.send_response(told.status)
                for name, value in told.headers:
                    self.send_header(name, value)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for data in _pieces(told):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self._wait(told.stall)
                if told.breaks:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")
            except ConnectionError:
                seen.left.set()
                self.close_connection = True

        do_GET = do_POST

        def _wait(self, seconds: float) -> None:
            if seconds and select.select([self.connection], [], [], seconds)[0]:
                raise ConnectionError("the client left")

        def log_message(self, *about: Any) -> None:
            """Say nothing: a test's output is its own."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a client that drops a kept connection."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen = Seen(f"http://127.0.0.1:{server.server_port}/v1")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pieces(told: Told) -> list[bytes]:
    data = told.body
    if told.cuts is None or len(data) < 2:
        return [data] if data else []
    dice = random.Random(told.cuts)
    ends = sorted(dice.sample(range(1, len(data)), min(len(data) - 1, 40)))
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
