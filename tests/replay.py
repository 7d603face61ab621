"""A server that plays back answers over a real socket, and knows when its client left.

The answers are recordings of real Ollama servers (`recorded`), or lines written by a test, sent whole
or cut anywhere, with pauses between them and a stall at the end.
"""

from __future__ import annotations

import json
import random
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

WIRE = Path(__file__).parent / "wire"
SERVERS = ("head-2026-08-21", "v0.24.0")
NDJSON = "application/x-ndjson"


@dataclass(frozen=True)
class Answer:
    """What to send, and how.

    Attributes
    ----------
    lines
        Each with its line break, if it has one.
    pause
        Seconds before each line.
    late
        Seconds before the status line, as when a model loads.
    stall
        Seconds to keep the connection open after the last line without ending the answer.
    cuts
        A seed: the bytes are sent in pieces cut at random places; `None` sends line by line.
    breaks
        Close the connection after the last line without ending the answer.
    headers
        Further ones, by name and value.
    """

    lines: tuple[str, ...] = ()
    status: int = 200
    content_type: str | None = NDJSON
    pause: float = 0.0
    late: float = 0.0
    stall: float = 0.0
    cuts: int | None = None
    breaks: bool = False
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Replay:
    """What a test sees of the server.

    Attributes
    ----------
    requests
        What was asked, but for what is answered unasked: see `aside`.
    aside
        Paths of questions for the version and the models that no test had an answer for.
    peers
        The client's end of each connection, in the order in which they were opened.
    """

    url: str
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    peers: list[Any] = field(default_factory=list)
    left: list[float] = field(default_factory=list)  # time.monotonic() when a client went away too early
    gone: Event = field(default_factory=Event)

    @property
    def asked(self) -> list[str]:
        """Each request in short, for example "POST chat"."""
        return [f"{method} {path.split('/')[2]}" for method, path, _ in self.requests]


@cache
def recordings(server: str) -> dict[str, dict[str, Any]]:
    """All cases of one recorded server ("head-2026-08-21" or "v0.24.0") by name."""
    lines = (WIRE / f"{server}.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["name"]: case for case in map(json.loads, lines)}


def recorded(name: str, server: str = "head-2026-08-21", **how: Any) -> Answer:
    """A recorded answer, byte for byte."""
    case = recordings(server)[name]
    return Answer(tuple(f"{text}\n" for _, text in case["lines"]), case["status"], case["content_type"], **how)


def said(*pieces: str, done: bool = True, **how: Any) -> Answer:
    """A chat's stream with these pieces of text."""
    lines = [{"model": "m", "message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
    if done:
        end = {"done": True, "done_reason": "stop", "eval_count": len(pieces), "eval_duration": 10**9}
        lines.append({"model": "m", "message": {"role": "assistant", "content": ""}, **end})
    return Answer(tuple(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), **how)


def json_error(words: str, status: int, **how: Any) -> Answer:
    """A refusal in Ollama's shape; `words` as they stand in JSON."""
    return Answer((f'{{"error":"{words}"}}',), status, "application/json", **how)


_ALWAYS = {
    "version": Answer(('{"version":"0.0.0"}',), content_type="application/json"),
    "ps": Answer(('{"models":[]}',), content_type="application/json"),
    "tags": Answer(('{"models":[]}',), content_type="application/json"),
    "show": Answer(('{"error":"model not found"}',), 404, "application/json"),
}


@contextmanager
def replaying(**answers: Answer | list[Answer]) -> Iterator[Replay]:
    """Serve these answers, by the last part of the path (`chat=...`, `pull=[first, second]`, `blobs=...`).

    The last one of a list is repeated. A path that is not named gets Ollama's 404, but its version, what it has,
    what is loaded and what it knows of a model a server always tells: it was built from source, and nothing is
    there. Of a body that is no JSON the digest is kept, as for a blob.
    """
    queues = {path: list(each) if isinstance(each, list) else [each] for path, each in answers.items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or a piece waits for the one before it to be acknowledged

        def do_POST(self) -> None:
            name, body = "blobs" if "/blobs/" in self.path else self.path.rsplit("/", 1)[-1], self._body()
            queue = queues.get(name)
            if not queue and name in _ALWAYS:
                replay.aside.append(self.path)
                queue = [_ALWAYS[name]]
            else:
                replay.requests.append((self.command, self.path, body))
            if not queue:
                queue = [Answer(("404 page not found",), 404, "text/plain")]
            self._play(queue.pop(0) if len(queue) > 1 else queue[0])

        do_GET = do_DELETE = do_HEAD = do_POST

        def setup(self) -> None:
            replay.peers.append(self.client_address)
            super().setup()

        def _body(self) -> Any:
            left = int(self.headers.get("Content-Length") or 0)
            if self.headers["Content-Type"] == "application/json":
                return json.loads(self.rfile.read(left)) if left else None
            seen = sha256()
            while left:
                piece = self.rfile.read(min(left, 1 << 16))
                seen.update(piece)
                left -= len(piece)
            return f"sha256:{seen.hexdigest()}"

        def _play(self, answer: Answer) -> None:
            try:
                self._wait(answer.late)
                self.send_response(answer.status)
                for header, value in (("Content-Type", answer.content_type), *answer.headers):
                    if value:
                        self.send_header(header, value)
                if self.command == "HEAD":
                    return self.end_headers()
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in _pieces(answer):
                    self._wait(answer.pause)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self._wait(answer.stall)
                if answer.breaks:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")
            except ConnectionError:
                replay.left.append(time.monotonic())
                replay.gone.set()
                self.close_connection = True

        def _wait(self, seconds: float) -> None:
            """Pause, but notice at once when the client goes away."""
            if seconds and select.select([self.connection], [], [], seconds)[0]:
                raise ConnectionError("the client left")

        def log_message(self, *about: Any) -> None:
            """Say nothing: a test's output is its own."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 256  # many clients may come at once

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a client that drops a kept connection; other errors would fail the test anyway."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    replay = Replay(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pieces(answer: Answer) -> list[bytes]:
    """The answer's bytes, by line or cut at random places."""
    if answer.cuts is None:
        return [line.encode() for line in answer.lines if line]
    data = "".join(answer.lines).encode()
    dice = random.Random(answer.cuts)
    ends = sorted(dice.sample(range(1, len(data)), min(len(data) - 1, 40))) if len(data) > 1 else []
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True) if data[start:end]]
