"""Recording and replaying by `%llm` and in a kernel: cells, lines, the stop button, all without a server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import acagent_nb
from acagent_nb import BadOption, BadParams, Client, NotRecorded, ServerDown, answers
from acagent_nb.modes import VARIABLE
from acagent_nb.parsing import parse
from tests.kernels import Kernel, running_kernel
from tests.openai_like import openai_like, piece, stream
from tests.replay import replaying, said

NOBODY = "http://127.0.0.1:9"
SKY = "Why is the sky blue?"
NEITHER = "Answers are neither recorded nor replayed; for example: %llm record answers.jsonl\n"
pytestmark = pytest.mark.usefixtures("unrecorded")


@pytest.fixture
def live(shell: InteractiveShell, server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A shell whose server is the embedded one."""
    monkeypatch.setenv("OLLAMA_HOST", server)
    return shell


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A kernel without a server."""
    with running_kernel(OLLAMA_HOST=NOBODY) as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


def llm(shell: InteractiveShell, line: str, cell: str | None = None) -> Any:
    """Run a line or a cell; gives what the cell left, or the line's value."""
    if cell is None:
        return shell.run_line_magic("llm", line)
    shell.run_cell_magic("llm", line, cell)
    return shell.user_ns["_llm"]


def gone(monkeypatch: pytest.MonkeyPatch, shell: InteractiveShell) -> None:
    """From now on there is no server, and a new session."""
    monkeypatch.setenv("OLLAMA_HOST", NOBODY)
    shell.run_line_magic("reload_ext", "acagent_nb")


def test_a_session_tells_what_it_records_and_replays(
    live: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(line: str) -> str:
        llm(live, line)
        return capsys.readouterr().out

    assert said("record") == said("replay") == said("record off") == NEITHER
    assert said("record a.jsonl") == "Answers are recorded in a.jsonl: 0 so far.\n"
    for prompt in (SKY, "What is a token?"):
        llm(live, "local_tiny", prompt)
    capsys.readouterr()
    assert said("record") == said("replay") == "Answers are recorded in a.jsonl: 2 so far.\n"
    assert said("record off") == NEITHER
    gone(monkeypatch, live)
    assert said("replay a.jsonl --pace=2") == "Answers are replayed from a.jsonl: 0 so far.\n"
    assert answers.current().pace == 2  # type: ignore[union-attr]  # there is one
    assert llm(live, "local_tiny", SKY).replayed
    footer = capsys.readouterr().out
    assert "local_tiny · replayed · " in footer
    assert "a recording: a.jsonl\n" in footer
    llm(live, "local_tiny", "What is a token?")
    assert "a recording" not in capsys.readouterr().out, "once is enough"
    with pytest.raises(NotRecorded, match="a second time") as caught:
        llm(live, "local_tiny", SKY)
    capsys.readouterr()
    assert caught.value.hint.startswith("To begin anew: %llm replay a.jsonl; ")
    assert said("replay") == "Answers are replayed from a.jsonl: 2 so far.\n"
    assert said("replay a.jsonl") == "Answers are replayed from a.jsonl: 0 so far.\n"
    assert llm(live, "local_tiny", SKY).replayed
    capsys.readouterr()
    assert said("replay off") == NEITHER
    assert said("record --auto a.jsonl") == (
        "Answers are replayed from a.jsonl, and what is missing is asked and recorded: "
        "0 replayed and 0 recorded so far.\n"
    )
    with pytest.raises(ServerDown):
        llm(live, "local_tiny", "What is new?")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("record a.jsonl b.jsonl", BadOption),
        ("record --auto", BadOption),
        ("record --auto off", BadOption),
        ("record --pace a.jsonl", BadOption),
        ("replay a.jsonl --pace", BadOption),
        ("replay a.jsonl --pace fast", BadOption),
        ("replay --pace 1", BadOption),
        ("replay a.jsonl --peace 1", BadOption),
        ("replay a.jsonl", NotRecorded),
        ("record .", BadParams),
        ("replay .", BadParams),
    ],
)
def test_lines_that_can_not_be_meant(shell: InteractiveShell, line: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        llm(shell, line)
    assert answers.current() is None


def test_the_other_lines_need_no_server_either(
    live: InteractiveShell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> list[str]:
        capsys.readouterr()
        for line in ("pull tiny", "load tiny", "list", "ps", "show tiny", "unload tiny", "disk"):
            llm(live, line)
        out = capsys.readouterr().out
        return [line for line in out.splitlines() if line.startswith(("local_tiny", "family", "tiny is", "models"))]

    llm(live, "record a.jsonl")
    first = told()
    llm(live, "record off")
    gone(monkeypatch, live)
    llm(live, "replay a.jsonl")
    again = told()
    assert [line.split()[0] for line in again] == [line.split()[0] for line in first]
    assert again[1:4] == first[1:4]
    assert {"tiny is loaded.", "tiny is unloaded."} < {*again}
    with pytest.raises(NotRecorded):
        llm(live, "show nothing")


def test_conversations_sweeps_and_values(live: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> list[Any]:
        llm(live, "local_tiny --chat trip --seed 1", "My name is Anna.")
        chat = llm(live, "local_tiny --chat trip --seed 1", "What is my name?").text
        swept = [reply.text for reply in llm(live, "local_tiny --temperature 0,0.7 --seed 1", "What is a token?")]
        llm(live, "local_tiny --json --into age", "Extract name and age as JSON: Anna is 31 years old.")
        return [chat, swept, live.user_ns["age"]]

    llm(live, "record a.jsonl")
    first = asked()
    gone(monkeypatch, live)
    llm(live, "replay a.jsonl")
    assert asked() == first
    assert first[2]["age"] == 31


def test_fresh_is_a_flag(live: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse("local_tiny --fresh").fresh
    with replaying(chat=[said("one"), said("two")]) as there:
        monkeypatch.setenv("OLLAMA_HOST", there.url)
        llm(live, "record --auto a.jsonl")
        assert llm(live, "local_m", "Hi").text == "one"
        llm(live, "replay a.jsonl")
        assert llm(live, "local_m", "Hi").text == "one"
        reply = llm(live, "local_m --fresh", "Hi")
        assert (reply.text, reply.replayed) == ("two", False)


def test_a_cloud_model_and_an_endpoint_need_no_key(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with openai_like(stream(piece(content="Hello."), piece("stop"))) as seen:
        Path("params.toml").write_text(f'[endpoints.lab]\nbase_url = "{seen.url}"\nkey_env = "LAB_KEY"\n')
        monkeypatch.setenv("LAB_KEY", "sk-lab-9aLmTf3xqZ")
        llm(shell, "record a.jsonl")
        llm(shell, "lab/qwen3", "Hi")
    monkeypatch.delenv("LAB_KEY")
    Path("params.toml").write_text('[endpoints.lab]\nbase_url = "https://lab.example.org/v1"\nkey_env = "LAB_KEY"\n')
    gone(monkeypatch, shell)
    llm(shell, "replay a.jsonl")
    reply = llm(shell, "lab/qwen3", "Hi")
    assert (reply.text, reply.replayed) == ("Hello.", True)
    text = Path("a.jsonl").read_text()
    assert "lab/qwen3" in text
    assert "sk-lab" not in text
    assert "127.0.0.1" not in text


def test_what_is_asked_beside_an_answer_is_no_part_of_it(live: InteractiveShell) -> None:
    llm(live, "record a.jsonl")
    llm(live, "local_tiny", SKY)
    with provisionalcompleter():
        assert list(live.Completer.completions("%%llm local_t", 13))
    llm(live, "doctor")
    assert [json.loads(line)["kind"] for line in Path("a.jsonl").read_text().splitlines()] == ["chat"]


def test_a_wrong_environment_fails_before_anything_is_asked(
    live: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replaying(chat=said("Hello.")) as there:
        monkeypatch.setenv("OLLAMA_HOST", there.url)
        for told, error in (("nonsense", BadParams), ("replay:none.jsonl", NotRecorded), ("record:.", BadParams)):
            monkeypatch.setenv(VARIABLE, told)
            with pytest.raises(error):
                llm(live, "local_m", "Hi")
        assert there.requests == []


def kept(file: Path, *pieces: str, pause: float = 0.0) -> None:
    """Record an answer of these pieces to "Hi"."""
    with (
        replaying(chat=said(*pieces, pause=pause)) as there,
        acagent_nb.record(file),
        Client(there.url) as client,
    ):
        client.chat("local_m", "Hi", seed=1)


def test_a_page_never_looks_for_a_server(kernel: Kernel, tmp_path: Path) -> None:
    kept(tmp_path / "a.jsonl", "Hel", "lo.", pause=0.15)
    assert kernel.run(f"%llm replay {tmp_path / 'a.jsonl'} --pace 1").printed
    ran = kernel.run("%%llm local_m --seed 1\nHi")
    assert ran.status == "ok"
    pages = [drawing["data"]["text/html"] for _, drawing in ran.drawings]
    assert len(pages) > 2
    assert not any("looking for" in page for page in pages)
    assert ">replayed<" in ran.html
    assert "a recording: a.jsonl" in ran.html
    told = ran.output["metadata"]["acagent_nb"]
    assert told["replayed"] is True
    assert told["host"] == "recording:a.jsonl"
    assert told["seconds"] >= 0.4, "what it took when it was recorded"
    assert (told["server"], "engine" in told) == ("ollama", False), "as the recording says"


def test_the_digest_of_a_recording_is_that_of_its_model(
    kernel: Kernel, tmp_path: Path, server: str, api: httpx.Client
) -> None:
    with acagent_nb.record(tmp_path / "a.jsonl"), Client(server) as client:
        digest = client.chat("local_tiny", SKY).digest
    kernel.run(f"%llm replay {tmp_path / 'a.jsonl'}")
    told = kernel.run(f"%%llm local_tiny\n{SKY}").output["metadata"]["acagent_nb"]
    assert told["digest"] == digest
    assert told["server"] == "embedded"
    assert told["server_version"].count(".") == 2
    assert told["defaults"]["top_k"] == 40
    ran = kernel.run("%%llm local_tiny\nMy secret prompt")
    assert ran.status == "error"
    assert len(ran.error["traceback"]) == 2
    assert "NotRecorded" in ran.error["traceback"][0]
    assert "secret" not in "".join(ran.error["traceback"])


def test_the_stop_button_stops_a_replay(kernel: Kernel, tmp_path: Path) -> None:
    kept(tmp_path / "a.jsonl", "begin", "end", pause=0.3)
    kernel.run(f"%llm replay {tmp_path / 'a.jsonl'} --pace 0.03")  # ten seconds to each word
    pressed: list[float] = []
    began = time.monotonic()
    ran = kernel.run(
        "%%llm local_m --seed 1\nHi",
        then=lambda ran: len(ran.drawings) > 1 and not pressed and pressed.append(kernel.interrupt()),
    )
    assert ran.error["ename"] == "Interrupted"
    assert time.monotonic() - began < 9
    assert ">stopped" in ran.html
    kernel.run("%llm replay off")
