"""Events -> a growing cell output, or text as it comes where there is no page.

Notebook ── one display_data, updated at most 16 times a second, ever less often as it gets dear
Terminal ── the new words; progress on one line that is written over
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import Any, Protocol, TypeVar
from uuid import uuid4

from . import names
from .client import Client
from .errors import Interrupted, LLMError
from .growing import Growing
from .hosts import Host
from .messages import Version
from .page import Page, pull_words
from .pump import Pump

T = TypeVar("T")

SHORTEST = 1 / 16  # seconds between two drawings: at most 20 a second, the last one on top
QUIET = 0.08  # seconds without news after which what has come is drawn, however dear that is
TICK = 1.0  # seconds between two drawings when nothing comes: the time that passes is shown
_BYTES_A_SECOND = 500_000  # what a page can take for long without getting slow
_FACTS_SECONDS = 1.0  # how long a finished answer waits for the server to say where it ran


class Screen(Protocol):
    """Where an answer is drawn."""

    def draw(self, answer: Growing) -> float:
        """Show the answer as it is now; gives back how many seconds to wait before the next time."""


def screen(shell: Any) -> Screen:
    """The place to draw for this shell: a cell's output if a kernel runs it, else the terminal."""
    return Notebook() if getattr(shell, "kernel", None) is not None else Terminal()


def show(answer: Growing, screen: Screen, find: Callable[[], Host], *, pull: bool = True) -> None:
    """Ask, and draw the answer until it ends; what has come stays, marked, if it ends badly.

    Parameters
    ----------
    find
        Looks for the server; runs in a thread of its own, so that it can take its time.
    pull
        Whether a missing model is pulled first.

    Raises
    ------
    Interrupted
        The user stopped it. The connection is closed by then.
    LLMError
        See `Client.chat`.
    """
    try:
        _draw_while(answer, screen, finding := _aside(find))
        answer.host = finding.result()
        pump = Pump(answer.host.url, answer.request, pull=pull)
        try:
            with pump:
                _follow(pump, answer, screen)
        finally:
            pump.stop()  # an interrupt may fall between the thread's start and the block
    except KeyboardInterrupt:
        answer.end("stopped")
        raise Interrupted() from None
    except LLMError:
        answer.end("broke off" if answer.text else "failed")
        raise
    finally:
        answer.end("failed")  # which says nothing new unless something of ours broke
        screen.draw(answer)


def _follow(pump: Pump, answer: Growing, screen: Screen) -> None:
    """Draw what comes, in time but not too often, until nothing more comes."""
    assert answer.host is not None
    about: Future[tuple[Version, str]] | None = None
    drawn, pause, fresh = time.monotonic(), screen.draw(answer), False
    while not pump.ended and not answer.done:
        since = time.monotonic() - drawn
        events = pump.take(max(min(pause - since, QUIET), SHORTEST - since, 0.0) if fresh else max(TICK - since, 0.0))
        answer.feed(events)
        since = time.monotonic() - drawn
        if since >= pause or (fresh and not events and since >= SHORTEST) or (not fresh and since >= TICK):
            pause = max(screen.draw(answer), SHORTEST)
            drawn, fresh = time.monotonic(), False
        else:
            fresh = fresh or bool(events)
        if about is None and (answer.text or answer.thinking):  # the model is loaded by now
            about = _aside(partial(_about, answer.host.url, answer.request.model))
    if about is not None:
        if fresh and not about.done():
            screen.draw(answer)
        wait([about], _FACTS_SECONDS)
        if about.done() and about.exception() is None:
            answer.version, answer.processor = about.result()


def _about(url: str, model: str) -> tuple[Version, str]:
    """What the server says it is, and where the model runs on it."""
    key = names.parse(model).key
    with Client(url) as client:
        running = {names.parse(each.name).key: each.processor for each in client.running()}
        return client.version(), running.get(key, "")


def _draw_while(answer: Growing, screen: Screen, work: Future[Any]) -> None:
    """Show what is being done elsewhere, and for how long already."""
    shown, drawn = "", 0.0
    while not work.done():
        if answer.status != shown or time.monotonic() > drawn + TICK:
            shown, drawn = answer.status, time.monotonic()
            screen.draw(answer)
        wait([work], SHORTEST)


def _aside(work: Callable[[], T]) -> Future[T]:
    """Do it in a thread that neither an interrupt nor the end of Python has to wait for."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whatever it is, it belongs to the one who asks for the result
            future.set_exception(error)

    Thread(target=run, name="acagent_nb aside", daemon=True).start()
    return future


class Notebook:
    """A cell's output: one display, updated as the answer grows."""

    def __init__(self) -> None:
        self._id = uuid4().hex
        self._page = Page()
        self._shown = False

    def draw(self, answer: Growing) -> float:
        """Send the whole output; the pause grows with what that cost here and with what it weighs for the page."""
        from IPython.display import display

        began = time.perf_counter()
        html = self._page.html(answer)
        display(  # type: ignore[no-untyped-call]  # IPython has no types here
            {"text/html": html, "text/plain": answer.text},
            raw=True,  # a text that is an address would be fetched, one that is a path be read
            display_id=self._id,
            update=self._shown,
            metadata={"acagent_nb": answer.provenance()},  # an update replaces it, so it is sent every time
        )
        self._shown = True
        return max(SHORTEST, 4 * (time.perf_counter() - began), len(html) / _BYTES_A_SECOND)


class Terminal:
    """A plain terminal or a file: new words as they come, the footer at the end."""

    def __init__(self) -> None:
        self._printed = {"thinking": 0, "text": 0}
        self._status = False

    def draw(self, answer: Growing) -> float:
        """Print what is new."""
        for part, text in (("thinking", answer.thinking), ("text", answer.text)):
            if new := text[self._printed[part] :]:
                self._print_part(part, new)
                self._printed[part] += len(new)
        if answer.ended:
            self._line("")
            lines = [" · ".join(answer.facts()), *([answer.place] if answer.tell_host else [])]
            print("\n" * (2 if any(self._printed.values()) else 0) + _printable("\n".join(lines)))
        elif not any(self._printed.values()):
            words = pull_words(answer.pulling) if answer.pulling else f"{answer.status}… {answer.seconds:.0f} s"
            self._line(f"{answer.name} · {words}")
        sys.stdout.flush()
        return SHORTEST

    def _print_part(self, part: str, new: str) -> None:
        self._line("")
        if part == "text" and self._printed["thinking"] and not self._printed["text"]:
            print("\n")
        elif part == "thinking" and not self._printed["thinking"]:
            print("thinking: ", end="")
        print(_printable(new), end="")

    def _line(self, words: str) -> None:
        """Write over the line that tells the progress; a file does not get one."""
        if sys.stdout.isatty() and (words or self._status):
            print(f"\r\x1b[K{_printable(words)}", end="")
            self._status = bool(words)


def _printable(text: str) -> str:
    """Without the control characters by which a text could take over a terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
