"""Requests over real sockets without httpx's own transport: connections are kept, replaced, given up."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from threading import Thread
from typing import Any

import httpx
import pytest

from acagent_nb import driving
from acagent_nb.plain import AsyncPlain, Plain

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
ANSWER = HEAD + b"\r\nok"
Serve = Callable[[socket.socket], None]


class Server:
    """Serves each connection by a function, in a thread of its own, and counts them."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections = self.ended = 0
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                line, _ = self._listening.accept()
                self.connections += 1
                Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        with line, suppress(ConnectionError):
            self._serve(line)
        self.ended += 1

    def close(self) -> None:
        self._listening.close()


def answers(*texts: bytes) -> Serve:
    """One for each request of a connection, which is closed then."""

    def serve(line: socket.socket) -> None:
        for text in texts:
            if not line.recv(65536):
                return
            line.sendall(text)

    return serve


@pytest.fixture
def serving() -> Iterator[Callable[[Serve], Server]]:
    servers: list[Server] = []

    def start(serve: Serve) -> Server:
        servers.append(Server(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[..., httpx.Response]]:
    """Send a request with one client that is kept, and read the whole answer."""
    if request.param == "blocking":
        with httpx.Client(transport=Plain()) as client:
            yield client.request
        return
    with closing(asyncio.new_event_loop()) as loop:
        asking = httpx.AsyncClient(transport=AsyncPlain())
        yield lambda *args, **how: loop.run_until_complete(asking.request(*args, **how))
        loop.run_until_complete(asking.aclose())
        loop.run_until_complete(asyncio.sleep(0))


Ask = Callable[..., httpx.Response]
Serving = Callable[[Serve], Server]


def test_a_connection_is_kept(serving: Serving, ask: Ask) -> None:
    server = serving(answers(*[ANSWER] * 5))
    assert [ask("POST", server.url, content=b"x").text for _ in range(5)] == ["ok"] * 5
    assert server.connections == 1


def test_one_that_its_server_closed_is_not_used_again(serving: Serving, ask: Ask) -> None:
    server, other = serving(answers(ANSWER)), serving(answers(*[ANSWER] * 3))
    for asked in range(1, 4):
        assert ask("GET", server.url).text == "ok"
        assert server.connections == asked
        while server.ended < asked:
            time.sleep(0.001)
        ask("GET", other.url)  # so that the event loop hears of it, too


@pytest.mark.parametrize("end", [b"Connection: close\r\n", b""])
def test_nor_one_that_said_it_ends_or_too_much(serving: Serving, ask: Ask, end: bytes) -> None:
    server = serving(answers(*[HEAD + end + b"\r\nok" + (b"" if end else b" surplus")] * 2))
    assert [ask("GET", server.url).text for _ in range(2)] == ["ok"] * 2
    assert server.connections == 2


def test_a_large_body_both_ways(serving: Serving, ask: Ask) -> None:
    data = os.urandom(3_000_000)

    def echo(line: socket.socket) -> None:
        got = b""
        while not got.endswith(data[-100:]):
            got += line.recv(1 << 20)
        line.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = got.partition(b"\r\n\r\n")[2]
        for start in range(0, len(body), 100_001):
            piece = body[start : start + 100_001]
            line.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        line.sendall(b"0\r\n\r\n")

    assert ask("POST", serving(echo).url, content=data).content == data


def test_a_refusal_before_all_was_sent_is_read(serving: Serving, ask: Ask) -> None:
    def refuse(line: socket.socket) -> None:
        line.recv(1000)
        line.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge")
        line.shutdown(socket.SHUT_WR)
        while line.recv(1 << 20):  # so that its end does not take the answer back
            pass

    answer = ask("POST", serving(refuse).url, content=b"x" * 2_000_000)
    assert (answer.status_code, answer.text) == (413, "large")


@pytest.mark.parametrize(
    "said", [b"", HEAD, HEAD + b"\r\no", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2"]
)
def test_a_line_that_breaks(serving: Serving, ask: Ask, said: bytes) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask("GET", serving(answers(said)).url)


def test_a_server_that_says_nothing(serving: Serving, ask: Ask) -> None:
    server = serving(lambda line: line.recv(65536) and line.recv(1) and None)
    with pytest.raises(httpx.ReadTimeout):
        ask("GET", server.url, timeout=0.05)


def test_nobody_there(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(httpx.ConnectError, match=r"refused|Connect call failed"):
        ask("GET", f"http://127.0.0.1:{port}")


def test_a_name_and_both_kinds_of_address(serving: Serving, ask: Ask) -> None:
    url = serving(answers(ANSWER)).url
    assert ask("GET", url.replace("127.0.0.1", "localhost")).text == "ok"
    with pytest.raises(httpx.ConnectError):
        ask("GET", url.replace("127.0.0.1", "[::1]"))


@pytest.mark.parametrize(
    ("url", "proxy", "plain"),
    [
        ("http://127.0.0.1:11434", "http://proxy:1", True),
        ("http://ollama:11434", None, True),
        ("http://ollama:11434", "http://proxy:1", False),
        ("https://127.0.0.1:11434", None, False),
        ("https://ollama.com", None, False),
    ],
)
def test_what_is_reached_so(monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None, plain: bool) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    if proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
    way: dict[str, Any] = driving.pool(url, {}, Plain)
    assert isinstance(way.get("transport"), Plain) == plain
