"""The context alarm: whether all of a conversation was in the model's sight, and who is told."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import AsyncClient, Client, Warned
from acagent_nb.errors import BadAnswer, ContextTooLong
from acagent_nb.messages import Message, Note

from .clients import Do
from .replay import SERVERS, Answer, recorded, recordings, replaying, said

LONG = "word " * 1500
OLD, NEW = Answer(('{"version":"0.12.5"}',)), Answer(('{"version":"0.12.6"}',))


@contextmanager
def telling() -> Iterator[list[warnings.WarningMessage]]:
    """Collect warnings, instead of failing at the first one."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield told


def counted(prompt: int | None, answer: int = 10) -> Answer:
    """An answer with these counts."""
    end = {"message": {"content": "a"}, "done": True, "done_reason": "stop", "eval_count": answer}
    return Answer((json.dumps(end if prompt is None else {**end, "prompt_eval_count": prompt}) + "\n",))


def loaded(num_ctx: int | None, name: str = "m:latest") -> Answer:
    """A server that has a model loaded with this window."""
    window = {} if num_ctx is None else {"context_length": num_ctx}
    return Answer((json.dumps({"models": [{"name": name, "digest": "d1", **window}]}),))


@pytest.mark.parametrize(
    ("answer", "num_ctx", "version", "prompt", "truncated"),
    [
        (counted(20), 4096, OLD, "hi", False),  # there was room for all of it
        (counted(20), 4096, NEW, "hi", False),
        (counted(4000, 97), 4096, NEW, LONG, True),  # the answer ran past the window
        (counted(4000, 97), 4096, OLD, LONG, True),
        (counted(4000, 96), 4096, NEW, LONG, False),  # else it would have been refused
        (counted(2000), 4096, OLD, LONG, None),  # older turns may have been dropped
        (counted(4095, 1), 4096, OLD, LONG, True),  # what is left of a last turn that was cut
        (counted(4096, 0), 4096, NEW, LONG, False),
        (counted(None), 4096, NEW, "hi", None),
        (counted(20), None, OLD, "hi", None),  # a server that does not tell its window
    ],
)
def test_what_can_be_concluded(
    do: Do, answer: Answer, num_ctx: int | None, version: Answer, prompt: str, truncated: bool | None
) -> None:
    with replaying(chat=answer, ps=loaded(num_ctx), version=version) as replay, telling():
        reply = do(replay.url, "chat", "local_m", prompt)
    assert reply.truncated is truncated
    assert reply.digest == "d1"
    assert replay.requests[0][2]["truncate"] is False


@pytest.mark.parametrize(("counts", "truncated"), [((4000, 97), True), ((4000, 96), None)])
def test_a_window_that_was_asked_for_is_known_to_be_no_wider(do: Do, counts: Any, truncated: bool | None) -> None:
    with replaying(chat=counted(*counts), ps=loaded(None)) as replay, telling():
        assert do(replay.url, "chat", "local_m", LONG, num_ctx=4096).truncated is truncated


def test_the_version_is_asked_for_only_where_something_hangs_on_it(do: Do) -> None:
    with replaying(chat=counted(20), ps=loaded(4096)) as replay:
        do(replay.url, "chat", "local_m", "hi")
        assert replay.aside == []
        do(replay.url, "chat", "local_m", LONG)
        assert replay.aside == ["/api/version"]


def test_truncate_true_is_ollamas_own_way(do: Do) -> None:
    with replaying(chat=counted(2000), ps=loaded(4096), version=NEW) as replay:
        assert do(replay.url, "chat", "local_m", LONG, truncate=True).truncated is None
    assert "truncate" not in replay.requests[0][2]


@pytest.mark.parametrize("server", SERVERS)
def test_recorded_overflows(do: Do, server: str) -> None:
    prompt = recordings(server)["chat_overflow_truncated"]["request"]["body"]["messages"][0]["content"]
    refused = recorded("chat_overflow_truncate_false", server)
    with replaying(chat=refused) as replay, pytest.raises(ContextTooLong) as caught:
        do(replay.url, "chat", "local_tiny", prompt, num_ctx=256)
    newer = server != "v0.24.0"
    assert (caught.value.needed, caught.value.num_ctx) == ((614, 256) if newer else (None, None))
    assert ("num_ctx=1024" if newer else "greater num_ctx") in caught.value.hint
    cut = recorded("chat_overflow_truncated", server)
    with replaying(chat=cut, ps=loaded(64, "tiny:latest")) as replay, telling() as told:
        reply = do(replay.url, "chat", "local_tiny", prompt, truncate=True, num_ctx=64)
    assert reply.truncated is (None if newer else True)
    assert len(told) == (0 if newer else 1)


def test_another_window_is_looked_at_anew() -> None:
    answers = [counted(200), counted(200)]
    with (
        replaying(chat=answers, ps=[loaded(128), loaded(4096)]) as replay,
        Client(replay.url) as client,
        telling(),
    ):
        assert client.chat("local_m", "hi", num_ctx=128).truncated is True
        assert client.chat("local_m", "hi", num_ctx=4096).truncated is False
        assert client.chat("local_m", "hi", num_ctx=4096).truncated is False
    assert [path for _, path, _ in replay.requests].count("/api/ps") == 2


def asked_by(way: str, url: str) -> None:
    async def chat() -> None:
        async with AsyncClient(url) as client:
            await client.chat("local_m", "hi")  # async chat

    async def stream() -> None:
        async with AsyncClient(url) as client:
            async for _ in client.stream("local_m", "hi"):  # async stream
                pass

    with Client(url) as client:
        if way == "chat":
            client.chat("local_m", "hi")  # chat
        elif way == "stream":
            for _ in client.stream("local_m", "hi"):  # stream
                pass
        elif way == "generate":
            client.generate("local_m", "hi")  # generate
        else:
            asyncio.run(chat() if way == "async chat" else stream())


@pytest.mark.parametrize("way", ["chat", "stream", "generate", "async chat", "async stream"])
def test_the_warning_stands_at_the_callers_line(way: str) -> None:
    with replaying(chat=counted(100), generate=counted(100), ps=loaded(64)) as replay, telling() as told:
        asked_by(way, replay.url)
    (warning,) = [each for each in told if each.category is Warned]
    assert "did not fit the context window of 64 tokens" in str(warning.message)
    assert warning.filename == __file__
    assert Path(__file__).read_text(encoding="utf-8").splitlines()[warning.lineno - 1].endswith(f"  # {way}")


def test_events_of_a_ready_question_only_carry_the_note() -> None:
    with replaying(chat=counted(100), ps=loaded(64)) as replay, Client(replay.url) as client:
        events = list(client.events(client.asked("local_m", "hi")))  # a warning would be an error here
    assert len([event for event in events if isinstance(event, Note)]) == 1


def test_a_server_behind_a_proxy_that_lets_only_chats_through(do: Do) -> None:
    page = Answer(("<html>no",), 403, "text/html")
    with replaying(chat=said("a"), ps=page, version=page) as replay:
        reply = do(replay.url, "chat", "local_m", "hi")
    assert (reply.text, reply.truncated, reply.digest) == ("a", None, "")


def test_the_embedded_server(do: Do, server: str, api: httpx.Client) -> None:
    reply = do(server, "chat", "local_tiny", "Why is the sky blue?", num_ctx=256)
    assert reply.truncated is False
    assert re.fullmatch("[0-9a-f]{64}", reply.digest)
    with pytest.raises(ContextTooLong) as caught:
        do(server, "chat", "local_tiny", LONG, num_ctx=256)
    assert caught.value.num_ctx == 256
    assert caught.value.needed is not None
    assert caught.value.needed > 1000
    wanted = int(re.findall(r"num_ctx=(\d+)", caught.value.hint)[0])
    assert wanted >= caught.value.needed
    assert do(server, "chat", "local_tiny", "word " * 300, num_ctx=1024, num_predict=5).truncated is False
    turns = [Message("user", "word " * 100), Message("assistant", "yes"), Message("user", "Hello")] * 3
    with telling():
        assert do(server, "chat", "local_tiny", turns, num_ctx=256, truncate=True, num_predict=5).truncated is not False


def test_an_answer_that_runs_past_the_window(do: Do, server: str, api: httpx.Client) -> None:
    endless = {"type": "array", "items": {"enum": ["again and again"]}, "minItems": 60}
    how = {"format": endless, "num_ctx": 128, "num_predict": 200, "temperature": 0}
    with telling() as told, pytest.raises(BadAnswer) as caught:  # what is cut off is no JSON
        do(server, "chat", "local_tiny", "Hi", **how)
    reply = caught.value.reply
    assert reply is not None
    assert reply.stats.eval_count is not None
    assert reply.stats.eval_count > 100
    assert reply.truncated is True
    assert any("context window of 128 tokens" in str(each.message) for each in told)
