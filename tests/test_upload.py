"""A model's file on its way to a server, through both clients: how far it is, and that it ends when nobody waits."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from threading import enumerate as threads
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client
from acagent_nb.delivery import blob
from acagent_nb.errors import DiskFull, ServerDown, TimedOut
from acagent_nb.messages import Pulling

from .clients import Do
from .commands import final, on_terminal
from .serving import soon

SIZE = 16 << 20  # more than the buffers of a connection hold
Take = Callable[[socket.socket], bool]


class Taker:
    """A server that lacks every file, and takes what it is sent in a way of the test's own.

    Attributes
    ----------
    began
        Set when a file begins to come.
    went
        Set when the client has closed a connection on which it was not answered yet.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.began, self.went = Event(), Event()
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                Thread(target=self._serve, args=(self._listening.accept()[0],), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line, suppress(ConnectionError):
            while head := _head(line):
                if head.startswith(b"HEAD /api/blobs/"):
                    line.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                elif head.startswith(b"POST /api/blobs/"):
                    self.began.set()
                    if not self._take(line):
                        self.went.set()
                        return
                    line.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
                else:
                    line.recv(65536)
                    line.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"status": "success"}\n')
                    return

    def close(self) -> None:
        self._listening.close()


def _head(line: socket.socket) -> bytes:
    """A request's head, and nothing of what follows it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = line.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def slowly(line: socket.socket) -> bool:
    """All of it in half a second or more; whether it came."""
    left = SIZE
    while left:
        data = line.recv(min(left, 1 << 18))
        if not data:
            return False
        left -= len(data)
        time.sleep(0.5 * len(data) / SIZE)
    return True


def no_more(line: socket.socket) -> bool:
    """Stop reading early, and look only whether the client is still there."""
    line.recv(100_000)
    end = select.poll()
    end.register(line, getattr(select, "POLLRDHUP", 0))  # errors and hang-ups are told unasked
    assert end.poll(20_000)
    return False


def full(line: socket.socket) -> bool:
    """Refuse it early, and close the connection as Go does: first one way, then both."""
    line.recv(100_000)
    told = b'{"error":"write /models/blobs/sha256-1: no space left on device"}'
    line.sendall(b"HTTP/1.1 500 Error\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
    line.shutdown(socket.SHUT_WR)
    time.sleep(0.5)
    raise ConnectionError


@pytest.fixture
def taking() -> Iterator[Callable[[Take], Taker]]:
    servers: list[Taker] = []

    def start(take: Take) -> Taker:
        servers.append(Taker(take))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("upload") / "big.gguf"
    with file.open("wb") as data:
        data.write(b"GGUF")
        data.truncate(SIZE)
    return file


Taking = Callable[[Take], Taker]


def uploading(steps: list[Any]) -> list[Pulling]:
    return [step for step in steps if step.status.startswith("uploading")]


def test_an_upload_tells_how_far_it_is(do: Do, taking: Taking, big: Path) -> None:
    began = time.monotonic()
    steps = do(taking(slowly).url, "create", "local_m", file=big)
    seconds = time.monotonic() - began
    assert steps[-1] == Pulling("m", "success", SIZE, SIZE)
    steps = uploading(steps)
    assert {(step.status, step.total) for step in steps} == {("uploading big.gguf", SIZE)}
    done = [step.completed for step in steps]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, SIZE)
    assert len({count for count in done if 0 < count < SIZE}) >= 2
    assert len(done) <= 2 + 10 * seconds


class Enough(BaseException):
    """The watcher's own interrupt."""


def test_whoever_watches_may_end_it_though_the_server_has_stopped_reading(do: Do, taking: Taking, big: Path) -> None:
    server, seen = taking(no_more), list[Pulling]()

    def watch(step: Pulling) -> None:
        if step.status.startswith("uploading"):
            seen.append(step)
            if len(seen) >= 4 and step.completed:
                raise Enough

    async def asynchronous() -> None:
        async with AsyncClient(server.url) as client:
            await client.create("local_m", file=big, watch=watch)

    def blocking() -> None:
        with Client(server.url) as client:
            client.create("local_m", file=big, watch=watch)

    with pytest.raises(Enough):
        asyncio.run(asynchronous()) if do.__name__ == "asynchronous" else blocking()
    assert server.went.wait(5)
    assert 0 < seen[-1].completed < SIZE


def test_a_time_out_ends_it(do: Do, taking: Taking, big: Path) -> None:
    server = taking(no_more)
    with pytest.raises(TimedOut, match=r"timeout of 0\.6 seconds"):
        do(server.url, "create", "local_m", file=big, timeout=0.6)
    assert server.went.wait(5)


def test_closing_the_generator_ends_it(taking: Taking, big: Path) -> None:
    server = taking(no_more)
    with Client(server.url) as client:
        steps = client._run(blob("sha256:00", big))
        assert next(step for step in steps if step.completed).completed < SIZE
        began = time.monotonic()
        steps.close()
        assert time.monotonic() - began < 2
        assert server.went.wait(5)


def test_cancelling_the_task_ends_it(taking: Taking, big: Path) -> None:
    server = taking(no_more)

    async def main() -> None:
        async with AsyncClient(server.url) as client:
            on = asyncio.Event()

            def watch(step: Pulling) -> None:
                if step.status.startswith("uploading") and step.completed:
                    on.set()

            task = asyncio.create_task(client.create("local_m", file=big, watch=watch))
            await on.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.went.wait, 5)

    asyncio.run(main())


def test_an_early_refusal_is_heard(do: Do, taking: Taking, big: Path) -> None:
    with pytest.raises(DiskFull, match="no space left") as caught:
        do(taking(full).url, "create", "local_m", file=big)
    assert "kept" not in caught.value.hint


def test_a_server_that_goes_away(do: Do, taking: Taking, big: Path) -> None:
    def leave(line: socket.socket) -> bool:
        line.recv(100_000)
        raise ConnectionError

    with pytest.raises(ServerDown, match="broke before the answer was complete"):
        do(taking(leave).url, "create", "local_m", file=big)


def test_no_thread_stays(taking: Taking, big: Path) -> None:
    server = taking(slowly)
    with Client(server.url) as client:
        client.create("local_m", file=big)
    soon(lambda: not any(thread.name == "acagent_nb upload" for thread in threads()))


def test_a_terminal_shows_a_bar(taking: Taking, big: Path) -> None:
    with on_terminal(taking(slowly).url, "create", "mine", "--file", str(big)) as screen:
        assert screen.end() == 0
    bars = re.findall(r"mine  (\w+)  \S+  ([\d.]+) MB of 16\.8 MB", screen.shown)
    assert list(dict.fromkeys(doing for doing, _ in bars)) == ["hashing", "uploading"]
    assert len(set(bars)) > 3, screen.shown
    assert re.fullmatch(r"mine is made in \d+\.\d s", final(screen.shown)[0])


def test_ctrl_c_ends_it(taking: Taking, big: Path) -> None:
    server = taking(no_more)
    with on_terminal(server.url, "create", "mine", "--file", str(big)) as screen:
        screen.until("0 B of 16.8 MB")
        assert server.began.wait(10)
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
    assert server.went.wait(5)
    assert final(screen.shown) == ["Stopped; mine was not made."]
