"""`acagent-nb demo`: the first notebook, run for real, and nothing left running afterwards."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import hosts
from ..client import Client
from ..errors import LLMError, MissingExtra

_NEEDED = ("papermill", "nbconvert", "ipykernel", "xllamacpp")
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
    with _server() as host:
        print(f"Running {_NAME}.ipynb against {hosts.without_secrets(host.url)} ({host.how})")
        notebook = _run(_notebook(), executed, host)
    from .export import html_page

    page.write_text(html_page(notebook, "The first cell"), encoding="utf-8")
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
            if ours or _MODEL in [model.name for model in client.models()]:
                yield there
                return
        print(f"The server at {hosts.without_secrets(there.url)} has no model tiny, so the demo uses one of its own.")
    with hosts.private() as mine:
        yield hosts.Host(mine.url, "an embedded server of its own")


def _notebook() -> Path:
    """The notebook: in a wheel beside this file, in a clone two folders up."""
    here = Path(__file__).resolve()
    places = (here.with_name(f"{_NAME}.ipynb"), here.parents[2] / "notebooks" / f"{_NAME}.ipynb")
    for place in places:
        if place.exists():
            return place
    raise LLMError(f"The demo's notebook {_NAME}.ipynb is not installed.", "Install acagent-nb again.")


def _run(source: Path, executed: Path, host: hosts.Host) -> Any:
    """Execute the notebook through papermill, telling each cell."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # papermill's own imports
        from papermill import PapermillExecutionError, execute_notebook

    from .kernel import kernel_manager

    def tell(cell: Any, cell_index: int) -> None:
        first = next(iter(cell.source.strip().splitlines()), "")
        print(f"  [{cell_index + 1}] {first}", flush=True)

    try:
        return execute_notebook(
            source,
            executed,
            kernel_name="python3",
            progress_bar=False,
            kernel_manager_class=kernel_manager({"OLLAMA_HOST": host.url}),
            on_cell_execute=tell,
            extra_arguments=["--log-level=CRITICAL"],  # it would warn of a connection that never leaves the machine
        )
    except PapermillExecutionError as error:
        raise LLMError(
            f"Cell {error.cell_index + 1} of the notebook failed: {error.ename}: {' '.join(error.evalue.split())}",
            f"See {executed}",
        ) from error
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # nbclient leaves a task behind, which complains
        raise


def _first_answer(notebook: Any) -> str:
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", ()))
    return next(str(out.data["text/plain"]) for out in outputs if "acagent_nb" in out.get("metadata", {}))
