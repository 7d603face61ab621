"""A pump: events come through a queue, nothing is held back, stopping is at once."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from threading import current_thread

import pytest

from acagent_nb.asynchronous import AsyncClient
from acagent_nb.errors import ServerDown, TimedOut
from acagent_nb.messages import Done, Event, Message, Request, Text
from acagent_nb.pump import Errands, Pump

from .replay import Answer, replaying, said

ASK = Request("tiny", (Message("user", "hi"),))


def drain(pump: Pump, events: list[Event]) -> None:
    """Take all that comes until the end."""
    while not pump.ended:
        events += pump.take(0.05)


def test_all_that_was_said_comes_through() -> None:
    with replaying(chat=said("a", "b", pause=0.01)) as replay, Pump(partial(AsyncClient, replay.url), ASK) as pump:
        events: list[Event] = []
        drain(pump, events)
    assert events[:2] == [Text("a"), Text("b")]
    assert isinstance(events[2], Done)


def test_the_last_words_of_a_stalled_server_are_not_held_back() -> None:
    with replaying(chat=said("last ", "words", stall=20, done=False)) as replay:
        with Pump(partial(AsyncClient, replay.url), ASK) as pump:
            came: list[Event] = []
            while len(came) < 2:
                came += pump.take(5)
            waited = time.monotonic()
            assert pump.take(0.05) == []  # the reader of the queue is not held up either
            assert 0.04 < time.monotonic() - waited < 0.5
            assert not pump.ended
        assert replay.gone.wait(1)
    assert came == [Text("last "), Text("words")]


@pytest.mark.parametrize("answer", [said("a", stall=20, done=False), Answer(late=20)], ids=["reading", "waiting"])
def test_stopping_closes_the_connection_at_once(answer: Answer) -> None:
    with replaying(chat=answer) as replay:
        with Pump(partial(AsyncClient, replay.url), ASK) as pump:
            while not replay.requests:
                pump.take(0.01)
            time.sleep(0.1)
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 0.05
        assert replay.gone.wait(1)
        assert replay.left[0] - stopped < 0.05
        pump.stop()  # once more does no harm


def test_an_error_comes_after_what_came_before_it() -> None:
    with (
        replaying(chat=said("half", done=False, breaks=True)) as replay,
        Pump(partial(AsyncClient, replay.url), ASK) as pump,
    ):
        came = pump.take(5)
        with pytest.raises(ServerDown):
            drain(pump, came)
    assert came == [Text("half")]
    assert pump.ended


def test_what_is_to_be_learnt_is_asked_beside_the_answer() -> None:
    learnt: list[str] = []

    async def learn(client: AsyncClient) -> None:
        learnt.append((await client.version()).version)

    with (
        replaying(chat=said("a", "b", pause=0.05)) as replay,
        Pump(partial(AsyncClient, replay.url), ASK, learn=learn) as pump,
    ):
        drain(pump, [])
    assert learnt == ["0.0.0"]


def test_the_answer_does_not_wait_long_for_what_is_to_be_learnt() -> None:
    async def learn(client: AsyncClient) -> None:
        await asyncio.sleep(60)

    began = time.monotonic()
    with (
        replaying(chat=said("a")) as replay,
        Pump(partial(AsyncClient, replay.url), ASK, learn=learn) as pump,
    ):
        drain(pump, [])
    assert time.monotonic() - began < 5


def test_it_knows_when_words_came_that_are_taken_later() -> None:
    with replaying(chat=said("a", "b", pause=0.1)) as replay:
        asked = time.monotonic()
        with Pump(partial(AsyncClient, replay.url), ASK) as pump:
            time.sleep(1)
            assert len(pump.take()) == 3
    assert pump.first is not None
    assert pump.done is not None
    assert 0.1 <= pump.first - asked < pump.done - asked < 0.9


def test_an_answer_that_takes_too_long() -> None:
    with (
        replaying(chat=said("a", stall=20, done=False)) as replay,
        Pump(partial(AsyncClient, replay.url), ASK, timeout=0.3) as pump,
        pytest.raises(TimedOut),
    ):
        drain(pump, [])


def test_an_errand_is_done_by_the_one_who_draws() -> None:
    errands, done = Errands(), []
    with ThreadPoolExecutor() as pool:
        one = pool.submit(errands.run, current_thread)
        two = pool.submit(errands.run, lambda: 1 // 0)
        while not (one.done() and two.done()):
            done.append(errands.waiting)
            errands.do()
        assert one.result() is current_thread()
        assert any(done)
        with pytest.raises(ZeroDivisionError):
            two.result()


def test_nobody_waits_for_an_errand_that_is_not_done() -> None:
    errands = Errands()

    def interrupted() -> None:
        raise KeyboardInterrupt

    with ThreadPoolExecutor() as pool:
        one = pool.submit(errands.run, interrupted)
        while not errands.waiting:
            time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            errands.do()
        two = pool.submit(errands.run, current_thread)
        while not errands.waiting:
            time.sleep(0.01)
        errands.close()
        late = pool.submit(errands.run, current_thread)
        for each in (one, two, late):
            with pytest.raises(CancelledError):
                each.result(5)
