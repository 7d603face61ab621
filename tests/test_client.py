"""Both clients over real sockets, from one set of tests; then with the embedded engine."""

from __future__ import annotations

import asyncio
import inspect
import random
import socket
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import numpy
import pytest

from acagent_nb import AsyncClient, Client
from acagent_nb.errors import (
    BadName,
    BadOption,
    BadParams,
    BadPrompt,
    Incomplete,
    KeyMissing,
    ModelMissing,
    ServerDown,
    ServerError,
)
from acagent_nb.messages import Done, Event, Message, Pulling, Text
from acagent_nb.replies import Reply

from .replay import SERVERS, Answer, recorded, recordings, replaying, said

Ask = Callable[..., list[Event]]


def blocking(url: str, model: str = "local_tiny", prompt: Any = "hi", **how: Any) -> list[Event]:
    with Client(url) as client:
        return list(client.stream(model, prompt, **how))


def asynchronous(url: str, model: str = "local_tiny", prompt: Any = "hi", **how: Any) -> list[Event]:
    async def main() -> list[Event]:
        async with AsyncClient(url) as client:
            return [event async for event in client.stream(model, prompt, **how)]

    return asyncio.run(main())


@pytest.fixture(params=[blocking, asynchronous], ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("server", SERVERS)
def test_a_recorded_answer_reads_the_same_wherever_it_is_cut(ask: Ask, server: str) -> None:
    for case in ("chat_stream", "chat_nonstream", "chat_unicode_stream", "thinking_then_two_tool_calls_stream"):
        if case not in recordings(server):
            continue
        with replaying(chat=recorded(case, server)) as replay:
            whole = ask(replay.url)
        for seed in range(5):
            with replaying(chat=recorded(case, server, cuts=random.Random(seed).randrange(10**6))) as replay:
                assert ask(replay.url) == whole
        assert isinstance(whole[-1], Done)


def test_a_character_cut_in_two_is_whole_again(ask: Ask) -> None:
    for seed in range(10):
        with replaying(chat=said("grün ", "🙂 日本", cuts=seed)) as replay:
            assert text(ask(replay.url)) == "grün 🙂 日本"


def test_a_missing_model_is_pulled_with_progress(ask: Ask) -> None:
    chats = [recorded("chat_missing_model"), recorded("chat_stream")]
    with replaying(chat=chats, pull=recorded("pull_slow_with_progress")) as replay:
        events = ask(replay.url)
    assert [path for _, path, _ in replay.requests] == ["/api/chat", "/api/pull", "/api/chat"]
    assert [event.status for event in events if isinstance(event, Pulling)][-1] == "success"
    assert "blue light" in text(events)


def test_no_pull_means_none(ask: Ask) -> None:
    with replaying(chat=recorded("chat_missing_model")) as replay, pytest.raises(ModelMissing):
        ask(replay.url, pull=False)
    assert len(replay.requests) == 1


def test_what_is_sent_is_what_was_said(ask: Ask) -> None:
    talk = [Message("user", "a"), {"role": "assistant", "content": "b"}, Message("user", "c")]
    with replaying(chat=said('{"ok": true}')) as replay:
        ask(replay.url, prompt=talk, system="Be brief.", seed=1, stop="x", format="json", think=False, keep_alive="1m")
    assert replay.requests[0][2] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
        "options": {"seed": 1, "stop": ["x"]},
        "format": "json",
        "think": False,
        "keep_alive": "1m",
        "truncate": False,
    }


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"model": "local_a b"}, BadName),
        ({"model": "gpt-4o"}, KeyMissing),
        ({"temprature": 1}, BadOption),
        ({"top_p": 7}, BadOption),
        ({"timeout": "soon"}, BadOption),
        ({"timeout": float("nan")}, BadOption),
        ({"rounds": -1}, BadOption),
        ({"rounds": "3"}, BadOption),
        ({"tools": 5}, BadPrompt),
        ({"system": b"Be brief."}, BadPrompt),
        ({"prompt": "half a letter: \ud800"}, BadPrompt),
        ({"prompt": [{"role": "user", "content": "\ud800"}]}, BadPrompt),
        ({"prompt": [Message("user", 5)]}, BadPrompt),  # type: ignore[arg-type]  # what is not checked by types
    ],
)
def test_a_mistake_is_refused_before_anything_is_sent(
    ask: Ask, how: dict[str, Any], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with replaying(chat=said("ok")) as replay, pytest.raises(error):
        ask(replay.url, **how)
    assert replay.requests == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sytem", "Did you mean 'system'?"),
        ("fromat", "Did you mean 'format'?"),
        ("timout", "Did you mean 'timeout'?"),
        ("temprature", "Did you mean 'temperature'?"),
        ("options", "**settings.sent()"),
    ],
)
def test_a_keyword_that_is_mistyped_is_told_the_right_one(ask: Ask, written: str, meant: str) -> None:
    with replaying() as replay, pytest.raises(BadOption) as caught:
        ask(replay.url, **{written: "x"})
    assert meant in caught.value.hint


def test_numpys_texts_are_texts(ask: Ask) -> None:
    prompt, system = numpy.array(["Why is the sky blue?", "Be brief."])
    with replaying(chat=said("ok")) as replay:
        ask(replay.url, prompt=prompt, system=system)
    sent = replay.requests[0][2]["messages"]
    assert [turn["content"] for turn in sent] == ["Be brief.", "Why is the sky blue?"]


@pytest.mark.parametrize("endless", [float("inf"), 1e300])
def test_an_infinite_timeout_is_none(ask: Ask, endless: float) -> None:
    with replaying(chat=said("ok")) as replay:
        assert text(ask(replay.url, timeout=endless)) == "ok"


def test_tools_may_be_none_or_one(ask: Ask) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    with replaying(chat=said("ok")) as replay:
        ask(replay.url, tools=None)
        ask(replay.url, tools=add)
    without, alone = (request[2] for request in replay.requests if request[1] == "/api/chat")
    assert "tools" not in without
    assert [tool["function"]["name"] for tool in alone["tools"]] == ["add"]


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_help_shows_keywords_with_plain_types(client: type) -> None:
    shown = str(inspect.signature(client.chat))  # type: ignore[attr-defined]  # both have it
    assert "temperature: 'float | None' = None" in shown
    assert "ForwardRef" not in shown


def test_params_of_a_wrong_kind_are_refused() -> None:
    with pytest.raises(BadParams, match="not int"):
        Client(params=5)  # type: ignore[arg-type]  # the wrong type is what it is about


def test_nobody_there(ask: Ask) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ServerDown, match="No server answers") as caught:
            ask(f"127.0.0.1:{taken.getsockname()[1]}")
    assert "check the address" in caught.value.hint


def test_a_line_that_breaks(ask: Ask) -> None:
    with replaying(chat=said("The sky", done=False, breaks=True)) as replay, pytest.raises(ServerDown, match="broke"):
        ask(replay.url)


def test_an_answer_that_ends_too_early(ask: Ask) -> None:
    with replaying(chat=said("The sky", done=False)) as replay, pytest.raises(Incomplete):
        ask(replay.url)


def test_a_server_that_fails_in_the_middle(ask: Ask) -> None:
    with replaying(chat=recorded("generate_runner_killed_midstream")) as replay, pytest.raises(ServerError):
        ask(replay.url)


def test_loopback_never_goes_through_a_proxy(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody is
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with replaying(chat=said("ok")) as replay:
        assert text(ask(replay.url)) == "ok"


def test_leaving_the_loop_closes_the_connection_at_once() -> None:
    with replaying(chat=said("a", "b", pause=0.05, stall=20)) as replay, Client(replay.url) as client:
        for _ in client.stream("local_tiny", "hi"):
            break
        left = time.monotonic()
        assert replay.gone.wait(1)
        assert replay.left[0] - left < 0.05


def test_a_cancelled_task_closes_the_connection_at_once() -> None:
    async def main(replay: Any) -> float:
        async def read(client: AsyncClient) -> None:
            async with aclosing(client.stream("local_tiny", "hi")) as events:
                async for _ in events:
                    pass

        async with AsyncClient(replay.url) as client:
            task = asyncio.create_task(read(client))
            await asyncio.sleep(0.5)
            task.cancel()
            cancelled = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(replay.gone.wait, 1)
            return cancelled

    with replaying(chat=said("a", stall=20, done=False)) as replay:
        cancelled = asyncio.run(main(replay))
        assert replay.left[0] - cancelled < 0.05


def test_a_client_works_after_a_failure_and_inside_a_running_loop() -> None:
    async def main(client: Client) -> str:
        return client.chat("local_tiny", "hi").text  # really blocks: no nested loop is involved

    with replaying(chat=[said("half", done=False, breaks=True), said("whole")]) as replay, Client(replay.url) as client:
        with pytest.raises(ServerDown):
            client.chat("local_tiny", "hi")
        assert asyncio.run(main(client)) == "whole"


def test_a_reply_holds_what_came_and_what_was_sent() -> None:
    with replaying(chat=recorded("chat_stream"), tags=recorded("tags")) as replay, Client(replay.url) as client:
        reply = client.chat("local_tiny", "why is the sky blue?", temperature=0)
        assert isinstance(reply, Reply)
        assert str(reply) == reply.text != ""
        assert reply.complete
        assert reply.options.sent() == {"temperature": 0.0}
        assert reply.stats.prompt_eval_count == 18
        assert [model.name for model in client.models()] == ["tiny:latest"]


def test_a_pull_is_left_at_once_if_its_watcher_fails() -> None:
    def watch(step: Pulling) -> None:
        raise OSError("the bar's window is gone")

    begun = Answer(recorded("pull_slow_with_progress").lines[:3], stall=30)
    with replaying(pull=begun) as replay, Client(replay.url) as client:
        with pytest.raises(OSError, match="window"):
            client.pull("local_m", watch=watch)
        assert replay.gone.wait(5)
    loop = asyncio.new_event_loop()
    with replaying(pull=begun) as replay:
        waiting = AsyncClient(replay.url)
        with pytest.raises(OSError, match="window"):
            loop.run_until_complete(waiting.pull("local_m", watch=watch))
        assert replay.gone.wait(5), "although the loop does not go on"
        loop.run_until_complete(waiting.close())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.mark.parametrize(
    ("how", "message", "hint"),
    [
        ({"think": 5}, "think takes True, False or a level, not 5.", 'The levels are "low", "medium"'),
        ({"think": "hgih"}, "think takes True, False or a level, not 'hgih'.", "Did you mean 'high'?"),
        ({"think": "High"}, "think takes True, False or a level, not 'High'.", "Did you mean 'high'?"),
        ({"keep_alive": True}, 'keep_alive takes seconds, or a time such as "5m", not True.', "0 unloads"),
        ({"keep_alive": [5]}, 'keep_alive takes seconds, or a time such as "5m", not [5].', "0 unloads"),
    ],
)
def test_what_can_not_be_meant_is_not_sent(ask: Ask, how: dict[str, Any], message: str, hint: str) -> None:
    with replaying() as replay, pytest.raises(BadOption) as caught:
        ask(replay.url, **how)
    assert (caught.value.message, caught.value.hint[: len(hint)]) == (message, hint)
    assert replay.requests == []


@pytest.mark.parametrize("how", [{"dimensions": "8"}, {"dimensions": 0}, {"keep_alive": {}}])
def test_nor_are_vectors_asked_for_with_it(how: dict[str, Any]) -> None:
    with replaying() as replay, Client(replay.url) as client:
        with pytest.raises(BadOption, match=f"{next(iter(how))} takes"):
            client.embed("local_m", "a", **how)
        with pytest.raises(BadOption, match="keep_alive takes"):
            client.load("local_m", keep_alive=True)
    assert replay.requests == []


def test_a_level_that_only_its_server_knows_is_sent(ask: Ask) -> None:
    with replaying(chat=said("ok")) as replay:
        ask(replay.url, think="ultra", keep_alive=2.5)
    assert (replay.requests[0][2]["think"], replay.requests[0][2]["keep_alive"]) == ("ultra", 2.5)
