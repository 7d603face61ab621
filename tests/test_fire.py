"""Both clients under fire: streams cut anywhere, errors in their midst, connections closed and reset."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client, delivery
from acagent_nb.errors import Incomplete, LLMError, ServerDown, ServerError
from acagent_nb.wire import Flow

from .clients import Do, run_by
from .replay import SERVERS, Answer, recorded, recordings, replaying, said

CREATE = "create"
METHODS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {  # by path: what to call
    "/api/chat": ("stream", ("local_m", "hi"), {"pull": False}),
    "/api/generate": ("generate", ("local_m", "hi"), {"pull": False}),
    "/api/embed": ("embed", ("local_m", ["a"]), {"pull": False}),
    "/api/show": ("show", ("local_m",), {}),
    "/api/tags": ("models", (), {}),
    "/api/ps": ("running", (), {}),
    "/api/version": ("version", (), {}),
    "/api/pull": ("pull", ("local_m",), {}),
    "/api/create": (CREATE, (), {}),
    "/api/copy": ("copy", ("local_m", "local_n"), {}),
    "/api/delete": ("delete", ("local_m",), {}),
}


def outcome(do: Do, url: str, path: str) -> Any:
    """What comes of a call, so that it can be compared."""
    method, arguments, how = METHODS[path]
    try:
        if method == CREATE:
            return run_by(do, url, delivery.create("m", from_model="x"))
        result = do(url, method, *arguments, **how)
        return result.tolist() if method == "embed" else result
    except LLMError as error:
        return type(error), error.message, error.hint


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("path", METHODS)
def test_every_recording_reads_the_same_wherever_it_is_cut(do: Do, server: str, path: str) -> None:
    cases = [name for name, case in recordings(server).items() if case["request"]["path"] == path]
    assert cases
    ways = [{}, {"cuts": 1}, {"cuts": 2}]
    answers = [recorded(name, server, **way) for name in cases for way in ways]
    with replaying(**{path.rsplit("/", 1)[-1]: answers}) as replay:
        for name in cases:
            whole, *cut = [outcome(do, replay.url, path) for _ in ways]
            assert cut == [whole, whole], name
            assert kind(whole) == expected(recordings(server)[name]), name
        assert len(replay.requests) == len(answers)


def kind(whole: Any) -> str:
    """ "answer", "broken" or "error"."""
    if not isinstance(whole, tuple):
        return "answer"
    return "broken" if whole[0] is Incomplete else "error"


def expected(case: dict[str, Any]) -> str:
    """What a recording should give: an end without `done` or "success" is none."""
    last = case["lines"][-1][1] if case["lines"] else ""
    if case["status"] != 200 or last.startswith('{"error"'):
        return "error"
    path = case["request"]["path"]
    if path in ("/api/chat", "/api/generate"):
        return "answer" if '"done":true' in last else "broken"
    if path == "/api/embed":  # those for several texts, when one was asked
        return "answer" if last.count("],[") == 0 else "error"
    return "answer" if "success" in last or path not in ("/api/pull", CREATE) else "broken"


def test_a_stream_is_cut_at_every_byte(do: Do) -> None:
    line = said("grün 🙂", done=False).lines[0]
    whole = (line + '{"done":true,"error":null,"message":{"content":null}}\r\n').encode()
    for at in range(1, len(whole), 3 if do.__name__ == "blocking" else 7):
        with heard(lambda wire, _, at=at: [wire(HEAD), wire(whole[:at]), time.sleep(0.002), wire(whole[at:])]) as url:
            assert do(url, "chat", "local_m", "hi").text == "grün 🙂"


def test_an_error_may_come_at_any_place(do: Do) -> None:
    lines = recorded("chat_stream").lines
    error = '{"error":"an error was encountered while running the model: CUDA"}\n'
    for at in (0, 1, 20, len(lines) - 1):
        with (
            replaying(chat=Answer((*lines[:at], error, *lines[at:]))) as replay,
            pytest.raises(ServerError, match="CUDA"),
        ):
            do(replay.url, "chat", "local_m", "hi")
        assert len(replay.requests) == 1, "never asked again after it has begun"


def test_what_comes_after_the_last_word_does_not_count(do: Do) -> None:
    with replaying(chat=said("all", breaks=True)) as replay:
        assert do(replay.url, "chat", "local_m", "hi").text == "all"
    with replaying(chat=said("all", stall=20)) as replay:
        assert do(replay.url, "chat", "local_m", "hi", timeout=0.5).text == "all"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"
Wire = Callable[[bytes], None]


@contextmanager
def heard(talk: Callable[[Wire, Callable[[], bytes]], Any]) -> Iterator[str]:
    """A server of raw bytes: `talk` gets what sends on, and what receives from, one connection after its request."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = listening.accept()
                with connection, suppress(ConnectionError):
                    connection.settimeout(20)
                    _whole(connection)
                    talk(connection.sendall, lambda connection=connection: connection.recv(65536))

    thread = Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def _whole(connection: socket.socket) -> None:
    """Read a request to its end, for a close with something unread would reset the connection."""
    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)


def test_a_kept_connection_that_the_server_just_closed_is_replaced(do: Do) -> None:
    body = b'{"version":"1.2.3"}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    asked: list[bytes] = []

    def talk(wire: Wire, more: Callable[[], bytes]) -> None:
        asked.append(b"first")
        wire(answer)
        asked.append(more())  # the next one on this connection is never answered

    with heard(talk) as url:
        versions = run_by(do, url, twice())
    assert [version.version for version in versions] == ["1.2.3", "1.2.3"]
    assert len([each for each in asked if each]) == 3, "the second question came twice, on two connections"


def twice() -> Flow[Any]:
    from acagent_nb import library

    yield from library.version()
    yield from library.version()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_new_connection_that_breaks_is_not_asked_again(do: Do, reset: bool) -> None:
    came = []

    def talk(wire: Wire, more: Any) -> None:
        came.append(1)
        if reset:
            connection = wire.__self__  # type: ignore[attr-defined]  # the socket whose method it is
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with heard(talk) as url, pytest.raises(ServerDown, match="broke"):
        do(url, "chat", "local_m", "hi")
    assert came == [1]


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_a_reset_in_the_middle(client: type[Client] | type[AsyncClient]) -> None:
    came, read = [], Event()

    async def stream(url: str) -> None:
        if client is Client:
            with Client(url) as blocking:
                for _ in blocking.stream("local_m", "hi"):
                    read.set()
        else:
            async with AsyncClient(url) as asynchronous:
                async for _ in asynchronous.stream("local_m", "hi"):
                    read.set()

    def talk(wire: Wire, more: Any) -> None:
        came.append(1)
        wire(HEAD + said("a", done=False).lines[0].encode())
        assert read.wait(20)  # some systems end what was not read yet without a word of the reset
        connection = wire.__self__  # type: ignore[attr-defined]  # the socket whose method it is
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with heard(talk) as url, pytest.raises(ServerDown, match="broke before the answer was complete"):
        asyncio.run(stream(url))
    assert came == [1]
