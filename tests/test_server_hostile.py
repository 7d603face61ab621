"""An attacker with a connection on loopback: bodies, names, headers and prompts that are meant to hurt.

Whatever comes, nothing is written or read outside the store, and the server answers the next request.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from .serving import Server, serving, soon, unhurt

DEEP = 100_000
JSON_ROUTES = ["/api/chat", "/api/generate", "/api/embed", "/api/show", "/api/pull", "/api/create", "/api/copy"]
V1_ROUTES = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]


@pytest.fixture(scope="module")
def victim() -> Iterator[Server]:
    """One server for all attacks, so that each shows what the ones before have left of it."""
    with serving() as server:
        yield server


def talk(server: Server, *pieces: bytes, wait: float = 5.0) -> bytes:
    """Send bytes as they are; what comes back until the server closes, or has nothing more to say."""
    host, port = server.url.removeprefix("http://").split(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=wait) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
            while data := line.recv(1 << 16):
                got += data
        except OSError:  # it has had enough, or waits for more
            pass
    return got


# Bodies and names

BODIES = {
    "deep": b'{"a":' * DEEP,
    "deep behind half a character": b'{"model":"\\ud800","x":' + b"[" * DEEP,
    "not UTF-8": b'{"model":"tiny\xff"}',
    "UTF-16": '{"model":"tiny"}'.encode("utf-16"),
    "a number of 5000 digits": b'{"model":"../x","source":"../x","name":"../x","y":' + b"9" * 5000 + b"}",
    "NUL": b'{"model":"a\\u0000b","source":"a\\u0000b"}',
    "a path": b'{"model":"../../../etc/passwd","source":"../x","destination":"../y"}',
    "an absolute path": b'{"model":"/etc/passwd","source":"/etc/passwd","destination":"/tmp/x"}',
    "a path in the tag": b'{"model":"tiny:../../x","source":"tiny:../x","destination":"y"}',
    "a backslash": b'{"model":"..\\\\..\\\\x","source":"..\\\\x","destination":"y"}',
    "a name of a million letters": b'{"model":"' + b"x" * 1_000_000 + b'","source":"' + b"x" * 1000 + b'"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_bodies_that_are_none(victim: Server, body: bytes) -> None:
    for path in [*JSON_ROUTES, *V1_ROUTES, "/api/delete"]:
        answer = victim.client.request("DELETE" if path == "/api/delete" else "POST", path, content=body)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert answer.json()["error"], path
    with unhurt(victim):
        pass


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "sha256:%2e%2e%2f" + "0" * 56, "sha256-%00" + "0" * 63]
)
def test_digests_with_paths(victim: Server, path: str) -> None:
    for method in ("HEAD", "POST"):
        answer = talk(victim, f"{method} /api/blobs/{path} HTTP/1.1\r\nHost: x.localhost\r\n\r\n".encode(), wait=0.5)
        assert answer.split(b" ")[1] in (b"400", b"404")


@pytest.mark.parametrize("fields", [{"files": {"m": "sha256:../../x"}}, {"files": {"m": "/etc/passwd"}}])
def test_files_that_are_paths(victim: Server, fields: dict[str, Any]) -> None:
    answer = victim.client.post("/api/create", json={"model": "127.0.0.1:1/a/b", "stream": False, **fields})
    assert answer.json()["error"] == "invalid digest format"


def test_a_tool_call_that_is_a_number(victim: Server) -> None:
    told = victim.chat(messages=[{"role": "assistant", "tool_calls": [{"function": 5}]}])
    assert told["error"].endswith("of type api.ToolCallFunction")


def test_options_out_of_this_world(victim: Server) -> None:
    for name in ("num_ctx", "num_batch", "num_predict", "num_keep", "top_k", "seed", "temperature", "repeat_last_n"):
        for value in ("1e400", "-1e400", "1" + "0" * 30, "-1" + "0" * 30, "1e308"):
            body = b'{"model":"tiny","stream":false,"messages":[{"role":"user","content":"hi"}],"options":{"%s":%s}}'
            told = victim.client.post("/api/chat", content=body % (name.encode(), value.encode())).json()
            assert told.get("done") or "internal error" not in told["error"], (name, value, told)
    with unhurt(victim):
        pass


# Connections


def test_half_an_address_as_host(victim: Server) -> None:
    assert victim.client.get("/api/version", headers={"Host": "[::1"}).status_code == 403
    assert victim.client.get("/api/version", headers={"Origin": "http://["}).status_code == 403


def test_headers_without_end(victim: Server) -> None:
    before = victim.process.memory_info().rss
    with unhurt(victim):
        one = [b"GET /api/version HTTP/1.1\r\nHost: localhost\r\nX: ", *[b"x" * (1 << 20)] * 64]
        many = [b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n", *[b"X: %s\r\n" % (b"x" * 1000) * 1000] * 64]
        url = [b"GET /", *[b"x" * (1 << 20)] * 64]
        for pieces in (one, many, url):
            assert talk(victim, *pieces)[:12] in (b"HTTP/1.1 431", b"")  # a reset can swallow the answer
    assert victim.process.memory_info().rss < before + (40 << 20)


def test_a_body_without_end(victim: Server) -> None:
    before = victim.process.memory_info().rss
    with unhurt(victim):
        answer = victim.client.post("/api/chat", content=(b"x" * (1 << 20) for _ in range(300)))
        assert answer.status_code == 413
        assert answer.json() == {"error": "http: request body too large"}
    soon(lambda: victim.process.memory_info().rss < before + (100 << 20))


def test_slow_and_idle_and_broken_connections(victim: Server) -> None:
    host, port = victim.url.removeprefix("http://").split(":")
    resource = pytest.importorskip("resource", reason="this system does not say how many files may be open")
    most = min(1500, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300)
    begins = [b"", b"POST /api/chat HT", b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{"]
    with ExitStack() as held:
        for number in range(most):
            line = held.enter_context(socket.create_connection((host, int(port)), timeout=5))
            line.sendall(begins[number % len(begins)])
        with unhurt(victim):
            pass
    with unhurt(victim):  # and after all of them have left in the middle
        pass
    for garbage in (b"\0" * 1000, b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", os.urandom(5000)):
        talk(victim, garbage, wait=0.5)
    with unhurt(victim):
        pass


def test_a_prompt_of_ten_megabytes(victim: Server) -> None:
    with unhurt(victim), httpx.Client(base_url=victim.url, timeout=0.5, trust_env=False) as impatient:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "why is the sky blue? " * 500_000}]}
        with pytest.raises(httpx.TimeoutException):
            impatient.post("/api/chat", json=body)


def test_formats_that_make_work(victim: Server) -> None:
    for form in (
        {"$ref": "#"},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"$ref": "http://127.0.0.1:1/x"},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
    ):
        told = victim.chat(format=form, options={"num_predict": 2})
        assert "done" in told or "internal error" not in told["error"]
    with unhurt(victim):
        pass
