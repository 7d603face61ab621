"""One option on the page: the box "send it", its name with help, its control, and a line for what is to be said.

[x] num_ctx ⚠  ──o────────  [ 8192 ]
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from ipywidgets import Checkbox, HBox

from ..errors import BadOption
from ..options import Options, check, doubts
from ..row import Row, Value
from .looks import Looks, see
from .option_control import control
from .option_text import Standing, Where, default, standing

RELOADS = "reloads the model"


class OptionRow:
    """One option.

    Parameters
    ----------
    row
        What is known of it.
    looks
        What all widgets of a panel share.
    changed
        Called after what is sent of it has changed.

    Attributes
    ----------
    send
        The box "send it".
    control
        See `option_control.py`.
    standing
        What the option does on the server in question.
    complaint
        Why what was typed last can't be taken; empty if it can.
    note
        The line below it, as HTML; empty for none.
    view
        The widget that holds all of it.
    """

    def __init__(self, row: Row, looks: Looks, changed: Callable[[], None]) -> None:
        self.row = row
        self.standing = Standing("live", "")
        self.complaint = ""
        self.note = ""
        self._value: Value | None = None
        self._context: int | None = None
        self._changed = changed
        self._looks = looks
        self._said = looks.html("", "an-note")
        self._name = looks.html("", "an-name")
        self.control = control(row, looks, self._moved, self._refused)
        self.send = Checkbox(indent=False, description=f"Send {row.name}", _dom_classes=("an-send",), **looks.box)
        self.send.observe(lambda change: self._ticked(change["new"]), "value")
        self.view = HBox([self.send, self._name, *self.control.widgets], layout=looks.layout, _dom_classes=("an-row",))
        self.place(Where())

    @property
    def sent(self) -> Value | None:
        """The value that is sent; `None` if none is."""
        return self._value if self.send.value else None

    def set(self, value: Value | None) -> None:
        """Tick the box and set the value; `None` unticks it and forgets the value. Nobody is told."""
        self._value = value
        self.complaint = ""
        self.control.put(value)
        self._tick(value is not None)
        self._tell()

    def place(self, where: Where) -> None:
        """Show what the option does there, and what holds when it is not sent."""
        row, own = self.row, default(self.row.name, where)
        self.standing = standing(row.name, where)
        self.control.hint(own)
        if row.name == "num_ctx":
            self._context = where.context
            self.control.bound(where.context or int((row.usual or (0, 0))[1]))
        marks = ""
        if self.standing.word == "partly":
            marks += f' <span class="an-mark" title="{escape(self.standing.why)}">◐</span>'
        if row.load:
            marks += f' <span class="an-mark" title="{RELOADS}: a change takes effect when it is loaded again">⚠</span>'
        help = escape(f"{row.help} {own.told}")
        self._name.value = f'<span title="{help}">{row.name}</span>{marks}'
        self._tell()

    def found(self, words: list[str]) -> bool:
        """Whether the name or the help holds all these words."""
        text = f"{self.row.name} {self.row.name.replace('_', ' ')} {self.row.help}".lower()
        return all(word in text for word in words)

    def _moved(self, value: Value | None) -> None:
        """The user set a value, or took it away."""
        self._value = value
        self.complaint = ""
        self._tick(value is not None)
        self._tell()
        self._changed()

    def _refused(self, error: BadOption) -> None:
        """What was typed is no value for this option; the one before holds."""
        self.complaint = error.message
        self._tell()

    def _ticked(self, sent: bool) -> None:
        """The user clicked "send it"."""
        if self.control.silent:
            return
        self.complaint = ""
        if sent and self._value is None:
            self._value = self.control.now()
            if self._value is None:
                self.complaint = f"{self.row.name} needs a value first."
                self._tick(False)
            else:
                self.control.put(self._value)
        self._tell()
        self._changed()

    def _tick(self, sent: bool) -> None:
        with self.control.quietly():
            self.send.value = sent

    def _tell(self) -> None:
        """Show whether it is sent, and the most important thing that is to be said of it."""
        sent, works = self.sent, self.standing.works
        see(self.view, "an-sent", bool(self.send.value))
        see(self.view, "an-off", not works)
        self.control.disable(not works)
        self.send.disabled = not works and not self.send.value  # what is sent in vain can be taken back
        told = self._doubts(sent) if sent is not None else []
        if self.complaint:
            self.note = f'<span class="an-bad" role="alert">{escape(self.complaint)}</span>'
        elif not works:
            self.note = f'<span class="{"an-warn" if sent is not None else ""}">{escape(self.standing.why)}</span>'
        elif told:
            self.note = f'<span class="an-warn">{escape(" ".join(told))}</span>'
        else:
            self.note = ""
        self._said.value = self.note
        line = (self.send, self._name, *self.control.widgets)
        children = (*line, self._said) if self.note else line
        if children != self.view.children:
            self.view.children = children

    def _doubts(self, value: Value) -> list[str]:
        """What to say of a value that is allowed, and of an option that only some models heed."""
        name = self.row.name
        told = doubts(Options.of({name: check(name, value)}))
        if self._context and isinstance(value, int) and value > self._context:
            told.append(f"The model was made for {self._context:,} tokens and uses no more.")
        return [*told, self.standing.why] if self.standing.word == "partly" else told
