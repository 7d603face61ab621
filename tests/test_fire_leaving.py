"""Both clients when an answer is waited for no more: its time is over, or whoever asked has left."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client
from acagent_nb.errors import ServerDown, TimedOut, Warned
from acagent_nb.messages import Text

from .clients import Do, asynchronous, blocking
from .replay import Answer, Replay, json_error, replaying, said
from .serving import soon

SLOW = json_error("server busy", 503, headers=(("Retry-After", "20"),))
LAYER = '{"status":"pulling aa","digest":"sha256:aa","total":9,"completed":1}\n'


@pytest.mark.parametrize(
    ("answers", "method", "arguments"),
    [
        ({"chat": Answer(late=20)}, "chat", ("local_m", "hi")),
        ({"chat": said("a", stall=20, done=False)}, "chat", ("local_m", "hi")),
        ({"chat": said(*"many words" * 20, pause=0.1)}, "chat", ("local_m", "hi")),
        ({"chat": SLOW}, "chat", ("local_m", "hi")),
        ({"generate": Answer(late=20)}, "generate", ("local_m", "hi")),
        ({"embed": Answer(late=20)}, "embed", ("local_m", "hi")),
        ({"chat": json_error("model not found", 404), "pull": Answer((LAYER,), stall=20)}, "chat", ("local_m", "hi")),
        ({"tags": Answer(late=20)}, "models", ()),
    ],
    ids=["first byte", "stall", "trickle", "pause", "generate", "embed", "auto-pull", "list"],
)
def test_a_timeout_bounds_the_whole_call(do: Do, answers: Any, method: str, arguments: Any) -> None:
    with replaying(**answers) as replay:
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"timeout of 0\.4 seconds"):
            do(replay.url, method, *arguments, client={"timeout": 0.4})
        assert time.monotonic() - began < 5
        if answers.get("chat") is not SLOW:
            assert replay.gone.wait(5), "the connection is closed"


def test_a_calls_own_timeout_counts_more(do: Do) -> None:
    with replaying(chat=Answer(late=20)) as replay, pytest.raises(TimedOut, match=r"timeout of 0\.2 seconds"):
        do(replay.url, "chat", "local_m", "hi", timeout=0.2, client={"timeout": 60})


def test_a_download_is_bounded_by_its_own_timeout_only(do: Do) -> None:
    with replaying(pull=Answer((LAYER,), stall=20)) as replay:
        with pytest.raises(TimedOut, match=r"timeout of 0\.4 seconds"):
            do(replay.url, "pull", "local_m", timeout=0.4)
        assert replay.gone.wait(5), "the connection is closed"
    with replaying(pull=Answer((LAYER, '{"status":"success"}\n'), pause=0.2)) as replay:
        do(replay.url, "pull", "local_m", client={"timeout": 0.1})


def test_a_call_that_is_quick_enough_is_left_alone(do: Do) -> None:
    with replaying(chat=said("a", "b", pause=0.05)) as replay:
        assert do(replay.url, "chat", "local_m", "hi", timeout=30).text == "ab"


@contextmanager
def deaf() -> Iterator[str]:
    """A port that takes no more connections, and says nothing of it."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(listening.getsockname())
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for caller in callers:
                caller.close()


def test_connecting_is_bounded_too(do: Do) -> None:
    with deaf() as url:
        began = time.monotonic()
        with pytest.raises(TimedOut, match=r"timeout of 0\.3 seconds"):
            do(url, "chat", "local_m", "hi", timeout=0.3)
        assert time.monotonic() - began < 3


def test_connecting_takes_five_seconds_at_most_where_nobody_says_anything() -> None:
    with deaf() as url, ThreadPoolExecutor() as threads:
        began = time.monotonic()
        for tried in [threads.submit(do, url, "chat", "local_m", "hi") for do in (blocking, asynchronous)]:
            with pytest.raises(ServerDown, match="within 5 seconds"):
                tried.result()
        assert 4.5 < time.monotonic() - began < 9


def test_what_is_only_nice_to_know_is_not_waited_for(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acagent_nb.facts._ASIDE_SECONDS", 0.2)
    with replaying(chat=said("a"), ps=Answer(late=30), version=Answer(late=30)) as replay:
        with pytest.warns(Warned, match="version is not known"):
            reply = do(replay.url, "chat", "local_m", "hi", typical_p=0.9)  # which some versions ignore
        assert (reply.text, reply.digest, reply.truncated) == ("a", "", None)
        soon(lambda: len(replay.left) == 2, 20)  # before they answered


ENDLESS = said("a", stall=20, done=False)
LEFT_WITHIN = 0.05


def at_once(leave: Callable[[], float]) -> None:
    """Leaving takes less than 50 ms; a busy machine gets many chances, for what waits is late each time."""
    took = [leave()]
    while took[-1] >= LEFT_WITHIN and len(took) < 20:
        took.append(leave())
    assert min(took) < LEFT_WITHIN, took


def gone_after(replay: Replay, at: float) -> float:
    """Seconds until the server saw that the client had left."""
    assert replay.gone.wait(5)
    return replay.left[0] - at


@pytest.mark.parametrize("way", ["break", "close", "exception"])
def test_leaving_closes_the_connection_at_once(way: str) -> None:
    def left(client: Client) -> float:
        events = client.stream("local_m", "hi")
        if way == "close":
            assert next(events) == Text("a")
            now = time.monotonic()
            events.close()
            return now
        del events
        with suppress(KeyError):
            for _ in client.stream("local_m", "hi"):
                now = time.monotonic()
                if way == "exception":
                    raise KeyError
                break
        return now

    def leave() -> float:
        with replaying(chat=[ENDLESS, said("b")]) as replay, Client(replay.url) as client:
            took = gone_after(replay, left(client))
            assert client.chat("local_m", "hi").text == "b", "the client is still good"
            return took

    at_once(leave)


@pytest.mark.parametrize("way", ["break", "close", "exception", "cancel"])
def test_so_it_is_for_asynchronous_code_also_without_aclosing(way: str) -> None:
    async def left(client: AsyncClient) -> float:
        if way == "cancel":
            task = asyncio.create_task(client.chat("local_m", "hi"))
            await asyncio.sleep(0.3)
            now = time.monotonic()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            return now
        if way == "close":
            events = client.stream("local_m", "hi")
            assert await anext(events) == Text("a")
            now = time.monotonic()
            await events.aclose()
            return now
        with suppress(KeyError):
            async for _ in client.stream("local_m", "hi"):
                now = time.monotonic()
                if way == "exception":
                    raise KeyError
                break
        return now

    async def main(replay: Replay) -> float:
        async with AsyncClient(replay.url) as client:
            at = await left(client)
            took = await asyncio.to_thread(gone_after, replay, at)
            assert (await client.chat("local_m", "hi")).text == "b", "the client is still good"
            return took

    def leave() -> float:
        with replaying(chat=[ENDLESS, said("b")]) as replay:
            return asyncio.run(main(replay))

    at_once(leave)


@pytest.mark.parametrize("answer", [Answer(late=20), ENDLESS, SLOW], ids=["waiting", "reading", "pausing"])
def test_ctrl_c(answer: Answer) -> None:
    def leave() -> float:
        pressed: list[float] = []

        def press() -> None:
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        with replaying(chat=[answer, said("b")]) as replay, Client(replay.url) as client:
            timer = Timer(0.4, press)
            timer.start()
            with pytest.raises(KeyboardInterrupt):
                client.chat("local_m", "hi")
            took = time.monotonic() - pressed[0] if answer is SLOW else gone_after(replay, pressed[0])
            timer.join()
            assert client.chat("local_m", "hi").text == "b"
            return took

    at_once(leave)
