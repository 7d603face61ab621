"""`acagent-nb check`: pytest with nbval over notebooks, and nothing of a project's other tests.

A project's configuration of pytest holds, as does its line `acagent_nb_answers`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from textwrap import fill
from typing import Any

from ..errors import BadOption, MissingExtra
from . import answer_files, arguments, paths

DONE, WRONG, UNCHECKED = 0, 1, 2
_NEEDED = ("pytest", "nbval", "ipykernel", "nbclient")
_EXAMPLES = """examples:
  acagent-nb check notebooks/
  acagent-nb check notebooks/ --answers 'replay:answers/{notebook}.jsonl'
  acagent-nb check first.ipynb --update --answers record:answers/first.jsonl"""


def add(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser(
        "check",
        help="run notebooks, and compare their outputs with those that they hold",
        description=fill(
            "Run notebooks in kernels of this Python, each in its own folder, and compare every cell's output with "
            "the one that the notebook holds; what an answer cost, and how long it took, makes no difference. "
            "This is pytest with nbval, and a project's configuration of pytest holds. The exit status is 1 if "
            "something differs or fails, 2 if something could not be checked at all.",
            80,
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_notebooks(command)
    command.add_argument(
        "--lax", action="store_true", help="compare only the outputs of cells that are tagged nbval-check-output"
    )
    default = "ACAGENT_NB_ANSWERS, else acagent_nb_answers in the configuration of pytest"
    arguments.add_answers_and_jobs(command, "check", default)
    command.add_argument(
        "--update", action="store_true", help="keep the new outputs where they mean something else, and compare nothing"
    )
    command.add_argument("-k", dest="only", metavar="EXPR", default="", help="only tests that match, as in pytest")
    command.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    try:
        return check(
            given.notebooks,
            lax=given.lax,
            answers=given.answers or "",
            jobs=given.jobs,
            update=given.update,
            only=given.only,
        )
    except BadOption as error:
        print(error, file=sys.stderr)
        return UNCHECKED


def check(
    notebooks: Sequence[str],
    *,
    lax: bool = False,
    answers: str = "",
    jobs: int = 1,
    update: bool = False,
    only: str = "",
) -> int:
    """Run notebooks and compare their outputs with those that they hold; print what differs.

    Parameters
    ----------
    notebooks
        Paths of notebooks, folders of them, and patterns such as `notebooks/0*.ipynb`.
    lax
        Whether only the outputs of cells tagged `nbval-check-output` are compared.
    answers
        `replay:FILE` or the like, with `{notebook}` for a notebook's name, or `none`; the configuration if empty.
    jobs
        How many notebooks run at a time.
    update
        Whether to keep the new outputs instead.
    only
        What pytest's `-k` takes: a part of a notebook's name, for example.

    Returns
    -------
    int
        0, or 1 if something differs or fails, or 2 if something could not be checked at all.

    Raises
    ------
    BadOption
        There is no notebook at one of the paths, or `answers` or `jobs` can't be meant.
    MissingExtra
        What runs and compares notebooks is not installed.
    """
    if missing := [module for module in _NEEDED if find_spec(module) is None]:
        raise MissingExtra(f"Checking notebooks takes {' and '.join(missing)}.", paths.INSTALL)
    if jobs > 1 and find_spec("xdist") is None:
        raise MissingExtra("Checking several notebooks at a time takes pytest-xdist.", "pip install pytest-xdist")
    arguments.check_jobs(jobs)
    answer_files.answers(answers, "notebook")
    found = paths.notebooks(notebooks)
    for path in found:
        paths.read(path)
    flags = ["-q", "--no-header", "-rN", "--tb=short", "-p", "no:cacheprovider"]
    if update:
        flags += ["--acagent-nb-update"]
    else:
        flags += ["--nbval-lax" if lax else "--nbval", "--nbval-current-env"]
    flags += [f"--acagent-nb-answers={answers}"] if answers else []
    flags += ["-n", str(jobs), "--dist", "loadfile"] if jobs > 1 else []
    flags += ["-k", only] if only else []
    ran = subprocess.run([sys.executable, "-m", "pytest", *flags, *map(str, found)], check=False)
    return ran.returncode if ran.returncode in (DONE, WRONG) else UNCHECKED
