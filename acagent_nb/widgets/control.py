"""What all controls of the options panel are: something that shows a value and tells of its moves.

A control tells whoever made it of each move (`moved`, with the value, or `None` once it is emptied) and of
what it can't take (`refused`). What a program puts into it is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import BadOption
from ..row import Row, Value
from .looks import Looks
from .option_text import Default


class Control:
    """One option's control.

    Parameters
    ----------
    row
        The option.
    looks
        What all widgets of a panel share.
    moved
        Told the new value, or `None`.
    refused
        Told of what was typed and can't be taken.

    Attributes
    ----------
    widgets
        From left to right.
    """

    def __init__(
        self,
        row: Row,
        looks: Looks,
        moved: Callable[[Value | None], None],
        refused: Callable[[BadOption], None],
    ) -> None:
        self.row = row
        self.moved = moved
        self.refused = refused
        self.widgets: list[Any] = []
        self._own = Default(None, "server")
        self._quiet = self._set = False
        self._build(looks)

    def put(self, value: Value | None) -> None:
        """Show a value; `None` for none."""
        self._set = value is not None
        with self.quietly():
            self._put(value)

    def hint(self, own: Default) -> None:
        """Show what holds without a value."""
        self._own = own
        with self.quietly():
            self._hint(own)

    def now(self) -> Value | None:
        """The value that it shows, to be sent if the user says no other; `None` if it shows none."""
        return self._now()

    def bound(self, high: int) -> None:
        """Let it offer values up to this one; only a slider has such a bound."""

    def disable(self, disabled: bool) -> None:
        """Whether nobody can move it."""
        for widget in self.widgets:
            widget.disabled = disabled

    @property
    def silent(self) -> bool:
        """Whether it is the program that moves it now."""
        return self._quiet

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Moves in this block are the program's own."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def _build(self, looks: Looks) -> None:
        raise NotImplementedError

    def _put(self, value: Value | None) -> None:
        raise NotImplementedError

    def _hint(self, own: Default) -> None:
        raise NotImplementedError

    def _now(self) -> Value | None:
        raise NotImplementedError

    def _watch(self, widget: Any, heard: Callable[[Any], None]) -> None:
        """Hear of a widget's new values, but for the program's own."""
        widget.observe(lambda change: None if self._quiet else heard(change["new"]), "value")
