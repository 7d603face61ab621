"""`acagent-nb run`: notebooks are run one after the other or side by side, and a table tells what came of each."""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from ..errors import BadOption, Interrupted, LLMError, MissingExtra
from . import answer_files, arguments, paths

if TYPE_CHECKING:
    from .job import Job, Ran, Said, Step

_NEEDED = ("papermill", "nbconvert", "ipykernel", "bleach", "math_core")
_BAD = 2  # the exit status of arguments that can't be meant, as argparse has it
_EXAMPLES = """{notebook} in a path stands for a notebook's name without .ipynb. The pages of several
notebooks in one folder get an index.html.

examples:
  acagent-nb run first.ipynb -o out.ipynb
  acagent-nb run first.ipynb -p model local_llama3.2 -p runs 3 --html first.html
  acagent-nb run 'notebooks/*.ipynb' --jobs 2 --html site/
  acagent-nb run notebooks/ --answers 'replay:answers/{notebook}.jsonl'"""


def add(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser(
        "run",
        help="run notebooks, and make pages of them",
        description=fill(
            "Run notebooks in kernels of this Python, each in its own folder. The models that they name are pulled "
            "first, and the embedded server is started if no other answers. The executed notebook goes nowhere "
            "without -o or --in-place. The exit status is 1 if a notebook failed, 2 for arguments that can't be meant.",
            80,
        ),
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_notebooks(command)
    command.add_argument(
        "-p",
        dest="parameters",
        metavar=("NAME", "VALUE"),
        nargs=2,
        action="append",
        default=[],
        help="set a parameter: true, false, none and numbers are read as such; may be repeated",
    )
    where = command.add_mutually_exclusive_group()
    where.add_argument("-o", dest="out", metavar="OUT", help="write the executed notebook to this .ipynb or folder")
    where.add_argument("--in-place", action="store_true", help="put the executed notebook in the place of the old one")
    command.add_argument("--html", metavar="PAGE", help="write a page without scripts to this .html or folder")
    arguments.add_answers_and_jobs(command, "run", "ACAGENT_NB_ANSWERS")
    command.add_argument("--timeout", metavar="SECONDS", type=float, help="stop a cell that takes longer")
    command.add_argument("--kernel", metavar="NAME", help="an installed kernel, in place of the notebook's own")
    command.set_defaults(run=_run)


def _run(given: argparse.Namespace) -> int:
    try:
        jobs = _jobs(given)
    except LLMError as error:
        print(error, file=sys.stderr)
        return _BAD
    if missing := [module for module in _NEEDED if find_spec(module) is None]:
        raise MissingExtra(f"To run notebooks takes {' and '.join(missing)}.", paths.INSTALL)
    return run(jobs, given.jobs)


def run(jobs: Sequence[Job], together: int = 1) -> int:
    """Run notebooks, telling how it goes, and a table in the end.

    Parameters
    ----------
    jobs
        One for each notebook.
    together
        How many run side by side.

    Returns
    -------
    int
        0 if all ran to their end, else 1.

    Raises
    ------
    Interrupted
        The user stopped it; what was executed is kept where it was to go.
    """
    from . import progress
    from .parallel import side_by_side

    for job in jobs:
        for path in filter(None, (job.out, job.page)):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    watch = progress.Watch()
    results: list[Ran] = []
    several = together > 1 and len(jobs) > 1
    for ran in side_by_side(jobs, together, watch.tell) if several else _one_by_one(jobs, watch.tell):
        results.append(ran)
        watch.ended(ran)
    print()
    print(progress.table(results))
    folders = {str(Path(job.page).parent) for job in jobs if job.page}
    if len(jobs) > 1 and len(folders) == 1 and not any(each.stopped for each in results):
        print(f"\nPages: {_index(jobs, Path(folders.pop()))}")
    if any(each.stopped for each in results):
        kept = " What was executed is kept." if jobs[0].out else ""
        raise Interrupted(f"Stopped.{kept}")
    return int(any(each.problem for each in results))


def _one_by_one(jobs: Sequence[Job], tell: Callable[[Job, Step | Said], None]) -> Iterator[Ran]:
    """The same as `side_by_side`, in this process."""
    from .job import run as run_one

    for job in jobs:
        yield (ran := run_one(job, partial(tell, job)))
        if ran.stopped:
            return


def _index(jobs: Sequence[Job], folder: Path) -> Path:
    """Write the page that lists all others."""
    from . import html_index

    entries = []
    for job in jobs:
        assert job.page is not None
        path = Path(job.notebook)
        notebook = paths.read(path)
        title, about = html_index.title(notebook, path), html_index.about(notebook)
        entries.append(html_index.Entry(Path(job.page).name, title, about))
    page = folder / html_index.INDEX
    page.write_text(html_index.index(entries), encoding="utf-8")
    return page


def _jobs(given: argparse.Namespace) -> list[Job]:
    """What the arguments say, checked before anything runs."""
    from . import html_index
    from .job import Job

    arguments.check_jobs(given.jobs)
    if given.timeout is not None and not given.timeout >= 1:
        raise BadOption(f"--timeout takes seconds, at least 1, not {given.timeout:g}.", "For example --timeout 120")
    notebooks = paths.notebooks(given.notebooks)
    parameters = {name: _value(text) for name, text in given.parameters}
    read = [paths.read(path) for path in notebooks]
    for path, notebook in zip(notebooks, read, strict=True):
        _check(path, notebook, parameters)
    outs = [str(path) for path in notebooks] if given.in_place else paths.places(given.out, ".ipynb", notebooks, "-o")
    shown = paths.places(given.html, ".html", notebooks, "--html")
    for path, out in zip(notebooks, outs, strict=True):
        if out and not given.in_place and Path(out).resolve() == path.resolve():
            raise BadOption(f"-o {given.out} is the notebook itself.", "--in-place is the flag for that.")
    links = [
        (Path(page).name, html_index.title(each, path)) if page else None
        for page, each, path in zip(shown, read, notebooks, strict=True)
    ]
    linked = given.html is not None and len({Path(page).parent for page in shown if page}) == 1
    setting = os.environ.get(answer_files.VARIABLE, "") if given.answers is None else given.answers
    answers = [answer_files.answers(setting, path) for path in notebooks]
    for path, notebook, each in zip(notebooks, read, answers, strict=True):
        _check_answers(path, notebook, each)
    return [
        Job(
            str(path),
            outs[at],
            shown[at],
            before=links[at - 1] if linked and at else None,
            after=links[at + 1] if linked and at + 1 < len(links) else None,
            parameters=parameters,
            answers=answers[at],
            kernel=given.kernel,
            timeout=given.timeout,
        )
        for at, path in enumerate(notebooks)
    ]


def _check(path: Path, notebook: Any, parameters: dict[str, Any]) -> None:
    """Refuse a parameter that a notebook does not have."""
    from .asked_models import parameters as names_of

    known = names_of(notebook)
    for name in parameters:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"It has: {', '.join(known)}." if known else "Give a cell of assignments the tag: parameters"
        raise BadOption(f"{path.name} has no parameter {name}.", f"Did you mean {near[0]}?" if near else hint)


def _check_answers(path: Path, notebook: Any, setting: str) -> None:
    """Refuse a replay of what was never recorded."""
    mode, _, file = setting.partition(":")
    if mode == "replay" and not os.path.exists(file) and paths.asks_models(notebook):
        place = os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file
        raise BadOption(
            f"The answers of {path} are to be replayed from {place}, and there is no such file.",
            f"Record them: {shlex.join(['acagent-nb', 'run', str(path), '--answers', f'record:{place}'])}",
        )


def _value(text: str) -> Any:
    """A parameter's value, of the kind that it looks like."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
