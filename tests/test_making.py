"""Models of one's own, made through both clients: what recorded servers are asked, and what is refused before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acagent_nb import Client, Message
from acagent_nb.errors import BadName, BadOption, BadParams, BadPrompt, DiskFull, LLMError, ModelMissing, ServerError
from acagent_nb.making import making
from acagent_nb.messages import Note, Pulling
from acagent_nb.modelfile import Modelfile, read

from . import ggufs
from .clients import Do, blocking
from .ggufs import TINY
from .replay import SERVERS, Answer, Replay, recorded, replaying

ABSENT, SENT, EXISTS = recorded("blob_check_absent"), recorded("blob_upload"), recorded("blob_upload_again")
MADE = recorded("create_from_gguf", "v0.24.0")


def body(replay: Replay) -> Any:
    """What the server was told to make."""
    (told,) = [body for _, path, body in replay.requests if path == "/api/create"]
    return told


@pytest.mark.parametrize("server", SERVERS)
def test_from_another_model(do: Do, server: str) -> None:
    with replaying(show=recorded("show", server), create=recorded("create_from_model", server)) as replay:
        steps = do(
            replay.url,
            "create",
            "local_made2",
            from_model="local_tiny",
            system="You are brief.",
            parameters={"temperature": 0.1, "num_ctx": 1024},
        )
    assert replay.asked == ["POST show", "POST create"]
    assert body(replay) == {
        "model": "made2",
        "from": "tiny",
        "system": "You are brief.",
        "parameters": {"temperature": 0.1, "num_ctx": 1024},
    }
    assert steps[-1] == Pulling("made2", "success")


def test_from_a_file_that_is_hashed_and_sent(do: Do) -> None:
    with replaying(blobs=[ABSENT, SENT], create=MADE) as replay:
        steps = do(
            replay.url, "create", "local_m", file=TINY.file, template="{{ .Prompt }}", license="MIT", quantize="q4_0"
        )
    assert replay.asked == ["HEAD blobs", "POST blobs", "POST create"]
    assert replay.requests[1][2] == TINY.digest
    assert body(replay) == {
        "model": "m",
        "files": {"tiny.gguf": TINY.digest},
        "template": "{{ .Prompt }}",
        "license": ["MIT"],
        "quantize": "q4_0",
    }
    words = list(dict.fromkeys(step.status for step in steps))
    assert words[:3] == ["hashing tiny.gguf", "uploading tiny.gguf", "parsing GGUF"]
    assert {step.total for step in steps} == {TINY.size}
    assert (steps[0].completed, steps[-1]) == (TINY.size, Pulling("m", "success", TINY.size, TINY.size))


def test_a_big_file_is_hashed_with_progress_and_not_sent_again(do: Do, tmp_path: Path) -> None:
    file = tmp_path / "big.gguf"
    with file.open("wb") as data:
        data.write(b"GGUF")
        data.truncate(20 << 20)
    with replaying(blobs=EXISTS, create=MADE) as replay:
        steps = do(replay.url, "create", "local_m", file=str(file))
    assert replay.asked == ["HEAD blobs", "POST create"]
    hashing = [step.completed for step in steps if step.status == "hashing big.gguf"]
    assert hashing == sorted(hashing)
    assert len(hashing) > 1
    assert hashing[-1] == 20 << 20
    assert any(step.status == "using existing big.gguf" for step in steps)


MODELFILE = """# like tiny, but brief
FROM ./weights.gguf
ADAPTER ./lora.gguf
PARAMETER num_ctx 1024
PARAMETER stop "### User:"
PARAMETER stop <|x|>
SYSTEM \"""You
are brief.\"""
TEMPLATE {{ .Prompt }}
MESSAGE user hi
MESSAGE assistant ho
LICENSE MIT
LICENSE and more
REQUIRES 0.14.0
"""


def test_a_modelfile_says_the_same_as_arguments(do: Do, tmp_path: Path) -> None:
    weights, lora = b"GGUF weights", b"GGUF lora"
    (tmp_path / "weights.gguf").write_bytes(weights)
    (tmp_path / "lora.gguf").write_bytes(lora)
    (tmp_path / "Modelfile").write_text(MODELFILE)
    arguments: dict[str, Any] = {
        "file": tmp_path / "weights.gguf",
        "adapter": tmp_path / "lora.gguf",
        "parameters": {"num_ctx": 1024, "stop": ["### User:", "<|x|>"]},
        "system": "You\nare brief.",
        "template": "{{ .Prompt }}",
        "messages": [{"role": "user", "content": "hi"}, Message("assistant", "ho")],
        "license": ["MIT", "and more"],
    }
    bodies = []
    for how in ({"modelfile": tmp_path / "Modelfile"}, {"modelfile": read(tmp_path / "Modelfile")}, arguments):
        with replaying(blobs=EXISTS, create=MADE) as replay:
            do(replay.url, "create", "local_m", **how)
        bodies.append(body(replay))
    assert bodies[0] == bodies[1] == {**bodies[2], "requires": "0.14.0"}
    assert bodies[2] == {
        "model": "m",
        "files": {"weights.gguf": ggufs.digest(weights)},
        "adapters": {"lora.gguf": ggufs.digest(lora)},
        "parameters": {"num_ctx": 1024, "stop": ["### User:", "<|x|>"]},
        "system": "You\nare brief.",
        "template": "{{ .Prompt }}",
        "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}],
        "license": ["MIT", "and more"],
    }


def test_arguments_count_more_than_the_modelfile() -> None:
    told = "FROM ./nothing.gguf\nSYSTEM one\nTEMPLATE two\nPARAMETER seed 1\nPARAMETER top_k 3\nMESSAGE user hi"
    with replaying(show=recorded("show"), create=MADE) as replay:
        blocking(
            replay.url,
            "create",
            "local_m",
            modelfile=told,
            from_model="local_tiny",
            system="mine",
            parameters={"seed": 2},
            messages=[],
        )
    assert body(replay) == {
        "model": "m",
        "from": "tiny",
        "system": "mine",
        "template": "two",
        "parameters": {"seed": 2, "top_k": 3},
    }


def test_dead_parameters_are_told_of() -> None:
    told = "FROM tiny\nPARAMETER mirostat 2\nPARAMETER logits_all true"
    with replaying(show=recorded("show"), create=MADE) as replay, Client(replay.url) as client:
        steps = list(client._run(making("m", modelfile=told)))
    assert [step.text for step in steps if isinstance(step, Note)] == [
        "The parameter mirostat has no effect since Ollama 0.7.0.",
        "The parameter logits_all has no effect since Ollama 0.7.0.",
    ]
    assert body(replay)["parameters"] == {"mirostat": 2}  # an old server still knows it


@pytest.mark.parametrize("server", SERVERS)
def test_the_model_to_start_from_is_pulled_if_it_is_missing(do: Do, server: str) -> None:
    missing, made_of_it = recorded("show_missing", server), recorded("create_from_model", server)
    with replaying(show=missing, pull=recorded("pull_new", server), create=made_of_it) as replay:
        steps = do(replay.url, "create", "local_m", modelfile="FROM llama3.2:1b")
    assert replay.asked == ["POST show", "POST pull", "POST create"]
    assert "llama3.2:1b" in [step.model for step in steps]
    with replaying(show=missing, pull=recorded("pull_missing", server)) as replay:
        with pytest.raises(ModelMissing, match="no model nope to pull"):
            do(replay.url, "create", "local_m", from_model="local_nope")
        assert "POST create" not in replay.asked


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, BadParams, "nothing to make the model from"),
        ({"modelfile": Modelfile(())}, BadParams, "nothing to make the model from"),
        ({"from_model": "local_tiny", "file": "a.gguf"}, BadParams, "not from both"),
        ({"modelfile": "FROM tiny\nFROM llama3.2"}, BadParams, "starts from one model: tiny, llama3.2"),
        ({"modelfile": "FROM tiny\nFROM ./a.gguf"}, BadParams, "starts from one model"),
        ({"modelfile": "FROM tiny\nSYSTEM"}, BadParams, "Line 2"),
        ({"file": "nowhere.gguf"}, BadParams, "nowhere.gguf can't be read: No such file"),
        ({"file": "~nobody_at_all/a.gguf"}, BadParams, "can't be read: No such file"),
        ({"file": Path("~/no such folder/a.gguf")}, BadParams, f"{Path.home()}/no such folder/a.gguf can't be read"),
        ({"from_model": "local_tiny", "adapter": "~nobody_at_all/a"}, BadParams, "can't be read: No such file"),
        ({"file": "."}, BadParams, "is a folder"),
        ({"file": __file__}, BadParams, "is no GGUF file"),
        ({"file": [TINY.file, TINY.file]}, BadParams, "the same name"),
        ({"from_model": "local_tiny", "adapter": __file__}, BadParams, "is no GGUF file"),
        ({"from_model": "gpt-4o"}, BadName, "local models only"),
        ({"from_model": "local_tiny", "parameters": {"temprature": 1}}, BadOption, "no model option 'temprature'"),
        ({"from_model": "local_tiny", "messages": [{"text": "hi"}]}, BadPrompt, "knows no 'text'"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_sent(
    do: Do, how: dict[str, Any], error: type[LLMError], words: str
) -> None:
    with replaying() as replay, pytest.raises(error, match=words) as caught:
        do(replay.url, "create", "local_m", **how)
    assert caught.value.hint
    assert replay.requests == []


FULL = '{"error":"write /root/.ollama/models/blobs/sha256-1-partial: no space left on device"}'


@pytest.mark.parametrize(("failing", "status"), [("blobs", 507), ("blobs", 500), ("create", 200), ("create", 500)])
def test_a_full_disk_has_an_error_of_its_own(do: Do, failing: str, status: int) -> None:
    answers = {"blobs": [ABSENT, SENT], "create": [MADE]}
    answers[failing][-1] = Answer((FULL,), status)
    with replaying(**answers) as replay, pytest.raises(DiskFull, match="no space left") as caught:
        do(replay.url, "create", "local_m", file=TINY.file)
    assert "Free some space" in caught.value.hint


def test_a_file_that_changes_while_it_is_sent(do: Do) -> None:
    with (
        replaying(blobs=[ABSENT, recorded("blob_upload_wrong_digest")]) as replay,
        pytest.raises(ServerError, match="digest mismatch") as caught,
    ):
        do(replay.url, "create", "local_m", file=TINY.file)
    assert "has changed" in caught.value.hint
