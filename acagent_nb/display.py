"""Events -> a growing cell output, or text as it comes where there is no page.

Notebook ── one display_data, updated at most 12 times a second, ever less often as it gets dear
Terminal ── the new words; progress on one line that is written over
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from uuid import uuid4

from . import columns, origins
from .columns import Columns
from .coming import Coming
from .errors import Interrupted
from .growing import Growing, Part, Words
from .hosts import Host
from .messages import Note, Thinking, ToolCall, ToolResult
from .page import Page, pull_words
from .params import Params
from .pump import Errands

SHORTEST = 1 / 12  # seconds between two drawings: more is more than a reader can tell apart
GLANCE = 0.02  # seconds between two looks at what has come
QUIET = 0.1  # seconds without news after which what has come is drawn, however dear that is
TICK = 1.0  # seconds between two drawings when nothing comes: the time that passes is shown
_BYTES_A_SECOND = 150_000  # what a page can lay out for long and still answer its reader at once


class Screen(Protocol):
    """Where an answer is drawn."""

    def draw(self, answers: Sequence[Growing]) -> float:
        """Show the answers as they are now; gives back how many seconds to wait before the next time."""


def screen(shell: Any) -> Screen:
    """The place to draw for this shell: a cell's output if a kernel runs it, else the terminal."""
    return Notebook() if getattr(shell, "kernel", None) is not None else Terminal()


def show(
    answers: Sequence[Growing],
    screen: Screen,
    place: Callable[[Growing], Host],
    *,
    params: Params,
    pull: bool = True,
    timeout: float | None = None,
    fresh: bool = False,
    errands: Errands | None = None,
) -> None:
    """Ask all at once, and draw the answers until they end; what has come stays, marked, if one ends badly.

    Parameters
    ----------
    answers
        Each with its question.
    place
        Looks for an answer's server; runs in a thread of its own, so that it can take its time.
    params
        Whose endpoints hold.
    pull
        Whether a missing model is pulled first.
    timeout
        Seconds for each whole answer; `None` sets no bound.
    fresh
        Whether they are asked although a recording has the answers.
    errands
        Done here in between, with the answers drawn as they are: a function that a model calls may
        have a question to the user.

    Raises
    ------
    Interrupted
        The user stopped them. Their connections are closed by then.
    LLMError
        See `Client.chat`; with several answers the first error, after all have ended.
    """
    errands = errands or Errands()
    coming = [Coming(answer, place, params, pull=pull, timeout=timeout, fresh=fresh) for answer in answers]
    try:
        _follow(coming, screen, errands)
    except KeyboardInterrupt:
        for answer in answers:
            answer.end("stopped")
        raise Interrupted() from None
    finally:
        errands.close()
        for each in coming:
            each.cancel()
        for each in coming:
            each.stop()
        screen.draw(answers)
    for each in coming:
        if each.error is not None:
            raise each.error


def _follow(coming: Sequence[Coming], screen: Screen, errands: Errands) -> None:
    """Draw what comes, in time but not too often, until nothing more comes."""
    answers = [each.answer for each in coming]
    drawn, pause, fresh = time.monotonic(), screen.draw(answers), False
    while True:
        news = [each.step() for each in coming]
        if all(each.over for each in coming):
            break
        if errands.waiting:
            screen.draw(answers)
            errands.do()
        since, fresh = time.monotonic() - drawn, fresh or any(news)
        if (since >= pause and fresh) or (fresh and not any(news) and since >= SHORTEST) or since >= max(TICK, pause):
            pause = max(screen.draw(answers), SHORTEST)
            drawn, fresh = time.monotonic(), False
        time.sleep(min(max(pause - since, GLANCE), QUIET) if fresh else GLANCE)


class Notebook:
    """A cell's output: one display, updated as the answers grow, in which a notebook saves them all."""

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._page = Page()
        self._columns = Columns()
        self._shown = False

    def draw(self, answers: Sequence[Growing]) -> float:
        """Send the whole output; the pause grows with what that cost here and with what it weighs for the page."""
        from IPython.display import display

        began = time.perf_counter()
        alone = answers[0] if len(answers) == 1 else None
        html = self._page.html(alone) if alone else self._columns.html(answers)
        display(  # type: ignore[no-untyped-call]  # IPython has no types here
            {"text/html": html, "text/plain": alone.text if alone else columns.plain(answers)},
            raw=True,  # a text that is an address would be fetched, one that is a path be read
            display_id=self._id,
            update=self._shown,
            metadata=origins.saved(answers),  # an update replaces it, so it is sent every time
        )
        self._shown = True
        return max(SHORTEST, 4 * (time.perf_counter() - began), len(html) / _BYTES_A_SECOND)


class Terminal:
    """A plain terminal or a file: new words as they come, the footer at the end.

    Several answers come one after the other, each when it has ended.

    Parameters
    ----------
    bare
        Whether all that is no part of an answer is left out but for notes.
    """

    def __init__(self, *, bare: bool = False) -> None:
        self._bare = bare
        self._at = 0  # the part of the answer that is printed, and how far
        self._printed = 0
        self._began = False
        self._over: list[Growing] = []
        self._status = self._tabled = False

    def draw(self, answers: Sequence[Growing]) -> float:
        """Print what is new."""
        if len(answers) == 1:
            self._draw(answers[0])
        else:
            self._draw_ended(answers)
        sys.stdout.flush()
        return SHORTEST

    def _draw(self, answer: Growing) -> None:
        for at in range(self._at, len(answer.parts)):
            part = answer.parts[at]
            before = next((each for each in reversed(answer.parts[:at]) if not isinstance(each, Note)), None)
            text = _told(part, before)
            if new := text[self._printed if at == self._at else 0 :]:
                self._line("")
                print(_printable(new), end="")
                self._began = True
            self._at, self._printed = at, len(text)
        if answer.ended:
            self._line("")
            footer = [" · ".join(answer.facts()), *([answer.place] if answer.tell_host else [])]
            lines = [*(footer if not self._bare else []), *answer.notes]
            print("\n" * (2 if self._began and lines else 0) + _printable("\n".join(lines)))
        elif not self._began:
            words = pull_words(answer.pulling) if answer.pulling else f"{answer.status}… {answer.seconds:.0f} s"
            self._line(f"{answer.name} · {words}")

    def _draw_ended(self, answers: Sequence[Growing]) -> None:
        for answer in answers:
            if answer.ended and answer not in self._over:
                self._line("")
                self._over.append(answer)
                print(_printable(f"{answer.label}\n{'-' * len(answer.label)}"))
                if answer.error:
                    print(_printable(f"{type(answer.error).__name__}: {answer.error}"))
                one = Terminal(bare=self._bare)
                one._draw(answer)
                print()
        left = [answer for answer in answers if not answer.ended]
        if left:
            self._line(f"{len(left)} of {len(answers)} answers · {max(each.seconds for each in left):.0f} s")
        elif not (self._tabled or self._bare):
            self._tabled = True
            print(_printable(columns.table(answers)))

    def _line(self, words: str) -> None:
        """Write over the line that tells the progress; a file does not get one."""
        if sys.stdout.isatty() and (words or self._status):
            print(f"\r\x1b[K{_printable(words)}", end="")
            self._status = bool(words)


def _told(part: Part, before: Part | None) -> str:
    """A part of an answer as text, set apart from what came before it."""
    if isinstance(part, Words):
        head = "thinking: " if part.kind is Thinking else ""
        return ("\n\n" if before is not None else "") + head + part.text
    if isinstance(part, ToolCall):
        said = ", ".join(f"{name}={value!r}" for name, value in part.arguments.items())
        # The line ends here: a question about the call may follow it.
        return ("\n\n" if before is not None else "") + f"{part.name}({said})\n"
    if isinstance(part, ToolResult):
        start = "" if isinstance(before, ToolCall) else "\n"
        return f"{start}{'failed' if part.failed else '->'} {part.call.name}: {part.content}"
    return ""


def _printable(text: str) -> str:
    """Without the control characters by which a text could take over a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
