"""The chat without a page: its buttons and traits in a running loop, and what it copies; the tiny model answers."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

pytest.importorskip("ipywidgets", reason="the extra `panel` is not installed")

from acagent_nb.filling import filled
from acagent_nb.messages import Message
from acagent_nb.options import Options
from acagent_nb.params import Params
from acagent_nb.parsing import parse
from acagent_nb.widgets.cells import question
from acagent_nb.widgets.chat_panel import ChatPanel
from tests.panels import shown, soon

FRANCE = "What is the capital of France?"
GREEDY = Options(temperature=0.0, seed=1)


@pytest.fixture
def panel(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatPanel]:
    """A chat with the tiny model on the embedded server."""
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    panel = ChatPanel("local_tiny", params=Params(), options=lambda: GREEDY)
    yield panel
    panel.close()


def test_an_answer_and_its_footer(panel: ChatPanel) -> None:
    reply = asyncio.run(panel.send(FRANCE))
    assert "Paris" in reply.text
    assert reply is panel.reply
    assert reply.complete
    assert reply.options == GREEDY
    assert panel.messages == (Message("user", FRANCE), Message("assistant", reply.text))
    question, answer = shown(panel)
    assert FRANCE in question
    assert "Paris" in answer
    for fact in ("local_tiny", " out · ", " tokens/s · ", " s · CPU", "temperature 0", "seed 1", "embedded server"):
        assert fact in answer
    assert asyncio.run(panel.send("What is the capital of Italy?")).messages[:3] == (
        *panel.messages[:2],
        Message("user", "What is the capital of Italy?"),
    )
    assert "embedded server at" not in shown(panel)[-1], "where it comes from is said once"


def test_the_buttons(panel: ChatPanel) -> None:
    view = panel.view

    async def use() -> None:
        assert [view.again.disabled, view.edit.disabled, view.cell.disabled, view.clear.disabled] == [True] * 4
        view.input.value = "  "
        view.send.click()
        assert not panel.busy, "there is nothing to send"
        view.input.value = FRANCE
        view.send.click()
        assert view.input.value == ""
        view.input.value = "too early"
        view.send.click()
        assert view.input.value == "too early", "one thing at a time, and nothing is lost"
        assert not view.stop.disabled
        await soon(lambda: not panel.busy and view.stop.disabled)
        first = panel.reply
        view.again.click()
        await soon(lambda: not panel.busy and view.stop.disabled)
        assert panel.reply is not first
        assert first is not None
        assert panel.reply.text == first.text, "the same seed"
        assert len(panel.messages) == 2
        view.input.value = "a draft"
        view.edit.click()
        assert view.input.value == f"{FRANCE}\n\na draft"
        assert panel.messages == ()
        view.input.value = "What is the capital of Italy?"
        view.send.click()
        await soon(lambda: not panel.busy and view.stop.disabled)
        assert "Rome" in panel.messages[-1].content
        assert view.fold.description == "System prompt"
        panel.system = "Be brief."
        assert view.fold.description == "System prompt: on"
        assert view.system.layout.display is None, "it is unfolded"
        view.clear.click()
        assert [message.role for message in panel.messages] == ["system"]
        assert shown(panel) == []
        assert view.again.disabled

    asyncio.run(use())


def test_options_are_asked_for_at_each_question(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    options = [Options(num_predict=2), Options(temperature=0.0)]
    panel = ChatPanel("MY_MODEL", params=Params(roles={"MY_MODEL": "local_tiny"}), options=lambda: options[0])
    assert asyncio.run(panel.send(FRANCE)).stats.eval_count == 2
    assert "cut off" in shown(panel)[-1]
    assert "num_predict 2" in shown(panel)[-1]
    del options[0]
    assert asyncio.run(panel.regenerate()).options == Options(temperature=0.0)
    assert "num_predict" not in shown(panel)[-1]
    assert "MY_MODEL" in shown(panel)[-1]


def test_thinking_is_folded(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    panel = ChatPanel("local_tiny:skills", params=Params(), options=lambda: GREEDY)
    reply = asyncio.run(panel.send("Is a spider an insect?"))
    assert reply.thinking
    assert "<details" in shown(panel)[-1]
    assert panel.messages[-1].thinking == reply.thinking


def test_the_models_to_choose_from(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", str(api.base_url))
    panel = ChatPanel(params=Params(roles={"MY_MODEL": "local_tiny"}))
    asyncio.run(panel.list_models())
    offered = panel.view.model.options
    assert {"local_tiny", "local_tiny:skills", "MY_MODEL"} <= set(offered)
    assert len(set(offered)) == len(offered)


def test_cells(panel: ChatPanel) -> None:
    assert not any(panel.cells().values()), "nothing was asked"
    panel.system = "Don't say more than you're asked."
    asyncio.run(panel.send(FRANCE))
    cells = panel.cells()
    line, _, question = cells["The question as %%llm"].partition("\n")
    assert question == FRANCE
    words = ["%%llm", "local_tiny", "--system", panel.system, "--seed", "1", "--temperature", "0.0"]
    assert shlex.split(line) == words
    names: dict[str, object] = {}
    exec(cells["The conversation as Python"], names)
    assert panel.reply is not None
    assert str(names["reply"]) == panel.reply.text
    panel.view.cell.click()
    box = panel.view.cells
    assert box.all.layout.display is None
    assert box.kind.options == ("The question as %%llm", "The conversation as Python")
    assert box.text.value == cells["The question as %%llm"]
    box.kind.value = "The conversation as Python"
    assert box.text.value == cells["The conversation as Python"]
    box.done.click()
    assert box.all.layout.display == "none"
    panel.system = "Two\nlines"
    assert panel.cells()["The question as %%llm"] == "", "the line of a magic can't hold them"


def test_a_question_as_a_cell_says_the_same() -> None:
    options = Options(seed=-3, temperature=0.25, stop=["--x", "a b", "it's", "a,b"], use_mmap=True)
    text, system = "Is {{x}} or {{{y}}} JSON?", "Be 'brief' with {{x}}."
    line, _, body = question("local_tiny", [Message("system", system), Message("user", text)], options).partition("\n")
    told = parse(line.removeprefix("%%llm "))
    assert told.models == ("local_tiny",)
    assert Options.of(told.options) == options
    assert filled(told.system or "", {})[0] == system
    assert filled(body, {})[0] == text


def test_a_terminal_and_a_page_without_widgets(panel: ChatPanel) -> None:
    asyncio.run(panel.send(FRANCE))
    assert panel.reply is not None
    lines = repr(panel).splitlines()
    assert lines[0] == "Chat with local_tiny"
    assert f"You: {FRANCE}" in lines
    assert f"local_tiny: {panel.reply.text}" in lines
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == repr(panel)
    assert FRANCE in bundle["text/html"]
    assert panel.reply.text in bundle["text/html"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.view.all.model_id
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\nfrom traitlets.config import Config\n"
        "shell = InteractiveShell.instance(config=Config(HistoryManager={'enabled': False}))\n"
        "from acagent_nb.widgets.chat_panel import ChatPanel\nfrom acagent_nb.params import Params\n"
        "shell.user_ns['panel'] = ChatPanel('local_tiny', params=Params())\nshell.run_cell('panel')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("Chat with local_tiny\n")
