"""Screens that show less than a page: the bare text, or nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from . import columns, origins
from .display import SHORTEST, TICK, Screen, Terminal, screen
from .growing import Growing

_BYTES_A_SECOND = 500_000  # what a page can take for long without getting slow


def of(shell: Any, *, plain: bool = False, quiet: bool = False) -> Screen:
    """Where the answers of a cell are drawn."""
    if quiet:
        return Quiet()
    usual = screen(shell)
    return usual if not plain else Terminal(bare=True) if isinstance(usual, Terminal) else Plain()


class Plain:
    """A cell's output without any page: the answer's text as it grows, or what is being done; its notes in the end."""

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._shown: str | None = None

    def draw(self, answers: Sequence[Growing]) -> float:
        """Send the text if it is new."""
        from IPython.display import display

        began = time.perf_counter()
        text = _text(answers)
        if text != self._shown or all(answer.ended for answer in answers):
            display(  # type: ignore[no-untyped-call]  # IPython has no types here
                {"text/plain": text},
                raw=True,
                display_id=self._id,
                update=self._shown is not None,
                metadata=origins.saved(answers),
            )
            self._shown = text
        return max(SHORTEST, 4 * (time.perf_counter() - began), len(text) / _BYTES_A_SECOND)


class Quiet:
    """Shows nothing."""

    def draw(self, answers: Sequence[Growing]) -> float:
        """Wait for the end."""
        return TICK


def _text(answers: Sequence[Growing]) -> str:
    if len(answers) == 1:
        (answer,) = answers
        if answer.ended:
            return "\n\n".join(filter(None, (answer.text, "\n".join(answer.notes))))
        return answer.text or f"{answer.name} · {answer.status}…"
    return columns.plain(answers)
