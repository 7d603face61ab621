"""What a user sees of notebooks that run: a line while they do, a table of what came of each in the end."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import terminal
from .executed import besides
from .job import Job, Ran, Said, Step


class Watch:
    """A line that is drawn anew in a terminal, one for each notebook elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._at: dict[str, str] = {}  # what each notebook that runs is doing
        self._said: set[str] = set()

    def tell(self, job: Job, event: Step | Said) -> None:
        """Show that a cell begins, or something that is said."""
        name = Path(job.notebook).stem
        if isinstance(event, Said):
            if event.text not in self._said:  # such as where the models answer
                self._said.add(event.text)
                self._print(event.text)
            return
        self._at[name] = f"{name} [{event.number}/{event.cells}] {event.line}"
        self._draw()

    def ended(self, ran: Ran) -> None:
        """Show what came of a notebook."""
        self._at.pop(Path(ran.name).stem, None)
        mark = "failed" if ran.problem else "ok"
        self._print(f"{ran.name}: {mark} in {ran.seconds:.1f} s")
        for line in ran.told:
            self._print(f"  {line}")
        self._draw()

    def _print(self, text: str) -> None:
        if self._live:
            sys.stdout.write("\r\x1b[K")
        print(terminal.printable(text), flush=True)

    def _draw(self) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            several = len(self._at) > 1
            doing = "   ".join(at.split("] ")[0] + "]" if several else at for at in self._at.values())
            sys.stdout.write(f"\r\x1b[K{terminal.printable(doing)[:width]}")
            sys.stdout.flush()


def table(results: Sequence[Ran]) -> str:
    """What came of each notebook; of the answers, those that it shows are counted."""
    head = ("NOTEBOOK", "CELLS", "SECONDS", "ANSWERS SHOWN", "TOKENS IN", "OUT", "RESULT")
    rows = [
        (
            each.name,
            str(each.cells),
            f"{each.seconds:.1f}",
            f"{each.answers:,}{besides({'replayed': each.replayed, 'unfinished': each.unfinished})}",
            f"{each.tokens_in:,}",
            f"{each.tokens_out:,}",
            each.problem or "ok",
        )
        for each in results
    ]
    return terminal.table(head, rows)
