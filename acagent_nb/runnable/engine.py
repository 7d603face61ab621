"""The papermill engine `acagent`: `papermill --engine acagent in.ipynb out.ipynb`.

check the server, pull models ─► run the cells in a kernel of this Python ─► tidy the outputs, tell what it cost

papermill loads this file by its entry point while it is being imported itself: import papermill, not this.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from papermill.engines import NBClientEngine
from papermill.log import logger

from ..errors import LLMError
from . import answer_files
from .executed import summary, tidy
from .kernel import OURS, kernel_manager, started
from .preparing import prepare


class Engine(NBClientEngine):  # type: ignore[misc]  # papermill has no types
    """Runs notebooks that ask models."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        input_path: Any = None,
        answers: str | None = None,
        folder: str | Path | None = None,
        variables: dict[str, str] | None = None,
        tell: Callable[[str], None] = logger.info,
        tidied: Callable[[Any], None] | None = None,
        **how: Any,
    ) -> Any:
        """Run the cells of a notebook; what has come stays in it, also if it fails or is stopped.

        Parameters
        ----------
        nb_man, kernel_name, input_path, how
            As papermill's own engine takes them.
        answers
            As ACAGENT_NB_ANSWERS, which holds if it is left out; the kernel gets it with the whole path.
        folder
            The kernel's working folder; papermill's `cwd` if left out.
        variables
            Further environment variables of the kernel.
        tell
            Called with what a user may want to know before the first cell, such as where the models answer.
        tidied
            Called with the notebook in the end, also if a cell failed.

        Raises
        ------
        LLMError
            Nothing was run: no server, no model, or a bad setting of ACAGENT_NB_ANSWERS.
        """
        path = Path(input_path) if isinstance(input_path, str) else Path("notebook")
        given, variables = os.environ.get(answer_files.VARIABLE, "") if answers is None else answers, variables or {}
        if nb_man.pbar:
            nb_man.pbar.clear()  # else a download would be drawn behind it
        try:
            setting = answer_files.answers(given, path)
            prepare(nb_man.nb, setting, tell, None if folder is None else Path(folder), variables.get("OLLAMA_HOST"))
        except LLMError as error:
            if click.get_current_context(silent=True) is None:
                raise
            raise click.ClickException(str(error)) from error  # papermill's command shows these without a traceback
        ours = kernel_name == OURS
        if ours:  # it would warn of a connection that never leaves the machine
            how.setdefault("extra_arguments", ["--log-level=CRITICAL"])
        if folder is not None:
            how["resources"] = {"metadata": {"path": str(folder)}}
        environment = variables | ({answer_files.VARIABLE: setting} if setting else {})
        manager = kernel_manager(environment, installed=not ours)
        run = super().execute_managed_notebook
        try:
            return started(lambda: run(nb_man, kernel_name, kernel_manager_class=manager, **how))
        finally:
            tidy(nb_man.nb)
            logger.info(f"{path.name}: {summary(nb_man.nb)}")
            if tidied is not None:
                tidied(nb_man.nb)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The kernel's name: as given, else as the notebook says, else this Python's."""
        return str(name or nb.metadata.get("kernelspec", {}).get("name") or OURS)
