"""Who waits for whom: loads shared, turns taken, queues bounded."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

import httpx
import psutil
import pytest

from .serving import SKY, Server, babbling, gone, serving, soon

BUSY = {"error": "server busy, please try again.  maximum pending requests exceeded"}
SHORT = {"num_predict": 2}


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def own(shared: Server) -> Server:
    """A server that has `tiny` loaded as it is by default."""
    shared.chat(keep_alive="5m")
    return shared


@contextmanager
def counting(server: Server) -> Iterator[set[int]]:
    """The process numbers of all children that are there at some time during the block."""
    seen: set[int] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):  # a child takes 0.2 s at least to load its model
            seen.update(child.pid for child in psutil.Process(server.process.pid).children())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def ask(server: Server, num_ctx: int, model: str = "tiny") -> Any:
    """A short answer with a context of its own, on a connection of its own."""
    body = {"model": model, "messages": SKY, "stream": False, "options": {**SHORT, "num_ctx": num_ctx}}
    return httpx.post(f"{server.url}/api/chat", json=body, timeout=60, trust_env=False).json()


def queue(pool: ThreadPoolExecutor, server: Server, *contexts: int) -> list[Future[Any]]:
    """Requests one after the other that can't be answered yet."""
    asked = []
    for num_ctx in contexts:
        asked.append(pool.submit(ask, server, num_ctx))
        time.sleep(0.05)  # so that they come in this order
    return asked


def test_twenty_with_the_same_change_share_one_restart(own: Server) -> None:
    (old,) = own.children
    with counting(own) as seen, ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda _: ask(own, 1024), range(20)))
    assert all(each["done"] for each in told)
    assert len(seen - {old.pid}) == 1


def test_waiting_requests_are_served_in_batches(own: Server) -> None:
    with counting(own) as seen, ThreadPoolExecutor(8) as pool:
        with babbling(own.client):
            before = {child.pid for child in own.children}
            asked = queue(pool, own, 1024, 512, 1024, 512, 1024, 512)
            assert not any(each.done() for each in asked)
        assert all(each.result()["done"] for each in asked)
    assert len(seen - before) == 2


def test_a_stream_of_requests_does_not_starve_other_settings(own: Server) -> None:
    stop = threading.Event()
    answered: list[float] = []

    def again_and_again() -> None:
        while not stop.is_set():
            assert ask(own, 2048)["done"]
            answered.append(time.monotonic())

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(again_and_again) for _ in range(4)]
        try:
            for num_ctx in (512, 1024):
                soon(lambda: len(answered) > 8, 20)
                began = time.monotonic()
                assert ask(own, num_ctx)["done"]
                waited = sum(at > began for at in answered)
                assert waited <= 8  # those that ran, and those that were on their way
                answered.clear()
            soon(lambda: len(answered) > 8, 20)  # and they get their turn back
        finally:
            stop.set()
        for loop in loops:
            loop.result()


def test_a_stream_of_requests_does_not_starve_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", "1")
    stop = threading.Event()
    with serving() as own, ThreadPoolExecutor(4) as pool:
        own.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()

        def again_and_again() -> None:
            while not stop.is_set():
                assert ask(own, 2048)["done"]

        loops = [pool.submit(again_and_again) for _ in range(4)]
        try:
            for _ in range(3):
                soon(lambda: own.loaded() == ["tiny:latest"], 20)
                assert ask(own, 2048, "tiny:skills")["done"]
        finally:
            stop.set()
        for loop in loops:
            loop.result()
        assert len(own.children) == 1


def test_a_model_waits_until_another_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", "1")
    with serving() as own, ThreadPoolExecutor(1) as pool:
        own.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        with babbling(own.client) as lines:
            waiting = pool.submit(ask, own, 2048, "tiny:skills")
            for _ in range(200):
                next(lines)
            assert not waiting.done()
            assert own.loaded() == ["tiny:latest"]
        assert waiting.result()["done"] is True
        assert own.loaded() == ["tiny:skills"]


def full(server: Server) -> bool:
    """Whether a request that needs a load is refused; it leaves at once if it is not."""
    body = {"model": "tiny", "messages": SKY, "stream": False, "options": {"num_ctx": 300}}
    try:
        answer = httpx.post(f"{server.url}/api/chat", json=body, timeout=0.2, trust_env=False)
    except httpx.ReadTimeout:
        return False
    return (answer.status_code, answer.json()) == (503, BUSY)


def test_a_full_queue_refuses_in_ollamas_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MAX_QUEUE", "1")
    with serving() as own, ThreadPoolExecutor(1) as pool:
        own.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        own.chat(model="tiny:skills")
        with babbling(own.client):
            assert not full(own)  # it waited, and left
            assert not full(own)  # so there was room again
            (waiting,) = queue(pool, own, 1024)
            assert full(own)
            openais = own.client.post("/v1/chat/completions", json={"model": "tiny", "messages": SKY})
            assert (openais.status_code, openais.json()["error"]["message"]) == (503, BUSY["error"])
            assert own.chat(model="tiny:skills", options=SHORT)["done"] is True  # it is loaded: no queue
        assert waiting.result()["done"] is True


def test_requests_to_a_loaded_model_wait_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MAX_QUEUE", "1")
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "1")
    with serving() as own, ThreadPoolExecutor(12) as pool:
        own.chat()
        assert all(each["done"] for each in pool.map(lambda _: ask(own, 2048), range(12)))


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="only Linux limits another process")
def test_a_child_that_can_not_even_be_started_is_an_error_for_all_who_wait() -> None:
    with serving() as own, ThreadPoolExecutor(2) as pool:
        before = own.process.rlimit(psutil.RLIMIT_NOFILE)
        own.process.rlimit(psutil.RLIMIT_NOFILE, (own.process.num_fds() + 5, before[1]))  # a child's pipes need six
        told = list(pool.map(lambda _: ask(own, 2048), range(2)))
        assert all(each["error"].startswith("unable to load model: ") for each in told), told
        own.process.rlimit(psutil.RLIMIT_NOFILE, before)
        assert own.chat()["done"] is True


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
def test_waiting_requests_do_not_hold_the_servers_end(way: signal.Signals) -> None:
    with serving() as own, ThreadPoolExecutor(2) as pool, babbling(own.client):
        asked = queue(pool, own, 1024, 512)
        own.process.send_signal(way)
        assert soon(lambda: gone(own.process)) < 2
        for each in asked:
            assert _answer(each.result) in ({"error": "the server is ending"}, None)


def _answer(result: Callable[[], Any]) -> Any:
    """What came, or `None` if the connection was closed instead."""
    try:
        return result()
    except httpx.TransportError:
        return None


@pytest.mark.parametrize(
    ("keep_alive", "seconds"), [(90, 90), (1.5, 1.5), ("2m", 120), ("1h30m", 5400), ("-1s", 9.22e9)]
)
def test_every_form_of_keep_alive(own: Server, keep_alive: object, seconds: float) -> None:
    own.chat(keep_alive=keep_alive, options=SHORT)
    asked = datetime.now(timezone.utc)
    told = own.client.get("/api/ps").json()["models"][0]["expires_at"]
    expires = datetime.fromisoformat(told[:19] + "+00:00")
    assert (expires - asked).total_seconds() == pytest.approx(seconds, rel=0.01, abs=1.5)


@pytest.mark.parametrize(
    ("keep_alive", "error"),
    [
        ("300", 'time: missing unit in duration "300"'),
        ("zz", 'time: invalid duration "zz"'),
        ("5y", 'time: unknown unit "y" in duration "5y"'),
    ],
)
def test_what_is_no_duration_is_refused(own: Server, keep_alive: str, error: str) -> None:
    answer = own.client.post("/api/chat", json={"model": "tiny", "messages": SKY, "keep_alive": keep_alive})
    assert (answer.status_code, answer.json()) == (400, {"error": error})
