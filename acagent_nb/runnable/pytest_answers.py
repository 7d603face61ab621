"""Each notebook's kernel in a test run gets its own file of answers, before it starts.

Every tool starts its kernels with this process's environment, and pytest runs one test after another: so the
variable is set around the tests of a notebook, whoever collected them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..errors import BadOption
from . import answer_files, paths


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

    @property
    def words(self) -> str:
        """Where the answers came from."""
        mode = self.setting.partition(":")[0]
        told = {
            "replay": "all answers replayed",
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


def shown(path: Path, config: pytest.Config) -> str:
    """A path as one would type it where pytest was started."""
    try:
        return path.relative_to(config.invocation_params.dir).as_posix()
    except ValueError:
        return str(path)
