"""Small notebooks of language models for the tests of what runs and checks notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from acagent_nb.runnable.executed import without_circumstances
from acagent_nb.runnable.kernel import kernel_manager

NOWHERE = "http://127.0.0.1:9"  # the discard port: nobody listens
QUICK = str(Path(__file__).with_name("quick"))  # on PYTHONPATH: without what takes long to load
SKY = ("%load_ext acagent_nb", "%%llm local_tiny\nWhy is the sky blue?", "_llm.text")
TOKEN = (
    'from acagent_nb import Client\n\nquestion = "What is a token?"',
    'with Client() as client:\n    print(client.chat("local_tiny", question, temperature=0).text)',
)


def write(path: Path, *sources: str, tags: dict[int, str] | None = None) -> Path:
    """A notebook that was not run yet."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    for at, tag in (tags or {}).items():
        notebook.cells[at].metadata["tags"] = [tag]
    nbformat.write(notebook, path)
    return path


def execute(path: Path, **environment: str) -> Path:
    """Run a notebook as plain nbclient does, and keep its outputs."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_manager_class=kernel_manager(environment), resources=where).execute()
    nbformat.write(without_circumstances(notebook), path)
    return path


def edit(path: Path, change: Callable[[Any], None]) -> Path:
    """Change a notebook by hand."""
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)
    return path


def replace(old: str, new: str) -> Callable[[Any], None]:
    """An edit that puts another text in the place of one, in sources and outputs."""

    def change(notebook: Any) -> None:
        text = nbformat.writes(notebook)
        assert old in text
        notebook.update(nbformat.reads(text.replace(old, new), as_version=4))

    return change


def pytest_in(folder: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest of its own, with no server at hand unless the environment names one."""
    quick = ["-p", "no:cacheprovider", "-p", "no:hypothesispytest"]  # which takes a second to load
    command = [sys.executable, "-m", "pytest", "-q", *quick, *flags]
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ACAGENT_NB_"))}
    return subprocess.run(
        command,
        cwd=folder,
        env={**known, "OLLAMA_HOST": NOWHERE, "PYTHONPATH": on_path(QUICK), **environment},
        capture_output=True,
        text=True,
    )


def on_path(folder: str) -> str:
    """PYTHONPATH with this folder first."""
    return os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
