"""What the table knows, written for people: one option's page, all options in a list, and the README's table."""

from __future__ import annotations

import textwrap
from typing import get_args

from .liveness import default
from .row import Group, Row
from .rows import TABLE, row_of

_WIDTH = 100
_NAMES = {int: "whole number", float: "number", bool: "true or false", list: "list of texts"}


def explain(name: str | None = None) -> None:
    """Print all that is known of one option; without a `name`, one line for each.

    Raises
    ------
    BadOption
        There is no such option; the hint names the nearest one.
    """
    print(page(name) if name is not None else overview())


def page(name: str) -> str:
    """One option's page, as plain text that is Markdown, too.

    Raises
    ------
    BadOption
        There is no such option.
    """
    row = row_of(name)
    prose = row.prose
    told = [row.help, prose.what, prose.higher, prose.lower, prose.careful]
    if row.partly:
        told.append(row.partly)
    if row.instead:
        told.append(f"Where it is ignored: {row.instead}")
    told.append(f"Outside of the range: {row.outside}")
    width = max(map(len, facts(row)))
    lines = [f"    {fact + ':':{width + 1}} {text}" for fact, text in facts(row).items()]
    return "\n\n".join([f"# {name}", *(textwrap.fill(text, _WIDTH) for text in told), "\n".join(lines)])


def facts(row: Row) -> dict[str, str]:
    """What can be said of an option in a few words each."""
    return {
        "takes": takes(row),
        "default": _default(row),
        "acts": "when the model is loaded: a change loads it again" if row.load else "in each request",
        "Ollama": _versions(row),
        "embedded": "heeds it" if row.embedded else "ignores it",
        "OpenAI": f"calls it {row.openai}" if row.openai else "has nothing like it",
    }


def overview() -> str:
    """One line for each option, in the groups of a panel."""
    width = max(map(len, TABLE))
    lines: list[str] = []
    for group in get_args(Group):
        lines.append(f"\n{group}" if lines else group)
        for row in TABLE.values():
            if row.group == group:
                told = row.help + (f" [Ollama ignores it since {row.until}]" if row.until else "")
                lines.append(
                    textwrap.fill(f"  {row.name:{width}}  {told}", _WIDTH, subsequent_indent=" " * (width + 4))
                )
    return "\n".join([*lines, "", 'explain("temperature") tells all about one of them.'])


def markdown() -> str:
    """The whole table, for the README."""
    head = ("option", "what it does", "default", "usual range", "loads again", "Ollama", "embedded", "OpenAI")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in TABLE.values():
        cells = (
            f"`{row.name}`",
            row.help,
            shown(default(row.name)),
            _usual(row),
            "yes" if row.load else "",
            _versions(row),
            "yes" if row.embedded else "no",
            f"`{row.openai}`" if row.openai else "",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def takes(row: Row) -> str:
    """What may stand in it: "number from 0 to 5", "whole number of at least 4, in tokens"."""
    text = _NAMES[row.kind]
    if row.low is not None:
        text += f" from {row.low:g} to {row.high:g}" if row.high is not None else f" of at least {row.low:g}"
    if row.unit and row.kind is not list:
        text += f", {'in ' if row.unit.endswith('s') else 'a '}{row.unit}"
    return text if row.usual in (None, (row.low, row.high)) else f"{text}; usual is {_usual(row)}"


def shown(value: object) -> str:
    """A value as JSON and the magic's flags write it; a text as it is."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _usual(row: Row) -> str:
    """The range of a control, with the unit."""
    if row.usual is None:
        return _NAMES[row.kind]
    low, high = row.usual
    return f"{_brief(low)} to {_brief(high)}" + (f" {row.unit}" if row.unit.endswith("s") else "")


def _brief(number: float) -> str:
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def _default(row: Row) -> str:
    """The default of today's servers, and what it was before."""
    told = shown(default(row.name))
    earlier = [f"{shown(value)} from {first} on" for first, value in row.defaults[:-1]]
    return f"{told} (since {row.defaults[-1][0]}; {', '.join(earlier)})" if earlier else told


def _versions(row: Row) -> str:
    """From which server on, and to which."""
    return f"{row.since} to before {row.until}" if row.until else f"since {row.since}"
