"""One model in the manager: its facts, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from html import escape
from typing import Any

import ipywidgets  # type: ignore[import-untyped, unused-ignore]  # it has no types

from .. import meant, names, terminal
from ..asynchronous import AsyncClient
from ..models import Model, Running, Shown
from . import model_facts
from .parts import Work

BUTTON = "68px"
WIDE = "1 1 420px"  # where there is less room, the buttons go below


class ModelRow(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """A model's row.

    Parameters
    ----------
    model
        Which one.
    client
        Makes a client for its server.
    changed
        Called when something was done, so that all is looked up anew.
    look
        Layouts and styles that all rows share: a browser gets each only once.

    Attributes
    ----------
    load, more, delete, sure
        Its buttons: into memory and out of it (or stop loading), details, delete (or keep), and the
        second step of deleting, which is there only after the first.
    facts, below
        What is known, and what is folded out or went wrong.
    """

    children: tuple[ipywidgets.Widget, ...]

    def __init__(
        self,
        model: Model,
        client: Callable[[], AsyncClient],
        changed: Callable[[], None],
        look: dict[str, Any],
    ) -> None:
        self.model = model
        self._client, self._changed, self._look = client, changed, look
        self._running: Running | None = None
        self._shown: Shown | None = None
        self._open = self._asking = False
        self._error = self._doing = ""
        self._work, self._asked = Work(self._failed), Work(self._failed)
        self.facts = ipywidgets.HTML(layout=look["wide"])
        self.load = self._button("Load", self._press_load)
        self.more = self._button("Details", self._press_more)
        self.delete = self._button("Delete", self._press_delete)
        self.below = ipywidgets.HTML(layout=look["full"])
        self.sure = self._button("", self._press_sure, "danger")
        self._line = ipywidgets.HBox([self.facts, self.load, self.more, self.delete], layout=look["line"])
        self._question = ipywidgets.HBox([self.sure], layout=look["question"])
        super().__init__([self._line], layout=look["row"])
        self.add_class("acagent-nb-models-row")

    @property
    def busy(self) -> bool:
        """Whether something is being done with the model."""
        return self._work.busy

    def update(self, model: Model, running: Running | None, shown: Shown | None) -> None:
        """Show what is known now."""
        self.model, self._running, self._shown = model, running, shown
        self._draw()

    def close(self) -> None:
        """End what is being done, and take the row away for good: ipywidgets remembers what nobody closes."""
        self._work.stop()
        self._asked.stop()
        for part in (self.facts, self.load, self.more, self.delete, self.sure, self.below, self._line, self._question):
            part.close()
        super().close()

    def _button(self, word: str, press: Callable[[], None], kind: str = "plain") -> Any:
        button = ipywidgets.Button(description=word, layout=self._look["button"], style=self._look[kind])
        button.on_click(lambda _: press())
        return button

    def _draw(self) -> None:
        name = meant.written(self.model.name)
        cells = model_facts.cells(self.model, self._running, self._shown)
        if self.facts.value != cells:
            self.facts.value = cells
        for button, word, tip in (
            (self.load, *self._load_words()),
            (self.more, "Hide" if self._open else "Details", f"What else is known of {name}"),
            (self.delete, *(("Keep", f"Do not delete {name}") if self._asking else ("Delete", f"Delete {name}"))),
            (self.sure, f"Yes, delete {name}", f"Remove {name} from the server, {terminal.size(self.model.size)}"),
        ):
            button.description, button.tooltip = word, tip
        self.delete.disabled = self.busy and not self._asking
        self.below.value = self._error or self._progress() or (self._told() if self._open else "")
        below = [*([self._question] if self._asking else []), *([self.below] if self.below.value else [])]
        if self.children != (children := (self._line, *below)):
            self.children = children

    def _load_words(self) -> tuple[str, str]:
        name = meant.written(self.model.name)
        if self.busy:
            return "Stop", f"Stop what is being done with {name}"
        if self._running:
            return "Unload", f"Free the memory that {name} takes"
        return "Load", f"Load {name} into memory, so that the next answer comes at once"

    def _progress(self) -> str:
        return f'<div class="acagent-nb-models-more">{waiting(self._doing)}</div>' if self.busy else ""

    def _told(self) -> str:
        if self._shown is None:
            return '<div class="acagent-nb-models-more">asking the server…</div>'
        return model_facts.details(self.model, self._shown)

    def _press_load(self) -> None:
        if self.busy:
            self._work.stop()
        elif self._running:
            self._begin("unloading…", self._unloading())
        else:
            self._begin("loading…", self._loading())

    def _press_more(self) -> None:
        self._open, self._error = not self._open, ""
        if self._open and self._shown is None:
            self._asked.start(self._showing())
        self._draw()

    def _press_delete(self) -> None:
        self._asking, self._error = not self._asking, ""
        self._draw()

    def _press_sure(self) -> None:
        self._asking = False
        self._begin("deleting…", self._deleting())

    def _begin(self, doing: str, work: Coroutine[Any, Any, None]) -> None:
        self._error, self._doing = "", doing
        self._work.start(work).add_done_callback(lambda _: self._draw())
        self._draw()

    async def _loading(self) -> None:
        async with self._client() as client:
            await client.load(self._name, pull=False)
        self._changed()

    async def _unloading(self) -> None:
        async with self._client() as client:
            await client.unload(self._name)
        self._changed()

    async def _deleting(self) -> None:
        async with self._client() as client:
            await client.delete(self._name)
        self._changed()

    async def _showing(self) -> None:
        async with self._client() as client:
            self._shown = await client.show(self._name)
        self._draw()

    @property
    def _name(self) -> str:
        return names.LOCAL + self.model.name

    def _failed(self, html: str) -> None:
        self._error = f'<div class="acagent-nb-models-more">{html}</div>'
        self._draw()


def looks() -> dict[str, Any]:
    """The layouts and styles that rows share."""
    layout = ipywidgets.Layout
    return {
        "wide": layout(flex=WIDE, width="auto"),
        "full": layout(width="auto"),
        "row": layout(flex="0 0 auto", width="auto"),
        "line": layout(
            flex="0 0 auto", flex_flow="row wrap", align_items="center", justify_content="flex-end", width="auto"
        ),
        "question": layout(justify_content="flex-end", padding="0 0 6px"),
        "button": layout(width="auto", min_width=BUTTON, flex="0 0 auto"),
        "plain": ipywidgets.ButtonStyle(),
        "danger": ipywidgets.ButtonStyle(button_color="#b71c1c", text_color="white", font_weight="bold"),
    }


def waiting(words: str) -> str:
    """A line that says what is being done."""
    return f'<div role="status" style="{model_facts.MUTED}">{escape(words)}</div>'
