"""`Answers`: one file of answers in use, around the flow of each single question (see `wire.py`). No socket here.

    record   ask ─► the answer, kept
    replay   kept? ─► the answer, streamed as it came      else NotRecorded: nothing is ever asked
    auto     kept, and the model is still the same? ─► as replay      else as record

As single questions are wrapped, the functions that a model calls run in a replay too. Whoever asks may be
another such file that lies `beneath`: a page that records within itself can be replayed as a whole.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from datetime import datetime, timezone
from itertools import count
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from msgspec.structs import replace

from . import pruning, terminal
from .errors import (
    BadName,
    BadParams,
    Busy,
    ContextTooLong,
    DiskFull,
    LLMError,
    ModelMissing,
    NotRecorded,
    OutOfMemory,
    Refused,
    ServerError,
)
from .facts import Facts
from .hosts import Host
from .keyed import Question
from .messages import Done, Pulling, Text, Thinking
from .modes import USED, VARIABLE
from .names import LOCAL
from .packing import pack, unpack
from .recordings import Line, Recording
from .wire import STEPS, Flow, Run, Step, Wait

T = TypeVar("T")

RECORDED = "a recording"  # how a server was found that is none
_STALE = 0.5  # which part of the lines may have been replaced before a file that is recorded anew is made shorter
_WORDS = ("chat", "generate", "embed")  # what a model says; all else tells of the server, or changes it


class Answers:
    """A file of answers in use; a context manager, at whose end it is no more in use.

    Attributes
    ----------
    mode
        "record", "replay" or "auto".
    file
        Its path.
    pace
        How fast answers are replayed: 0 at once, 1 as they came, 2 twice as fast.
    beneath
        The file that is asked before a server is; `None` for none.
    closed
        Whether it is no more in use.
    """

    def __init__(self, mode: str, file: str | PathLike[str], pace: float = 0.0, beneath: Answers | None = None) -> None:
        self.mode = mode
        self.beneath = beneath
        self.closed = False
        self.file = Path(file).expanduser().absolute()
        self.pace = _paced(pace)
        _usable(mode, self.file)
        self._recording = Recording(self.file)
        if mode != "replay" and self._recording.replaced >= _STALE:
            pruning.tidy(self.file)
        self._lock = Lock()
        self._taken: defaultdict[str, set[int]] = defaultdict(set)  # the numbers of each question's askings
        self._came: dict[str, Line | None] = {}  # what was kept, if that was the last answer to a question
        self._counts = Counter[str]()

    def __str__(self) -> str:
        """What is going on, in a sentence."""
        kept, replayed, file = self._counts["kept"], self._counts["replayed"], terminal.path(self.file)
        if self.mode == "record":
            return f"Answers are recorded in {file}: {kept:,} so far."
        if self.mode == "replay":
            return f"Answers are replayed from {file}: {replayed:,} so far."
        told = f"{replayed:,} replayed and {kept:,} recorded so far"
        return f"Answers are replayed from {file}, and what is missing is asked and recorded: {told}."

    def replays(self, question: Question) -> bool:
        """Whether there is a kept answer to this, the next time it is asked; the model may still have changed."""
        return self.mode != "record" and self._due(question) is not None

    def replayed(self, question: Question) -> bool:
        """Whether this came from the file, or the one beneath, the last time it was asked."""
        if self._came.get(question.key):
            return True
        return self.beneath is not None and self.beneath.replayed(question)

    def place(self, question: Question) -> Host | None:
        """The recording as the place where an answer comes from; `None` if a server has to be asked for it."""
        if self.mode == "replay" or self.replays(question):
            return self._host
        return self.beneath.place(question) if self.beneath else None

    @property
    def host(self) -> Host | None:
        """The recording in the place of a server, if no server is ever asked."""
        if self.mode == "replay":
            return self._host
        return self.beneath.host if self.beneath else None

    @property
    def _host(self) -> Host:
        """A place with an address that names the file, and can't be asked."""
        return Host(f"recording:{self.file.name}", RECORDED)

    def flow(
        self,
        question: Question | Callable[[], Question],
        flow: Flow[T],
        *,
        fresh: bool = False,
        facts: Facts | None = None,
        there: Callable[[], Host | None] = lambda: None,
    ) -> Flow[T]:
        """The answer to a question: a kept one, or what the flow brings.

        Parameters
        ----------
        question
            What the flow asks; a function that makes it, if that takes time.
        flow
            Asks it; not begun if there is a kept answer.
        fresh
            Whether it is asked although there is one; what comes takes its place, but for a strict replay.
        facts
            What is known of the server.
        there
            Whether there is a server that a model can be compared with; none is to be started for that.

        Raises
        ------
        NotRecorded
            It is to be replayed, and there is no answer.
        BadParams
            The file can't be read or written.
        LLMError
            What the flow raises, or has raised when it was recorded.
        """
        if not isinstance(question, Question):
            question = yield Run(question)
            assert isinstance(question, Question)
        with self._lock:
            self._taken[question.key].add(n := self._next(question.key))
        line = None if fresh or self.mode == "record" else self._found(question, n)
        if line and line.digest and self.mode == "auto":
            now = yield from self._digest_now(question, facts, there)
            line = line if now in ("", line.digest) else None
        self._came[question.key] = line
        if self.beneath is not None:
            flow = self.beneath.flow(question, flow, fresh=fresh, facts=facts, there=there)
        if line is not None:
            yield from self._streamed(line)
        elif self.mode != "replay":
            yield from self._kept(question, n, flow, facts)
        elif fresh:
            yield from flow
        else:
            raise self._missing(question, n)

    def close(self) -> None:
        """Go back to what was before."""
        self.closed = True

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _next(self, key: str) -> int:
        taken = self._taken[key]
        return next(number for number in count(1) if number not in taken)

    def _due(self, question: Question) -> Line | None:
        """What is kept for this, the next time it is asked."""
        with self._lock:
            n = self._next(question.key)
        return self._found(question, n)

    def _digest_now(
        self, question: Question, facts: Facts | None, there: Callable[[], Host | None]
    ) -> Generator[Step, Any, str]:
        """Of the model that would answer this now; empty if there is no server, or it does not say."""
        if self.beneath and self.beneath.host:  # it is as the server was
            kept = self.beneath._due(question)
            return kept.digest if kept else ""
        try:
            if facts is None or (facts.digests is None and (yield Run(there)) is None):
                return ""
        except LLMError:  # the address is none: what is kept is there all the same
            return ""
        return (yield from facts.digest(question.model.removeprefix(LOCAL)))

    def _found(self, question: Question, n: int) -> Line | None:
        line = self._recording.find(question, n)
        if line is None and question.kind not in _WORDS:  # a server says the same as often as it is asked
            before = (self._recording.find(question, number) for number in range(n - 1, 0, -1))
            line = next(filter(None, before), None)
        return line

    def _streamed(self, line: Line) -> Flow[Any]:
        """A kept answer, at the pace that is set."""
        _note_use(line)
        with self._lock:
            self._counts["replayed"] += 1
        began, due, first = time.monotonic(), 0.0, None
        for pause, event in unpack(line.events):
            due += pause
            if self.pace and (left := due / self.pace - (time.monotonic() - began)) > 0:
                yield Wait(left, recorded=True)
            if isinstance(event, LLMError):
                raise event
            if first is None and isinstance(event, (Text, Thinking)):
                first = due
            if isinstance(event, Done):
                event = replace(event, replayed=True, seconds=round(due, 3), first_seconds=first, server=line.server)
            if event is not None:
                yield event

    def _kept(self, question: Question, n: int, flow: Flow[T], facts: Facts | None) -> Flow[T]:
        """What a flow brings, kept if it comes to its end; if not, the next asking has its number."""
        heard: list[tuple[float, Any]] = []
        try:
            yield from _timed(flow, heard)
        except BaseException as error:  # whatever ends it is raised again
            # Whoever leaves after Done has heard all.
            whole = isinstance(error, GeneratorExit) and heard and isinstance(heard[-1][1], Done)
            if whole or (isinstance(error, LLMError) and _is_an_answer(error)):
                self._keep(question, n, heard, facts)
            else:
                with self._lock:
                    self._taken[question.key].discard(n)
            raise
        digest = _digest(heard)
        if self.beneath and (line := self.beneath._came.get(question.key)):
            digest = line.digest
        elif facts is not None and question.model.startswith(LOCAL) and question.kind in _WORDS:
            yield from facts.versioned()
            digest = digest or (yield from facts.digest(question.model.removeprefix(LOCAL)))
        self._keep(question, n, heard, facts, digest)

    def _keep(
        self, question: Question, n: int, heard: list[tuple[float, Any]], facts: Facts | None, digest: str = ""
    ) -> None:
        version = facts.version if facts and question.model.startswith(LOCAL) else None
        server = "" if version is None else f"{version.version} embedded" if version.engine else version.version
        now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = Line(
            question.key,
            n,
            question.kind,
            question.model,
            digest or _digest(heard),
            question.request,
            pack(each for each in heard if question.kind not in _WORDS or not isinstance(each[1], Pulling)),
            server,
            now,
        )
        self._recording.keep(line)
        with self._lock:
            self._counts["kept"] += 1

    def _missing(self, question: Question, n: int) -> NotRecorded:
        """What is not there, and what comes nearest; no prompt and no answer is told."""
        file = terminal.path(self.file)
        what = f"{question.kind} with {question.model}" if question.model else question.kind
        times = self._recording.times(question)
        told = f"{file} has no answer for this {what}"
        if times:
            return NotRecorded(
                f"{file} has {times} answer{'s' * (times > 1)} for this {what}, and it is asked {_th(n)} time.",
                f"To begin anew: %llm replay {file}; to record more: %llm record --auto {file}",
            )
        if near := self._recording.nearest(question):
            told += f"; the nearest, in line {near[0]}, is different: {', '.join(near[1])}"
        return NotRecorded(f"{told}.", f"Record what is missing: {VARIABLE}=auto:{file}, or %llm record --auto {file}")


def _usable(mode: str, file: Path) -> None:
    """Refuse a file that can't be read or written, before anything is asked."""
    shown = terminal.path(file)
    try:
        if mode != "replay":
            file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("rb" if mode == "replay" else "ab"):
            return
    except FileNotFoundError:
        raise NotRecorded(f"There is no recording {shown}.", f"Record it first: {VARIABLE}=record:{shown}") from None
    except IsADirectoryError:
        raise BadParams(f"{shown} is a folder.", "Name a file in it, such as answers.jsonl.") from None
    except OSError as error:
        doing = "read" if mode == "replay" else "written"
        raise BadParams(f"{shown} can't be {doing}: {error.strerror}.", "Name another file.") from None


def _paced(pace: Any) -> float:
    if isinstance(pace, (int, float)) and not isinstance(pace, bool) and 0 <= pace < 1e6:
        return float(pace)
    raise BadParams(f"The pace is a number from 0, not {pace!r:.40}.", "0 is at once, 1 as it came, 2 twice as fast.")


def _timed(flow: Flow[T], heard: list[tuple[float, Any]]) -> Flow[T]:
    """A flow as it is; what it yields is kept, with the seconds that it took without those of whoever listens."""
    began = time.monotonic()
    try:
        step = next(flow)
        while True:
            told = time.monotonic()
            if listened := not isinstance(step, STEPS):
                heard.append((told - began, step))
            try:
                answer = yield step
            except Exception as error:  # thrown in by whoever runs the flow: the inner one may know what to do
                step = flow.throw(error)
            else:
                if listened:
                    began += time.monotonic() - told
                step = flow.send(answer)
    except StopIteration:
        return
    except LLMError as error:
        heard.append((time.monotonic() - began, error))
        raise
    finally:
        flow.close()


def _is_an_answer(error: LLMError) -> bool:
    """Whether an error is what the server says to the question, and not that it could not be asked just now."""
    if isinstance(error, ServerError):
        return 400 <= error.status < 500 and not isinstance(error, (Busy, Refused, OutOfMemory, DiskFull))
    return isinstance(error, (ContextTooLong, ModelMissing, BadName))


def _digest(heard: list[tuple[float, Any]]) -> str:
    """Of the model that answered, if it said so."""
    return next((event.digest for _, event in reversed(heard) if isinstance(event, Done)), "")


def _note_use(line: Line) -> None:
    """Tell which lines are in use, where somebody wants to know."""
    if path := os.environ.get(USED):
        try:
            with open(path, "a", encoding="ascii") as used:
                used.write(f"{line.key} {line.n}\n")
        except OSError as error:
            told = f"{USED} names a file that can't be written: {error.strerror}."
            raise BadParams(told, "Name another file, or unset it.") from None


def _th(n: int) -> str:
    return "a second" if n == 2 else "a third" if n == 3 else f"a {n}th"
