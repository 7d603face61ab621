"""The notebooks run as they are, and are kept as they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.refresh import NOTEBOOKS, clean, run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:papermill")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def answers(notebook: Any) -> list[Any]:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return [output for output in outputs if "acagent_nb" in output.get("metadata", {})]


def test_it_runs(path: Path, server: str) -> None:
    notebook = run(path, {"OLLAMA_HOST": server})
    assert answers(notebook)
    for answer in answers(notebook):
        assert answer.output_type == "display_data"
        assert answer.data["text/plain"]
        assert answer.metadata.acagent_nb.server == "embedded"


def test_it_is_kept_with_its_outputs_and_without_traces_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run once, from top to bottom"
    assert answers(notebook)
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    assert clean(nbformat.reads(text, as_version=4)) == notebook, "python -m tests.refresh cleans it"
    assert not re.search(r"/(home|root|tmp|Users|work|opt)/|[A-Z]:\\\\", text)
    assert "<script" not in text


def test_a_parameter_reaches_the_notebook(server: str) -> None:
    notebook = run(NOTEBOOKS[0], {"OLLAMA_HOST": server}, model="local_tiny:latest")
    (injected,) = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", ())]
    assert 'model = "local_tiny:latest"' in injected.source
