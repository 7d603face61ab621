"""The words behind a line command: how many there may be, and which flags are among them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from .errors import BadOption


def nothing_more(words: Sequence[str], example: str) -> None:
    """Refuse words that a command has no use for."""
    if words:
        raise BadOption(f"{words[0]!r} is a word too many.", f"For example: {example}")


def one(words: Sequence[str], what: str, example: str) -> str:
    """The one word that a command takes."""
    if not words or not words[0]:
        raise BadOption(f"A {what} is missing.", f"For example: {example}")
    nothing_more(words[1:], example)
    return words[0]


def apart(words: Sequence[str], known: Sequence[str]) -> tuple[list[str], set[str]]:
    """Words and flags; `BadOption` for a flag that is not `known`."""
    flags = {word for word in words if word.startswith("-")}
    for flag in sorted(flags - {*known}):
        near = difflib.get_close_matches(flag, known, n=1)
        raise BadOption(f"There is no flag {flag} here.", f"Did you mean {near[0]}?" if near else "Leave it out.")
    return [word for word in words if word not in flags], flags
