"""Text for a cell, ready to be used: shown, bound to a variable, and put below the next cell that runs.

A widget's button can't make a cell by itself. IPython's `set_next_input` goes out with the answer to the
next cell that is run, whoever asked for it, and JupyterLab then puts it below that one (tried with 4.6).
"""

from __future__ import annotations

from typing import Any

from ipywidgets import HTML, Button, HBox, Layout, Textarea, ToggleButtons, VBox

VARIABLE = "_llm_cell"
UNSEEN = "acagent-nb-unseen"  # the class of what has a label for readers of screens only
_CLASS = "acagent-nb-cell"
_STYLE = f"""<style>
.{_CLASS} .widget-textarea textarea {{ font-family: var(--jp-code-font-family, monospace); font-size: 12px }}
.{_CLASS} .widget-html {{ width: auto !important }}
</style>"""


class CellBox:
    """A place that shows texts of cells when there are any.

    Attributes
    ----------
    all
        The widget.
    kind, text
        Which text, and the text itself, which may be changed.
    """

    def __init__(self) -> None:
        self.kind = ToggleButtons(style={"button_width": "auto"}, tooltip="What the cell holds")
        self.text = Textarea(description="The text of the cell", layout=Layout(width="auto"))
        self.text.add_class(UNSEEN)
        self.below = Button(description="Below the cell I run next", layout=Layout(width="auto"))
        self.below.tooltip = "Jupyter puts it there as a new cell when you run any cell"
        self.done = Button(description="Close", tooltip="Hide this text", layout=Layout(width="auto"))
        self._hint = HTML()
        self._texts: dict[str, str] = {}
        buttons = HBox([self.below, self.done, self._hint], layout=Layout(flex_flow="row wrap", align_items="center"))
        style = HTML(_STYLE, layout=Layout(display="none"))
        self.all = VBox([style, self.kind, self.text, buttons], layout=Layout(margin="4px 0 0 0"))
        self.all.add_class(_CLASS)
        self.kind.observe(lambda _: self._choose(), "value")
        self.text.observe(lambda _: self._bind(), "value")
        self.below.on_click(lambda _: self._below())
        self.done.on_click(lambda _: self.show({}))
        self.show({})

    def show(self, texts: dict[str, str]) -> None:
        """Offer these texts, by what they are; empty ones are left out, and none hides the place."""
        self._texts = {kind: text for kind, text in texts.items() if text}
        self.kind.options = list(self._texts)
        self.kind.value = next(iter(self._texts), None)
        self.all.layout.display = None if self._texts else "none"

    def _choose(self) -> None:
        if self.kind.value is not None:
            self.text.value = text = self._texts[self.kind.value]
            self.text.rows = min(max(text.count("\n") + 1, 3), 16)
            self._bind()

    def _bind(self) -> None:
        """Keep the text where code finds it."""
        self._say(f"Copy it, or use it as <code>{VARIABLE}</code>.")
        shell = _shell()
        if shell is not None and self._texts:
            shell.user_ns[VARIABLE] = self.text.value

    def _below(self) -> None:
        shell = _shell()
        if shell is None:
            self._say("Only a notebook has cells: copy it.")
        else:
            shell.set_next_input(self.text.value)
            self._say("It comes as a new cell below the next one that you run.")

    def _say(self, html: str) -> None:
        self._hint.value = f'<span role="status" style="font-size: 12px; margin-left: 8px">{html}</span>'


def _shell() -> Any:
    """The IPython that runs us, if one does."""
    from IPython.core.getipython import get_ipython

    return get_ipython()
