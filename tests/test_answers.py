"""Answers that are recorded and replayed, for both clients: the embedded engine, a cloud, and nobody behind them."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import numpy
import pytest
from msgspec.structs import replace

import acagent_nb
from acagent_nb import AsyncClient, BadParams, Client, NotRecorded, Reply, Text, TimedOut
from acagent_nb.talking import Talk
from tests.clients import Do
from tests.openai_like import document, openai_like, piece, stream
from tests.replay import recorded, replaying, said
from tests.taping import CALLED, KEY, NOBODY, SKY, add, get_weather, lines, others, unmarked

pytestmark = pytest.mark.usefixtures("unrecorded")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


WIRES = ("chat_unicode_stream", "thinking_stream", "thinking_then_two_tool_calls_stream", "tool_call_after_talk_stream")
CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "chat": ("chat", ("local_tiny", SKY), {"temperature": 0.9}),
    "stream": ("stream", ("local_tiny", "What is a token?"), {}),
    "json": ("chat", ("local_tiny", "Extract name and age as JSON: Anna is 31 years old."), {"format": "json"}),
    "thinking": ("stream", ("local_tiny:skills", "Is a spider an insect?"), {"think": True, "seed": 3}),
    "generate": ("generate", ("local_tiny", "Why is"), {"raw": True, "num_predict": 5}),
    "embed": ("embed", ("local_tiny", ["a", "b"]), {}),
    "no text": ("embed", ("local_tiny", []), {}),
    "models": ("models", (), {}),
    "running": ("running", (), {}),
    "version": ("version", (), {}),
    "show": ("show", ("local_tiny",), {}),
    "pull": ("pull", ("local_tiny",), {}),
    "create": ("create", ("local_mine",), {"from_model": "local_tiny", "system": "Be brief."}),
    "copy": ("copy", ("local_tiny", "local_other"), {}),
    "delete": ("delete", ("local_other",), {}),
    "load": ("load", ("local_tiny",), {"num_ctx": 512}),
    "unload": ("unload", ("local_tiny",), {}),
    "ping": ("ping", (), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_replayed_without_a_server(do: Do, name: str, file: Path, server: str, api: httpx.Client) -> None:
    method, arguments, how = CALLS[name]
    if name == "delete":
        api.post("/api/copy", json={"source": "tiny", "destination": "other"})
    with acagent_nb.record(file):
        live = do(server, method, *arguments, **how)
    with acagent_nb.replay(file):
        again = do(NOBODY, method, *arguments, **how)
    if method == "embed":
        assert again.dtype == numpy.float32
        assert numpy.array_equal(live, again)
    elif method in ("pull", "create"):
        steps = [step.status for step in live]
        assert [step.status for step in again] == list(dict.fromkeys(steps)), "of each step how far it came in the end"
        assert again[-1] == live[-1]
    elif method == "show":
        assert again.modelfile == re.sub("FROM /.*/sha256", "FROM sha256", live.modelfile), "not where it lies there"
        assert replace(again, modelfile="") == replace(live, modelfile="")
    else:
        assert unmarked(again) == live
    if method in ("chat", "generate"):
        assert again.replayed
        assert not live.replayed
        assert again.digest == live.digest == lines(file)[0]["digest"]


def test_without_a_recording_a_flow_is_what_it_was() -> None:
    talk = Talk({})
    for flow in (talk.models(), talk.version(), talk.answer(talk.asked("local_tiny", SKY, {}), True)):
        assert flow.gi_code.co_filename.endswith(("library.py", "ollama.py"))


def test_functions_run_in_a_replay_and_each_round_is_a_line(do: Do, file: Path, server: str, api: httpx.Client) -> None:
    ask = ("chat", "local_tiny:skills", "What is the weather in Rome?")
    how = {"tools": [get_weather, add, *others()], "seed": 1, "temperature": 0}
    CALLED.clear()
    with acagent_nb.record(file):
        live = do(server, *ask, **how)
    assert CALLED == ["Rome"]
    assert [line["kind"] for line in lines(file)] == ["chat", "chat"]
    with acagent_nb.replay(file):
        again = do(NOBODY, *ask, **how)
    assert CALLED == ["Rome", "Rome"]
    assert unmarked(again) == live
    assert again.replayed


def test_many_at_once(file: Path, server: str, api: httpx.Client) -> None:
    async def ask(url: str) -> list[Reply]:
        async with AsyncClient(url) as client:
            haiku = (client.chat("local_tiny", "Write a haiku about the sea.", temperature=0.9) for _ in range(6))
            sums = (client.chat("local_tiny", f"What is {n} + 2?") for n in range(6))
            return await asyncio.gather(*haiku, *sums)

    with acagent_nb.record(file):
        live = asyncio.run(ask(server))
    assert sorted(line["n"] for line in lines(file)) == [1] * 7 + [2, 3, 4, 5, 6]
    with acagent_nb.replay(file):
        again = asyncio.run(ask(NOBODY))
    assert sorted(each.text for each in again[:6]) == sorted(each.text for each in live[:6])
    assert [each.text for each in again[6:]] == [each.text for each in live[6:]]
    with acagent_nb.replay(file):  # counts anew
        assert len(asyncio.run(ask(NOBODY))) == 12


def test_threads_count_together(file: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    texts = [f"answer {n}" for n in range(8)]
    server, use = replaying(chat=[said(text) for text in texts]), acagent_nb.record(file)
    with server as there, use, Client(there.url) as client, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: client.chat("local_m", "Hi"), texts))
    assert sorted(line["n"] for line in lines(file)) == [*range(1, 9)]
    with acagent_nb.replay(file), Client(NOBODY) as client, ThreadPoolExecutor(8) as threads:
        again = list(threads.map(lambda _: client.chat("local_m", "Hi").text, texts))
    assert sorted(again) == texts


def test_a_cloud_model_without_its_key(do: Do, file: Path) -> None:
    ask = ("stream", "gpt-4o-mini", "Hello")
    told = stream(piece(content="Hel"), piece(content="lo."), piece("stop"))
    with openai_like(told) as seen, acagent_nb.record(file):
        live = do(None, *ask, client={"base_url": seen.url, "api_key": KEY})
    with acagent_nb.replay(file):
        assert unmarked(do(None, *ask)) == live
        with pytest.raises(NotRecorded, match="chat with gpt-4o-mini"):
            do(None, "chat", "gpt-4o-mini", "Hello!")
    assert lines(file)[0]["model"] == "gpt-4o-mini"


def test_a_cloud_models_tools_and_vectors(do: Do, file: Path) -> None:
    call = {"index": 0, "id": "call_8Xz", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
    told = [stream(piece(tool_calls=[call]), piece("tool_calls")), stream(piece(content="4"), piece("stop"))]
    vector = base64.b64encode(numpy.array([0.6, 0.8], "<f4").tobytes()).decode()
    told.append(document({"data": [{"embedding": vector, "index": 0}]}))
    CALLED.clear()

    def ask(client: dict[str, Any]) -> Any:
        reply = do(None, "chat", "gpt-4o-mini", "What is 2 + 2?", tools=[add], client=client)
        return unmarked(reply), do(None, "embed", "text-embedding-3-small", "a", client=client)

    with openai_like(*told) as seen, acagent_nb.record(file):
        live, vectors = ask({"base_url": seen.url, "api_key": KEY})
    assert len(lines(file)) == 3
    with acagent_nb.replay(file):
        again, kept = ask({})
    assert again == live
    assert kept.tolist() == vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    assert CALLED == [(2, 2), (2, 2)]


@pytest.mark.parametrize("case", WIRES)
def test_recorded_wires_come_back_exactly(do: Do, case: str, file: Path) -> None:
    with replaying(chat=recorded(case)) as there, acagent_nb.record(file):
        live = do(there.url, "stream", "local_m", "Hi")
    with acagent_nb.replay(file):
        assert unmarked(do(NOBODY, "stream", "local_m", "Hi")) == live


def test_a_server_says_the_same_as_often_as_it_is_asked(do: Do, file: Path, server: str, api: httpx.Client) -> None:
    with acagent_nb.record(file):
        do(server, "version")
        do(server, "chat", "local_tiny", SKY, seed=1)
    with acagent_nb.replay(file) as tape:
        assert {do(NOBODY, "version").version for _ in range(3)} == {
            lines(file)[0]["events"][0][1]["version"]["version"]
        }
        assert len({do(NOBODY, "chat", "local_tiny", SKY, seed=1).text for _ in range(3)}) == 1
        assert str(tape) == f"Answers are replayed from {file}: 6 so far."


def test_the_recorded_pace(do: Do, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with replaying(chat=said("a", "b", "c", pause=0.1)) as there, acagent_nb.record(file):
        live = do(there.url, "stream", "local_m", "Hi")
    took = {}
    with caplog.at_level(logging.DEBUG, "acagent_nb"):
        for pace in (0, 1, 2):
            with acagent_nb.replay(file, pace=pace):
                began = time.monotonic()
                again = do(NOBODY, "stream", "local_m", "Hi")
                took[pace] = time.monotonic() - began
            assert unmarked(again) == live
            assert again[-1].seconds >= 0.35
            assert 0.08 <= again[-1].first_seconds < again[-1].seconds
    assert took[1] >= 0.35
    assert took[2] >= 0.17
    assert took[0] < took[1]
    assert not [record for record in caplog.records if "pause" in record.getMessage()]


def test_a_replay_can_be_left_and_has_its_time(file: Path) -> None:
    with replaying(chat=said("a", "b", pause=0.2)) as there, acagent_nb.record(file), Client(there.url) as client:
        client.chat("local_m", "Hi", seed=1)
    with acagent_nb.replay(file, pace=0.01), Client(NOBODY) as client:
        with pytest.raises(TimedOut):
            client.chat("local_m", "Hi", seed=1, timeout=0.2)

        async def left() -> float:
            began = time.monotonic()
            async with AsyncClient(NOBODY) as asking, aclosing(asking.stream("local_m", "Hi", seed=1)) as events:
                task = asyncio.create_task(anext(events))  # type: ignore[arg-type]  # a coroutine, says typeshed not
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            return time.monotonic() - began

        assert asyncio.run(left()) < 10  # of 20 seconds


@pytest.mark.parametrize("pace", [-1, "fast", True, float("nan")])
def test_a_pace_that_is_none(file: Path, pace: Any) -> None:
    file.touch()
    with pytest.raises(BadParams, match="pace"):
        acagent_nb.replay(file, pace=pace)


def test_neither_keep_alive_nor_a_timeout_nor_the_spelling_of_a_name_matters(do: Do, file: Path) -> None:
    with replaying(chat=said("Hello.")) as there, acagent_nb.record(file):
        do(there.url, "chat", "local_Tiny:latest", "Hi", keep_alive="5m", timeout=60)
    with acagent_nb.replay(file):
        assert do(NOBODY, "chat", "local_tiny", "Hi").text == "Hello."


def test_text_events_have_the_pieces_of_the_recording(file: Path) -> None:
    with replaying(chat=said("Ça ", "va 🙂", "?")) as there, acagent_nb.record(file), Client(there.url) as client:
        client.chat("local_m", "Hi")
    with acagent_nb.replay(file), Client(NOBODY) as client:
        assert list(client.stream("local_m", "Hi"))[:3] == [Text("Ça "), Text("va 🙂"), Text("?")]
