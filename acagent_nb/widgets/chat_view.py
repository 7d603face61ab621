"""Where the parts of a chat stand on the page; what they do is in `chat_panel.py`.

Model [local_tiny      v] [System prompt]
the turns, the newest at the bottom
[ the next question                     ]
[Send] [Stop]  [Regenerate] [Edit] [To a cell]  [Clear]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ipywidgets import HTML, Box, Button, Combobox, HBox, Layout, Textarea, ToggleButton, VBox

from .cell_box import UNSEEN, CellBox

_CLASS = "acagent-nb-chat"
# What inline styles can't reach: JupyterLab gives the HTML in a widget the height and the line of a label.
_STYLE = f"""<style>
.{_CLASS} .widget-html, .{_CLASS} .widget-html-content {{ height: auto; min-width: 0; line-height: 1.6 }}
.{_CLASS} .widget-html {{ margin: 2px 0; width: 100% }}
.{_CLASS} .widget-html-content p:last-child, .{_CLASS} .widget-html-content pre:last-child {{ margin-bottom: 0 }}
.{_CLASS} .acagent-nb, .{_CLASS} .acagent-nb-you {{ max-width: none !important }}
.{_CLASS} table {{ margin-left: 0 }}
.{_CLASS} .acagent-nb-footer, .{_CLASS} .acagent-nb-status {{ margin-top: 4px }}
.{_CLASS} textarea {{ font-family: var(--jp-ui-font-family, sans-serif); font-size: 13px; line-height: 1.5 }}
.{_CLASS} textarea {{ padding: 6px 10px; height: auto; resize: vertical }}
.{_CLASS} .widget-textarea {{ height: auto }}
.{_CLASS} .{UNSEEN} > label {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }}
</style>"""


class ChatView:
    """The widgets of one chat.

    Parameters
    ----------
    model
        What the model picker begins with.
    default
        What an empty model picker stands for.
    hidden
        Style that belongs to the page as long as the chat is alive.

    Attributes
    ----------
    all
        The widget that holds all others.
    """

    def __init__(self, model: str, default: str, hidden: str) -> None:
        self.model = Combobox(
            value=model,
            description="Model",
            placeholder=default or "such as local_tiny",
            continuous_update=False,
            style={"description_width": "auto"},
            layout=Layout(width="24em", max_width="100%"),
        )
        self.fold = ToggleButton(description="System prompt", layout=Layout(width="auto"))
        self.fold.tooltip = "Show or hide the instructions that the model follows in every answer"
        self.system = _area("System prompt", "Instructions that the model follows in every answer", 2)
        self.input = _area("Your message", "Ask the model; Tab and Enter send it", 3)
        self.send = _button("Send", "Ask the model", button_style="primary")
        self.stop = _button("Stop", "End the answer now; what has come stays", disabled=True)
        self.again = _button("Regenerate", "Have the last answer given once more")
        self.edit = _button("Edit", "Take the last question back into the box, and its answer away")
        self.cell = _button("To a cell", "The last question, the conversation or the answer's code, as a cell")
        self.clear = _button("Clear", "Begin anew", layout=Layout(width="auto", margin="2px 2px 2px auto"))
        self._turns = VBox(layout=Layout(width="100%", flex="0 0 auto", overflow="visible"))
        # A column from its end to its beginning with one child keeps to the bottom while the child grows.
        self._log = Box([self._turns], layout=Layout(flex_flow="column-reverse", overflow="auto", max_height="65vh"))
        self._log.layout.margin = "4px 2px"
        self.cells = CellBox()
        header = HBox([self.model, self.fold], layout=Layout(flex_flow="row wrap"))
        row = [self.send, self.stop, self.again, self.edit, self.cell, self.clear]
        bottom = HBox(row, layout=Layout(flex_flow="row wrap"))
        style = HTML(_STYLE + hidden, layout=Layout(display="none"))
        parts = [style, header, self.system, self._log, self.input, bottom, self.cells.all]
        self.all = VBox(parts, layout=Layout(max_width="56em", width="100%", overflow="visible"))
        self.all.add_class(_CLASS)
        self.fold.observe(lambda _: _show(self.system, self.fold.value), "value")
        self.system.observe(lambda _: self._tell_system(), "value")
        _show(self.system, False)

    def turns(self, views: Iterable[HTML]) -> None:
        """Show these turns, oldest first."""
        self._turns.children = tuple(views)

    def ready(self, *, answering: bool, asked: bool, retry: bool) -> None:
        """Let only those buttons be pressed that have something to do; Send only looks like that.

        Parameters
        ----------
        answering
            Whether an answer is on its way.
        asked
            Whether there is a question that can be asked again.
        retry
            Whether its answer failed.
        """
        # A button that can't be pressed any more loses the focus, and who uses the keyboard would be nowhere.
        self.send.button_style = "" if answering else "primary"
        self.stop.disabled = not answering
        for button in (self.again, self.edit, self.cell):
            button.disabled = answering or not asked
        self.clear.disabled = answering or not self._turns.children
        self.again.description = "Retry" if retry else "Regenerate"

    def _tell_system(self) -> None:
        """Say on the button whether there is a system prompt, which may be folded away."""
        self.fold.description = "System prompt: on" if self.system.value.strip() else "System prompt"

    def close(self) -> None:
        """Take everything from the page."""
        for widget in (*_inner(self.all.children), self.all):
            widget.close()


def _inner(widgets: Sequence[Any]) -> Iterable[Any]:
    """All widgets in some others, and those."""
    for widget in widgets:
        yield from _inner(getattr(widget, "children", ()))
        yield widget


def _area(name: str, placeholder: str, rows: int) -> Textarea:
    """Some lines to write into; their name is there for readers of screens."""
    layout = Layout(width="auto")
    # With every key a message, the last ones can be overtaken by a click on Send.
    area = Textarea(description=name, placeholder=placeholder, rows=rows, continuous_update=False, layout=layout)
    area.add_class(UNSEEN)
    return area


def _button(name: str, told: str, **how: Any) -> Button:
    return Button(**{"description": name, "tooltip": told, "layout": Layout(width="auto"), **how})


def _show(widget: Any, shown: bool) -> None:
    widget.layout.display = None if shown else "none"
