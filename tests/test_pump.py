"""A pump: events come through a queue, nothing is held back, stopping is at once."""

from __future__ import annotations

import time
from functools import partial

import pytest

from acagent_nb.asynchronous import AsyncClient
from acagent_nb.errors import ServerDown
from acagent_nb.messages import Done, Event, Message, Request, Text
from acagent_nb.pump import Pump

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
