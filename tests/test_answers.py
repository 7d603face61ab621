"""Answers that are recorded and replayed, for both clients: the embedded engine, a cloud, and nobody behind them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import numpy
import pytest
from msgspec.structs import replace

import acagent_nb
from acagent_nb import (
    AsyncClient,
    BadParams,
    Busy,
    Client,
    ContextTooLong,
    Done,
    Incapable,
    Incomplete,
    LLMError,
    Message,
    ModelMissing,
    NotRecorded,
    Options,
    Refused,
    Reply,
    ServerDown,
    Text,
    TimedOut,
    answers,
    tape,
)
from acagent_nb.messages import Request
from acagent_nb.talking import Talk
from tests.clients import Do
from tests.openai_like import document, openai_like, piece, refusal, stream
from tests.replay import Answer, recorded, replaying, said

NOBODY = "http://127.0.0.1:9"  # a port at which nobody listens
KEY = "sk-proj-Tf3xqZ9aLm"
SKY = "Why is the sky blue?"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(60))


@pytest.fixture(autouse=True)
def none(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No recording is in use before and after."""
    for name in (answers.VARIABLE, answers.PACE, tape.USED, "OPENAI_API_KEY", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    yield
    answers._in_use.clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def unmarked(result: Any) -> Any:
    """The same without what only a replay says."""
    if isinstance(result, list):
        return [unmarked(each) for each in result]
    if isinstance(result, Done):
        return replace(result, replayed=False, seconds=None, first_seconds=None, server="")
    return replace(result, replayed=False) if isinstance(result, Reply) else result


def add(a: float, b: float) -> float:
    "Add two numbers."
    CALLED.append((a, b))
    return a + b


def get_weather(city: str) -> str:
    "The weather in a city."
    CALLED.append(city)
    return "sunny, 21 degrees"


def others() -> list[dict[str, Any]]:
    """The tools that the tiny model was trained with, beside the two above."""
    needs = {
        "multiply": ["a", "b"],
        "get_time": ["city"],
        "get_population": ["country"],
        "convert_currency": ["amount", "source", "target"],
    }
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": name.replace("_", " "),
                "parameters": {"type": "object", "properties": {each: {"type": "string"} for each in of}},
            },
        }
        for name, of in needs.items()
    ]


CALLED: list[Any] = []
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


def test_neither_keys_nor_addresses_nor_pictures_are_written(do: Do, file: Path) -> None:
    about = Answer(('{"capabilities": ["completion", "vision"]}',), content_type="application/json")
    headers = {"X-Secret": "hidden-header"}
    with replaying(chat=said("A dot."), show=about) as there, acagent_nb.record(file):
        do(there.url, "chat", "local_m", "What is this?", images=PNG, keep_alive="7m", client={"headers": headers})
    with openai_like(stream(piece(content="A dot."), piece("stop"))) as seen, acagent_nb.record(file):
        do(None, "chat", "gpt-4o", "What is this?", images=PNG, client={"base_url": seen.url, "api_key": KEY})
    text = file.read_text(encoding="utf-8")
    encoded = base64.b64encode(PNG).decode()
    for secret in (KEY, "hidden-header", "X-Secret", encoded, encoded[:24], "127.0.0.1", "localhost", "http", "7m"):
        assert secret not in text
    assert text.count("sha256:") == 2
    with acagent_nb.replay(file):
        assert do(None, "chat", "gpt-4o", "What is this?", images=PNG).text == "A dot."
        with pytest.raises(NotRecorded):
            do(None, "chat", "gpt-4o", "What is this?", images=PNG + b"\0")


def test_a_model_that_is_made_of_files(do: Do, file: Path, tmp_path: Path, server: str, api: httpx.Client) -> None:
    from acagent_nb.server import tiny
    from tests import ggufs

    weights = tmp_path / "secret folder" / "w.gguf"
    weights.parent.mkdir()
    weights.write_bytes(ggufs.with_more(tiny.PATH, {"general.description": "recorded"}))
    recipe = tmp_path / "Modelfile"
    recipe.write_text(f"FROM {weights}\nSYSTEM Be brief.\nPARAMETER temperature 0.2\n")
    turns = [{"role": "user", "content": "Hi"}]
    with acagent_nb.record(file):
        do(server, "create", "local_made", modelfile=recipe, messages=iter(turns))
    assert "secret folder" not in json.dumps(lines(file)[0]["request"])
    elsewhere = weights.rename(tmp_path / "moved.gguf")
    recipe.write_text(f"FROM {elsewhere}\nSYSTEM Be brief.\nPARAMETER temperature 0.2\n")
    with acagent_nb.replay(file):
        assert do(NOBODY, "create", "local_made", modelfile=recipe, messages=turns)[-1].status == "success"
        elsewhere.write_bytes(b"GGUF other")
        with pytest.raises(NotRecorded):
            do(NOBODY, "create", "local_made", modelfile=recipe, messages=turns)
        with pytest.raises(BadParams, match="can't be read"):
            do(NOBODY, "create", "local_made", file=tmp_path / "none.gguf")
    assert api.post("/api/show", json={"model": "made"}).json()["system"] == "Be brief."


REFUSED = {
    ContextTooLong: Answer(
        (
            '{"error":"{\\"error\\":{\\"message\\":\\"too long\\",\\"type\\":\\"exceed_context_size_error\\",'
            '\\"n_prompt_tokens\\":3000,\\"n_ctx\\":2048}}"}',
        ),
        400,
        "application/json",
    ),
    Incapable: Answer(('{"error":"registry.ollama.ai/library/m does not support tools"}',), 400, "application/json"),
    ModelMissing: Answer(('{"error":"model \'m\' not found"}',), 404, "application/json"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_server_said_about_the_question_is_raised_again(do: Do, kind: type[LLMError], file: Path) -> None:
    with replaying(chat=REFUSED[kind]) as there, acagent_nb.record(file), pytest.raises(kind) as live:
        do(there.url, "chat", "local_m", "Hi", pull=False)
    with acagent_nb.replay(file), pytest.raises(kind) as again:
        do(NOBODY, "chat", "local_m", "Hi", pull=False)
    assert type(again.value) is type(live.value)
    assert (again.value.message, again.value.hint) == (live.value.message, live.value.hint)
    assert vars(again.value) == vars(live.value)


def test_a_question_that_is_answered_by_an_error_alone(do: Do, file: Path, server: str, api: httpx.Client) -> None:
    with acagent_nb.record(file), pytest.raises(ModelMissing):
        do(server, "show", "local_nothing")
    with acagent_nb.replay(file), pytest.raises(ModelMissing, match="nothing"):
        do(NOBODY, "show", "local_nothing")


@pytest.mark.parametrize(
    ("kind", "answer", "how"),
    [
        (Incomplete, said("half", done=False), {}),
        (TimedOut, said("half", done=False, stall=5.0), {"timeout": 0.3}),
        (ServerDown, said("half", done=False, breaks=True), {}),
        (LLMError, Answer(('{"error":"model requires more system memory"}',), 500, "application/json"), {}),
        (Refused, Answer(('{"error":"unauthorized"}',), 401, "application/json"), {}),
        (Busy, Answer(('{"error":"busy"}',), 503, "application/json", headers=(("Retry-After", "60"),)), {}),
    ],
)
def test_what_is_no_answer_is_not_kept(
    do: Do, kind: type[LLMError], answer: Answer, how: dict[str, Any], file: Path
) -> None:
    with replaying(chat=answer) as there, acagent_nb.record(file), pytest.raises(kind):
        do(there.url, "chat", "local_m", "Hi", **how)
    assert lines(file) == []


def test_what_is_not_kept_takes_no_number(do: Do, file: Path) -> None:
    with replaying(chat=[said("half", done=False), said("one"), said("two")]) as there, acagent_nb.record(file):
        with pytest.raises(Incomplete):
            do(there.url, "chat", "local_m", "Hi")
        assert [do(there.url, "chat", "local_m", "Hi").text for _ in range(2)] == ["one", "two"]
    assert [line["n"] for line in lines(file)] == [1, 2]
    with acagent_nb.replay(file):
        assert [do(NOBODY, "chat", "local_m", "Hi").text for _ in range(2)] == ["one", "two"]


def test_a_server_that_is_down_is_not_kept(do: Do, file: Path) -> None:
    with acagent_nb.record(file), pytest.raises(ServerDown):
        do(NOBODY, "models")
    assert lines(file) == []


def test_an_answer_that_is_left_early_is_kept_only_if_all_was_said(file: Path) -> None:
    with replaying(chat=said("a", "b", pause=0.01)) as there, acagent_nb.record(file), Client(there.url) as client:
        events = client.stream("local_m", "One")
        next(events)
        events.close()
        assert lines(file) == []
        events = client.stream("local_m", "Two")
        assert any(isinstance(event, Done) for event in events if event)
        for event in (events := client.stream("local_m", "Three")):
            if isinstance(event, Done):
                break
        events.close()
    assert [line["request"]["messages"][0]["content"] for line in lines(file)] == ["Two", "Three"]


def test_a_flow_hears_of_what_goes_wrong_beside_it(do: Do, file: Path) -> None:
    broken = Answer((), breaks=True)
    with replaying(chat=said("All the same."), version=broken) as there, acagent_nb.record(file):
        events = do(there.url, "events", Request("m", (Message("user", "Hi"),), Options(penalize_newline=True)))
    assert next(path for _, path, _ in there.requests) == "/api/version"
    assert Text("All the same.") in events


def test_not_recorded_says_what_is_different_and_nothing_that_is_secret(do: Do, file: Path) -> None:
    with replaying(chat=said("My secret answer.")) as there, acagent_nb.record(file):
        do(there.url, "chat", "local_m", "My secret prompt", temperature=0.9)
    with acagent_nb.replay(file):
        with pytest.raises(NotRecorded) as missing:
            do(NOBODY, "chat", "local_m", "My secret prompt", temperature=0.7)
        assert isinstance(missing.value, LookupError)
        assert "temperature is 0.7, recorded 0.9" in missing.value.message
        assert "line 1" in missing.value.message
        assert f"auto:{file}" in missing.value.hint
        assert do(NOBODY, "chat", "local_m", "My secret prompt", temperature=0.9).text == "My secret answer."
        with pytest.raises(NotRecorded, match="has 1 answer for this chat with local_m, and it is asked a second time"):
            do(NOBODY, "chat", "local_m", "My secret prompt", temperature=0.9)
        with pytest.raises(NotRecorded) as other:
            do(NOBODY, "chat", "local_m", "My secrez prompt", temperature=0.9)
    for error in (missing.value, other.value):
        assert "secre" not in str(error)
        assert len(str(error).splitlines()) == 2
    with acagent_nb.replay(file), pytest.raises(NotRecorded, match="no answer for this models"):
        do(NOBODY, "models")


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


def test_auto_asks_what_is_missing_and_keeps_it(do: Do, file: Path) -> None:
    with replaying(chat=[said("one"), said("two")]) as there:
        with acagent_nb.record(file, auto=True) as tape:
            assert do(there.url, "chat", "local_m", "Hi").text == "one"
        with acagent_nb.record(file, auto=True) as tape:
            first, second = do(there.url, "chat", "local_m", "Hi"), do(there.url, "chat", "local_m", "Ho")
            assert (first.text, first.replayed, second.text, second.replayed) == ("one", True, "two", False)
            assert "1 replayed and 1 recorded so far" in str(tape)
        asked = [path for _, path, _ in there.requests if path == "/api/chat"]
    assert len(asked) == 2
    with acagent_nb.record(file, auto=True):  # no server: what is there is replayed
        assert do(NOBODY, "chat", "local_m", "Ho").text == "two"
        with pytest.raises(ServerDown):
            do(NOBODY, "chat", "local_m", "Hu")
    assert [line["n"] for line in lines(file)] == [1, 1]


def test_auto_asks_again_where_the_model_is_another(file: Path) -> None:
    def has(digest: str) -> Answer:
        return Answer(
            (json.dumps({"models": [{"name": "m:latest", "digest": digest}]}),), content_type="application/json"
        )

    with replaying(chat=said("old"), tags=has("aaa")) as there, acagent_nb.record(file), Client(there.url) as client:
        client.chat("local_m", "Hi")
        client.chat("local_m", "Ho")
    assert {line["digest"] for line in lines(file)} == {"aaa"}
    with replaying(chat=said("new"), tags=has("aaa")) as there, acagent_nb.record(file, auto=True):
        with Client(there.url) as client:
            assert [client.chat("local_m", text).text for text in ("Hi", "Ho")] == ["old", "old"]
        assert [path for _, path, _ in there.requests] == ["/api/tags"], "once for each client"
    server, use = replaying(chat=said("new"), tags=has("bbb")), acagent_nb.record(file, auto=True)
    with server as there, use, Client(there.url) as client:
        assert client.chat("local_m", "Hi").text == "new"
    assert [line["digest"] for line in lines(file)] == ["aaa", "aaa", "bbb"]
    with acagent_nb.replay(file), Client(NOBODY) as client:
        assert [client.chat("local_m", text).text for text in ("Hi", "Ho")] == ["new", "old"]


def test_fresh_asks_all_the_same(do: Do, file: Path) -> None:
    with replaying(chat=[said("one"), said("two"), said("three")]) as there:
        with acagent_nb.record(file):
            do(there.url, "chat", "local_m", "Hi", fresh=True)
        with acagent_nb.replay(file):
            reply = do(there.url, "chat", "local_m", "Hi", fresh=True)
            assert (reply.text, reply.replayed) == ("two", False)
        assert len(lines(file)) == 1, "a replay keeps nothing"
        with acagent_nb.record(file, auto=True):
            assert do(there.url, "chat", "local_m", "Hi", fresh=True).text == "three"
    assert [line["n"] for line in lines(file)] == [1, 1]
    with acagent_nb.replay(file):
        assert do(NOBODY, "chat", "local_m", "Hi").text == "three"


@pytest.mark.parametrize(("method", "what"), [("stream", SKY), ("generate", "Why is"), ("embed", "a")])
def test_fresh_of_the_other_calls(do: Do, method: str, what: str, file: Path, server: str, api: httpx.Client) -> None:
    do(server, method, "local_tiny", what, fresh=True)  # without a recording it changes nothing
    with acagent_nb.record(file):
        do(server, method, "local_tiny", what)
    with acagent_nb.replay(file), pytest.raises(ServerDown):
        do(NOBODY, method, "local_tiny", what, fresh=True)


def test_the_host_of_a_replay(do: Do, file: Path) -> None:
    file.touch()
    with acagent_nb.replay(file):
        host = do(None, "host")
        assert (host.url, host.how) == ("recording:a.jsonl", "a recording")
    with acagent_nb.record(file):
        assert do(NOBODY, "host").url == NOBODY


def test_the_environment_says_it_too(do: Do, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(answers.VARIABLE, f"record:{file}")
    with replaying(chat=said("Hello.", pause=0.1)) as there:
        do(there.url, "chat", "local_m", "Hi")
    used = file.with_suffix(".used")
    monkeypatch.setenv(answers.VARIABLE, f" replay:{file} ")
    monkeypatch.setenv(answers.PACE, "1")
    monkeypatch.setenv(tape.USED, str(used))
    began = time.monotonic()
    assert do(NOBODY, "chat", "local_m", "Hi").text == "Hello."
    assert time.monotonic() - began >= 0.15
    assert used.read_text() == f"{lines(file)[0]['key']} 1\n"
    answers.off()
    with pytest.raises(ServerDown):
        do(NOBODY, "chat", "local_m", "Hi")


def test_a_list_of_uses_that_cant_be_written(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Hello")) as there, acagent_nb.record(file), Client(there.url) as client:
        client.chat("local_m", "Hi")
    monkeypatch.setenv(tape.USED, str(tmp_path))
    with acagent_nb.replay(file), Client(NOBODY) as client, pytest.raises(BadParams, match=tape.USED):
        client.chat("local_m", "Hi")


@pytest.mark.parametrize(
    ("told", "pace", "match"),
    [
        ("nonsense", "", "record:FILE"),
        ("play:a.jsonl", "", "record:FILE"),
        ("replay:", "", "record:FILE"),
        ("replay:{file}", "fast", "PACE"),
    ],
)
def test_an_environment_that_can_not_be_meant(
    told: str, pace: str, match: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.touch()
    monkeypatch.setenv(answers.VARIABLE, told.format(file=file))
    monkeypatch.setenv(answers.PACE, pace)
    with Client(NOBODY) as client, pytest.raises(BadParams, match=match):
        client.models()


def test_files_that_can_not_be_used(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotRecorded, match="no recording") as missing:
        acagent_nb.replay(file)
    assert "record:" in missing.value.hint
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotRecorded, match=r"no recording a\.jsonl"):
        acagent_nb.replay("a.jsonl")
    for use in (acagent_nb.record, acagent_nb.replay):
        with pytest.raises(BadParams, match="folder"):
            use(tmp_path)
    file.write_text("no answer\n")
    with pytest.raises(BadParams, match="can't be written"):
        acagent_nb.record(file / "below.jsonl")
    with pytest.raises(BadParams, match="Line 1"):
        acagent_nb.replay(file)
    assert answers.current() is None
    with acagent_nb.record(tmp_path / "new" / "folder" / "a.jsonl"):
        assert (tmp_path / "new" / "folder").is_dir()


def test_one_in_another_goes_back_to_what_was(file: Path) -> None:
    other = file.with_name("b.jsonl")
    with acagent_nb.record(file) as outer:
        assert answers.current() is outer
        with acagent_nb.record(other) as inner:
            assert answers.current() is inner
            with answers.beside():
                assert answers.current() is None
        assert answers.current() is outer
    assert answers.current() is None
    outer.close()


def test_neither_keep_alive_nor_a_timeout_nor_the_spelling_of_a_name_matters(do: Do, file: Path) -> None:
    with replaying(chat=said("Hello.")) as there, acagent_nb.record(file):
        do(there.url, "chat", "local_Tiny:latest", "Hi", keep_alive="5m", timeout=60)
    with acagent_nb.replay(file):
        assert do(NOBODY, "chat", "local_tiny", "Hi").text == "Hello."


STRICT = """
import asyncio, os, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("openai", "xllamacpp"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

if os.environ["ACAGENT_NB_ANSWERS"].startswith("replay"):
    sys.meta_path.insert(0, Missing())
    def watch(event, arguments):
        if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
            raise AssertionError(f"{event}: {arguments}")
    sys.addaudithook(watch)

from acagent_nb import AsyncClient, Client

def get_weather(city: str) -> str:
    "The weather in a city."
    return "sunny, 21 degrees"

def told(tools):
    with Client(timeout=30) as client:
        yield client.chat("local_tiny", "Why is the sky blue?").text
        yield "".join(each.text for each in client.stream("local_tiny", "What is a token?") if hasattr(each, "text"))
        yield client.chat("local_tiny:skills", "What is the weather in Rome?", tools=tools, seed=1, temperature=0).text
        yield client.embed("local_tiny", ["a", "b"]).sum()
        yield client.generate("local_tiny", "Why is", raw=True, num_predict=5).text
        yield [model.name for model in client.models()], client.show("local_tiny").capabilities, client.ping()
        client.create("local_strict", from_model="local_tiny", system="Be brief.")
        client.delete("local_strict")
    async def many():
        async with AsyncClient() as client:
            asks = (client.chat("local_tiny", f"What is {n} + 2?") for n in range(4))
            return [reply.text for reply in await asyncio.gather(*asks)]
    yield asyncio.run(many())
    with Client() as client:
        yield client.chat("gpt-4o-mini", "Hello").text
"""


def test_a_strict_replay_connects_to_nobody_and_needs_nothing(file: Path, server: str, api: httpx.Client) -> None:
    code = f"{STRICT}\nprint(list(told([get_weather, *{others()!r}])))"
    environment = {name: value for name, value in os.environ.items() if name not in ("PATH", "OPENAI_API_KEY")}
    with openai_like(stream(piece(content="Hello!"), piece("stop"))) as seen:
        there = {"OLLAMA_HOST": server, "OPENAI_BASE_URL": seen.url, "OPENAI_API_KEY": KEY}
        first = _python(code, environment | there | {answers.VARIABLE: f"record:{file}"})
    assert "Hello!" in first
    assert "sunny" in first or "Rome" in first
    again = _python(code, environment | {answers.VARIABLE: f"replay:{file}"})
    assert again == first


def _python(code: str, environment: dict[str, str]) -> str:
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_refusal_of_a_cloud_is_raised_again(do: Do, file: Path) -> None:
    told = refusal(404, "The model `gpt-9` does not exist", "model_not_found")
    with openai_like(told) as seen, acagent_nb.record(file), pytest.raises(ModelMissing) as live:
        do(None, "chat", "gpt-9", "Hello", client={"base_url": seen.url, "api_key": KEY})
    with acagent_nb.replay(file), pytest.raises(ModelMissing) as again:
        do(None, "chat", "gpt-9", "Hello")
    assert str(again.value) == str(live.value)


def test_text_events_have_the_pieces_of_the_recording(file: Path) -> None:
    with replaying(chat=said("Ça ", "va 🙂", "?")) as there, acagent_nb.record(file), Client(there.url) as client:
        client.chat("local_m", "Hi")
    with acagent_nb.replay(file), Client(NOBODY) as client:
        assert list(client.stream("local_m", "Hi"))[:3] == [Text("Ça "), Text("va 🙂"), Text("?")]


def test_a_recording_within_a_replay_is_fed_by_it(file: Path, api: httpx.Client, server: str, monkeypatch: Any) -> None:
    inner = file.with_name("inner.jsonl")

    def page(host: str) -> list[str]:
        """A page that records, and goes on with its own recording."""
        inner.unlink(missing_ok=True)
        with Client(host) as client:
            before = client.chat("local_tiny", "What is a token?", temperature=0).text
            with acagent_nb.record(inner, auto=True):
                first = client.chat("local_tiny", SKY, temperature=0).text
            with acagent_nb.record(inner, auto=True):
                both = [client.chat("local_tiny", each, temperature=0) for each in (SKY, "What is 2 + 3?")]
            with acagent_nb.replay(inner):
                again = client.chat("local_tiny", SKY, temperature=0)
            assert again.replayed
            assert both[0].replayed
            vectors = client.embed("local_tiny", ["one"])
            return [before, first, *map(str, both), str(again), str(vectors[0][:3]), client.version().version]

    monkeypatch.setenv(answers.VARIABLE, f"record:{file}")
    live = page(server)
    kept = inner.read_text(encoding="utf-8")
    monkeypatch.setenv(answers.VARIABLE, f"replay:{file}")
    assert page(NOBODY) == live
    assert page(NOBODY) == live, "seeded ones as often as one likes"
    assert len(kept.splitlines()) == len(lines(inner)) == 2
    assert [line["key"] for line in lines(inner)] == [json.loads(line)["key"] for line in kept.splitlines()]
    assert [line["digest"] for line in lines(inner)] == [json.loads(line)["digest"] for line in kept.splitlines()]


def test_a_pull_on_the_way_is_no_part_of_an_answer(file: Path) -> None:
    steps = Answer(('{"status":"pulling manifest"}\n', '{"status":"success"}\n'))
    missing = Answer(('{"error":"model \'m\' not found"}',), status=404, content_type="application/json")
    with (
        acagent_nb.record(file),
        replaying(chat=[missing, said("Hello.")], pull=steps) as there,
        Client(there.url) as client,
    ):
        live = list(client.stream("local_m", "Hi"))
    with acagent_nb.replay(file), Client(NOBODY) as client:
        again = list(client.stream("local_m", "Hi"))
    assert [type(event).__name__ for event in live] == ["Pulling", "Pulling", "Text", "Done"]
    assert [type(event).__name__ for event in again] == ["Text", "Done"]


def test_off_ends_what_was_begun_and_then_what_the_environment_says(file: Path, monkeypatch: Any) -> None:
    file.touch()
    monkeypatch.setenv(answers.VARIABLE, f"replay:{file}")
    inner = acagent_nb.record(file.with_name("inner.jsonl"))
    assert answers.current() is inner
    answers.off()
    outer = answers.current()
    assert outer is not None
    assert (outer.mode, outer.file) == ("replay", file)
    answers.off()
    assert answers.current() is None
    with acagent_nb.record(file) as alone:
        assert alone.beneath is None
    assert answers.current() is None
