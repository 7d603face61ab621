"""Ask all that the notebooks ask again, and keep answers and outputs: `python -m tests.refresh`.

They run in order in kernels of this Python, as for a user who has no server and no models yet (on
Linux: elsewhere that user's own are used). Outputs that mean the same as before stay as they are.
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

import papermill

from acagent_nb.runnable.kernel import kernel_manager

FOLDER = Path(__file__).parent.parent / "notebooks"
ANSWERS = FOLDER / "answers"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def main() -> None:
    for recording in ANSWERS.glob("*.jsonl"):
        recording.unlink()  # every question is asked anew, and what is asked no more is gone
    with tempfile.TemporaryDirectory() as folder, fresh_user(Path(folder)) as environment:
        kept = f"record:{ANSWERS}/{{notebook}}.jsonl"
        command = [sys.executable, "-m", "acagent_nb", "check", *map(str, NOTEBOOKS), "--update", "--answers", kept]
        subprocess.run(command, env=os.environ | environment, check=True)


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


if __name__ == "__main__":
    main()
