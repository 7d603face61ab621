"""A whole cell, through a real shell, against the embedded engine: what is asked, shown and kept."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadOption, BadPrompt, Incapable, LLMError, ModelMissing, Reply, TimedOut
from tests.cells import ask
from tests.replay import Answer, Replay, replaying, said

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
    """A server that says the same again and again, to see what it was asked."""
    with replaying(chat=said("Hello ", "you.")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        yield server


def body(server: Replay) -> Any:
    """The last chat's body."""
    return [body for _, path, body in server.requests if path == "/api/chat"][-1]


def about(capability: str) -> Answer:
    """What a server knows of a model that can do this."""
    return Answer((json.dumps({"capabilities": ["completion", capability]}),), content_type="application/json")


def test_a_question_on_one_line(tiny: InteractiveShell) -> None:
    assert tiny.run_cell("%llm ask --seed 3 What's the capital of France?").success
    reply = tiny.user_ns["_llm"]
    assert reply.messages[0].content == "What's the capital of France?"
    assert "Paris" in reply.text
    assert reply.options.seed == 3
    assert tiny.run_cell("if True:\n    %llm ask --into there Why is the sky blue?\n    x = there.text").success
    assert "scatters" in tiny.user_ns["x"]
    with pytest.raises(BadOption, match="There is nothing to ask"):
        tiny.run_line_magic("llm", "ask --seed 3")


def test_values_of_the_notebook(shell: InteractiveShell, there: Replay) -> None:
    shell.user_ns |= {"rows": [1, 2], "role": "a pirate", "_private": 3}
    ask(
        shell,
        "local_tiny --system 'Be {{role}}, {role}.'",
        'How {many} are {{rows}}? {"a": {{len(rows)}}} {{_private}}',
    )
    system, user = body(there)["messages"]
    assert system["content"] == "Be a pirate, {role}."
    assert user["content"] == 'How {many} are [1,2]? {"a": 2} 3'
    with pytest.raises(BadPrompt, match="There is no 'row' in the notebook"):
        ask(shell, "local_tiny", "{{row}}")
    assert len(there.requests) == 1


def test_a_long_table_is_told_of(shell: InteractiveShell, there: Replay, capsys: pytest.CaptureFixture[str]) -> None:
    shell.user_ns["long"] = pd.DataFrame({"a": range(1000)})
    reply = ask(shell, "local_tiny", "Look at {{long}}")
    note = "Of {{long}} the model sees the first 50 of its 1,000 rows."
    assert reply.notes == (note,)
    assert note in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ("--json", {"format": "json", "truncate": False}),
        ("--schema form", {"format": {"type": "object"}, "truncate": False}),
        ("--think high", {"think": "high", "truncate": False}),
        ("--no-think", {"think": False, "truncate": False}),
        ("--keep-alive 5m", {"keep_alive": "5m", "truncate": False}),
        ("--keep-alive 0", {"keep_alive": 0, "truncate": False}),
        ("--truncate", {}),
    ],
)
def test_what_a_flag_sends(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, flags: str, sent: Any) -> None:
    shell.user_ns["form"] = {"type": "object"}
    with replaying(chat=said("{}"), show=about("thinking")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        ask(shell, f"local_tiny {flags}", "Hi")
        told = body(server)
    assert {name: told[name] for name in told if name not in ("model", "messages", "options")} == sent


def test_into(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    reply = ask(tiny, "--into answer")
    assert tiny.user_ns["answer"] is reply
    assert isinstance(reply, Reply)
    assert "hides" not in capsys.readouterr().out
    ask(tiny, "--into max")
    assert "max is a name of Python's own, which --into hides now" in capsys.readouterr().out


def test_a_picture_for_a_model_without_eyes(tiny: InteractiveShell, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with pytest.raises(Incapable, match="has no vision"):
        ask(tiny, "--image a.png", "What is this?")
    with pytest.raises(BadPrompt, match=r"There is no file 'b\.png'"):
        ask(tiny, "--image b.png", "What is this?")


def test_pictures(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    with replaying(chat=said("A cat."), show=about("vision")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        ask(shell, "local_tiny --image a.png --image=a.png", "What is this?")
        assert body(server)["messages"][0]["images"] == [base64.b64encode(PNG).decode()] * 2


def test_thinking(tiny: InteractiveShell) -> None:
    assert "legs" in ask(tiny, "local_tiny:skills --think --temperature 0", "Is a spider an insect?").thinking
    assert ask(tiny, "local_tiny:skills --no-think", "Is a spider an insect?").thinking == ""


def test_quiet(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert ask(tiny, "--quiet").text == "2 + 2 = 4."
    assert capsys.readouterr().out == ""


def test_a_timeout(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said("Hello", late=60)) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        with pytest.raises(TimedOut):
            ask(shell, "local_tiny --timeout 0.1")
        assert server.gone.wait(10)


def test_all_answers_are_remembered_for_usage(tiny: InteractiveShell) -> None:
    ask(tiny, "--seed 1,2")
    with pytest.raises(LLMError):
        ask(tiny, "local_nope --no-pull")
    session = tiny.magics_manager.registry["LLMMagics"]._session
    assert [answer.name for answer in session.answers] == ["local_tiny", "local_tiny", "local_nope"]
    assert isinstance(session.error, ModelMissing)


def test_plain_in_a_terminal_is_the_answer_alone(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    ask(tiny, "--plain --seed 1")
    assert capsys.readouterr().out == "2 + 2 = 4.\n"
    ask(tiny, "--plain --temperature 0 --seed 1,2")
    told = capsys.readouterr().out
    assert told.count("2 + 2 = 4.") == 2
    assert "token" not in told
    reply = ask(tiny, "--plain --low-vram true --seed 1")
    assert "low_vram" in reply.notes[0]
    assert capsys.readouterr().out == f"{reply.text}\n\n{reply.notes[0]}\n", "a note is told"


def test_a_value_that_is_hardly_ever_meant_is_told_of_once(
    tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = ask(tiny, "--num-gpu 1 --temperature 0,0.5")[0]
    (note,) = reply.notes
    assert "layer" in note
    assert capsys.readouterr().out.count(note) == 1
    assert ask(tiny, "--temperature 0.5").notes == ()
