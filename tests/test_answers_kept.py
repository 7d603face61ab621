"""Which answers are recorded, and what of them; what was no answer is not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

import acagent_nb
from acagent_nb import (
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
    ServerDown,
    Text,
    TimedOut,
)
from acagent_nb.messages import Request
from tests.clients import Do
from tests.openai_like import openai_like, piece, refusal, stream
from tests.replay import Answer, replaying, said
from tests.taping import KEY, NOBODY, lines

pytestmark = pytest.mark.usefixtures("unrecorded")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(60))


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
    assert api.request("DELETE", "/api/delete", json={"model": "made"}).status_code == 200


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


def test_a_refusal_of_a_cloud_is_raised_again(do: Do, file: Path) -> None:
    told = refusal(404, "The model `gpt-9` does not exist", "model_not_found")
    with openai_like(told) as seen, acagent_nb.record(file), pytest.raises(ModelMissing) as live:
        do(None, "chat", "gpt-9", "Hello", client={"base_url": seen.url, "api_key": KEY})
    with acagent_nb.replay(file), pytest.raises(ModelMissing) as again:
        do(None, "chat", "gpt-9", "Hello")
    assert str(again.value) == str(live.value)


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
