"""The model manager: what a server has, what is loaded, what the disk holds; pull, load, unload, delete.

It is a view: what it knows is in `known`, and every question runs as a task of the kernel's own loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import ipywidgets  # type: ignore[import-untyped, unused-ignore]  # it has no types

from .. import answers, disk, hosts
from ..asynchronous import AsyncClient
from ..client import Client
from ..errors import LLMError
from ..models import Model
from ..params import Params
from . import model_facts
from .model_facts import Known
from .model_pull import PullRow
from .model_row import ModelRow, looks, waiting
from .parts import Work

_GLANCE_SECONDS = 1.0  # how long a cell waits for what it shows where no widget lives
_EMPTY = (
    f'<div style="padding: 8px 2px">{model_facts.NONE_YET} Write a name above and press Pull; <b>tiny</b> '
    "is built in and needs no network.</div>"
)


class ModelManager(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """The models of the Ollama server.

    Parameters
    ----------
    host
        Its address; without it, see `hosts.find`.
    params
        As for `Client`.
    insecure
        Let the server use http for a registry; see `Client.pull`.

    Attributes
    ----------
    known
        What the server has told last; `None` before it has, and when it does not answer.
    rows
        A `ModelRow` for each model, by name.
    pulling
        The row for downloads.
    refresh
        The button that asks again; "Retry" when the server does not answer.

    Examples
    --------
    >>> ModelManager()  # the last line of a cell
    """

    children: tuple[ipywidgets.Widget, ...]

    def __init__(
        self,
        host: str | None = None,
        *,
        params: Params | Mapping[str, Any] | str | PathLike[str] | None = None,
        insecure: bool = False,
    ) -> None:
        self._host, self._params = host, params
        self._closed = False
        self._work = Work(self._failed)
        self._look = looks()
        self.known: Known | None = None
        self.rows: dict[str, ModelRow] = {}
        layout = ipywidgets.Layout
        self.summary = ipywidgets.HTML(layout=layout(flex="1 1 auto", width="auto"))
        self.refresh = ipywidgets.Button(
            description="Refresh", tooltip="Ask the server again", layout=self._look["button"]
        )
        self.refresh.on_click(lambda _: self.look())
        self.pulling = PullRow(self._client, self.look, insecure=insecure)
        head = ipywidgets.HTML(model_facts.head(), layout=self._look["wide"])
        self._room = layout(width="216px", flex="0 0 auto")  # above the rows' three buttons
        self._head = ipywidgets.HBox([head, ipywidgets.Box(layout=self._room)], layout=self._look["line"])
        self._head.add_class("acagent-nb-models-head")
        self._empty = ipywidgets.HTML(_EMPTY)
        self._list = ipywidgets.VBox([self._head], layout=layout(max_height="32em", overflow="hidden auto"))
        self._list.add_class("acagent-nb-models-list")
        top = ipywidgets.HBox([self.summary, self.refresh], layout=layout(align_items="flex-start"))
        super().__init__([top, self.pulling, self._list], layout=layout(max_width="60em", width="auto"))
        self.add_class("acagent-nb-models")
        self._tell("looking for the server…")
        if _in_loop():
            self.look()

    @property
    def busy(self) -> bool:
        """Whether the server is being asked."""
        return self._work.busy

    def look(self) -> None:
        """Ask the server anew, in the background."""
        if not self._closed:
            self._work.start(self._looking()).add_done_callback(lambda _: self._ready())

    def close(self) -> None:
        """End all that is being done, and take the view away."""
        self._closed = True
        self._work.stop()
        self._put(self._list, self._empty)
        for part in (*self.rows.values(), *self._list.children, *self.children):
            part.close()
        super().close()

    def __repr__(self) -> str:
        """The tables that `acagent-nb list` and `acagent-nb ps` print."""
        return self._plainly()[0]

    def _repr_mimebundle_(self, **how: Any) -> Any:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        plain, html = self._plainly()
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": plain, "text/html": html}

    def _client(self) -> AsyncClient:
        return AsyncClient(self._host, params=self._params)

    async def _looking(self) -> None:
        async with self._client() as client:
            host, version = await client.host(), await client.version()
            models, running = await client.models(), await client.running()
            known = Known(host, version, models, running, dict(self.known.shown) if self.known else {})
            known.usage = await asyncio.to_thread(_usage, host, models)
            self._show(known)
            for model in models:
                if model.digest not in known.shown:
                    with suppress(LLMError):  # it has just been deleted, or can't be read: its row says less
                        known.shown[model.digest] = await client.show(f"local_{model.name}")
                self.rows[model.name].update(model, known.loaded(model), known.shown.get(model.digest))

    def _show(self, known: Known) -> None:
        """Draw what is known; rows that are there already stay what they are, with all that is open in them."""
        self.known = known
        self.summary.value = model_facts.summary(known)
        self.pulling.folder = known.usage.folder if known.usage else None
        gone = [name for name in self.rows if name not in {model.name for model in known.models}]
        closed = [self.rows.pop(name) for name in gone]
        for model in known.models:
            if model.name not in self.rows:
                self.rows[model.name] = ModelRow(model, self._client, self._changed, self._look)
            self.rows[model.name].update(model, known.loaded(model), known.shown.get(model.digest))
        self._list.children = [self._head, *(self.rows[each.name] for each in known.models)] if known.models else []
        self._put(self._list if known.models else self._empty)
        for row in closed:
            row.close()

    def _changed(self) -> None:
        """Something else has been done since a pull ended: what was said of that is old."""
        self.pulling.forget()
        self.look()

    def _failed(self, html: str) -> None:
        self.known = None
        self.summary.value = html
        self._put()

    def _ready(self) -> None:
        if not self.busy:
            self.refresh.description = "Refresh" if self.known else "Retry"

    def _tell(self, words: str) -> None:
        self.summary.value = waiting(words)
        self._put()

    def _put(self, *below: Any) -> None:
        """Keep the top, and show this below it."""
        if self.children != (children := (*self.children[:2], *below)):
            self.children = children

    def _plainly(self) -> tuple[str, str]:
        """What is known as text and as a page's table; asks where the background has not, or can't."""
        if not self._closed and (self.known is None or not _in_loop()):
            try:
                if known := self._glance():
                    self._show(known)
            except LLMError as error:
                return str(error), f"<div>{escape(error.message)}<br>{escape(error.hint)}</div>"
        if self.known is None:
            words = "The models were not looked up yet when this was shown."
            return words, f"<div>{words}</div>"
        return model_facts.text(self.known), model_facts.page(self.known)

    def _glance(self) -> Known | None:
        """What the server tells at once; in a page none is started for it, as that takes its time."""
        host = answers.host() or hosts.present(self._host)
        if host is None and (not _in_loop() or hosts.embedded_running()):
            host = hosts.find(self._host)
        if host is None:
            return None
        with Client(host.url, params=self._params, timeout=_GLANCE_SECONDS if _in_loop() else None) as client:
            models = client.models()
            return Known(host, client.version(), models, client.running(), {}, _usage(host, models))


def _usage(host: hosts.Host, models: list[Model]) -> disk.Usage | None:
    folder: Path | None = disk.folder(host.url, models)
    try:
        return disk.usage(folder) if folder else None
    except OSError:
        return None


def _in_loop() -> bool:
    """Whether there is a loop in which the background's tasks can run: not in a plain terminal."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
