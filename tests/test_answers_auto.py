"""Replayed where it is known, else asked; and one recording within another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import acagent_nb
from acagent_nb import Client, ServerDown
from acagent_nb.modes import VARIABLE
from tests.clients import Do
from tests.replay import Answer, replaying, said
from tests.taping import NOBODY, SKY, lines

pytestmark = pytest.mark.usefixtures("unrecorded")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


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


def has(digest: str) -> Answer:
    """A list of one model in this version."""
    return Answer((json.dumps({"models": [{"name": "m:latest", "digest": digest}]}),), content_type="application/json")


def test_auto_asks_again_where_the_model_is_another(file: Path) -> None:
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


def test_auto_replays_where_the_server_goes_while_it_is_asked_for_its_models(do: Do, file: Path) -> None:
    with replaying(chat=said("old"), tags=has("aaa")) as there, acagent_nb.record(file):
        do(there.url, "chat", "local_m", "Hi")
    with replaying(tags=Answer(("{",), breaks=True)) as there, acagent_nb.record(file, auto=True):
        assert do(there.url, "chat", "local_m", "Hi").text == "old"
    with replaying(chat=said("new"), tags=Answer(("{",), breaks=True)) as there, acagent_nb.record(file, auto=True):
        assert do(there.url, "chat", "local_m", "Ho").text == "new"
    assert [line.get("digest", "") for line in lines(file)] == ["aaa", ""]


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

    monkeypatch.setenv(VARIABLE, f"record:{file}")
    live = page(server)
    kept = inner.read_text(encoding="utf-8")
    monkeypatch.setenv(VARIABLE, f"replay:{file}")
    assert page(NOBODY) == live
    assert page(NOBODY) == live, "seeded ones as often as one likes"
    assert len(kept.splitlines()) == len(lines(inner)) == 2
    assert [line["key"] for line in lines(inner)] == [json.loads(line)["key"] for line in kept.splitlines()]
    assert [line["digest"] for line in lines(inner)] == [json.loads(line)["digest"] for line in kept.splitlines()]


def test_within_a_replay_a_model_is_another_where_it_was_another(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = file.with_name("inner.jsonl")

    def page(host: str, *texts: str) -> list[str]:
        with acagent_nb.record(inner, auto=True), Client(host) as client:
            return [client.chat("local_m", text, seed=1).text for text in texts]

    with replaying(chat=said("old"), tags=has("aaa")) as there:
        assert page(there.url, "Hi", "Ho") == ["old", "old"]
    before = inner.read_bytes()
    monkeypatch.setenv(VARIABLE, f"record:{file}")
    with replaying(chat=said("new"), tags=has("bbb")) as there:
        live = page(there.url, "Hi")
    after = [(line["key"], line["digest"]) for line in lines(inner)]
    inner.write_bytes(before)
    monkeypatch.setenv(VARIABLE, f"replay:{file}")
    assert page(NOBODY, "Hi") == live == ["new"]
    assert [(line["key"], line["digest"]) for line in lines(inner)] == after
    assert page(NOBODY, "Hi", "Ho") == ["new", "old"], "there is no other answer for the second"
