"""The built-in models' two templates each, Jinja for llama.cpp and Go for Ollama, render the same bytes.

`templates.json` holds what Go's own `text/template` made of the Go ones, and says how; here the Jinja
ones must give the same.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

from acagent_nb import builtin

TOLD = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))
HERE = Path(builtin.__file__).parent / "server" / "tiny"
END = "<|im_end|>\n"


def rendered(case: dict[str, Any]) -> str:
    """The prompt as llama.cpp makes it: an answer that was begun stands behind it, not ended."""
    engine = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # prompts, not HTML
    engine.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    template = engine.from_string((HERE / f"{case['template']}.jinja").read_text(encoding="utf-8"))
    messages = [dict(message) for message in case["messages"]]
    for message in messages:
        message["reasoning_content"] = message.pop("thinking", "")
    begun = messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls")
    text = template.render(
        messages=messages,
        tools=case.get("tools"),
        add_generation_prompt=not begun,
        enable_thinking=case.get("think", True),
    )
    assert not begun or text.endswith(END)
    return text[: -len(END)] if begun else text


@pytest.mark.parametrize("case", TOLD["cases"])
def test_both_templates_render_the_same(case: dict[str, Any]) -> None:
    assert rendered(case) == case["text"]


@pytest.mark.parametrize("name", ["chat", "skills"])
def test_the_go_template_is_the_one_that_was_tried(name: str) -> None:
    text = (HERE / f"{name}.gotmpl").read_bytes()
    assert hashlib.sha256(text).hexdigest() == TOLD["digests"][name], "render tests/templates.json anew"


def test_the_cases_hold_what_matters() -> None:
    skills = [case for case in TOLD["cases"] if case["template"] == "skills"]
    roles = {message["role"] for case in skills for message in case["messages"]}
    assert {"system", "user", "assistant", "tool"} <= roles
    assert {case["think"] for case in skills} == {True, False}
    assert any(len(case.get("tools", ())) > 1 for case in skills)
    assert any(len(message.get("tool_calls", ())) > 1 for case in skills for message in case["messages"])
    assert any("<think>\n" in case["text"] and "</think>" in case["text"] for case in skills)


def test_ollama_finds_in_them_what_the_models_can_do() -> None:
    chat, skills = ((HERE / f"{name}.gotmpl").read_text(encoding="utf-8") for name in ("chat", "skills"))
    for field in (".Tools", ".ToolCalls", ".Thinking", ".Think"):  # tools: .Tools is there; calls and thoughts: below
        assert field in skills
        assert field not in chat
    assert "<think>\n{{ .Thinking }}\n</think>" in skills  # the text beside it is how thoughts are marked
    assert "}}<tool_call>" in skills.split("if .ToolCalls }}")[1].split(".Function.Name")[0]  # likewise for calls
