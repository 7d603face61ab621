"""Each notebook's kernel in a test run gets its own file of answers, before it starts.

Every tool starts its kernels with this process's environment, and pytest runs one test after another: so the
variable is set around the tests of a notebook, whoever collected them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..errors import BadOption
from . import answer_files, paths
from .executed import asked_live
from .failures import count

_LIVE = ("acagent_nb_live", True)  # among a test's properties, once for each such cell
_FRESH = re.compile(r"\bfresh\s*=\s*True\b")  # of an answer that is only used, nothing else is seen


class Supply:
    """The answers of all notebooks of a run.

    Parameters
    ----------
    setting
        MODE:FILE with a whole path, that may have `{notebook}` in it; empty, or `none`.
    """

    def __init__(self, setting: str) -> None:
        self.setting = setting
        self._refused: set[Path] = set()
        try:
            answer_files.answers(setting, "notebook")
        except BadOption as error:
            raise pytest.UsageError(f"{error.message} {error.hint}") from None

    def words(self, live: int) -> str:
        """Where the answers came from; `live` is how many cells asked all the same, whatever was recorded."""
        mode = self.setting.partition(":")[0]
        told = {
            "replay": "all answers replayed" + (f", but for {count(live, 'cell')} that asked live" if live else ""),
            "record": "all answers asked live and recorded",
            "auto": "recorded answers replayed, the others asked live and recorded",
        }
        return told.get(mode, "all answers asked live")

    def of(self, notebook: Path) -> str:
        """What ACAGENT_NB_ANSWERS shall be in the kernel of a notebook; empty for live answers."""
        return answer_files.answers(self.setting, notebook)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Set the variable for the kernel that this test may start."""
        if not self.setting or item.path.suffix != ".ipynb":
            return (yield)
        with answer_files.in_use(self.of(item.path)):
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say once of a notebook that its answers were never recorded, before its kernel starts."""
        if item.path.suffix != ".ipynb" or not self.setting.startswith("replay:"):
            return
        if item.path in self._refused:
            pytest.skip("its answers were never recorded, see the notebook's first test")
        file = Path(self.of(item.path).partition(":")[2])
        if not file.exists() and paths.asks_models(paths.read(item.path)):
            self._refused.add(item.path)
            notebook, place = shown(item.path, item.config), shown(file, item.config)
            remedy = shlex.join(["acagent-nb", "check", notebook, "--update", "--answers", f"record:{place}"])
            pytest.fail(
                f"The answers of {notebook} are to be replayed from {place}, and there is no such file.\n"
                f"Record them: {remedy}",
                pytrace=False,
            )


def note_live(item: pytest.Item, source: str, outputs: Iterable[Mapping[str, Any]]) -> None:
    """Note that a cell of a test has asked a model live, if it has."""
    if asked_live(outputs) or _FRESH.search(source):
        item.user_properties.append(_LIVE)


def noted_live(reports: Iterable[pytest.TestReport]) -> int:
    """How many cells that was."""
    return sum(each.user_properties.count(_LIVE) for each in reports)


def shown(path: Path, config: pytest.Config) -> str:
    """A path as one would type it where pytest was started."""
    try:
        return path.relative_to(config.invocation_params.dir).as_posix()
    except ValueError:
        return str(path)
