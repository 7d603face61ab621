"""An answer of the chat on its way: it is drawn seldom, the page stays alive, and stopping closes its connection."""

from __future__ import annotations

import asyncio
import time

import pytest

pytest.importorskip("ipywidgets", reason="the extra `panel` is not installed")

from acagent_nb.errors import BadPrompt
from acagent_nb.messages import Message
from tests.panels import contents, last, replayed, shown, soon
from tests.replay import replaying, said


def test_stop_keeps_what_had_come_and_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=[said("Once ", "upon ", done=False, pause=0.05, stall=30), said("The end.")]) as server:
        panel = replayed(server, monkeypatch)

        async def use() -> None:
            panel.view.input.value = "Tell me a tale."
            panel.view.send.click()
            await soon(lambda: "upon" in last(panel))
            with pytest.raises(BadPrompt, match="on its way"):
                await panel.send("And?")
            pressed = time.monotonic()
            panel.view.stop.click()
            await soon(server.gone.is_set)
            assert server.left[0] - pressed < 2
            await soon(lambda: panel.view.stop.disabled)

        asyncio.run(use())
        assert panel.reply is not None
        assert panel.reply.text == "Once upon "
        assert not panel.reply.complete
        assert panel.error is None
        assert ">stopped<" in shown(panel)[-1]
        assert asyncio.run(panel.send("Go on.")).text == "The end."
        assert contents(server) == [("user", "Tell me a tale."), ("assistant", "Once upon "), ("user", "Go on.")]


def test_stop_before_a_word_and_before_the_question_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=[said("late", late=30), said("Hello")]) as server:
        panel = replayed(server, monkeypatch)

        async def use() -> None:
            asked = asyncio.ensure_future(panel.send("Hi"))
            await soon(lambda: bool(server.requests))
            panel.stop()
            assert not (await asked).complete
            assert "stopped before an answer came" in shown(panel)[-1]
            assert panel.messages == (Message("user", "Hi"),)
            assert (await panel.regenerate()).text == "Hello"
            panel.view.again.click()
            panel.stop()
            await soon(lambda: not panel.busy)
            await asyncio.sleep(0)
            assert panel.view.stop.disabled

        asyncio.run(use())


def test_an_interrupted_cell_stops_the_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Once ", done=False, stall=30)) as server:
        panel = replayed(server, monkeypatch)

        async def use() -> None:
            cell = asyncio.ensure_future(panel.send("Hi"))
            await soon(lambda: "Once" in last(panel))
            cell.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cell
            await soon(server.gone.is_set)
            await soon(lambda: panel.view.stop.disabled)

        asyncio.run(use())
        assert ">stopped<" in shown(panel)[-1]


def test_drawings_are_few_and_only_of_the_last_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"- **item** {number} `code`\n" for number in range(2000)]
    with replaying(chat=[said("Hello"), said(*words)]) as server:
        panel = replayed(server, monkeypatch)
        asyncio.run(panel.send("Hi"))
        drawn: list[tuple[int, float]] = []

        def watch() -> None:
            for place, turn in enumerate(panel.view.all.children[3].children[0].children):
                turn.observe(lambda _, place=place: drawn.append((place, time.monotonic())), "value")

        async def use() -> None:
            asked = asyncio.ensure_future(panel.send("A list"))
            await asyncio.sleep(0)
            watch()
            await asked

        began = time.monotonic()
        asyncio.run(use())
        took = time.monotonic() - began
    assert {place for place, _ in drawn} == {3}
    assert len(drawn) <= 3 + 12 * took
    assert panel.reply is not None
    assert panel.reply.text == "".join(words)


def test_the_page_stays_alive_while_an_answer_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said(*["word "] * 40, pause=0.02)) as server:
        panel = replayed(server, monkeypatch)
        ticks = []

        async def tick() -> None:
            while True:
                await asyncio.sleep(0.01)
                ticks.append(panel.busy)

        async def use() -> None:
            ticking = asyncio.ensure_future(tick())
            await panel.send("Hi")
            ticking.cancel()

        asyncio.run(use())
    assert sum(ticks) >= 10


def test_closing_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Once ", done=False, stall=30)) as server:
        panel = replayed(server, monkeypatch)

        async def use() -> None:
            panel.view.input.value = "Hi"
            panel.view.send.click()
            await soon(lambda: "Once" in last(panel))
            panel.close()
            await soon(server.gone.is_set)
            await soon(lambda: asyncio.all_tasks() == {asyncio.current_task()})

        asyncio.run(use())
        assert panel.view.all.comm is None
        assert panel.view.input.comm is None
        assert panel._repr_mimebundle_().keys() == {"text/plain", "text/html"}
