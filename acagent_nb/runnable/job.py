"""One notebook is run: a `Job` in, what `Ran` out.

As a program it reads a job from standard input and writes what happens to standard output, a line each,
and `Ran` as the last: `acagent-nb run --jobs` starts several of them.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from . import executed, failures, paths
from .kernel import OURS

_MAY_FAIL = "raises-exception"


class Job(Struct, frozen=True):
    """What to run.

    Attributes
    ----------
    notebook
        Its path.
    out
        Where the executed notebook goes; the path of `notebook` to replace it in the end; `None` for nowhere.
    page
        Where its HTML page goes.
    before, after
        File name and title of the pages before and after this one.
    parameters
        By name.
    answers
        As ACAGENT_NB_ANSWERS; `None` for what the environment says.
    kernel
        A kernel's name; `None` for the notebook's own.
    timeout
        Seconds that a cell may take.
    variables
        Further environment variables of the kernel.
    """

    notebook: str
    out: str | None = None
    page: str | None = None
    before: tuple[str, str] | None = None
    after: tuple[str, str] | None = None
    parameters: dict[str, Any] = {}
    answers: str | None = None
    kernel: str | None = None
    timeout: float | None = None
    variables: dict[str, str] = {}


class Step(Struct, frozen=True, tag=True):
    """A code cell begins: its number from 1, of how many, and its first line."""

    number: int
    cells: int
    line: str


class Said(Struct, frozen=True, tag=True):
    """Something that a user may want to know."""

    text: str


class Ran(Struct, frozen=True, tag=True):
    """What came of it.

    Attributes
    ----------
    name
        The notebook's file name.
    cells
        Code cells that were run, the failing one included.
    seconds
        Since it began.
    answers, replayed, unfinished, tokens_in, tokens_out
        Of the answers in its outputs; those that failed or were stopped are counted by themselves.
    problem
        In a few words; empty if there was none.
    told
        The whole of it, a line or two.
    stopped
        Whether the user interrupted it.
    """

    name: str
    cells: int = 0
    seconds: float = 0.0
    answers: int = 0
    replayed: int = 0
    unfinished: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    problem: str = ""
    told: list[str] = []
    stopped: bool = False


Tell = Callable[[Step | Said], None]


def run(job: Job, tell: Tell) -> Ran:
    """Run one notebook to its end, and write what is asked for, also if a cell fails; `tell` hears of each step."""
    began, path = time.monotonic(), Path(job.notebook)
    kept: list[Any] = []
    problem, told, stopped = "", list[str](), False
    try:
        _execute(job, tell, kept.append)
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nbclient leaves a task behind, which complains
        problem, stopped = "interrupted", True
    except Exception as error:  # whatever ends it, the other notebooks go on
        if not (kept and _failed_on_purpose(kept[0])):
            problem, told = failures.of_run(error, kept[0] if kept else None, job.timeout)
    notebook = kept[0] if kept else None
    if notebook is not None:
        try:
            _write(job, notebook)
        except OSError as error:
            problem = problem or "not written"
            told = [*told, f"{error.filename} can't be written: {error.strerror}.", "Name another place for it."]
    sums = executed.totals(notebook) if notebook is not None else {}
    counts = {name: sums.get(name, 0) for name in ("answers", "replayed", "unfinished", "tokens_in", "tokens_out")}
    cells = sum(cell.get("execution_count") is not None for cell in notebook.cells) if notebook is not None else 0
    return Ran(path.name, cells, time.monotonic() - began, **counts, problem=problem, told=told, stopped=stopped)


def _execute(job: Job, tell: Tell, tidied: Callable[[Any], None]) -> None:
    """Have papermill run it with our engine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # papermill's own imports
        import papermill

    path = Path(job.notebook)  # as the user wrote it: papermill notes it
    begun, cells = count(1), 0

    def step(cell: Any, cell_index: int) -> None:
        tell(Step(next(begun), cells, next(iter(cell.source.strip().splitlines()), "")))

    with _quiet_papermill():
        notebook = papermill.iorw.load_notebook_node(str(path))
        known = any(executed.tagged(cell, executed.INJECTED) for cell in notebook.cells)
        code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
        cells = len(code) + bool(job.parameters and not known)
        kernel = job.kernel or notebook.metadata.get("kernelspec", {}).get("name") or OURS
        in_place = job.out is not None and Path(job.out).resolve() == path.resolve()  # kept as it was until the end
        papermill.execute_notebook(
            str(path),
            None if in_place else job.out,
            job.parameters,
            engine_name="acagent",
            kernel_name=kernel,
            language="python" if kernel == OURS else None,
            progress_bar=False,
            folder=path.resolve().parent,
            answers=job.answers,
            variables=job.variables,
            execution_timeout=job.timeout,
            interrupt_on_timeout=True,
            on_cell_execute=step,
            tell=lambda text: tell(Said(text)),
            tidied=tidied,
        )


@contextmanager
def _quiet_papermill() -> Iterator[None]:
    """What it and nbclient log of a run is told by its result."""
    log = logging.getLogger("papermill")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


def _write(job: Job, notebook: Any) -> None:
    """The executed notebook as it is now, and the page."""
    if job.out is not None:
        paths.write(notebook, Path(job.out))
    if job.page is not None:
        from .html_index import title
        from .html_page import html_page

        path = Path(job.notebook)
        page = html_page(notebook, title(notebook, path), before=job.before, after=job.after, folder=path.parent)
        Path(job.page).write_text(page, encoding="utf-8")


def _failed_on_purpose(notebook: Any) -> bool:
    """Whether every cell that failed may; then papermill's marks, which say otherwise, are taken away."""
    failed = [cell for cell in notebook.cells if any(out.output_type == "error" for out in cell.get("outputs", ()))]
    if not all(executed.tagged(cell, _MAY_FAIL) for cell in failed):
        return False
    notebook.cells = [cell for cell in notebook.cells if not executed.tagged(cell, executed.MARKER)]
    return bool(failed)


def main() -> None:
    """Run the job on standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)

    def tell(event: Step | Said | Ran) -> None:
        print(msgspec.json.encode(event).decode(), flush=True)

    tell(run(job, tell))


if __name__ == "__main__":
    main()
