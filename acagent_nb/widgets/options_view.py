"""Where the parts of the options panel stand on the page; what they do is in `options_panel.py`.

Model [local_tiny v] [Refresh]                     [search]
[precise] [balanced] [creative] ...  [Reset]
creativity        length
  rows              rows
repetition        memory and hardware
> advanced   > no effect on this server
what is sent      copy as [%%llm|Python|TOML]
the try-it row
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import get_args

from ipywidgets import HTML, Accordion, Combobox, HBox, Layout, Text, Textarea, ToggleButtons, VBox

from ..presets import PRESETS
from ..row import Group
from .looks import CLASS, GONE, STYLE, Looks, see
from .option_row import RELOADS, OptionRow
from .option_text import COPIES, Where
from .trial import Trial

_ADVANCED = "advanced"
_SIDES = (("creativity", "repetition"), ("length", "memory and hardware"))  # left and right
_LEGEND = (
    "A ticked box says “send it”: the option goes with each request. All others are left to the model's author and "
    f'the server, whose choice stands in grey. <span class="an-mark">⚠</span> {RELOADS}.'
)


class OptionsView:
    """The widgets of one panel.

    Parameters
    ----------
    rows
        Each option's controls, by its name.
    trial
        The try-it row.
    looks
        What the widgets share.
    hidden
        Style that belongs to the page as long as the panel is alive.

    Attributes
    ----------
    all
        The widget that holds all others.
    """

    def __init__(self, rows: Mapping[str, OptionRow], trial: Trial, looks: Looks, hidden: str) -> None:
        self._rows, self._looks, self._trial = rows, looks, trial
        self.model = Combobox(
            placeholder="a model, such as local_tiny",
            description="Model",
            continuous_update=False,
            _dom_classes=("an-model",),
            **looks.field,
        )
        self.again = looks.button("Refresh", "Ask the server again what it is and has")
        self.search = Text(
            placeholder="search options", description="Search the options", _dom_classes=("an-search",), **looks.field
        )
        self.server = looks.html("", "an-small")
        self.presets = {name: looks.button(preset.name, preset.why) for name, preset in PRESETS.items()}
        self.reset = looks.button("Reset", "Send nothing, and forget all values")
        self.told = looks.html(_LEGEND, "an-small")
        self.sent = looks.html("", "an-json")
        self.beneath = looks.html("", "an-small")
        self.copy_as = ToggleButtons(options=list(COPIES), tooltip="Copy as", style={"button_width": "auto"})
        self.lost = looks.html("", "an-small")
        self.copied = Textarea(rows=2, description="Text to copy", _dom_classes=("an-code",), **looks.field)
        self._groups = {
            group: looks.html(escape(group.capitalize()), "an-head") for group in get_args(Group) if group != _ADVANCED
        }
        self._parts = {group: self._column(head) for group, head in self._groups.items()}
        self._advanced, self._idle = self._column(), self._column()
        self._folded = Accordion([self._advanced, self._idle], layout=Layout())
        none = Layout(display="none")
        column = {"layout": looks.layout, "_dom_classes": ("an-part",)}
        self.all = VBox(
            [
                HTML(STYLE, layout=none),
                HTML(hidden, layout=none),
                self._bar(looks.html("<b>Model</b>"), self.model, self.again, self.search),
                self.server,
                self._bar(looks.html("<b>Presets</b>"), *self.presets.values(), self.reset),
                self.told,
                self._grid(*(VBox([self._parts[group] for group in side], **column) for side in _SIDES)),
                self._folded,
                self._grid(
                    self._column(looks.html("What is sent", "an-head"), self.sent, self.beneath),
                    self._column(self._bar(looks.html("<b>Copy as</b>"), self.copy_as), self.copied, self.lost),
                ),
                trial.view,
            ],
            layout=looks.layout,
            _dom_classes=(CLASS,),
        )

    def say(self, html: str) -> None:
        """Tell of the server."""
        self.server.value = f'<span role="status">{html}</span>'

    def offer(self, models: Iterable[str]) -> None:
        """List models to choose from."""
        listed = tuple(dict.fromkeys(models))
        for picker in (self.model, self._trial.model):
            if picker.options != listed:
                picker.options = listed

    def tell_preset(self, name: str, *, changed: bool) -> None:
        """Show which preset was chosen, what it is for, and whether something was changed since."""
        for each, button in self.presets.items():
            style = "primary" if each == name and not changed else ""
            if button.button_style != style:
                button.button_style = style
        if name:
            mark = ' <span class="an-warn">(changed)</span>' if changed else ""
            self.told.value = f"<b>{escape(PRESETS[name].name)}</b>{mark}: {escape(PRESETS[name].why)}"
        else:
            self.told.value = _LEGEND

    def arrange(self, where: Where) -> None:
        """Put each row where it belongs: what does nothing on the server is folded away, and said to be."""
        words = self.search.value.lower().split()
        shown = {name: row for name, row in self._rows.items() if row.found(words)}
        for name, row in self._rows.items():
            see(row.view, GONE, name not in shown)
        live = [row for row in self._rows.values() if row.standing.works]
        idle = [row for row in self._rows.values() if not row.standing.works]
        for group, part in self._parts.items():
            rows = [row for row in live if row.row.group == group]
            _fill(part, (self._groups[group], *(row.view for row in rows)))
            see(part, GONE, not any(row.row.name in shown for row in rows))
        advanced = [row for row in live if row.row.group == _ADVANCED]
        _fill(self._advanced, tuple(row.view for row in advanced))
        _fill(self._idle, tuple(row.view for row in idle))
        titles = (f"Advanced{_count(advanced)}", f"No effect on {where.name}{_count(idle)}")
        if self._folded.titles != titles:
            self._folded.titles = titles
        self._unfold(advanced, idle, shown if words else {})

    def _unfold(self, advanced: list[OptionRow], idle: list[OptionRow], found: Mapping[str, OptionRow]) -> None:
        """Open a folded part that has something to say: what is sent in vain, or what was searched for."""
        at = None
        if any(row.row.name in found for row in advanced):
            at = 0
        elif any(row.sent is not None or row.row.name in found for row in idle):
            at = 1
        if at is not None and self._folded.selected_index != at:
            self._folded.selected_index = at

    def _column(self, *children: HTML) -> VBox:
        return VBox(children, layout=self._looks.layout, _dom_classes=("an-part",))

    def _bar(self, *children: HTML) -> HBox:
        return HBox(children, layout=self._looks.layout, _dom_classes=("an-bar",))

    def _grid(self, *children: VBox) -> HBox:
        return HBox(children, layout=self._looks.layout, _dom_classes=("an-grid",))


def _fill(box: VBox, children: tuple[object, ...]) -> None:
    """Give a box its children, if it has others."""
    if tuple(box.children) != children:
        box.children = children


def _count(rows: list[OptionRow]) -> str:
    """How many there are, and how many of them are sent."""
    sent = sum(row.sent is not None for row in rows)
    return f" ({len(rows)}{f', {sent} sent' if sent else ''})"
