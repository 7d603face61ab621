"""Going on with a text, loading and unloading, and what a server says of itself: by both clients."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from acagent_nb.errors import BadAnswer, BadName, BadOption, BadPrompt, Incapable, ModelMissing

from .clients import Do
from .replay import SERVERS, Answer, recorded, replaying


def generated(*pieces: str) -> Answer:
    lines = [{"response": piece, "done": False} for piece in pieces]
    end = {"response": "", "done": True, "done_reason": "stop", "eval_count": 2, "context": [1, 2]}
    return Answer(tuple(json.dumps(line) + "\n" for line in (*lines, end)))


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("case", ["generate_stream", "generate_nonstream", "generate_raw"])
def test_a_text_is_gone_on_with(do: Do, server: str, case: str) -> None:
    with replaying(generate=recorded(case, server)) as replay:
        reply = do(replay.url, "generate", "local_tiny", "2 + 2 =", temperature=0)
    assert reply.text == "2 + 2 = 4"
    assert (reply.done_reason, reply.stats.eval_count, reply.model) == ("stop", 8, "tiny")
    assert replay.requests[0][2] == {
        "model": "tiny",
        "prompt": "2 + 2 =",
        "options": {"temperature": 0.0},
        "truncate": False,
    }


def test_what_was_said_is_sent(do: Do) -> None:
    how = {"system": "S", "template": "T", "suffix": "B", "think": "low", "keep_alive": 5, "truncate": True}
    with replaying(generate=generated("x")) as replay:
        do(replay.url, "generate", "local_m", "A", raw=True, seed=3, **how)
    how.pop("truncate")
    assert replay.requests[0][2] == {"model": "m", "prompt": "A", "raw": True, "options": {"seed": 3}, **how}


def test_a_format_gives_a_value(do: Do) -> None:
    with replaying(generate=generated('{"a"', ": 1}")) as replay:
        assert do(replay.url, "generate", "local_m", "A", format="json").value == {"a": 1}
    assert replay.requests[0][2]["format"] == "json"
    with replaying(generate=generated("no")) as replay, pytest.raises(BadAnswer):
        do(replay.url, "generate", "local_m", "A", format="json")


def test_thoughts_come_by_themselves(do: Do) -> None:
    with replaying(generate=recorded("generate_thinking_stream")) as replay:
        reply = do(replay.url, "generate", "local_skills", "Why?", think=True)
    assert reply.thinking
    assert reply.text


@pytest.mark.parametrize("server", SERVERS)
def test_a_gap_that_a_model_can_not_fill(do: Do, server: str) -> None:
    refused = recorded("generate_suffix_unsupported", server)
    with replaying(generate=refused) as replay, pytest.raises(Incapable, match="does not support insert"):
        do(replay.url, "generate", "local_tiny", "def f(", suffix="return 1")


def test_only_local_models_go_on_with_a_text(do: Do) -> None:
    with replaying() as replay, pytest.raises(BadName, match="local models only"):
        do(replay.url, "generate", "gpt-4o", "A")
    assert replay.requests == []


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"prompt": None}, BadPrompt),
        ({"prompt": b"A"}, BadPrompt),
        ({"prompt": "\ud800"}, BadPrompt),
        ({"suffix": 5}, BadPrompt),
        ({"sufix": "B"}, BadOption),
        ({"tools": [print]}, BadOption),
    ],
)
def test_what_can_not_be_gone_on_with_is_refused(do: Do, how: dict[str, Any], error: type[Exception]) -> None:
    with replaying() as replay, pytest.raises(error):
        do(replay.url, "generate", "local_tiny", **{"prompt": "A", **how})
    assert replay.requests == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_model_is_loaded_and_unloaded(do: Do, server: str) -> None:
    with replaying(chat=recorded("chat_load", server)) as replay:
        do(replay.url, "load", "local_m", keep_alive="10m", num_ctx=64)
    assert replay.requests == [
        ("POST", "/api/chat", {"model": "m", "messages": [], "keep_alive": "10m", "options": {"num_ctx": 64}})
    ]
    with replaying(chat=recorded("chat_unload", server)) as replay:
        do(replay.url, "unload", "local_m")
    assert replay.requests == [("POST", "/api/chat", {"model": "m", "messages": [], "keep_alive": 0})]


def test_a_model_is_loaded_with_the_projects_options(do: Do) -> None:
    params = {"options": {"num_ctx": 128}}
    with replaying(chat=recorded("chat_load")) as replay:
        do(replay.url, "load", "local_m", client={"params": params})
    assert replay.requests[0][2]["options"] == {"num_ctx": 128}
    with pytest.raises(BadOption):
        do(replay.url, "load", "local_m", num_ctxx=3)


@pytest.mark.parametrize("method", ["load", "unload"])
def test_one_that_only_makes_vectors_is_loaded_as_such(do: Do, method: str) -> None:
    refused = Answer((json.dumps({"error": '"m" does not support chat'}),), 400, "application/json")
    empty = Answer(('{"model":"m","embeddings":[]}',), content_type="application/json")
    with replaying(chat=refused, embed=empty) as replay:
        do(replay.url, method, "local_m")
    assert [path for _, path, _ in replay.requests] == ["/api/chat", "/api/embed"]
    assert replay.requests[1][2] == {"model": "m"} | ({"keep_alive": 0} if method == "unload" else {})


def test_unloading_never_pulls(do: Do) -> None:
    with replaying(chat=recorded("chat_missing_model")) as replay, pytest.raises(ModelMissing):
        do(replay.url, "unload", "local_m")
    assert len(replay.requests) == 1


def test_a_server_is_asked_whether_it_is_there(do: Do) -> None:
    with replaying(version=recorded("version")) as replay:
        assert do(replay.url, "ping") is True
        assert do(replay.url, "version").version == "0.0.0"
    assert do(replay.url, "ping") is False
    with replaying(version=Answer(("<html>",), 502, "text/html")) as replay:
        assert do(replay.url, "ping") is False


def test_one_that_says_nothing_is_not_there(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("client", "asynchronous"):
        monkeypatch.setattr(f"acagent_nb.{room}.PING_SECONDS", 0.2)
    with replaying(version=Answer(late=20)) as replay:
        assert do(replay.url, "ping") is False


def test_a_client_may_be_told_of_the_host_and_its_headers(do: Do) -> None:
    with replaying(version=recorded("version")) as replay:
        assert do(replay.url, "host").url == replay.url
        assert do(replay.url, "ping", client={"headers": {"X-Proxy": "yes"}}) is True


def test_the_embedded_server(do: Do, server: str, api: httpx.Client) -> None:
    reply = do(server, "generate", "local_tiny", "Why is the sky blue?", temperature=0)
    assert "blue" in reply.text
    assert reply.truncated is False
    assert do(server, "generate", "local_tiny", "Once", raw=True, num_predict=3).stats.eval_count <= 3
    do(server, "unload", "local_tiny")
    assert "tiny:latest" not in [model.name for model in do(server, "running")]
    do(server, "load", "local_tiny", keep_alive=-1, num_ctx=512)
    (loaded,) = [model for model in do(server, "running") if model.name == "tiny:latest"]
    assert loaded.context_length == 512
    assert loaded.expires_at[:4] > "2100"
    do(server, "load", "local_tiny", keep_alive="5m")
    assert "tiny:latest" in [model.name for model in do(server, "models")]
    assert do(server, "show", "local_tiny").capabilities
    assert do(server, "version").engine is not None
