"""The manager's row for a download: a name, Pull, how far it is, Cancel.

Ollama tells no size before it begins: the first bytes tell it. So a pull that won't fit is stopped
right then, with next to nothing downloaded, and goes on only if the user wants it all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

import ipywidgets  # type: ignore[import-untyped, unused-ignore]  # it has no types

from .. import builtin, disk, names, terminal
from ..asynchronous import AsyncClient
from ..errors import BadName
from ..messages import Pulling
from .model_facts import MUTED, WARN
from .model_row import BUTTON
from .parts import Work, two_lines

_DRAW_SECONDS = 0.1
_BY_USER = "Stopped"
_SMALL = f"padding-left: 2px; font-size: 12px; line-height: 1.5; {MUTED}; font-variant-numeric: tabular-nums"
_BAR = "width: 100%; height: 8px; margin: 2px 0; accent-color: var(--jp-brand-color1, #1976d2)"


class PullRow(ipywidgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Pulls one model at a time.

    Parameters
    ----------
    client
        Makes a client for the server.
    changed
        Called when a model has come.
    insecure
        Let the server use http for a registry.

    Attributes
    ----------
    name, pull, cancel
        Its controls.
    said
        How far it is, how it ended, or what is wrong.
    last
        The server's last word on the pull that is under way.
    folder
        Where the server keeps its models, if that can be seen from here.
    """

    children: tuple[ipywidgets.Widget, ...]

    def __init__(
        self, client: Callable[[], AsyncClient], changed: Callable[[], None], *, insecure: bool = False
    ) -> None:
        self._client, self._changed, self._insecure = client, changed, insecure
        self._work = Work(self._say)
        self._stopped = ""
        self._anyway = ""
        self._drawn = 0.0
        self._url = ""
        self.last: Pulling | None = None
        self.folder: Path | None = None
        layout = ipywidgets.Layout
        self.name = ipywidgets.Combobox(
            description="Model to pull",
            placeholder="tiny, llama3.2:1b, hf.co/user/model:Q4_K_M",
            options=builtin.listed(),
            tooltip="A name as on Ollama's library page, with or without local_",
            style={"description_width": "auto"},
            layout=layout(flex="1 1 auto", width="auto"),
        )
        button = layout(width="auto", min_width=BUTTON)
        self.pull = ipywidgets.Button(
            description="Pull", button_style="primary", tooltip="Download this model to the server", layout=button
        )
        self.cancel = ipywidgets.Button(
            description="Cancel", disabled=True, tooltip="Stop the download; what has come is kept", layout=button
        )
        self.said = ipywidgets.HTML(layout=layout(width="auto"))
        self.pull.on_click(lambda _: self._press())
        self.cancel.on_click(lambda _: self.stop(_BY_USER))
        self.name.observe(lambda _: self._rename(), "value")
        self._line = ipywidgets.HBox([self.name, self.pull, self.cancel], layout=layout(align_items="center"))
        super().__init__([self._line], layout=layout(width="auto"))

    @property
    def busy(self) -> bool:
        """Whether a download is under way."""
        return self._work.busy

    def stop(self, why: str = "") -> None:
        """End it: the connection is closed and the server stops; what has come is kept there."""
        self._stopped = why
        self._work.stop()

    def forget(self) -> None:
        """Take away what was said of a pull that is over."""
        if not self.busy:
            self.said.value, self.children = "", (self._line,)

    def close(self) -> None:
        """End what is under way, and take the row away."""
        self.stop()
        for part in (self.name, self.pull, self.cancel, self.said, self._line):
            part.close()
        super().close()

    def _press(self) -> None:
        text = self.name.value.strip().removeprefix(names.LOCAL)
        if not text:
            return self._say(_line("Write the name of a model first."))
        try:
            names.target(names.LOCAL + text)
        except BadName as error:
            return self._say(two_lines(error))
        self._stopped, self.last = "", None
        self._work.start(self._pulling(text)).add_done_callback(self._ended)
        self.pull.disabled, self.cancel.disabled = True, False
        return self._say(_bar(f"{text} · asking the server…", text))

    def _rename(self) -> None:
        """Another name is another question, to which what was said does not belong."""
        if not self.busy:
            self._anyway, self.pull.description = "", "Pull"
        self.forget()

    async def _pulling(self, model: str) -> None:
        began, first = time.monotonic(), -1

        def watch(pull: Pulling) -> None:
            nonlocal first
            grown = pull.total > (self.last.total if self.last else 0)
            self.last = pull
            first = pull.completed if first < 0 and pull.total else first
            if not grown and time.monotonic() - self._drawn < _DRAW_SECONDS:
                return
            self._drawn = time.monotonic()
            if self._anyway != model and (short := self._too_big(pull)):
                self._anyway = model
                self.stop(short)
            else:
                self._say(_bar(_words(pull, time.monotonic() - began, first), model, pull))

        async with self._client() as client:
            self._url = (await client.host()).url
            await client.pull(names.LOCAL + model, watch=watch, insecure=self._insecure)
        size = f", {terminal.size(self.last.total)}" if self.last and self.last.total else ""
        self._say(_line(f"{model} is there{size} in {time.monotonic() - began:.1f} s."))
        self._anyway = ""
        self._changed()

    def _too_big(self, pull: Pulling) -> str:
        """Why the rest does not fit on the disk, if that is so and can be seen."""
        self.folder = self.folder or disk.receiving(self._url, pull.status)
        free, rest = disk.free(self.folder) if self.folder else None, pull.total - pull.completed
        if free is None or rest <= free:
            return ""
        return f"It won't fit: {terminal.size(rest)} are still to come, and {terminal.size(free)} are free"

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.pull.disabled, self.cancel.disabled = False, True
        self.pull.description = "Pull anyway" if self._anyway else "Pull"
        if task.cancelled() and self._stopped:
            at = f" at {self.last.completed / self.last.total:.0%}" if self.last and self.last.total else ""
            if self._stopped != _BY_USER:
                words = f"{self._stopped}; so it was stopped{at}. Free some space, or choose a smaller model."
                self._say(f'<div role="alert" style="{_SMALL}; {WARN}">{escape(words)}</div>')
            else:
                self._say(_line(f"{self._stopped}{at}. What has come is kept: pulling it again resumes."))

    def _say(self, html: str) -> None:
        self.said.value = html
        if len(self.children) == 1:
            self.children = (self._line, self.said)


def _words(pull: Pulling, seconds: float, first: int) -> str:
    """How far it is: "m · 1.2 of 2.4 GB · 50 % · 12.0 MB/s · 1 minute left"."""
    layer = pull.status.startswith("pulling ") and pull.total
    words = [pull.model, "downloading" if layer else terminal.printable(pull.status)]
    if pull.total:
        words.append(f"{terminal.size(pull.completed)} of {terminal.size(pull.total)}")
        words.append(f"{pull.completed / pull.total:.0%}".replace("%", " %"))
    speed = (pull.completed - first) / seconds if seconds > 1 and first >= 0 else 0
    if speed > 0:
        words.append(f"{terminal.size(speed)}/s")
        if pull.completed < pull.total:
            words.append(f"{terminal.span((pull.total - pull.completed) / speed)} left")
    return " · ".join(words)


def _bar(words: str, model: str, pull: Pulling | None = None) -> str:
    """A bar; it moves to and fro as long as no size is known."""
    share = f' max="{pull.total}" value="{pull.completed}"' if pull and pull.total else ""
    bar = f'<progress aria-label="{escape(f"Pulling {model}")}"{share} style="{_BAR}"></progress>'
    return f'<div style="{_SMALL}">{bar}<br>{escape(words)}</div>'


def _line(words: str) -> str:
    return f'<div role="status" style="{_SMALL}">{escape(words)}</div>'
