"""Functions of the notebook that a cell's model calls, if the user lets it."""

from __future__ import annotations

import io

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadPrompt
from tests.cells import OFFERED, TOOLS, ask


def test_tools_without_asking(tiny: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.run_cell(TOOLS)
    reply = ask(tiny, f"local_tiny:skills {OFFERED} --yes", "What is the weather in Rome?")
    assert tiny.user_ns["asked"] == ["Rome"]
    assert reply.tool_results[0].content == "sunny, 21 degrees"
    assert "Call get_weather" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "called"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_tools_are_asked_for(
    tiny: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    called: bool,
) -> None:
    tiny.run_cell(TOOLS)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer * 9))
    reply = ask(tiny, f"local_tiny:skills {OFFERED}", "What is the weather in Rome?")
    assert (tiny.user_ns["asked"] != []) is called
    assert reply.tool_results[0].failed is not called
    assert '\nCall get_weather(city="Rome")? [y/N]' in capsys.readouterr().out, "on a line of its own"


def test_a_tool_that_is_not_there(tiny: InteractiveShell) -> None:
    tiny.run_cell(TOOLS)
    with pytest.raises(BadPrompt) as caught:
        ask(tiny, "local_tiny:skills --tool get_wether")
    assert caught.value.hint == "Did you mean get_weather?"
