"""Before a notebook runs: its server is looked for, and the models that it names.

What is missing is pulled, so that no cell has to wait for it and none fails half-way.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import builtin, hosts, keys, meant, names, terminal
from ..client import Client
from ..errors import BadName, DiskFull, KeyMissing, LLMError, ServerDown
from ..messages import Pulling
from ..params import Params
from . import asked_models
from .answer_files import in_use

Tell = Callable[[str], None]
_AT_ONCE = 1.0  # seconds that nobody has to be told of


def prepare(notebook: Any, answers: str, tell: Tell, folder: Path | None = None, url: str | None = None) -> None:
    """Find the server, start the embedded one if it is needed, and pull what is missing.

    Parameters
    ----------
    notebook
        An nbformat node with its parameters in it.
    answers
        The kernel's ACAGENT_NB_ANSWERS. A replay needs no server and no key; whether an `auto` does, only
        its cells know: nothing is done before them.
    tell
        Called with what a user may want to know. A download is shown on standard error.
    folder
        The kernel's working folder; this process's if left out.
    url
        The server; without it the one that `hosts.find` finds.

    Raises
    ------
    LLMError
        No server could be had, or a model that the notebook can't do without could not be pulled.
    """
    if answers.startswith(("replay:", "auto:")):
        return
    params = Params.found(folder)
    found = asked_models.models(notebook, params)
    for target in found.cloud:
        try:
            keys.cloud(endpoint=params.endpoints.get(target.provider))
        except (KeyMissing, BadName) as error:
            tell(f"{target.model}: {error.message} {error.hint}")
    if found.local:
        with in_use(""):  # what is asked here is no part of the notebook
            _pull_missing(found.local, tell, url)


def _pull_missing(wanted: dict[str, bool], tell: Tell, url: str | None) -> None:
    host = hosts.Host(url, "") if url else hosts.find()
    with Client(host.url) as client:
        there = {names.parse(model.name).key for model in client.models() if names.is_name(model.name)}
        if host.how:
            tell(f"The models answer at {hosts.without_secrets(host.url)} ({host.how}).")
        for name, certain in wanted.items():
            if names.parse(name).key in there:
                continue
            try:
                _pull(client, name, tell)
            except LLMError as error:
                if certain or isinstance(error, (ServerDown, DiskFull)):
                    raise
                tell(f"{names.LOCAL}{name} is named in the code, and is not pulled: {error.message}")


def _pull(client: Client, name: str, tell: Tell) -> None:
    """Pull one model; what takes longer is a bar in a terminal, and lines elsewhere."""
    progress = terminal.Progress(sys.stderr)

    def watch(pull: Pulling) -> None:
        if progress.seconds > _AT_ONCE:
            progress.show(pull)

    with meant.suggesting(client, names.LOCAL + name, "", builtin.listed()):
        try:
            client.pull(names.LOCAL + name, watch=watch)
        finally:
            if progress.last is not None:
                progress.end()
    tell(f"Pulled {names.LOCAL}{name} in {progress.seconds:.1f} s.")
