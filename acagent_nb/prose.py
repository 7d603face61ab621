"""What is told of each model option at length: the sentences of `options.toml`, read when first asked for."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple


class Prose(NamedTuple):
    """The sentences about one option.

    Attributes
    ----------
    what
        What it does.
    higher, lower
        When to raise and when to lower it; of one that is no number, when to set it and when to leave it alone.
    careful
        What goes wrong with it, and for whom.
    outside
        What a server does with values outside of the sensible range.
    instead
        What to use where a server ignores it; empty where none does.
    trap
        What the value does that is hardly ever meant; empty where there is none.
    """

    what: str
    higher: str
    lower: str
    careful: str
    outside: str
    instead: str = ""
    trap: str = ""


@cache
def prose() -> dict[str, Prose]:
    """All options' sentences, by the options' names."""
    from pathlib import Path

    told = toml((Path(__file__).parent / "options.toml").read_text(encoding="utf-8"))
    return {
        name: Prose(**{part: " ".join(text.split()) for part, text in parts.items()}) for name, parts in told.items()
    }


def toml(text: str) -> dict[str, Any]:
    """TOML as Python's values; `ValueError` if it is none."""
    parser = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # the same one
    return dict(parser.loads(text))
