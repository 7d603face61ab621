"""The pytest plugin: nbval, nbmake and `acagent-nb check` for notebooks that ask language models.

    [tool.pytest.ini_options]
    acagent_nb_answers = "replay:notebooks/answers/{notebook}.jsonl"

pytest loads this file in every run of an environment that has the package: it must cost nothing there. What it
does for notebooks waits in `pytest_compare.py` and `pytest_update.py` until notebooks are asked for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

INI = "acagent_nb_answers"
FLAG = "--acagent-nb-answers"
UPDATE = "--acagent-nb-update"
NONE = "none"  # asks the models, whatever the configuration says


def pytest_addoption(parser: pytest.Parser) -> None:
    """The flags and the line of configuration."""
    group = parser.getgroup("acagent_nb", "notebooks of language models")
    group.addoption(
        FLAG,
        dest=INI,
        metavar="MODE:FILE",
        help="record:FILE, replay:FILE or auto:FILE for the answers of each notebook's models, with {notebook} for "
        f"its name; {NONE} asks the models whatever is configured",
    )
    group.addoption(
        UPDATE,
        dest="acagent_nb_update",
        action="store_true",
        help="run the notebooks and keep their new outputs, instead of comparing them",
    )
    parser.addini(INI, f"the same as {FLAG}; FILE is relative to the root directory")


def pytest_configure(config: pytest.Config) -> None:
    """Take part, if notebooks are to be run."""
    option = config.option
    compared = getattr(option, "nbval", False) or getattr(option, "nbval_lax", False)
    if not (compared or option.acagent_nb_update or getattr(option, "nbmake", False)):
        return
    from .pytest_answers import Supply

    supply = Supply(setting(config))
    config.pluginmanager.register(supply, "acagent_nb_supply")
    if option.acagent_nb_update:
        from .pytest_update import Refreshing

        config.pluginmanager.register(Refreshing(supply), "acagent_nb_refreshing")
    elif compared:
        from .pytest_compare import Judging

        config.pluginmanager.register(Judging(supply), "acagent_nb_judging")


def setting(config: pytest.Config) -> str:
    """Where the answers come from, with a whole path: the flag, else the environment, else the configuration."""
    from .answer_files import VARIABLE

    flag, variable, line = config.getoption(INI), os.environ.get(VARIABLE), config.getini(INI)
    if flag or variable:
        return _whole(flag or variable or "", config.invocation_params.dir)
    return _whole(line or "", config.rootpath)


def _whole(text: str, folder: Path) -> str:
    mode, colon, file = text.strip().partition(":")
    if not colon or not file:
        return text.strip()
    return f"{mode}:{os.path.abspath(folder / os.path.expanduser(file))}"
