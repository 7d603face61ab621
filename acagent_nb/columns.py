"""Several answers side by side: a column each, and in the end a table of what they cost.

    ┌ local_tiny ─────┐ ┌ gpt-4o-mini ────┐      columns that wrap where there is no room
    │ The sky is ...  │ │ Because of ...  │
    └ 25 out · 41 t/s ┘ └ 31 out · 80 t/s ┘
    model | tokens | tokens/s | seconds | first token after

A sweep of options is the same, with the options in the place of the models.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import takewhile
from typing import Any

from .growing import Growing, brief
from .page import Page, failure

_GAP = 28  # pixels
_LEAST = "min(100%, 20em)"  # of a column's width
_BOX = "padding-left: var(--jp-code-padding, 5px)"
_HEAD = (
    "font-weight: 600; margin: 0 0 6px; padding-bottom: 3px; border-bottom: 1px solid var(--jp-border-color2, #bdbdbd)"
)
_TABLE = "font-size: 12px; margin: 16px 0 0; font-variant-numeric: tabular-nums"


class Columns:
    """Draws several answers again and again."""

    def __init__(self) -> None:
        self._pages: list[Page] = []

    def html(self, answers: Sequence[Growing]) -> str:
        """The whole output as it is now."""
        self._pages += [Page() for _ in answers[len(self._pages) :]]
        columns = [_column(page, answer) for page, answer in zip(self._pages, answers, strict=True)]
        table = _table(answers) if all(answer.ended for answer in answers) else ""
        grid = f'<div class="acagent-nb-columns" style="{_grid(_across(answers))}">\n{"".join(columns)}</div>\n'
        return f'<div class="acagent-nb" style="{_BOX}">\n{grid}{table}</div>'


def _across(answers: Sequence[Growing]) -> int:
    """How many belong into one row: all values of the innermost sweep; of a sweep alone, half if they are even."""
    first, *rest = map(_asked, answers)
    other = [{name for name in {*first, *each} if first.get(name) != each.get(name)} for each in rest]
    count = 1 + len([*takewhile(lambda names: names == other[0], other)])
    return count if count < len(answers) or count % 2 or count < 4 else count // 2


def _asked(answer: Growing) -> dict[str, Any]:
    """In what an answer may be unlike those beside it."""
    return {"model": answer.name, **answer.request.options.sent()}


def _grid(across: int) -> str:
    """The style of columns of which at most so many stand in a row, and fewer where there is no room."""
    widest = f"calc((100% - {(across - 1) * _GAP}px) / {across})"
    columns = f"repeat(auto-fit, minmax(max({_LEAST}, {widest}), 1fr))"
    return f"display: grid; grid-template-columns: {columns}; gap: 20px {_GAP}px"


def plain(answers: Sequence[Growing]) -> str:
    """All answers as one text, each below its name."""
    return "\n\n".join(f"{answer.label}\n{'-' * len(answer.label)}\n{_said(answer)}" for answer in answers)


def table(answers: Sequence[Growing]) -> str:
    """What they cost, as a plain text."""
    rows = [_HEADS, *map(_cells, answers)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows)


def frame(answers: Sequence[Growing]) -> Any:
    """The answers and what they cost, a row each.

    Returns
    -------
    pandas.DataFrame or list of dict
        With `model`, every option that was sent, `text`, `tokens_in`, `tokens_out`, `tokens_per_second`,
        `seconds`, `first` (seconds until the first token), `mark` (why an answer is not whole) and `error`.
        A list of dicts where pandas is not installed: nothing else here needs it.
    """
    options = list(dict.fromkeys(name for answer in answers for name in answer.request.options.sent()))
    rows = [_row(answer, options) for answer in answers]
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)


def _row(answer: Growing, options: list[str]) -> dict[str, Any]:
    stats, sent = answer.reply().stats, answer.request.options.sent()
    return {
        "model": answer.name,
        **{name: sent.get(name) for name in options},
        "text": answer.text,
        "tokens_in": stats.prompt_eval_count,
        "tokens_out": stats.eval_count,
        "tokens_per_second": stats.tokens_per_second,
        "seconds": answer.seconds,
        "first": answer.first,
        "mark": answer.mark,
        "error": answer.error.message if answer.error else "",
    }


def _column(page: Page, answer: Growing) -> str:
    error = failure(answer.error) if answer.error else ""
    return (
        f'<div class="acagent-nb-column" style="min-width: 0">\n'
        f'<div class="mathjax_ignore" style="{_HEAD}">{escape(answer.label)}</div>\n'
        f"{error}{page.body(answer, named=answer.label != answer.name)}</div>\n"
    )


_HEADS = ["", "tokens", "tokens/s", "seconds", "first token after"]


def _cells(answer: Growing) -> list[str]:
    stats = answer.reply().stats
    tokens = "" if stats.eval_count is None else f"{stats.eval_count:,}"
    speed = brief(stats.tokens_per_second) if stats.tokens_per_second is not None else ""
    first = f"{brief(answer.first)} s" if answer.first is not None else ""
    mark = f" ({answer.mark})" if answer.mark else ""
    return [f"{answer.label}{mark}", tokens, speed, brief(answer.seconds), first]


def _table(answers: Sequence[Growing]) -> str:
    heads = "".join(f'<th style="text-align:{"right" if at else "left"}">{head}</th>' for at, head in enumerate(_HEADS))
    rows = "".join(f"<tr>{_line(_cells(answer))}</tr>\n" for answer in answers)
    return (
        f'<div class="mathjax_ignore" style="overflow-x: auto">\n<table class="acagent-nb-costs" style="{_TABLE}">\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )


def _line(cells: list[str]) -> str:
    return "".join(
        f'<td style="text-align:{"right" if at else "left"}">{escape(cell)}</td>' for at, cell in enumerate(cells)
    )


def _said(answer: Growing) -> str:
    return answer.text if answer.text or not answer.error else str(answer.error)
