"""The options panel without a page: every control, the presets, the texts, and what it learns of a server."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadOption, hosts
from acagent_nb.options import TABLE, Options
from acagent_nb.params import Params
from acagent_nb.presets import PRESETS
from acagent_nb.prose import toml
from acagent_nb.widgets.looks import GONE
from acagent_nb.widgets.options_panel import OptionsPanel
from tests.kernels import running_kernel
from tests.refresh import fresh_user
from tests.replay import Answer, recorded, replaying, said

NUMBERS = [name for name, row in TABLE.items() if row.kind in (int, float) and name != "mirostat"]
TAGS = Answer(('{"models":[{"name":"made:latest"},{"name":"other:1b"}]}',), content_type="application/json")


@pytest.fixture
def panel() -> OptionsPanel:
    return OptionsPanel(params=Params())


def version(text: str, engine: dict[str, str] | None = None) -> Answer:
    return Answer(
        (json.dumps({"version": text} | ({"engine": engine} if engine else {})),), content_type="application/json"
    )


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait, and let the loop go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


async def refreshed(panel: OptionsPanel) -> OptionsPanel:
    await panel.refresh()
    return panel


def sent(panel: OptionsPanel) -> Any:
    """The live JSON on the page."""
    return json.loads(unescape(re.sub(r"<.*?>", "", panel.view.sent.value)))


def seen(panel: OptionsPanel) -> set[str]:
    """The options that the search leaves on the page."""
    return {name for name, row in panel.rows.items() if GONE not in row.view._dom_classes}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_typed_number_is_sent_and_moves_the_slider(panel: OptionsPanel, name: str) -> None:
    row, control = TABLE[name], panel.rows[name].control
    value = max(1, int(row.low or 0))
    control.field.value = str(value)
    assert panel.options.sent() == sent(panel) == {name: value}
    assert type(panel.options.sent()[name]) is row.kind
    assert panel.rows[name].send.value
    if control.slider is not None:
        assert control.slider.min <= control.slider.value <= control.slider.max
        assert abs(control.slider.value - min(max(value, control.slider.min), control.slider.max)) < row.step
    control.field.value = ""
    assert panel.options == Options()
    assert not panel.rows[name].send.value


@pytest.mark.parametrize("name", NUMBERS)
def test_a_dragged_slider_is_sent_and_writes_the_field(panel: OptionsPanel, name: str) -> None:
    control, row = panel.rows[name].control, TABLE[name]
    if name == "seed":
        assert control.slider is None  # two thousand million places can't be aimed at
        return
    assert row.usual is not None
    assert (control.slider.min, control.slider.max) == row.usual
    value = round(control.slider.min + 3 * row.step, 6)
    control.slider.value = value
    assert panel.options.sent() == {name: value}
    assert control.field.value == f"{value:g}"


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "seed"])
def test_a_page_that_rounds_a_slider_sends_nothing(panel: OptionsPanel, name: str) -> None:
    slider = panel.rows[name].control.slider
    slider.value = slider.value + TABLE[name].step * (0.001 if TABLE[name].kind is float else 0)
    assert panel.options == Options()


def test_unticking_leaves_the_value_and_ticking_sends_it_again(panel: OptionsPanel) -> None:
    row = panel.rows["temperature"]
    row.control.field.value = "0.3"
    row.send.value = False
    assert panel.options == Options()
    assert row.control.field.value == "0.3"
    assert "an-sent" not in row.view._dom_classes
    row.send.value = True
    assert panel.options == Options(temperature=0.3)
    assert "an-sent" in row.view._dom_classes


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.8), ("top_k", 40), ("seed", -1), ("use_mmap", False), ("num_ctx", 2048)]
)
def test_ticking_an_untouched_option_sends_what_it_shows(panel: OptionsPanel, name: str, value: Any) -> None:
    panel.rows[name].send.value = True
    assert panel.options.sent() == {name: value}


def test_stop_has_tags(panel: OptionsPanel) -> None:
    row = panel.rows["stop"]
    row.send.value = True
    assert (row.send.value, row.complaint) == (False, "stop needs a value first.")
    for text in ("###", r"a\n", "###", r"\\n", ""):
        row.control.field.value = text
    assert row.control.field.value == ""
    assert panel.options.stop == ["###", "a\n", r"\n"]
    assert [tag.description for tag in row.control.tags] == ["### ✕", r"a\n ✕", r"\\n ✕"]
    row.control.tags[1].click()
    assert panel.options.stop == ["###", r"\n"]
    for _ in range(2):
        row.control.tags[0].click()
    assert panel.options == Options()
    assert not row.send.value


def test_modes_have_a_list(panel: OptionsPanel) -> None:
    listed = panel.rows["mirostat"].control.list
    assert [label for label, _ in listed.options] == ["default: off", "0 · off", "1 · Mirostat", "2 · Mirostat 2.0"]
    listed.value = 2
    assert panel.options == Options(mirostat=2)
    listed.label = "default: off"
    assert panel.options == Options()
    assert not panel.rows["mirostat"].send.value


def test_a_truth_has_a_box(panel: OptionsPanel) -> None:
    row = panel.rows["use_mmap"]
    row.control.box.value = True
    assert panel.options == Options(use_mmap=True)
    row.control.box.value = False
    assert panel.options == Options(use_mmap=False)
    assert sent(panel) == {"use_mmap": False}


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("top_p", "2", "top_p takes a number from 0 to 1, not 2."),
        ("top_k", "many", "top_k takes a whole number, not 'many'."),
        ("top_k", "1.5", "top_k takes a whole number, not 1.5."),
        ("temperature", "nan", "temperature takes a number, not nan."),
    ],
)
def test_what_can_not_be_sent_is_said_beside_the_control(panel: OptionsPanel, name: str, typed: str, told: str) -> None:
    row = panel.rows[name]
    row.control.field.value = "1"
    row.control.field.value = typed
    assert told in unescape(row.note)
    assert row.view.children[-1].value == row.note
    assert panel.options.sent() == {name: 1}
    row.control.field.value = "0.5" if TABLE[name].kind is float else "5"
    assert row.note == ""
    assert panel.options.sent() == {name: 0.5 if TABLE[name].kind is float else 5}


def test_more_than_usual_can_be_typed(panel: OptionsPanel) -> None:
    panel.rows["num_predict"].control.field.value = "100000"
    panel.rows["temperature"].control.field.value = "0,25"
    panel.rows["frequency_penalty"].control.field.value = "0.123456789"
    assert panel.options == Options(num_predict=100000, temperature=0.25, frequency_penalty=0.123456789)
    assert panel.rows["num_predict"].control.slider.value == 4096
    assert panel.rows["frequency_penalty"].control.field.value == "0.123456789"


def test_a_trap_is_said(panel: OptionsPanel) -> None:
    panel.rows["num_gpu"].control.field.value = "1"
    assert "counts layers and not GPUs" in panel.rows["num_gpu"].note
    panel.rows["num_gpu"].control.field.value = "-1"
    assert panel.rows["num_gpu"].note == ""


def test_options_can_be_set_and_followed(panel: OptionsPanel) -> None:
    told: list[Options] = []
    panel.observe(lambda change: told.append(change["new"]), "options")
    panel.options = Options(temperature=0.2, stop=["#"], mirostat=1)
    assert panel.rows["temperature"].control.field.value == "0.2"
    assert panel.rows["temperature"].send.value
    assert panel.rows["mirostat"].control.list.value == 1
    panel.rows["temperature"].control.slider.value = 0.5
    panel.rows["stop"].send.value = False
    assert told == [
        Options(temperature=0.2, stop=["#"], mirostat=1),
        Options(temperature=0.5, stop=["#"], mirostat=1),
        Options(temperature=0.5, mirostat=1),
    ]
    with pytest.raises(BadOption, match="temperature takes a number from 0 to 5, not 99"):
        panel.options = Options(temperature=99)
    assert panel.options == told[-1]
    assert OptionsPanel(params=Params(), options=Options(seed=1)).options == Options(seed=1)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_exactly_its_options(panel: OptionsPanel, name: str) -> None:
    panel.options = Options(seed=7, num_keep=2)
    button = panel.view.presets[name]
    button.click()
    assert panel.options == PRESETS[name].options
    assert button.tooltip == PRESETS[name].why
    assert PRESETS[name].why in unescape(panel.view.told.value)
    assert "(changed)" not in panel.view.told.value
    assert button.button_style == "primary"
    panel.rows["top_k"].control.field.value = "33"
    assert "(changed)" in panel.view.told.value
    assert button.button_style == ""
    panel.view.reset.click()
    assert panel.options == Options()
    assert panel.rows["top_k"].control.field.value == ""
    assert "send it" in panel.view.told.value


def test_search(panel: OptionsPanel) -> None:
    panel.view.search.value = "PENALTY"
    assert seen(panel) == {"repeat_penalty", "presence_penalty", "frequency_penalty", "penalize_newline"}
    panel.view.search.value = "context window"
    assert seen(panel) == {"num_ctx"}
    panel.view.search.value = "mirostat"
    assert seen(panel) == {"mirostat", "mirostat_eta", "mirostat_tau"}
    panel.view.search.value = ""
    assert seen(panel) == set(TABLE)


def test_each_option_tells_its_help_and_whether_it_reloads(panel: OptionsPanel) -> None:
    for name, row in panel.rows.items():
        told = unescape(row._name.value)
        assert TABLE[name].help in told
        assert ("reloads the model" in told) is TABLE[name].load
        assert row.send.description == f"Send {name}"


def test_copy_as(panel: OptionsPanel, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    panel.model = "local_made"
    panel.options = Options(
        temperature=0.2, seed=-1, use_mmap=True, stop=["it's", "--x", "a b"], repeat_penalty=1.123456789
    )
    with replaying(chat=said("Hi"), version=version("0.32.15")) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        assert shell.run_cell(f"{panel.view.copied.value}\nHi").success
        panel.view.copy_as.value = "Python"
        assert shell.run_cell(panel.view.copied.value).success
    bodies = [body for _, path, body in server.requests if path == "/api/chat"]
    assert [(body["model"], body["options"]) for body in bodies] == 2 * [("made", panel.options.sent())]
    panel.view.copy_as.value = "TOML"
    assert Params.of(toml(panel.view.copied.value)).model_options == panel.options


def test_the_server_of_ones_own_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_user(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if hosts.present():
            pytest.skip("an Ollama answers on this machine")
        hosts.find()
        panel = asyncio.run(refreshed(OptionsPanel(params=Params())))
    assert panel.view.server.value.lower().count("embedded server") == 1


def test_a_line_break_does_not_fit_a_line(panel: OptionsPanel) -> None:
    panel.options = Options(stop=["\n", "#"])
    assert shlex.split(panel.view.copied.value) == ["%%llm", "local_tiny", "--stop", "#"]
    assert "line break" in panel.view.lost.value
    panel.view.copy_as.value = "TOML"
    assert panel.view.copied.value == '[options]\nstop = ["\\n", "#"]'
    assert panel.view.lost.value == ""


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
        assert "<img" not in panel.view.server.value
        panel.options = Options(stop=[evil])
        assert "<img" not in panel.view.sent.value + panel._repr_mimebundle_()["text/html"]


def test_opening_it_in_a_loop_asks_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened() -> OptionsPanel:
        panel = OptionsPanel(params=Params(), model="local_other")
        panel.model = "local_made"  # the question for the other one is given up before it was put
        await until(lambda: "Ollama 0.24.0" in panel.view.server.value)
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
            await until(lambda: not trial.run.disabled)
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
        await until(lambda: bool(panel.trial.reply and panel.trial.reply.text))
        if end == "stop":
            panel.trial.stop.click()
        else:
            panel.close()
        await until(lambda: not panel.trial.run.disabled)
        assert "stopped" in panel.trial.answers[0].view.value
        assert panel.trial.reply.text == "Once "

    answer = said("Once ", done=False, stall=60)
    with replaying(version=version("0.24.0"), tags=TAGS, show=recorded("show_made2"), chat=answer) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        asyncio.run(stopped())
        assert server.gone.wait(5)


def test_a_static_page_and_a_terminal(panel: OptionsPanel, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == "Options that are sent: none; the model and the server decide."
    panel.options = Options(temperature=0.2, stop=["<b>"])
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == 'Options that are sent: temperature 0.2, stop "<b>".'
    assert "<td" in bundle["text/html"]
    assert "&lt;b&gt;" in bundle["text/html"]
    panel._ipython_display_()
    lines = capsys.readouterr().out.splitlines()
    assert {re.sub(r"[* ]*(\w+).*", r"\1", line) for line in lines} >= set(TABLE)
    assert [line.split() for line in lines if line.startswith("*")] == [
        ["*", "temperature", "0.2"],
        ["*", "stop", '"<b>"'],
    ]


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
