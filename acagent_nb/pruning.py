"""A recording without the lines that nothing needs: replaced by later ones, cut off, or never replayed.

Other programs may write to the file meanwhile: they wait until it is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from . import recordings, whole
from .errors import BadParams
from .recordings import Line, Placed, Use

_RESTED = 60.0  # seconds without a change after which nobody is writing


class Dropped(NamedTuple):
    """A line that goes: its number, why, and what it is; `None` for the half of one."""

    number: int
    why: str
    line: Line | None


def prune(
    path: Path, used: Collection[Use] | None = None, *, dry: bool = False, careful: bool = False
) -> tuple[list[Dropped], int]:
    """Drop what nothing needs.

    Parameters
    ----------
    path
        Of the file.
    used
        Which answers were replayed; `None` if that is not known, and then all count as used.
    dry
        Only find out what would be dropped.
    careful
        The same where others may be writing meanwhile: they can't be kept from it, or have done so in the last
        minute (the lock is of this user and machine; the file may be shared).

    Returns
    -------
    tuple
        What goes, and how many lines stay.

    Raises
    ------
    BadParams
        The file can't be read or written, or none of its answers is in use, so that nothing would be left.
    """
    try:
        with recordings.locked(path) as alone:
            data = path.read_bytes()
            placed = list(recordings.lines(path, data, half=lambda *_: None))  # it is told as one that goes
            texts = data.split(b"\n")
            dropped = _dropped(placed, used)
            if used is not None and placed and len(dropped) == len(placed):
                raise BadParams(
                    f"Not one answer of {path} was used, so all would be dropped.", "Is this the right list of uses?"
                )
            gone = {each.number for each in dropped}
            stay = [number for number, _ in placed if number not in gone]
            if texts[-1].strip() and len(texts) not in {number for number, _ in placed}:
                dropped.append(Dropped(len(texts), "cut off", None))
            rested = alone and time.time() - path.stat().st_mtime > _RESTED
            if dropped and not dry and (rested or not careful):
                whole.write(path, b"".join(texts[number - 1] + b"\n" for number in stay))
    except OSError as error:
        raise BadParams(f"{path} can't be pruned: {error.strerror or error}.", "Check the path.") from None
    return dropped, len(stay)


def tidy(path: Path) -> None:
    """Drop the lines that later ones have replaced, if that can't harm; else the file stays as it is."""
    with suppress(BadParams):
        prune(path, careful=True)


def uses(path: Path) -> set[Use]:
    """Read a file of lines `KEY N`, as a replay writes them where ACAGENT_NB_ANSWERS_USED names one.

    Raises
    ------
    BadParams
        It can't be read, or a line is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadParams(f"The list of uses {path} can't be read: {why}.", "Check the path.") from None
    found = set()
    for number, line in enumerate(lines, 1):
        key, _, n = line.partition(" ")
        if not n.isdecimal():
            raise BadParams(f"Line {number} of {path} is no use of an answer: KEY N.", "Is this the right file?")
        found.add((key, int(n)))
    return found


def _dropped(placed: list[Placed], used: Collection[Use] | None) -> list[Dropped]:
    """The lines that go, in their order."""
    last = {use: number for use, (number, _) in recordings.latest(placed).items()}
    dropped = []
    for number, line in placed:
        use = (line.key, line.n)
        if last[use] != number:
            dropped.append(Dropped(number, f"replaced by line {last[use]}", line))
        elif used is not None and use not in used:
            dropped.append(Dropped(number, "not used", line))
    return dropped
