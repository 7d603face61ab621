"""`record:FILE`, `replay:FILE` or `auto:FILE`: the file of answers that one notebook's kernel uses.

    replay:answers/{notebook}.jsonl ─► replay:/home/anna/answers/02_options.jsonl

The kernel may have another working folder than the command, so the path is made whole here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BadOption
from ..modes import FORM, NOTEBOOK, parted
from ..modes import VARIABLE as VARIABLE
from .plugin import NONE


def answers(setting: str, notebook: str | Path) -> str:
    """What ACAGENT_NB_ANSWERS shall be in the kernel of a notebook.

    Parameters
    ----------
    setting
        As a user writes it; empty or `none` for live answers.

    Raises
    ------
    BadOption
        It is not of this form.
    """
    if setting.strip() in ("", NONE):
        return ""
    told = parted(setting)
    if told is None:
        raise BadOption(
            f"{setting!r} does not say what to do with which file of answers.",
            f"Write {FORM}, for example replay:answers/{NOTEBOOK}.jsonl",
        )
    mode, file = told
    return f"{mode}:{os.path.abspath(os.path.expanduser(named(file, notebook)))}"


def named(path: str, notebook: str | Path) -> str:
    """A path with the notebook's name in it, where it says `{notebook}`."""
    return path.replace(NOTEBOOK, Path(notebook).stem)


@contextmanager
def in_use(setting: str) -> Iterator[None]:
    """In this block, and in kernels that are started in it, ACAGENT_NB_ANSWERS is this; empty for live answers."""
    before = os.environ.pop(VARIABLE, None)
    if setting:
        os.environ[VARIABLE] = setting
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before
