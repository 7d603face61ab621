"""Which models a cell asks: one that is named somewhere, several, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadName, ModelMissing
from tests.cells import ask
from tests.replay import replaying


def test_the_session_s_model(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(tiny, "").model == "tiny"
    capsys.readouterr()
    tiny.run_line_magic("llm", "use")
    assert capsys.readouterr().out == "local_tiny answers if no model is named.\n"
    assert ask(tiny, "local_tiny:skills --no-think").model == "tiny:skills"
    assert ask(tiny, "--model local_tiny:skills --no-think").model == "tiny:skills"


def test_a_model_from_the_configuration(tiny: InteractiveShell) -> None:
    tiny.run_line_magic("config", "LLMMagics.model = 'local_tiny:skills'")
    assert ask(tiny, "--no-think").model == "tiny:skills"
    tiny.run_line_magic("llm", "use local_tiny")
    assert tiny.run_line_magic("config", "LLMMagics.model") == "local_tiny"
    tiny.run_line_magic("reload_ext", "acagent_nb")
    assert ask(tiny, "--no-think").model == "tiny:skills", "what was configured outlives a session"


def test_a_model_and_roles_from_the_project(tiny: InteractiveShell, tmp_path: Path) -> None:
    (tmp_path / "params.toml").write_text('model = "PLAN_MODEL"\n[roles]\nPLAN_MODEL = "local_tiny:skills"\n')
    tiny.run_line_magic("reload_ext", "acagent_nb")
    assert ask(tiny, "--no-think").model == "tiny:skills"
    tiny.run_line_magic("llm", "use PLAN_MODEL")
    assert ask(tiny, "--no-think").model == "tiny:skills"
    assert ask(tiny, "local_tiny").model == "tiny"
    with pytest.raises(BadName, match="There is no role 'PLAN_MODLE'"):
        tiny.run_line_magic("llm", "use PLAN_MODLE")


def test_no_model_at_all(tiny: InteractiveShell) -> None:
    tiny.run_line_magic("reload_ext", "acagent_nb")
    with pytest.raises(BadName) as caught:
        ask(tiny, "")
    said, _, listed = caught.value.message.partition("The server has ")
    there = listed.rstrip(".").split(", ")  # other tests may have made some there
    assert (said, "local_tiny" in there) == ("No model is named. ", True)
    assert caught.value.hint == f"Name one, for example: %%llm {there[0]}; or once: %llm use {there[0]}"


def test_no_model_and_no_server(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying() as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
    with pytest.raises(BadName) as caught:
        ask(shell, "")
    assert caught.value.message == "No model is named."
    assert caught.value.hint.startswith("Name one, for example: %%llm local_tiny")


def test_the_models_name_may_be_a_value_of_the_notebook(tiny: InteractiveShell) -> None:
    tiny.user_ns["chosen"] = "local_tiny:skills"
    assert ask(tiny, "{{chosen}} --temperature 0 --no-think", "What is 2 + 2?").model == "tiny:skills"
    replies = ask(tiny, "local_tiny,{{chosen}} --temperature 0 --no-think", "What is 2 + 2?")
    assert [reply.model for reply in replies] == ["tiny", "tiny:skills"]
    for wrong in ("{chosen}", "$chosen"):
        with pytest.raises(BadName, match="not a model's name"):
            ask(tiny, wrong, "A prompt that no cloud shall see.")


def test_several_models_and_values(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    replies = ask(tiny, "local_tiny, local_tiny:skills --seed=-1,2 --temperature 0 --no-think --into table")
    assert [(reply.model, reply.options.seed) for reply in replies] == [
        ("tiny", -1),
        ("tiny", 2),
        ("tiny:skills", -1),
        ("tiny:skills", 2),
    ]
    table = tiny.user_ns["table"]
    assert list(table.seed) == [-1, 2, -1, 2]
    assert list(table.text) == [reply.text for reply in replies]
    assert "local_tiny:skills · seed -1" in capsys.readouterr().out


def test_one_of_several_that_fails(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelMissing):
        ask(tiny, "local_nope,local_tiny --no-pull --into table")
    assert [reply.complete for reply in tiny.user_ns["_llm"]] == [False, True]
    assert "table" not in tiny.user_ns
    assert "2 + 2 = 4." in capsys.readouterr().out
