"""A kernel that could not start, as one whose ports were taken meanwhile, is started once more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tutorials import QUICK, execute, pytest_in, write

# What Python runs first in each process: a kernel ends before it answers, until there are so many marks in the folder.
_DYING = """
import os, sys
from pathlib import Path
folder = Path(__file__).parent
if any("ipykernel_launcher" in word for word in sys.orig_argv):
    deaths = len(list(folder.glob("*.death")))
    if deaths < {deaths}:
        (folder / f"{{deaths}}.death").touch()
        os._exit(1)
"""


def dying(folder: Path, deaths: int) -> dict[str, str]:
    """The environment in which so many kernels die."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_DYING.format(deaths=deaths))
    path = os.pathsep.join([str(folder), QUICK, str(Path(__file__).parent.parent)])
    return {"PYTHONPATH": path, "ACAGENT_NB_ANSWERS": "", "OLLAMA_HOST": "http://127.0.0.1:9"}


@pytest.mark.parametrize(("deaths", "status"), [(1, 0), (3, 1)])
def test_a_run(tmp_path: Path, deaths: int, status: int) -> None:
    notebook = write(tmp_path / "one.ipynb", "1 + 1")
    command = [sys.executable, "-m", "acagent_nb", "run", str(notebook)]
    environment = os.environ | dying(tmp_path / "dying", deaths)
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert len(list((tmp_path / "dying").glob("*.death"))) == deaths


def test_a_check(tmp_path: Path) -> None:
    notebook = execute(write(tmp_path / "one.ipynb", "1 + 1"))
    ran = pytest_in(tmp_path, "--nbval", "--nbval-current-env", notebook.name, **dying(tmp_path / "dying", 1))
    assert ran.returncode == 0, ran.stdout
    assert len(list((tmp_path / "dying").glob("*.death"))) == 1
