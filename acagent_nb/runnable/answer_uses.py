"""Notebooks are run, each on its own recording: which answers they take from it.

answers/{notebook}.jsonl, notebooks/ ─► {answers/02_options.jsonl: {("9f2c41d07b3a5e68", 1), ...}, ...}
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from .. import modes, pruning
from ..errors import LLMError, MissingExtra
from ..recordings import Use
from . import answer_files, paths
from .job import Job
from .run import run


def uses(pattern: str, notebooks: Sequence[str], check: Callable[[Path], None]) -> dict[Path, set[Use]]:
    """Run notebooks on what was recorded of them.

    Parameters
    ----------
    pattern
        The recording's path, which may have `{notebook}` in it.
    notebooks
        Paths, patterns and folders.
    check
        Refuses a path at which there can be no recording. A notebook without one that asks no models is not run.

    Returns
    -------
    dict
        What is in use, by the recording's path.

    Raises
    ------
    LLMError
        There is no such notebook or recording, or a notebook did not run to its end.
    """
    if find_spec("papermill") is None:
        raise MissingExtra("To run notebooks takes papermill.", paths.INSTALL)
    files = {path: Path(answer_files.named(pattern, path)).expanduser() for path in paths.notebooks(notebooks)}
    files = {path: file for path, file in files.items() if file.exists() or paths.asks_models(paths.read(path))}
    for file in dict.fromkeys(files.values()):
        check(file)
    with tempfile.TemporaryDirectory(prefix="acagent-nb-") as folder:
        lists = {path: Path(folder, str(at)) for at, path in enumerate(files)}
        for each in lists.values():
            each.touch()
        jobs = [
            Job(
                str(path),
                answers=answer_files.answers(f"replay:{file}", path),
                variables={modes.USED: str(lists[path])},
            )
            for path, file in files.items()
        ]
        if run(jobs):
            raise LLMError("Not all notebooks ran to their end, so nothing was dropped.", "Mend them or the recording.")
        used: dict[Path, set[Use]] = {}
        for path, file in files.items():
            used.setdefault(file, set()).update(pruning.uses(lists[path]))
    return used
