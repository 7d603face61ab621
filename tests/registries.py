"""Registries on loopback: a real docker-registry, and one that sends whatever a test tells it to."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Made:
    """A model as a registry holds it: its layers, the config last."""

    blobs: tuple[bytes, ...]

    @property
    def digests(self) -> list[str]:
        return [digest(blob) for blob in self.blobs]

    @property
    def manifest(self) -> bytes:
        kinds = ["model", "template", "params", "license"]
        layers = [
            {"mediaType": f"application/vnd.ollama.image.{kinds[min(n, 3)]}", "digest": digest(blob), "size": len(blob)}
            for n, blob in enumerate(self.blobs)
        ]
        config = layers.pop() | {"mediaType": "application/vnd.docker.container.image.v1+json"}
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()


def made(size: int = 300_000) -> Made:
    """A model with weights of so many random bytes, a template and parameters."""
    return Made((os.urandom(size), b"{{ .Prompt }}", b'{"temperature":0.5}', b'{"model_format":"gguf"}'))


# A real one


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """Debian's docker-registry; its host and port."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no docker-registry here: it is in Debian's package of that name")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "registry.json"  # JSON is YAML
    kept = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    config.write_text(json.dumps({"version": 0.1, "log": {"level": "error"}, "storage": kept, "http": {"addr": host}}))
    process = subprocess.Popen([program, "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with suppress(httpx.ConnectError):
                httpx.get(f"http://{host}/v2/", trust_env=False)
                break
            time.sleep(0.02)
        yield host
    finally:
        process.kill()
        process.wait()


def push(host: str, model: Made, name: str, tag: str = "latest") -> None:
    """Fill a registry through its own API."""
    with httpx.Client(base_url=f"http://{host}/v2/{name}/", trust_env=False) as client:
        for blob in model.blobs:
            where = httpx.URL(client.post("blobs/uploads/").headers["Location"])
            client.put(where.copy_merge_params({"digest": digest(blob)}), content=blob).raise_for_status()
        sent = client.put(f"manifests/{tag}", content=model.manifest, headers={"Content-Type": MANIFEST})
        sent.raise_for_status()


# One that does as it is told


@dataclass
class Turn:
    """One request for a blob, to be answered in whatever way.

    Attributes
    ----------
    number
        How many came before it, for the same blob.
    start, end
        What was asked for; all of it if no range was.
    """

    handler: BaseHTTPRequestHandler
    data: bytes
    number: int
    start: int
    end: int
    ranged: bool

    def head(self, status: int, **headers: object) -> None:
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), str(value))
        self.handler.end_headers()

    def honest_head(self) -> None:
        if self.ranged:
            said = f"bytes {self.start}-{self.end - 1}/{len(self.data)}"
            self.head(206, Content_Length=self.end - self.start, Content_Range=said)
        else:
            self.head(200, Content_Length=len(self.data))

    def send(self, data: bytes, pause: float = 0.0, step: int = 1 << 16) -> None:
        for start in range(0, len(data), step):
            time.sleep(pause)
            self.handler.wfile.write(data[start : start + step])

    def reset(self) -> None:
        """Break the connection without a goodbye."""
        self.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.handler.close_connection = True
        os.close(self.handler.connection.detach())  # close() alone waits for the files that read from it


Answer = Callable[[Turn], None]


def honest(turn: Turn) -> None:
    turn.honest_head()
    turn.send(turn.data[turn.start : turn.end])


def slow(turn: Turn, pause: float = 0.02) -> None:
    """64 KB at a time: 3 MB a second for each part."""
    turn.honest_head()
    turn.send(turn.data[turn.start : turn.end], pause)


def until(go: Event) -> Answer:
    """Send half of what was asked for at once, and the rest when told so."""

    def answer(turn: Turn) -> None:
        turn.honest_head()
        half = (turn.start + turn.end) // 2
        turn.send(turn.data[turn.start : half])
        while not go.wait(0.02) and half < turn.end:  # alive all the time
            turn.send(turn.data[half : half + 1])
            half += 1
        turn.send(turn.data[half : turn.end])

    return answer


@dataclass
class Asked:
    """A request as it came."""

    path: str
    ranged: str | None
    token: str | None


@dataclass
class Fake:
    """A registry that a test scripts.

    Attributes
    ----------
    manifests
        By `namespace/model`: the bytes, or a function that answers the request.
    blobs
        By digest.
    answer
        How blobs are sent.
    """

    host: str = ""
    manifests: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    answer: Answer = honest
    token: str | None = None
    asked: list[Asked] = field(default_factory=list)

    def add(self, model: Made, name: str = "library/m") -> Made:
        self.manifests[name] = model.manifest
        self.blobs.update(zip(model.digests, model.blobs, strict=True))
        return model

    def ranges(self, blob: str) -> list[str | None]:
        """The ranges that were asked for of a blob."""
        return [each.ranged for each in self.asked if each.path.endswith(blob)]


@contextmanager
def fake(answer: Answer = honest, **how: Any) -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            token = self.headers.get("Authorization")
            registry.asked.append(Asked(self.path, self.headers.get("Range"), token))
            with suppress(OSError):  # the puller has left
                if self.path.startswith("/token"):
                    return say(self, 200, json.dumps({"token": registry.token}).encode())
                if registry.token and token != f"Bearer {registry.token}":
                    realm = f'Bearer realm="http://{registry.host}/token",service="test",scope="repository:x:pull"'
                    return say(self, 401, b"{}", WWW_Authenticate=realm)
                name, kind, what = _split(self.path)
                if kind == "manifests":
                    return self._manifest(name)
                return self._blob(what)

        def _manifest(self, name: str) -> None:
            there = registry.manifests.get(name)
            if callable(there):
                return there(self)
            return say(self, 404 if there is None else 200, there or b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')

        def _blob(self, what: str) -> None:
            data = registry.blobs[what]
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
            start, end = (int(asked[1]), min(int(asked[2]) + 1, len(data))) if asked else (0, len(data))
            turn = Turn(self, data, len(registry.ranges(what)) - 1, start, end, asked is not None)
            # scripts are for the weights, which the first layer is; the rest is sent as it should be
            (registry.answer if len(data) > 1000 else honest)(turn)

        def log_message(self, *about: Any) -> None:
            """Say nothing: a test's output is its own."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Broken connections are what it is for."""

    server = Server(("127.0.0.1", 0), Handler)
    registry = Fake(f"127.0.0.1:{server.server_port}", answer=answer, **how)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in {**headers, "Content_Length": str(len(body))}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def _split(path: str) -> tuple[str, str, str]:
    """`/v2/library/m/blobs/x` -> its name, kind and what is wanted."""
    found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
    assert found is not None
    return found[1], found[2], found[3]
