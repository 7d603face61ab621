"""Run the notebooks again and keep their outputs: `python -m tests.refresh`.

They run in order in kernels of this Python, as for a user who has no server and no models yet (on
Linux: elsewhere that user's own are used); what differs from machine to machine and from run to run
is left out of their metadata.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill

from acagent_nb.runnable.kernel import kernel_manager

WIDGET = "application/vnd.jupyter.widget-view+json"
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, fresh_user(Path(folder)) as environment:
        for path in NOTEBOOKS:
            print(path.name)
            nbformat.write(clean(run(path, environment)), path)


@contextmanager
def fresh_user(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a user who has nothing yet; the server that is started in it ends with the block."""
    environment = {"OLLAMA_HOST": "", "XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}
    try:
        yield environment
    finally:
        subprocess.run([sys.executable, "-m", "acagent_nb", "stop"], env=os.environ | environment, check=True)


def run(path: Path, environment: dict[str, str], **parameters: Any) -> Any:
    """The executed notebook; raises papermill's error if a cell fails."""
    return papermill.execute_notebook(
        path,
        None,
        parameters,
        kernel_name="python3",
        progress_bar=False,
        kernel_manager_class=kernel_manager(environment),
        extra_arguments=["--log-level=CRITICAL"],
    )


def clean(notebook: Any) -> Any:
    """Without what papermill and the kernel note of their own circumstances, and without widgets that are gone."""
    for noise in ("papermill", "widgets"):
        notebook.metadata.pop(noise, None)
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    for cell in notebook.cells:
        for noise in ("papermill", "execution"):
            cell.metadata.pop(noise, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
        if cell.cell_type == "code":  # a widget is dead without its kernel; the page that it left beside it stays
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return notebook


if __name__ == "__main__":
    main()
