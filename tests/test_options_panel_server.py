"""The options panel and its server: what it learns of it, a prompt that is tried there, and what a cell sends."""

from __future__ import annotations

import asyncio
import json
from html import escape, unescape
from pathlib import Path

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import hosts
from acagent_nb.options import TABLE, Options
from acagent_nb.params import Params
from acagent_nb.widgets.options_panel import OptionsPanel
from tests.kernels import running_kernel
from tests.panels import soon, version
from tests.refresh import fresh_user
from tests.replay import Answer, recorded, replaying, said

TAGS = Answer(('{"models":[{"name":"made:latest"},{"name":"other:1b"}]}',), content_type="application/json")


async def refreshed(panel: OptionsPanel) -> OptionsPanel:
    await panel.refresh()
    return panel


def test_the_server_of_ones_own_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_user(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if hosts.present():
            pytest.skip("an Ollama answers on this machine")
        hosts.find()
        panel = asyncio.run(refreshed(OptionsPanel(params=Params())))
    assert panel.view.server.value.lower().count("embedded server") == 1


STATES = {  # what does nothing there, and what only some models heed
    "0.3.3": ({"draft_num_predict", "low_vram", "vocab_only"}, set()),
    "0.5.4": ({"draft_num_predict", "low_vram", "vocab_only", "numa"}, set()),
    "0.6.8": ({"draft_num_predict", "low_vram", "vocab_only", "numa", "penalize_newline"}, set()),
}
_GONE = STATES["0.6.8"][0] | {"mirostat", "mirostat_eta", "mirostat_tau", "use_mlock"}
_SOME = {"typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty"}
STATES |= {
    "0.7.0": (_GONE, _SOME),
    "0.24.0": (_GONE, _SOME),
    "0.30.0": (_GONE - {"draft_num_predict"}, set()),
    "0.32.15": (_GONE - {"draft_num_predict"}, set()),
    "0.0.0": (_GONE - {"draft_num_predict"}, set()),
}


@pytest.mark.parametrize("told", STATES)
def test_what_a_server_ignores_is_grey_with_the_reason(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    with replaying(version=version(told), tags=TAGS, show=recorded("show_made2")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        panel = asyncio.run(refreshed(OptionsPanel(params=Params(), model="local_made")))
    idle = {name for name, row in panel.rows.items() if "an-off" in row.view._dom_classes}
    partly = {name for name, row in panel.rows.items() if "◐" in row._name.value}
    assert (idle, partly) == STATES[told]
    for name in idle:
        row = panel.rows[name]
        assert row.send.disabled
        assert row.standing.word == ("unknown" if name == "draft_num_predict" else "dead")
        assert row.standing.why in unescape(row.note)
    assert ("counts as the newest" in panel.view.server.value) is (told == "0.0.0")
    assert panel.view._folded.titles[1].endswith(f"({len(idle)})")


def test_the_embedded_server_and_its_models(api: httpx.Client, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server)
    panel = asyncio.run(refreshed(OptionsPanel(params=Params())))
    assert panel.model in ("local_tiny", "local_tiny:skills")
    assert set(panel.view.model.options) >= {"local_tiny", "local_tiny:skills"}
    idle = {name for name, row in panel.rows.items() if not row.standing.works}
    assert idle == {name for name, row in TABLE.items() if not row.embedded}
    assert panel.rows["num_ctx"].control.slider.max == 2048
    panel.rows["num_ctx"].control.field.value = "4096"
    assert "made for 2,048 tokens" in panel.rows["num_ctx"].note


def test_the_authors_own_defaults_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(version=version("0.24.0"), tags=TAGS, show=recorded("show_made2", "v0.24.0")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        params = Params(model_options=Options(top_k=20))
        panel = asyncio.run(refreshed(OptionsPanel(params=params)))
    fields = {name: row.control.field.placeholder for name, row in panel.rows.items() if hasattr(row.control, "field")}
    assert panel.model == "local_made"
    assert panel.view.model.options == ("local_made", "local_other:1b")
    assert (fields["temperature"], fields["num_ctx"]) == ("0.1 author", "1024 author")
    assert (fields["top_k"], fields["top_p"], fields["repeat_penalty"]) == ("20 file", "0.9", "1.1")
    assert '"<|im_end|>"' in fields["stop"]
    assert panel.rows["temperature"].control.slider.value == pytest.approx(0.1)
    assert panel.options == Options()
    assert '{"top_k": 20}' in unescape(panel.view.beneath.value)


def test_a_cloud_model_makes_ollamas_own_options_foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    panel = OptionsPanel(params=Params(roles={"WRITER": "gpt-4o-mini"}), options=Options(top_k=3))
    panel.model = "WRITER"
    asyncio.run(panel.refresh())
    foreign = {name for name, row in panel.rows.items() if row.standing.word == "foreign"}
    assert foreign == {name for name, row in TABLE.items() if row.openai is None}
    assert "openai has nothing like top_k" in panel.rows["top_k"].note
    assert not panel.rows["top_k"].send.disabled  # it is sent, and can be taken back
    assert panel.view._folded.titles[1] == f"No effect on openai ({len(foreign)}, 1 sent)"
    assert panel.view._folded.selected_index == 1
    panel.rows["top_k"].send.value = False
    assert panel.rows["top_k"].send.disabled


def test_without_a_server_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    panel = asyncio.run(refreshed(OptionsPanel(params=Params(), model="local_tiny")))
    assert "ServerDown" in panel.view.server.value
    panel.rows["seed"].control.field.value = "4"
    assert panel.options == Options(seed=4)
    panel.model = "local_"
    asyncio.run(panel.refresh())
    assert "BadName" in panel.view.server.value


def test_a_hostile_servers_names_stay_text(monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "<img src=x onerror=alert(1)>"
    tags = Answer((json.dumps({"models": [{"name": evil}]}),), content_type="application/json")
    with replaying(version=version(f"0.1{evil}"), tags=tags) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        panel = asyncio.run(refreshed(OptionsPanel(params=Params())))
        assert escape(f"0.1{evil}") in panel.view.server.value
        assert evil in panel.view.model.options[0]  # a list's entry is text on the page
        panel.options = Options(stop=[evil])
        for html in (panel.view.server.value, panel.view.sent.value, panel._repr_mimebundle_()["text/html"]):
            assert escape(evil) in html
            assert "<img" not in html


def test_opening_it_in_a_loop_asks_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened() -> OptionsPanel:
        panel = OptionsPanel(params=Params(), model="local_other")
        panel.model = "local_made"  # the question for the other one is given up before it was put
        await soon(lambda: "Ollama 0.24.0" in panel.view.server.value)
        panel.close()
        return panel

    with replaying(version=version("0.24.0"), tags=TAGS, show=recorded("show_made2")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        assert asyncio.run(opened()).where.version == "0.24.0"


def test_a_trial_keeps_the_answer_before(api: httpx.Client, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server)

    async def tried() -> list[str]:
        panel = OptionsPanel(params=Params(), model="local_tiny", options=Options(temperature=0.0))
        trial = panel.trial
        trial.run.click()
        assert "There is no prompt" in trial._said.value
        for prompt in ("Why is the sky blue?", "What is the capital of France?"):
            trial.prompt.value = prompt
            trial.run.click()
            assert trial.run.disabled
            assert not trial.stop.disabled
            await soon(lambda: not trial.run.disabled)
            panel.options = Options(temperature=0.0, seed=3)
        return [turn.view.value for turn in trial.answers]

    now, before = asyncio.run(tried())
    assert "Paris" in now
    assert "temperature 0 · seed 3" in now or "seed 3 · temperature 0" in now
    assert "tokens/s" in now
    assert "sunlight" in before
    assert "seed 3" not in before


@pytest.mark.parametrize("end", ["stop", "close"])
def test_stopping_closes_the_connection(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    async def stopped() -> None:
        panel = OptionsPanel(params=Params(), model="local_made")
        panel.trial.prompt.value = "Go on"
        panel.trial.run.click()
        await soon(lambda: bool(panel.trial.reply and panel.trial.reply.text))
        if end == "stop":
            panel.trial.stop.click()
        else:
            panel.close()
        await soon(lambda: not panel.trial.run.disabled)
        assert "stopped" in panel.trial.answers[0].view.value
        assert panel.trial.reply.text == "Once "

    answer = said("Once ", done=False, stall=60)
    with replaying(version=version("0.24.0"), tags=TAGS, show=recorded("show_made2"), chat=answer) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        asyncio.run(stopped())
        assert server.gone.wait(5)


def test_the_magic_sends_what_the_panel_says_and_a_flag_wins(
    shell: InteractiveShell, api: httpx.Client, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server)
    panel = shell.run_line_magic("llm", "options")
    assert shell.run_line_magic("llm", "options") is panel
    panel.rows["temperature"].control.field.value = "0"
    panel.rows["seed"].control.field.value = "5"
    shell.run_cell_magic("llm", "local_tiny --seed 9", "Why is the sky blue?")
    assert shell.user_ns["_llm"].options == Options(temperature=0.0, seed=9)
    panel.rows["temperature"].send.value = False
    shell.run_cell_magic("llm", "local_tiny", "Why is the sky blue?")
    assert shell.user_ns["_llm"].options == Options(seed=5)


def test_in_a_kernel(api: httpx.Client, server: str) -> None:
    with running_kernel(OLLAMA_HOST=server) as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        shown = [content["data"] for _, content in kernel.run("%llm options").drawings]
        assert "application/vnd.jupyter.widget-view+json" in shown[0]
        assert "none" in shown[1]["text/html"]
        ran = kernel.run(
            "panel = get_ipython().magics_manager.registry['LLMMagics']._session.panel\n"
            "from acagent_nb import Options\npanel.options = Options(temperature=0.0, num_predict=4)"
        )
        assert "num_predict" in ran.output["data"]["text/html"]
        assert ran.output["metadata"]["acagent_nb"]["options"] == {"num_predict": 4, "temperature": 0}
        answer = kernel.run("%%llm local_tiny --num-predict 3\nWhy is the sky blue?")
        assert "num_predict 3 · temperature 0" in answer.html or "temperature 0 · num_predict 3" in answer.html
