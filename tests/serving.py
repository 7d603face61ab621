"""What the tests of the embedded server share: servers of their own, chats, and a look at its processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own

from acagent_nb import hosts

SKY = [{"role": "user", "content": "why is the sky blue?"}]
ENDLESS = {"type": "array", "items": {"enum": ["again and again"]}, "minItems": 500}  # half a minute's answer
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Server:
    """A private server with `tiny` in it, its client and its processes."""

    def __init__(self, private: hosts.Private) -> None:
        self.url = private.url
        self.process = psutil.Process(private.pid)
        self.client = httpx.Client(base_url=private.url, timeout=60, trust_env=False)
        self.client.post("/api/pull", json={"model": "tiny", "stream": False}).raise_for_status()

    @property
    def children(self) -> list[psutil.Process]:
        """The engine's processes."""
        return [child for child in self.process.children() if not gone(child)]

    def chat(self, **fields: Any) -> Any:
        """An answer that is not streamed, as JSON; refusals too."""
        return self.client.post("/api/chat", json={"model": "tiny", "messages": SKY, "stream": False, **fields}).json()

    def loaded(self) -> list[str]:
        return [model["name"] for model in self.client.get("/api/ps").json()["models"]]


@contextmanager
def serving(*flags: str) -> Iterator[Server]:
    """A server of the test's own."""
    with hosts.private(None, *flags) as private:
        server = Server(private)
        with closing(server.client):
            yield server


@contextmanager
def unhurt(server: Server, seconds: float = 2.0) -> Iterator[None]:
    """After the block the same process answers at once, and has a word for whoever asks."""
    pid = server.process.pid
    yield
    began = time.monotonic()
    assert server.client.get("/api/version").status_code == 200
    assert time.monotonic() - began < seconds
    assert server.chat(options={"num_predict": 2})["done"] is True
    assert server.process.pid == pid
    assert server.process.is_running()


@contextmanager
def babbling(client: httpx.Client) -> Iterator[Iterator[dict[str, Any]]]:
    """The lines of an answer that would not end by itself, after the first one has come."""
    body = {"model": "tiny", "prompt": "Once", "raw": True, "format": ENDLESS}
    with client.stream("POST", "/api/generate", json=body) as answer:
        lines = (json.loads(line) for line in answer.iter_lines())
        assert next(lines)["done"] is False
        yield lines


def soon(true: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait until something is so; how long it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - began


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
