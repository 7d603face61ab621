"""nbval's cells, judged by what a front end would show of them.

nbval runs a cell, listens to its kernel and compares. It has no hooks for what we need in between, so its classes
are extended where it would not hear or not understand:

    messages   `get_kernel_message`   updates and clearings are folded into the outputs, and not passed on
    verdict    `compare_outputs`      waits until the cell has run, and looks at sanitised outputs
    words      `repr_failure`         for the author of a notebook
    waiting    `get_message`          ends when the kernel has died

A display may be updated by a later cell, and is stored as that one left it. So where a cell with a display differs,
the rest of the notebook is run before the verdict.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Generator, Iterator
from copy import deepcopy
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pytest
from nbval.kernel import RunningKernel  # type: ignore[import-untyped, unused-ignore]  # nbval has no types
from nbval.plugin import (  # type: ignore[import-untyped, unused-ignore]  # nbval has no types
    IPyNbCell,
    IPyNbFile,
    NbCellError,
    coalesce_streams,
)

from ..errors import NotRecorded
from . import failures
from .answer_files import VARIABLE
from .kernel import started
from .outputs import Folded, Output
from .pytest_answers import Supply, note_live, noted_live, shown
from .sanitised import sanitised

_UNRUN = "never run"
_LOOK = 1.0  # seconds between two looks at whether a silent kernel lives


class Differs(Exception):
    """A cell's outputs are not those that the notebook holds; the message is for the notebook's author."""


class KernelDied(Exception):
    """The kernel ended while a cell ran."""


class Judging:
    """Puts our cells in the place of nbval's, keeps a notebook's cells together, and says what was checked.

    Parameters
    ----------
    supply
        Where their answers come from.
    """

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> Generator[None, list[Any], list[Any]]:
        """Collect notebooks as ours."""
        found = yield
        return [Notebook.from_parent(parent, path=file_path) if type(each) is IPyNbFile else each for each in found]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """With pytest-xdist: one kernel means one worker. Other tests are distributed as ever, one by one."""
        dist = config.getoption("dist")
        if dist not in ("load", "worksteal", "loadgroup"):
            return None
        from xdist.scheduler import LoadGroupScheduling  # type: ignore  # it need not be there, and has no types

        class NotebooksTogether(LoadGroupScheduling):  # type: ignore[misc, unused-ignore]  # unknown where it is not
            def _split_scope(self, nodeid: str) -> str:
                file = nodeid.partition("::")[0]
                if file.endswith(".ipynb"):
                    return file
                return str(super()._split_scope(nodeid)) if dist == "loadgroup" else nodeid

        return NotebooksTogether(config, log)

    def pytest_terminal_summary(self, terminalreporter: Any, config: pytest.Config) -> None:
        """What was checked against what, in one sentence."""
        reports = [
            each
            for kind in ("passed", "failed")
            for each in terminalreporter.stats.get(kind, ())
            if ".ipynb::Cell " in each.nodeid
        ]
        if reports:
            notebooks = failures.count(len({each.nodeid.partition("::")[0] for each in reports}), "notebook")
            cells = failures.count(len({each.nodeid for each in reports}), "cell")
            how = "errors only, and tagged outputs" if config.getoption("nbval_lax") else "outputs compared"
            terminalreporter.write_line(f"{notebooks}, {cells}, {how}, {self._supply.words(noted_live(reports))}.")
            if unrun := sum((_UNRUN, True) in each.user_properties for each in reports):
                one = f"{failures.count(unrun, 'cell')} had never been run, and so compared with nothing."
                terminalreporter.write_line(f"{one} To keep outputs: acagent-nb check NOTEBOOK --update")


class Notebook(IPyNbFile):  # type: ignore[misc]  # nbval has no types
    """A notebook, whose cells run in one kernel."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.page = Folded()
        self.raised: Cell | None = None  # the first cell that failed to run

    def collect(self) -> Iterator[Cell]:
        """The code cells."""
        for cell in super().collect():
            yield Cell.from_parent(self, name=cell.name, cell_num=cell.cell_num, cell=cell.cell, options=cell.options)

    def setup(self) -> None:
        """Start the kernel."""
        started(super().setup)
        self.kernel.__class__ = _Watched  # nbval names the class where it makes one

    def get_kernel_message(self, timeout: float | None = None, stream: str = "iopub") -> Any:
        """The next message that nbval understands."""
        while True:
            message = super().get_kernel_message(timeout, stream)
            self.page.take(message)
            if message["msg_type"] not in ("update_display_data", "clear_output"):
                return message


class _Watched(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """nbval would wait half an hour for the answer of a kernel that has died."""

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return super().get_message(stream, timeout=max(0.0, min(_LOOK, until - time.monotonic())))
            except Empty:
                if not self.is_alive():
                    raise KernelDied from None
                if time.monotonic() >= until:
                    raise


class Cell(IPyNbCell):  # type: ignore[misc]  # nbval has no types
    """A code cell, run at its turn or before."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.stored: list[Output] = deepcopy(self.cell.outputs)
        self.fresh: list[Output] = []
        self._ran = self._right = False
        self._problem: Exception | None = None

    @property
    def title(self) -> str:
        """How its author knows it."""
        return failures.title(self.cell, self.parent.nb.cells)

    def runtest(self) -> None:
        """Run it, unless it had to run before its turn, and compare."""
        if not self._ran:
            self._run()
        if self.options["check"] and self.cell.execution_count is None:
            self.user_properties.append((_UNRUN, True))
        if self._problem is not None:
            raise self._problem
        if self._compared and not self._same():
            if any(output.get("output_type") == "display_data" for output in self.fresh):
                self._run_the_others()
            if not self._same():
                raise Differs(failures.difference(self._shown(self.stored), self._shown(self.fresh)))
        self._right = True
        self._ask_the_others()

    def _run(self) -> None:
        self._ran = True
        self.fresh = self.parent.page.begin()
        try:
            super().runtest()
        except (NbCellError, RuntimeError, KernelDied) as error:
            self._problem = error
            self.parent.raised = self.parent.raised or self
        note_live(self, self.cell.source, self.fresh)
        self.test_outputs = self._shown(self.fresh)  # where nbval's own reporters look for them

    def _run_the_others(self) -> None:
        """Run the cells below that are to be run at all."""
        below = self.session.items[self.session.items.index(self) + 1 :]
        for cell in below:
            if cell.parent is self.parent and not (cell._ran or cell.options["skip"] or self.parent.timed_out):
                cell._run()

    def _ask_the_others(self) -> None:
        """Whether the cells above are still what they were found to be."""
        touched = {id(outputs) for outputs in self.parent.page.touched}
        self.parent.page.touched.clear()
        for cell in self.session.items if touched else ():
            if (
                isinstance(cell, Cell)
                and id(cell.fresh) in touched
                and cell._right
                and cell._compared
                and not cell._same()
            ):
                words = failures.difference(cell._shown(cell.stored), cell._shown(cell.fresh))
                raise Differs(f"It changes what {cell.title} shows.\n{words}")

    @property
    def _compared(self) -> bool:
        return bool(self.options["check"]) and self.cell.execution_count is not None

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        """Put nbval's verdict off: it has not heard of the updates."""
        return True

    def _same(self) -> bool:
        """The comparison of nbval, of what the outputs mean."""
        return bool(super().compare_outputs(*map(_prepared, (self.fresh, self.stored))))

    def _shown(self, outputs: list[Output]) -> list[Any]:
        """Outputs with everything cut out of them, also what the user's own patterns match."""
        return list(self.sanitize_outputs(_prepared(outputs)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
        """What happened, and the one thing to do."""
        where = f"{shown(self.path, self.config)}, {self.title}"
        error = excinfo.value
        words = str(error) if isinstance(error, Differs) else self._failed(error)
        if (raised := self.parent.raised) and raised.cell_num < self.cell_num:
            words += f"\nThis may follow from {raised.title}"
        elif isinstance(error, Differs):
            words += f"\n{self._keep()}"
        return f"{where}\n{words}"

    def _failed(self, error: BaseException) -> str:
        raised = [output for output in self.fresh if output["output_type"] == "error"]
        if isinstance(error, KernelDied):
            return "The kernel died while this cell ran; most often it needed more memory than there is."
        if isinstance(error, NbCellError) and raised and error.inner_traceback:
            return failures.failure(raised[-1], self.cell.source) + self._record(raised[-1])
        if isinstance(error, NbCellError) and "Unrun" in str(error):
            return f"The notebook holds outputs of this cell, but says that it was never run.\n{self._keep()}"
        if isinstance(error, RuntimeError) and "dead" in str(error):
            return "The kernel has ended before this cell."
        return str(error) or type(error).__name__

    def _record(self, raised: Output) -> str:
        """What to do about an answer that is missing: the kernel, whose own hint stands above, knows nothing of us."""
        mode, _, file = os.environ.get(VARIABLE, "").partition(":")
        if raised["ename"] != NotRecorded.__name__ or mode != "replay":
            return ""
        words = ["acagent-nb", "check", shown(self.path, self.config), "--update", "--answers"]
        return f"\nIn this check: {shlex.join([*words, f'auto:{os.path.relpath(file)}'])}"

    def _keep(self) -> str:
        """What to do if the new outputs are right."""
        setting = self.config.getoption("acagent_nb_answers")
        words = ["acagent-nb", "check", shown(self.path, self.config), "--update"]
        words += ["--answers", setting] if setting else []
        return f"If the new output is right, keep it: {shlex.join(words)}"


def _prepared(outputs: list[Output]) -> list[Any]:
    """Sanitised outputs as nbval takes them, each stream in one piece."""
    return list(coalesce_streams([nbformat.from_dict(deepcopy(output)) for output in sanitised(outputs)]))  # type: ignore[no-untyped-call]  # as nbformat is
