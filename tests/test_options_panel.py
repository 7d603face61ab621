"""The options panel without a page: every control, the presets, the search, and the texts to copy and to print."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadOption
from acagent_nb.options import TABLE, Options
from acagent_nb.params import Params
from acagent_nb.presets import PRESETS
from acagent_nb.prose import toml
from acagent_nb.widgets.looks import GONE
from acagent_nb.widgets.options_panel import OptionsPanel
from tests.panels import version
from tests.replay import replaying, said

NUMBERS = [name for name, row in TABLE.items() if row.kind in (int, float) and name != "mirostat"]


def beside(name: str) -> float:
    """How far beside a slider's place a page may put it; 0 where there is no number between two places."""
    row = TABLE[name]
    return row.step * 0.4 if row.kind is float else (row.step - 1) // 2


@pytest.fixture
def panel() -> OptionsPanel:
    return OptionsPanel(params=Params())


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


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "seed" and beside(name)])
def test_a_page_that_rounds_a_slider_sends_nothing(panel: OptionsPanel, name: str) -> None:
    slider = panel.rows[name].control.slider
    place = slider.value
    slider.value += beside(name) if place < slider.max else -beside(name)
    assert slider.value != place
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


def test_a_line_break_does_not_fit_a_line(panel: OptionsPanel) -> None:
    panel.options = Options(stop=["\n", "#"])
    assert shlex.split(panel.view.copied.value) == ["%%llm", "local_tiny", "--stop", "#"]
    assert "line break" in panel.view.lost.value
    panel.view.copy_as.value = "TOML"
    assert panel.view.copied.value == '[options]\nstop = ["\\n", "#"]'
    assert panel.view.lost.value == ""


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
