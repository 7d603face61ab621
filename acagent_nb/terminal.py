"""What a terminal shows: tables, sizes, times, and a download on one line."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from .messages import Pulling
    from .models import Model, Running

_DRAW_SECONDS = 0.1
_STEPS = ((60, 1, "second"), (3600, 60, "minute"), (86400, 3600, "hour"), (86400 * 30, 86400, "day"))
_MONTH, _YEAR = 86400 * 30, 86400 * 365
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a head, each column as wide as its widest cell."""
    cells = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(line.rstrip() for line in lines)


def listed(models: Sequence[Model]) -> str:
    """The models that are there."""
    if not models:
        return "The server has no models yet; `acagent-nb pull tiny` gets one."
    rows = [(each.name, each.digest[:12], size(each.size), when(each.modified_at)) for each in models]
    return table(("NAME", "ID", "SIZE", "MODIFIED"), rows)


def loaded(running: Sequence[Running]) -> str:
    """The models that are in memory."""
    if not running:
        return "No model is loaded."
    rows = [
        (
            each.name,
            each.digest[:12],
            size(each.size),
            each.processor,
            str(each.context_length or ""),
            when(each.expires_at),
        )
        for each in running
    ]
    return table(("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNLOADED"), rows)


def size(count: float) -> str:
    """Bytes for people, in powers of 1000 as Ollama counts them: "2.0 MB"."""
    if count < 1000:
        return f"{count:.0f} B"
    power = min(4, int(math.log10(count)) // 3)
    return f"{count / 1000**power:.1f} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def path(file: Path) -> str:
    """A path that tells as little as it can of whose machine this is: "../params.toml", "~/.local/share/a.json"."""
    file, here = file.absolute(), Path.cwd()
    if file.is_relative_to(here) or here.is_relative_to(file.parent):
        return os.path.relpath(file, here)
    with suppress(RuntimeError):  # some users have no home
        if file.is_relative_to(home := Path.home()):
            return str(Path("~", file.relative_to(home)))
    return str(file)


def when(text: str, now: datetime | None = None) -> str:
    """A time as RFC 3339 text, told from now: "3 minutes ago", "in 4 hours", "for ever"; "" if it is none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return ""
    try:  # only the seconds are read: Go writes nine digits behind them, Python 3.10 reads six at most
        at = datetime.fromisoformat(found[1] + found[2].replace("Z", "+00:00"))
    except ValueError:
        return ""
    seconds = (at - (now or datetime.now(timezone.utc))) / timedelta(seconds=1)
    if seconds > 100 * _YEAR:
        return "for ever"
    if seconds < -100 * _YEAR:  # Go's zero time: the server does not know
        return ""
    words = span(abs(seconds))
    return f"in {words}" if seconds > 0 else f"{words} ago"


def span(seconds: float) -> str:
    """A length of time in its largest unit: "3 minutes"."""
    for below, unit, word in (*_STEPS, (_YEAR, _MONTH, "month"), (float("inf"), _YEAR, "year")):
        if seconds < below:
            count = int(seconds // unit)
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    raise AssertionError("every time is below infinity")


def printable(text: str, *, lines: bool = False) -> str:
    """A text without control characters, with which a model's author could steer the terminal."""
    kept = "\n\t" if lines else ""
    return "".join(char if char.isprintable() or char in kept else "\N{REPLACEMENT CHARACTER}" for char in text)


def print_json(value: Any) -> None:
    """Print what a server told, for scripts."""
    import msgspec

    print(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


class Progress:
    """A download as it goes: one line that is drawn anew, or a few plain ones where nobody watches.

    Parameters
    ----------
    out
        Where to; a bar is drawn if it is a terminal.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._watched = self._out.isatty()
        self._began = time.monotonic()
        self._drawn = -1.0
        self._told = ""
        self._first: int | None = None  # bytes that were there when we came, or when a file was begun
        self._since = self._began
        self.last: Pulling | None = None

    def show(self, pull: Pulling) -> None:
        """Show how far it is now."""
        anew = self.last is not None and pull.completed < self.last.completed  # hashed, and now uploaded
        if pull.total and (self._first is None or anew):
            self._first, self._since = pull.completed, time.monotonic()
        step = self.last is None or self.last.status != pull.status
        self.last = pull
        if not self._watched:
            self._print(pull)
        elif step or time.monotonic() - self._drawn > _DRAW_SECONDS:
            self._drawn = time.monotonic()
            columns = shutil.get_terminal_size().columns
            self._out.write(f"\r\x1b[K{self._line(pull, columns - 1)}")
            self._out.flush()

    def end(self) -> None:
        """Take the bar away; what is printed next stands in its place."""
        if self._watched:
            self._out.write("\r\x1b[K")
            self._out.flush()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def share(self) -> str:
        """How much has come: "50 %"; empty before the size is known."""
        return (
            f"{self.last.completed / self.last.total:.0%}".replace("%", " %") if self.last and self.last.total else ""
        )

    def _print(self, pull: Pulling) -> None:
        """A line for each step, and for each quarter of the bytes."""
        words = printable(pull.status)
        if pull.total and words.startswith("pulling "):  # the layers, which say nothing to people
            words = f"{pull.model}: {size(pull.total)}, {4 * pull.completed // pull.total * 25} %"
        else:
            words = f"{pull.model}: {words}"
        if words != self._told:
            self._told = words
            print(words, file=self._out, flush=True)

    def _line(self, pull: Pulling, columns: int) -> str:
        name = printable(pull.model)
        if not pull.total or not pull.status.startswith(("pulling", "hashing", "uploading")):
            return f"{name}  {printable(pull.status)}"[:columns]
        doing = pull.status.split()[0]
        if doing != "pulling":  # the one thing that a pull does
            name += f"  {doing}"
        facts = f"{size(pull.completed)} of {size(pull.total)}  {self.share:>5}"
        came, seconds = pull.completed - (self._first or 0), time.monotonic() - self._since
        if seconds > 1 and came > 0:
            speed = came / seconds
            facts += f"  {size(speed)}/s"
            if pull.completed < pull.total:
                facts += f"  {span((pull.total - pull.completed) / speed)} left"
        room = min(30, columns - len(name) - len(facts) - 4)
        return f"{name}  {self._bar(pull.completed / pull.total, room)}{facts}"[:columns]

    def _bar(self, share: float, width: int) -> str:
        if width < 5:
            return ""
        full, empty = "\N{FULL BLOCK}", "\N{LIGHT SHADE}"
        try:
            (full + empty).encode(self._out.encoding or "ascii")
        except UnicodeEncodeError:
            full, empty = "#", "."
        done = round(share * width)
        return full * done + empty * (width - done) + "  "
