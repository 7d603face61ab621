"""`acagent-nb demo`: the first notebook, run for real, and nothing left running afterwards."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import hosts, names
from ..client import Client
from ..errors import LLMError, MissingExtra

if TYPE_CHECKING:
    from .job import Job

_NEEDED = ("papermill", "nbconvert", "ipykernel", "math_core", "xllamacpp")
_NAME = "01_first_cell"
_MODEL = "tiny:latest"


def demo(out: str | Path = "acagent-nb-demo") -> Path:
    """Run the first notebook against the server that is there, or a private one; print what happens.

    Parameters
    ----------
    out
        The folder for the executed notebook and its HTML page; it is made if need be.

    Returns
    -------
    Path
        The executed notebook; its page lies beside it.

    Raises
    ------
    MissingExtra
        The extra `embedded` is not installed.
    LLMError
        A cell of the notebook failed, or no server could be had.
    """
    if missing := [module for module in _NEEDED if importlib.util.find_spec(module) is None]:
        raise MissingExtra(f"The demo needs {' and '.join(missing)}.", f"Install what it needs: {hosts.INSTALL}")
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    executed, page = folder / f"{_NAME}.ipynb", folder / f"{_NAME}.html"
    from .job import Job

    with _server() as host:
        print(f"Running {_NAME}.ipynb against {hosts.without_secrets(host.url)} ({host.how})")
        _run(Job(str(_notebook()), str(executed), str(page), variables={"OLLAMA_HOST": host.url}))
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    print(f"\n{_first_answer(notebook)}\n")
    print(f"The executed notebook: {executed}")
    print(f"Its page:              {page}")
    return executed


@contextmanager
def _server() -> Iterator[hosts.Host]:
    """The server that is there, if it has the demo's model or can make it; else one of our own."""
    there = hosts.present()
    if there is not None:
        with Client(there.url) as client:
            ours = client.version().engine is not None
            has_it = _MODEL in [model.name for model in client.models()]
            if ours and not has_it:
                client.pull(names.LOCAL + _MODEL)
        if ours or has_it:
            yield there
            return
        print(f"The server at {hosts.without_secrets(there.url)} has no model tiny, so the demo uses one of its own.")
    with hosts.private() as mine:
        with Client(mine.url) as client:
            client.pull(names.LOCAL + _MODEL)
        yield hosts.Host(mine.url, "an embedded server of its own")


def _notebook() -> Path:
    """The notebook: in a wheel beside this file, in a clone two folders up."""
    here = Path(__file__).resolve()
    places = (here.with_name(f"{_NAME}.ipynb"), here.parents[2] / "notebooks" / f"{_NAME}.ipynb")
    for place in places:
        if place.exists():
            return place
    raise LLMError(f"The demo's notebook {_NAME}.ipynb is not installed.", "Install acagent-nb again.")


def _run(job: Job) -> None:
    """Run the notebook, telling each cell."""
    from .job import Step, run

    def tell(event: Any) -> None:
        if isinstance(event, Step):
            print(f"  [{event.number}] {event.line}", flush=True)

    ran = run(job, tell)
    if ran.stopped:
        raise KeyboardInterrupt
    if ran.problem:
        raise LLMError(ran.told[0], f"See {job.out}" if ran.cells else " ".join(ran.told[1:]))


def _first_answer(notebook: Any) -> str:
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", ()))
    return next("".join(out["data"]["text/plain"]) for out in outputs if "acagent_nb" in out.get("metadata", {}))
