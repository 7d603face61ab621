"""The arguments that `acagent-nb run` and `acagent-nb check` share."""

from __future__ import annotations

import argparse

from ..errors import BadOption


def add_notebooks(command: argparse.ArgumentParser) -> None:
    """NOTEBOOK ..."""
    command.add_argument(
        "notebooks", metavar="NOTEBOOK", nargs="+", help="a notebook, a pattern, or a folder with all in it"
    )


def add_answers_and_jobs(command: argparse.ArgumentParser, verb: str, default: str) -> None:
    """--answers MODE:FILE and --jobs N.

    Parameters
    ----------
    command
        A parser that has no such arguments yet.
    verb
        What is done with notebooks.
    default
        Where the answers come from without the flag, for its help.
    """
    command.add_argument(
        "--answers",
        metavar="MODE:FILE",
        help="record:FILE keeps all answers, replay:FILE asks no model, auto:FILE asks only what is not in the file, "
        f"none asks for all (default: {default})",
    )
    command.add_argument(
        "-n", "--jobs", metavar="N", type=int, default=1, help=f"{verb} so many side by side (default: 1)"
    )


def check_jobs(jobs: int) -> None:
    """Refuse a number of notebooks side by side that can't be meant."""
    if jobs < 1:
        raise BadOption(f"--jobs takes a number of at least 1, not {jobs}.", "For example --jobs 2")
