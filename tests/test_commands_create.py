"""`acagent-nb create`, a process of its own: on recorded servers, and on the embedded one whose answers change."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import builtin

from .commands import call, fails, final, lines, on_terminal
from .ggufs import TINY
from .replay import Answer, Replay, recorded, replaying

ROOT = Path(builtin.__file__).parent.parent
FROM_MODEL, FROM_FILE = recorded("create_from_model"), recorded("create_from_gguf", "v0.24.0")
UPLOADS = [recorded("blob_check_absent"), recorded("blob_upload")]


def body(replay: Replay) -> Any:
    (told,) = [body for _, path, body in replay.requests if path == "/api/create"]
    return told


def test_a_model_from_another_with_flags() -> None:
    options = [f"--parameter={option}" for option in ("temperature=0", "stop=a", "stop=b = c")]
    words = ["--system", "Be brief.", "--license", "MIT"]
    with replaying(show=recorded("show"), create=FROM_MODEL) as replay:
        told = lines(replay.url, "create", "local_brief", "--from", "tiny", *options, *words)
    assert body(replay) == {
        "model": "brief",
        "from": "tiny",
        "system": "Be brief.",
        "parameters": {"temperature": 0.0, "stop": ["a", "b = c"]},
        "license": ["MIT"],
    }
    assert told[-2] == "brief: success"
    assert re.fullmatch(r"local_brief is made in \d+\.\d s", told[-1])


@pytest.mark.parametrize("flags", [("-f", "Modelfile"), ()])
def test_a_modelfile_is_read_from_where_one_is(
    flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights.gguf").write_bytes(TINY.file.read_bytes())
    (tmp_path / "Modelfile").write_text("FROM weights.gguf\nSYSTEM Be brief.\nPARAMETER mirostat 2\n")
    monkeypatch.chdir(tmp_path)
    with replaying(blobs=UPLOADS, create=FROM_FILE) as replay:
        ran = call(replay.url, "create", "mine", *flags, PYTHONPATH=str(ROOT))
    assert ran.returncode == 0, ran.stderr
    assert body(replay) == {
        "model": "mine",
        "files": {"weights.gguf": TINY.digest},
        "system": "Be brief.",
        "parameters": {"mirostat": 2},
    }
    assert ran.stdout.splitlines()[:3] == [
        "mine: hashing weights.gguf",
        "mine: uploading weights.gguf",
        "mine: parsing GGUF",
    ]
    assert ran.stderr == "The parameter mirostat has no effect since Ollama 0.7.0.\n"


def test_a_registry_may_speak_plain_http() -> None:
    with replaying(pull=recorded("pull_new")) as replay:
        lines(replay.url, "pull", "127.0.0.1:5000/library/m", "--insecure")
        lines(replay.url, "pull", "m")
    name = "127.0.0.1:5000/library/m"
    assert [told for *_, told in replay.requests] == [{"model": name, "insecure": True}, {"model": "m"}]


def test_on_a_terminal_one_line_stays() -> None:
    slow = Answer(FROM_FILE.lines, pause=0.05)
    arguments = ("create", "mine", "--file", str(TINY.file))
    with replaying(blobs=UPLOADS, create=slow) as replay, on_terminal(replay.url, *arguments) as screen:
        screen.until("writing manifest")
        assert screen.end() == 0
    (stays,) = final(screen.shown)
    assert re.fullmatch(r"mine is made in \d+\.\d s", stays)


def test_ctrl_c_says_that_nothing_was_made() -> None:
    stalled = Answer(FROM_MODEL.lines[:1], stall=60)
    with replaying(show=recorded("show"), create=stalled) as replay:
        with on_terminal(replay.url, "create", "mine", "--from", "tiny") as screen:
            screen.until("using existing layer")
            screen.process.send_signal(signal.SIGINT)
            assert screen.end() == 130
        assert replay.gone.wait(5)
    assert final(screen.shown) == ["Stopped; mine was not made."]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Nothing says what to make mine of."),
        (("-f", "nowhere"), "can't be read"),
        (("--from", "tiny", "--file", "a.gguf"), "not from both"),
        (("--file", "nowhere.gguf"), "nowhere.gguf can't be read"),
        (("--from", "tiny", "--parameter", "temprature=1"), "Did you mean 'temperature'?"),
        (("--from", "tiny", "--parameter", "temperature"), "--parameter temperature=0.2"),
        (("--from", "tiny", "--parameter", "num_ctx=lots"), "num_ctx takes a whole number, not 'lots'"),
        (("--from", "a b"), "is not a model's name"),
    ],
)
def test_a_mistake_is_two_lines_and_nothing_is_sent(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    with replaying() as replay:
        assert words in fails(replay.url, "create", "mine", *arguments)
    assert replay.requests == []


def test_a_model_to_start_from_that_is_nearly_right_is_told() -> None:
    with replaying(
        show=recorded("show_missing"), pull=recorded("pull_missing"), tags=recorded("tags_after_copy")
    ) as replay:
        assert "Did you mean tiny-copy:latest?" in fails(replay.url, "create", "mine", "--from", "tiny-cpoy")


def test_the_embedded_server_makes_it_and_answers_with_it(server: str, api: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "Modelfile"
    file.write_text('FROM tiny\nPARAMETER num_predict 3\nSYSTEM """Answer in one word."""\n')
    told = json.loads("\n".join(lines_of_output(server, "create", "By-Command", "-f", str(file), "--json")))
    assert told["name"] == "By-Command:latest"
    assert told["size"] > TINY.size
    chat = {"model": "by-command", "messages": [{"role": "user", "content": "Why is the sky blue?"}], "stream": False}
    assert api.post("/api/chat", json=chat).json()["eval_count"] <= 3
    assert "does not quantize" in fails(server, "create", "By-Command", "--from", "tiny", "--quantize", "q4_K_M")
    lines(server, "rm", "--yes", "by-command")


def lines_of_output(url: str, *arguments: str) -> list[str]:
    """What a command prints on its output while its progress goes elsewhere."""
    ran = call(url, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert "success" in ran.stderr
    return ran.stdout.splitlines()
