"""The right control for each kind of option: a slider with a field, a box, a list of modes, tags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipywidgets import Checkbox, Dropdown, HBox, Text

from ..errors import BadOption
from ..options import check
from ..row import Row, Value
from .control import Control
from .looks import Looks
from .option_number import Number
from .option_text import Default

_MODES: dict[str, dict[int, str]] = {"mirostat": {0: "off", 1: "Mirostat", 2: "Mirostat 2.0"}}
_NONE = ""  # a list's line for "not sent"; with `None` as its value a list shows no line at all
_SIGNS = (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t"))  # how a tag shows what can't be seen


class Choice(Control):
    """A list of modes; its first line is "not sent"."""

    def _build(self, looks: Looks) -> None:
        self._modes = _MODES[self.row.name]
        self.list = Dropdown(options=self._lines("by server"), description=self.row.name, **looks.wide)
        self._watch(self.list, lambda value: self.moved(None if value == _NONE else value))
        self.widgets = [self.list]

    def _put(self, value: Value | None) -> None:
        self.list.value = _NONE if value is None else value

    def _hint(self, own: Default) -> None:
        value = own.value
        brief = self._modes[value] if isinstance(value, int) and value in self._modes else own.brief
        kept = self.list.value
        self.list.options = self._lines(brief)
        self.list.value = kept

    def _now(self) -> Value | None:
        return min(self._modes) if self.list.value == _NONE else check(self.row.name, self.list.value)

    def _lines(self, brief: str) -> list[tuple[str, int | str]]:
        return [(f"default: {brief}", _NONE), *((f"{value} · {name}", value) for value, name in self._modes.items())]


class Switch(Control):
    """A box."""

    def _build(self, looks: Looks) -> None:
        self.box = Checkbox(description="on", indent=False, **looks.wide_box)
        self._watch(self.box, self._flipped)
        self.widgets = [self.box]

    def _put(self, value: Value | None) -> None:
        self.box.value = bool(self._own.value is True if value is None else value)

    def _hint(self, own: Default) -> None:
        brief = {"true": "on", "false": "off"}.get(own.brief.split(" ")[0], own.brief)
        self.box.description = f"on (default: {brief})"
        if not self._set:
            self._put(None)

    def _now(self) -> Value | None:
        return bool(self.box.value)

    def _flipped(self, value: bool) -> None:
        self._set = True
        self.moved(value)


class Tags(Control):
    r"""Texts, each a tag that a click takes away, and a field for the next; `\n` in one is a line break.

    Not ipywidgets' own tags: in JupyterLab 4.6 Enter adds none, and leaving the field moves the focus.
    """

    def _build(self, looks: Looks) -> None:
        self.field = Text(continuous_update=False, description=self.row.name, **looks.field)
        self.tags: list[Any] = []
        self._texts: list[str] = []
        self._looks = looks
        self._watch(self.field, self._typed)
        self._box = HBox([self.field], layout=looks.layout, _dom_classes=("an-tags",))
        self.widgets = [self._box]

    def disable(self, disabled: bool) -> None:
        """Whether nobody can change it."""
        for widget in (self.field, *self.tags):
            widget.disabled = disabled

    def _put(self, value: Value | None) -> None:
        self._texts = list(value) if isinstance(value, list) else []
        self.field.value = ""
        self._draw()

    def _hint(self, own: Default) -> None:
        mark = f" · {own.brief}" if own.whose != "server" else ""
        self.field.placeholder = f"a text, then Enter{mark}"

    def _now(self) -> Value | None:
        return self._texts or None

    def _typed(self, text: str) -> None:
        self._say([*self._texts, *({_read(text)} - {"", *self._texts})])

    def _say(self, texts: list[str]) -> None:
        self.put(texts)
        self.moved(texts or None)

    def _draw(self) -> None:
        self.tags = [self._tag(text) for text in self._texts]
        self._box.children = [*self.tags, self.field]

    def _tag(self, text: str) -> Any:
        tag = self._looks.button(f"{_signed(text)} ✕", f"Take away {_signed(text)}")
        tag.on_click(lambda _: self._say([each for each in self._texts if each != text]))
        return tag


def control(
    row: Row, looks: Looks, moved: Callable[[Value | None], None], refused: Callable[[BadOption], None]
) -> Control:
    """The control for an option."""
    kinds: dict[type, type[Control]] = {bool: Switch, list: Tags}
    kind = Choice if row.name in _MODES else kinds.get(row.kind, Number)
    return kind(row, looks, moved, refused)


def _signed(text: str) -> str:
    for letter, sign in _SIGNS:
        text = text.replace(letter, sign)
    return text


def _read(tag: str) -> str:
    signs = {sign: letter for letter, sign in _SIGNS}
    read, at = "", 0
    while at < len(tag):
        pair = tag[at : at + 2]
        read += signs.get(pair, tag[at])
        at += 2 if pair in signs else 1
    return read
