"""What these scripts ask with: a raw connection a request, so that the client costs both sides the same, and little."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
from msgspec.structs import asdict

from acagent_nb import hosts
from acagent_nb.server.settings import Load
from acagent_nb.server.stepping import step_back


class Place(NamedTuple):
    """Where to ask: a Unix socket's path, or else a port on loopback, and the key if it is an engine's."""

    path: str = ""
    port: int = 0
    key: str = ""

    @property
    def is_engine(self) -> bool:
        return bool(self.path or self.key)

    def connected(self) -> socket.socket:
        if self.path:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.path)
        else:
            sock = socket.create_connection(("127.0.0.1", self.port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class Asked(NamedTuple):
    """One streamed answer: seconds to its first text and to its end, and its tokens."""

    first: float
    whole: float
    tokens: int


def of_server(private: hosts.Private) -> Place:
    """A server that the script started."""
    return Place(port=urlsplit(private.url).port or 0)


def of_child(private: hosts.Private) -> tuple[Place, psutil.Process]:
    """The one child of a server; an error if there are more or fewer."""
    (child,) = psutil.Process(private.pid).children()
    (path,) = {each.laddr for each in child.net_connections("unix") if each.laddr}
    return Place(path=path), child


@contextmanager
def engine_on_tcp(load: Load) -> Iterator[Place]:
    """A child that listens on a port, as they all do where there are no Unix sockets; gone at the block's end."""
    command = [sys.executable, "-m", "acagent_nb.server.child"]
    # as polite as the server's own child, so that the two are alike
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=step_back) as child:
        assert child.stdin is not None  # it is a pipe,
        assert child.stdout is not None  # and so is this
        child.stdin.write(json.dumps({**asdict(load), "socket": ""}).encode() + b"\n")
        child.stdin.flush()
        told = json.loads(child.stdout.readline())
        yield Place(port=told["port"], key=told["key"])
        child.stdin.close()  # which ends it


def post(
    place: Place, path: str, body: dict[str, Any], mark: bytes, method: str = "POST", *, leaves: bool = False
) -> tuple[float, bytes]:
    """Seconds until `mark` was in the answer, and the whole answer; an error unless its status is 200.

    Who leaves does so at the answer's first bytes.
    """
    data = json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {place.key}\r\n" if place.key else ""
    with place.connected() as sock:
        began, first, answer = time.perf_counter(), 0.0, b""
        sock.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        while piece := sock.recv(65536):
            answer += piece
            if not first and mark in answer:
                first = time.perf_counter() - began
            if leaves:
                break
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode(errors="replace"))
    return first, answer


def chat(place: Place, body: dict[str, Any]) -> Asked:
    """Ask, by `/api/chat` or (the engine itself) by `/v1/chat/completions`."""
    began = time.perf_counter()
    path, mark, count = (
        ("/v1/chat/completions", b'"content":"', b'"predicted_n":')
        if place.is_engine
        else ("/api/chat", b'"content":"', b'"eval_count":')
    )
    first, answer = post(place, path, body, mark)
    tokens = int(answer.rpartition(count)[2].split(b",")[0].split(b"}")[0])
    return Asked(first, time.perf_counter() - began, tokens)


def many(place: Place, body: dict[str, Any], at_once: int, requests: int) -> tuple[float, float]:
    """Median seconds to the first text, and tokens a second of all together."""
    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        told = list(pool.map(lambda _: chat(place, body), range(requests)))
        took = time.perf_counter() - began
    return median(each.first for each in told), sum(each.tokens for each in told) / took


def megabytes(process: psutil.Process) -> float:
    """A process's resident memory."""
    return process.memory_info().rss / (1 << 20)
