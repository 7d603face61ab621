"""A small table in a cell: HTML where there is a page, text elsewhere and in the saved notebook."""

from __future__ import annotations

from collections.abc import Container, Sequence
from html import escape
from typing import Any

from . import terminal

OF_THE_MACHINE = {"acagent_nb": {"kind": "machine"}}  # metadata of an output that says nothing elsewhere

_TABLE = "font-size: 12px; margin: 0; font-variant-numeric: tabular-nums"
_BOX = "overflow-x: auto; padding-left: var(--jp-code-padding, 5px)"
_BELOW = "font-size: 12px; line-height: 1.6; color: var(--jp-ui-font-color2, #707070); margin-top: 4px"
_WARN = "color: var(--jp-warn-color0, #b45309)"
_MOST = 2_000  # characters of a cell


class Table:
    """Rows under heads.

    Parameters
    ----------
    head
        A title for each column; none at all for a list of facts.
    rows
        Texts; only in the last column of a row line breaks are kept.
    right
        The columns of numbers.
    marked
        The rows that need attention.
    below
        What is said under the table.
    machine
        Whether it tells of this machine, so that nobody compares it with what another one told.
    """

    def __init__(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        right: Container[int] = (),
        marked: Container[int] = (),
        below: str = "",
        machine: bool = False,
    ) -> None:
        self._metadata = OF_THE_MACHINE if machine else None
        self._head, self._right, self._marked, self._below = head, right, marked, _clean(below)
        self._rows = [[_clean(cell) for cell in row] for row in rows]

    @property
    def html(self) -> str:
        """For a page; whatever stands in a cell is text there."""
        heads = "".join(f'<th style="{self._side(at)}">{escape(head)}</th>' for at, head in enumerate(self._head))
        rows = "".join(
            f"<tr>{''.join(self._cell(at, cell, row in self._marked) for at, cell in enumerate(cells))}</tr>\n"
            for row, cells in enumerate(self._rows)
        )
        below = f'<div style="{_BELOW}">{escape(self._below)}</div>\n' if self._below else ""
        head = f"<thead><tr>{heads}</tr></thead>\n" if self._head else ""
        return (
            f'<div class="acagent-nb mathjax_ignore" style="{_BOX}">\n<table style="{_TABLE}">\n'
            f"{head}<tbody>\n{rows}</tbody>\n</table>\n{below}</div>"
        )

    @property
    def text(self) -> str:
        """For a terminal."""
        cells = [list(self._head)] * bool(self._head) + self._rows
        widths = [max((len(row[at]) for row in cells), default=0) for at in range(len(cells[0]) - 1)] if cells else []
        lines = []
        for row in cells:
            first = [
                cell.rjust(width) if at in self._right else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row[:-1], widths, strict=True))
            ]
            indent = "\n" + " " * sum(width + 3 for width in widths)
            lines.append("   ".join([*first, row[-1].replace("\n", indent)]).rstrip())
        return "\n".join([*lines, *(["", self._below] if self._below else [])])

    def show(self, shell: Any) -> None:
        """Show it below the cell, or print it where no kernel runs the shell."""
        if getattr(shell, "kernel", None) is None:
            return print(self.text)
        return _display({"text/html": self.html, "text/plain": self.text}, self._metadata)

    def _cell(self, at: int, cell: str, marked: bool) -> str:
        last = at == len(self._rows[0]) - 1  # where sentences stand
        wrap = "white-space: pre-wrap; overflow-wrap: anywhere" if last else "white-space: nowrap"
        style = f"{self._side(at)}; vertical-align: top; {wrap}"
        return f'<td style="{style}{f"; {_WARN}" if marked else ""}">{escape(cell)}</td>'

    def _side(self, at: int) -> str:
        return f"text-align: {'right' if at in self._right else 'left'}"


def show_machine(text: str, shell: Any) -> None:
    """Show a text that tells of this machine below the cell, or print it where no kernel runs the shell."""
    if getattr(shell, "kernel", None) is None:
        return print(text)
    return _display({"text/plain": text}, OF_THE_MACHINE)


def _display(data: dict[str, str], metadata: dict[str, Any] | None) -> None:
    from IPython.display import display

    display(data, raw=True, metadata=metadata)  # type: ignore[no-untyped-call]  # IPython has no types here


def _clean(cell: str) -> str:
    text = terminal.printable(cell, lines=True).replace("\t", " ")
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
