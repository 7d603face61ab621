"""What a saved page shows of a widget: static HTML in an output of its own.

A widget's view is gone when the notebook is opened without its kernel; JupyterLab then does not look at
the HTML that came with it. So the HTML is a second output of the cell, kept up to date, and the living
widget hides it: a `<style>` inside the widget says so, and goes when the widget goes.

Tried in JupyterLab 4.6: open, saved, reopened, and as nbconvert's page. A front end that does not hide
it shows it twice, and one that does not take updates after the cell has ended keeps the first state.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4


def in_kernel() -> bool:
    """Whether there is a page to show something on; a terminal would print every update again."""
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class Record:
    """One such output; nothing is sent before `show`."""

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._shown = False

    @property
    def hidden(self) -> str:
        """HTML for the widget: while it is on the page, the record is not seen."""
        return f"<style>.{self._name} {{ display: none }}</style>"

    @property
    def _name(self) -> str:
        return f"acagent-nb-record-{self._id}"

    def show(self, html: str, text: str, about: dict[str, Any]) -> None:
        """Send the output; see `update`."""
        self._shown = True
        self._send(html, text, about)

    def update(self, html: str, text: str, about: dict[str, Any]) -> None:
        """Put something else in its place, wherever it was shown.

        Parameters
        ----------
        html, text
            What a page, or a terminal, shows; safe, and without a script.
        about
            Saved with the output, for programs.
        """
        if self._shown:
            self._send(html, text, about, update=True)

    def _send(self, html: str, text: str, about: dict[str, Any], update: bool = False) -> None:
        from IPython.display import display

        display(  # type: ignore[no-untyped-call]  # IPython has no types here
            {"text/html": f'<div class="{self._name}">{html}</div>', "text/plain": text},
            raw=True,
            display_id=self._id,
            update=update,
            metadata={"acagent_nb": about},
        )
