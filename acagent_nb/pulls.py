"""A download as a cell shows it: one display, drawn anew, that ends as a line of text."""

from __future__ import annotations

import time
from html import escape
from typing import Any
from uuid import uuid4

from .display import SHORTEST
from .growing import Growing
from .messages import Pulling, Request
from .page import Page, pull_words
from .terminal import Progress

_LINE = "font-size: 12px; line-height: 1.6; padding-left: var(--jp-code-padding, 5px)"


class Line(Progress):
    """A line of the terminal."""

    def done(self, words: str) -> None:
        """Say how it ended."""
        print(words)


class Bar(Line):
    """A bar below the cell."""

    def __init__(self) -> None:
        super().__init__()
        self._id = uuid4().hex
        self._page = Page()
        self._shown = False

    def show(self, pull: Pulling) -> None:
        """Show how far it is now, but not more often than a reader can tell apart."""
        step = self.last is None or self.last.status != pull.status
        self.last = pull
        if step or time.monotonic() - self._drawn > SHORTEST:
            self._draw()

    def end(self) -> None:
        """Leave it as it is: how far it came."""
        if self.last is not None:
            self._draw()

    def done(self, words: str) -> None:
        """Put these words in its place."""
        self._send(f'<div class="acagent-nb mathjax_ignore" style="{_LINE}">{escape(words)}</div>', words)

    def _draw(self) -> None:
        assert self.last is not None
        self._drawn = time.monotonic()
        answer = Growing(self.last.model, Request(self.last.model))
        answer.pulling = self.last
        self._send(self._page.html(answer), pull_words(self.last))

    def _send(self, html: str, text: str) -> None:
        from IPython.display import display

        told = {"text/html": html, "text/plain": text}
        display(told, raw=True, display_id=self._id, update=self._shown)  # type: ignore[no-untyped-call]  # as IPython is
        self._shown = True


def progress(shell: Any) -> Line:
    """Where a pull is shown: below the cell if a kernel runs it, else on a line of the terminal."""
    return Bar() if getattr(shell, "kernel", None) is not None else Line()
