"""The control for a number: a slider for the usual range, and a field for all that the table allows."""

from __future__ import annotations

from typing import Any

from ipywidgets import FloatSlider, IntSlider, Text

from ..errors import BadOption
from ..options import check
from ..row import Value
from .control import Control
from .looks import Looks
from .option_text import Default, written

_STEPS = 20_000  # a slider with more places than that can't be aimed at


class Number(Control):
    """A field for any number that the table allows and, where there is a usual range, a slider."""

    def _build(self, looks: Looks) -> None:
        row = self.row
        self.field = Text(continuous_update=False, description=row.name, **looks.field)
        self.slider: Any = None
        self._watch(self.field, self._typed)
        low, high = row.usual or (0, 0)
        if row.usual and (high - low) / row.step <= _STEPS:
            kind = IntSlider if row.kind is int else FloatSlider
            how = {"step": row.step, "readout": False, **looks.slider}
            self.slider = kind(value=low, min=low, max=high, **how)
            self._watch(self.slider, self._dragged)
        self.widgets = [self.slider, self.field] if self.slider else [self.field]
        self._at: float = low

    def _put(self, value: Value | None) -> None:
        self.field.value = "" if value is None else written(value)
        self._slide(self._own.value if value is None else value)

    def _hint(self, own: Default) -> None:
        self.field.placeholder = own.brief
        if not self._set:
            self._slide(own.value)

    def _now(self) -> Value | None:
        if self.slider is not None:
            return check(self.row.name, self.slider.value)
        return self._own.value if isinstance(self._own.value, (int, float)) else None

    def bound(self, high: int) -> None:
        """Let it offer values up to this one."""
        if self.slider is not None and self.row.usual:
            with self.quietly():
                low = min(int(self.row.usual[0]), high // 2)
                self.slider.min, self.slider.max = min(low, self.slider.min), max(high, self.slider.min)
                self.slider.min = low
                self._slide(_number(self.field.value) if self._set else self._own.value)

    def _slide(self, value: Any) -> None:
        """Move the handle to the place of it that is nearest."""
        if self.slider is not None:
            low, high, step = self.slider.min, self.slider.max, self.row.step
            number = min(max(value, low), high) if isinstance(value, (int, float)) else low
            self.slider.value = self._at = min(round(low + round((number - low) / step) * step, 6), high)

    def _dragged(self, value: float) -> None:
        if abs(value - self._at) < self.row.step / 2:  # no move: the page's sum of steps is not exact, and it says so
            return
        value = self._at = round(value, 6)
        self._set = True
        with self.quietly():
            self.field.value = written(value)
        self.moved(check(self.row.name, value))

    def _typed(self, text: str) -> None:
        if not text.strip():
            self.put(None)
            self.moved(None)
            return
        try:
            value = check(self.row.name, _number(text))
        except BadOption as error:
            self.refused(error)
            return
        self.put(value)
        self.moved(value)


def _number(text: str) -> int | float | str:
    """A text as the number that it looks like, or as it is; people write a comma, too."""
    for kind in (int, float):
        try:
            return kind(text.strip().replace(",", "."))
        except ValueError:
            continue
    return text
