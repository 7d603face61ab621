"""The notebooks run as they are, and are kept as they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from acagent_nb.presets import PRESETS
from acagent_nb.runnable.executed import WIDGET, without_circumstances
from acagent_nb.runnable.html_clean import clean_html
from tests.refresh import NOTEBOOKS, run
from tests.tables import NOTEBOOK as OPTIONS

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:papermill")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def outputs(notebook: Any) -> list[Any]:
    """What our own cells show, but for the pages that panels leave: they answer nothing."""
    every = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return [output for output in every if answers(output)]


def answers(output: Any) -> list[Any]:
    """What is saved of the answers in an output."""
    told = output.get("metadata", {}).get("acagent_nb", {})
    return told.get("answers", [told] if "model" in told else [])  # type: ignore[no-any-return]


def test_it_runs(path: Path, server: str) -> None:
    notebook = run(path, {"OLLAMA_HOST": server})
    assert outputs(notebook)
    for output in outputs(notebook):
        assert output.output_type == "display_data"
        assert output.data["text/plain"]
        assert {answer.server for answer in answers(output)} == {"embedded"}


def test_it_is_kept_with_its_outputs_and_without_traces_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run once, from top to bottom"
    assert outputs(notebook)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert without_circumstances(nbformat.reads(text, as_version=4)) == notebook, "python -m tests.refresh cleans it"
    assert not re.search(r"/(home|root|tmp|Users|work|opt)/|[A-Z]:\\\\", text)
    assert "<script" not in text
    assert WIDGET not in text


def test_a_panel_leaves_a_table_in_its_place() -> None:
    notebook = nbformat.read(OPTIONS, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (shown,) = [cell.outputs for cell in code if "%llm options" in cell.source]
    (page,) = [output.data["text/html"] for output in shown]
    sent = PRESETS["creative"].options.sent()
    assert re.findall(r"<b>(\w+)</b>", page) == list(sent)
    assert "<table" in clean_html(page)


def test_its_model_is_a_parameter(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    (parameters,) = [cell for cell in cells if "parameters" in cell.metadata.get("tags", ())]
    assert 'model = "local_tiny"' in parameters.source
    assert "\nassert " in f"\n{cells[-1].source}", "it ends by asserting its own point"


def test_a_parameter_reaches_the_notebook(server: str) -> None:
    notebook = run(NOTEBOOKS[0], {"OLLAMA_HOST": server}, model="local_tiny:latest")
    (injected,) = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", ())]
    assert 'model = "local_tiny:latest"' in injected.source
