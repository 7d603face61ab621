"""`acagent-nb check --update`: notebooks run as they are checked, with the same answers, and keep their new outputs.

What a cell shows now takes the place of what the notebook holds only where it means something else, so that a
review sees what has changed and no timings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ..origins import KEY
from . import answer_files, failures, paths
from .executed import tidy, without_circumstances
from .kernel import OURS, kernel_manager, started
from .pytest_answers import Supply, note_live, noted_live, shown
from .sanitised import alike

_CHANGED = "acagent_nb_changed"  # among a test's properties: how many cells


class Refreshing:
    """Collects notebooks to be run, and says which were written anew.

    Parameters
    ----------
    supply
        Where their answers come from.
    """

    def __init__(self, supply: Supply) -> None:
        self._supply = supply

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect notebooks."""
        return Notebook.from_parent(parent, path=file_path) if file_path.suffix == ".ipynb" else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """A notebook that asked nothing has been recorded, too: a replay must find its file."""
        yield
        setting = self._supply.of(item.path)
        if isinstance(item, Run) and setting.startswith(("record:", "auto:")):
            file = Path(setting.partition(":")[2])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """What was run and what was written, in one sentence."""
        passed = [each for each in terminalreporter.stats.get("passed", ()) if each.nodeid.endswith(".ipynb::outputs")]
        if not passed:
            return
        told_of = [(each.nodeid.partition("::")[0], dict(each.user_properties).get(_CHANGED)) for each in passed]
        written = [f"{name} ({failures.count(cells, 'cell')})" for name, cells in told_of if cells]
        what = f"new outputs in {', '.join(written)}" if written else "all outputs are still right"
        terminalreporter.write_line(
            f"{failures.count(len(passed), 'notebook')} run, {self._supply.words(noted_live(passed))}; {what}."
        )


class Notebook(pytest.File):
    """A notebook, run as one test."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its run."""
        yield Run.from_parent(self, name="outputs")


class Run(pytest.Item):
    """The cells of a notebook, from top to bottom, up to the first that fails."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._fresh: Any = None

    def runtest(self) -> None:
        """Run them, and write the notebook if its outputs have changed."""
        from nbclient import NotebookClient

        stored: Any = nbformat.read(self.path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
        self._fresh = _to_run(stored)
        client = NotebookClient(
            self._fresh,
            timeout=None,
            kernel_name=OURS,
            kernel_manager_class=kernel_manager({}),
            resources={"metadata": {"path": str(self.path.parent)}},
            extra_arguments=["--log-level=CRITICAL"],  # it would warn of a connection that never leaves the machine
        )
        started(client.execute)
        for cell in self._fresh.cells:
            if cell.cell_type == "code":
                note_live(self, cell.source, cell.outputs)
        replayed = os.environ.get(answer_files.VARIABLE, "").startswith("replay:")
        changed = _keep(stored, without_circumstances(self._fresh), replayed=replayed)
        if changed:
            if KEY in stored.metadata:
                tidy(stored)  # what it says of all its answers
            paths.write(stored, self.path)
        self.user_properties.append((_CHANGED, changed))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """Which cell failed with what."""
        code = [cell for cell in self._fresh.cells if cell.cell_type == "code"] if self._fresh else []
        where, words = shown(self.path, self.config), str(excinfo.value) or type(excinfo.value).__name__
        for cell in code:
            failed = [output for output in cell.outputs if output.output_type == "error"]
            if failed and "raises-exception" not in cell.metadata.get("tags", ()):
                where, words = (
                    f"{where}, {failures.title(cell, self._fresh.cells)}",
                    failures.failure(failed[-1], cell.source),
                )
        return f"{where}\n{words}\nThe notebook was left as it is."

    def reportinfo(self) -> tuple[Path, None, str]:
        """How pytest names it."""
        return self.path, None, shown(self.path, self.config)


def _to_run(notebook: Any) -> Any:
    """A copy without outputs, whose cells nbclient skips and lets fail as nbval does."""
    copy = deepcopy(notebook)
    for cell in copy.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            options = _options(cell)
            if options.get("skip"):
                cell.source = ""
            if options.get("check_exception"):
                cell.metadata["tags"] = [*cell.metadata.get("tags", ()), "raises-exception"]
    return copy


def _options(cell: Any) -> dict[str, bool]:
    """What a cell's tags and comments tell nbval."""
    from nbval.plugin import (  # type: ignore[import-untyped, unused-ignore]  # nbval has no types
        find_comment_markers,
        find_metadata_tags,
    )

    return {**dict(find_metadata_tags(cell.metadata)), **dict(find_comment_markers(cell.source))}


def _keep(stored: Any, fresh: Any, *, replayed: bool) -> int:
    """Put new outputs in the place of those that mean something else; how many cells have changed.

    What a cell measures that nobody compares stays as it was asked live: how fast a recording is read tells nothing.
    """
    changed = 0
    for old, new in zip(stored.cells, fresh.cells, strict=True):
        if new.cell_type != "code" or not new.source.strip():
            continue
        if replayed and old.outputs and not _options(old).get("check", True):
            new.outputs = old.outputs
        if not alike(old.outputs, new.outputs):
            old.outputs = new.outputs
            changed += 1
        elif old.execution_count != new.execution_count:
            changed += 1
        old.execution_count = new.execution_count
    return changed
