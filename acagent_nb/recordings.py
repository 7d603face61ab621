"""Answers in a file, one a line, by the question that they answer; made to be read in a code review.

    Question ─► Line ─► the file ─► Line, when this is asked again

A later line takes the place of an earlier one with the same key and number. Lines are only ever appended here,
each in one write, so that neither other processes nor a crash lose a whole one; `pruning` makes a file shorter.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from . import differing, terminal
from .errors import BadParams, Warned
from .keyed import Question
from .packing import Row

_FIRST = b'{"key":"'  # how every line begins: what begins otherwise is no half of one
_UNSEEN = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")  # steers a terminal, or hides a text
_HALF = re.compile("[\ud800-\udfff]")
_LOCK_SECONDS = 60.0
_TAIL = 64  # bytes by which what was read before is known again
_known_halves: set[tuple[Path, tuple[int, ...]]] = set()  # in files as they were: told once, whoever opens them again
_RESTORE = "Restore the file, for example from git, or delete this line."


class Line(Struct, frozen=True, omit_defaults=True):
    """An answer, as it stands in the file.

    Attributes
    ----------
    key, kind, model, request
        Of the question.
    n
        Which time it was asked in its session, from 1.
    digest
        Of the model that answered; empty if it is not known.
    events
        See `packing`.
    server
        Its version and kind: "0.32.15 embedded".
    recorded
        When, as RFC 3339 text.
    """

    key: str
    n: int
    kind: str
    model: str = ""
    digest: str = ""
    request: dict[str, Any] = {}
    events: list[Row] = []
    server: str = ""
    recorded: str = ""

    @property
    def question(self) -> Question:
        """What it answers."""
        return Question(self.kind, self.model, self.request)


Placed = tuple[int, Line]  # a line and its number in the file
Use = tuple[str, int]  # a key, and which time it was asked


class Recording:
    """A file of answers that is asked and written, by any number of threads and beside other processes.

    Half a line at its end is told as a warning once in a process, and again if the file has changed.

    Parameters
    ----------
    path
        Of the file; one that is not there holds no answers yet.

    Raises
    ------
    BadParams
        As in `numbered`; later, too, if the file was changed meanwhile.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._one = threading.RLock()
        self._forget()
        self._refresh()

    def find(self, question: Question, n: int) -> Line | None:
        """The answer to a question that is asked for the `n`-th time, from 1.

        Where each time the same answer can be expected, the last one that there is serves for all times after it.
        """
        with self._one:
            self._refresh()
            times = self._lines.get(question.key, {})
            if question.deterministic and times:
                n = n if n in times else max(times)
            _, line = times.get(n, (0, None))
        return line

    def times(self, question: Question) -> int:
        """How many answers there are to a question."""
        with self._one:
            self._refresh()
            return len(self._lines.get(question.key, ()))

    @property
    def replaced(self) -> float:
        """Which part of the lines later ones have replaced."""
        with self._one:
            self._refresh()
            return 1 - sum(map(len, self._lines.values())) / self._count if self._count else 0.0

    def keep(self, line: Line) -> None:
        """Write an answer, and know it from now on. Raises `BadParams` if it can't be written."""
        append(self.path, line)
        with self._one:
            self._refresh()

    def nearest(self, question: Question) -> tuple[int, list[str]] | None:
        """The number of the line whose question is most like this one, and what this one has otherwise.

        The words hold no text of a prompt or an answer; there are none if it is the very question. `None` if
        the file holds no answers.
        """
        with self._one:
            self._refresh()
            every = [place for times in self._lines.values() for place in times.values()]
        if not every:
            return None
        number, line = min(every, key=lambda place: (differing.distance(question, place[1].question), place[0]))
        return number, differing.words(question, line.question)

    def _forget(self) -> None:
        self._lines: dict[str, dict[int, Placed]] = {}
        self._seen, self._next, self._end, self._count = 0, 1, b"", 0
        self._state: tuple[int, ...] = ()

    def _refresh(self) -> None:
        """Read what was appended since the last time, or all if the file is another one."""
        try:
            told = self.path.stat()
        except FileNotFoundError:
            return self._forget()
        except OSError:  # what is wrong with it is said below
            return self._take(())
        state = (told.st_ino, told.st_size, told.st_mtime_ns)
        return None if state == self._state else self._take(state)

    def _take(self, state: tuple[int, ...]) -> None:
        start = max(0, self._seen - _TAIL)
        data = _bytes(self.path, start)
        grown = self._state[:1] == state[:1] and len(data) > self._seen - start
        if not grown or data[: self._seen - start] != self._end:
            self._forget()
            start, data = 0, _bytes(self.path)
        data = data[self._seen - start :]
        whole = data.rfind(b"\n") + 1
        for number, line in lines(self.path, data, self._next, partial(self._half, state)):
            self._lines.setdefault(line.key, {})[line.n] = number, line
            self._count += 1
        self._end = (self._end + data[:whole])[-_TAIL:]
        self._seen += whole
        self._next += data.count(b"\n")
        self._state = state

    def _half(self, state: tuple[int, ...], path: Path, number: int) -> None:
        if (path, state) not in _known_halves:
            _known_halves.add((path, state))
            _warn(path, number)


def numbered(path: str | os.PathLike[str]) -> list[Placed]:
    """All lines of a file, also those that later ones replace, each with its number.

    Raises
    ------
    BadParams
        The file can't be read, or a line is no recorded answer. A last line that is cut off, as a crash leaves it,
        is left out with a warning.
    """
    return list(lines(Path(path), _bytes(Path(path))))


def latest(placed: Iterable[Placed]) -> dict[Use, Placed]:
    """Of the lines of one question and time the last, which counts."""
    return {(line.key, line.n): (number, line) for number, line in placed}


def append(path: str | os.PathLike[str], line: Line) -> None:
    """Write one more answer to a file, which is made if need be.

    Raises
    ------
    BadParams
        The file can't be written, or its end is no recorded answer.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            _write(path, encoded(line) + b"\n")
    except OSError as error:
        raise BadParams(
            f"The answer can't be kept in {terminal.path(path)}: {error.strerror or error}.",
            "Name a file that you may write.",
        ) from None


def encoded(line: Line) -> bytes:
    """A line of the file, without its end; what a terminal or an editor would not show is escaped."""
    try:
        text = msgspec.json.encode(line).decode()
    except (UnicodeEncodeError, OverflowError):  # half a character, which no file can hold, or a very long number
        text = json.dumps(msgspec.to_builtins(line), ensure_ascii=False, separators=(",", ":"))
        text = _HALF.sub("\N{REPLACEMENT CHARACTER}", text)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Keep other processes from writing to a file meanwhile; the lock lies in this user's state folder.

    It gives False where there can be no lock.
    """
    from filelock import FileLock, Timeout
    from platformdirs import user_state_path

    digest = hashlib.sha256(os.path.realpath(path).encode(errors="surrogatepass")).hexdigest()
    lock = FileLock(user_state_path("acagent_nb") / "locks" / f"{digest[:16]}.lock", timeout=_LOCK_SECONDS)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(poll_interval=0.005)
    except Timeout:
        told = f"Another program has kept {terminal.path(path)} locked for a minute."
        raise BadParams(told, "End it, then try again.") from None
    except OSError:  # a home that can't be written: one write is whole without a lock, too
        pass
    try:
        yield lock.is_locked
    finally:
        lock.release()


def _bytes(path: Path, start: int = 0) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
            if data and not data.endswith(b"\n"):  # perhaps a line that another process is just writing
                with locked(path):
                    file.seek(start)
                    data = file.read()
            return data
    except OSError as error:
        told = f"The recording {terminal.path(path)} can't be read: {error.strerror}."
        raise BadParams(told, "Check the path.") from None


_LINE = msgspec.json.Decoder(Line)
_NO_LINE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _warn(path: Path, number: int) -> None:
    """Tell of half a line at its own place in the recording; Python shows no text of a file with such a name."""
    told = f"Line {number} of {terminal.path(path)} is cut off and left out: what wrote it was ended half-way."
    warnings.warn_explicit(told, Warned, f"<{terminal.printable(path.name)}>", number)


def lines(path: Path, data: bytes, first: int = 1, half: Callable[[Path, int], None] = _warn) -> Iterator[Placed]:
    """The answers in a file's bytes, whose first line has this number; raises as `numbered` does.

    `half` is told of a last line that is cut off.
    """
    texts = data.split(b"\n")
    for number, text in enumerate(texts, first):
        if not text.strip():
            continue
        try:
            yield number, _LINE.decode(text)
        except _NO_LINE:
            if number - first + 1 < len(texts) or not _is_half(text):
                raise _broken(path, number, text) from None
            half(path, number)


def _is_half(text: bytes) -> bool:
    return text.startswith(_FIRST) or _FIRST.startswith(text)


def _broken(path: Path, number: int, text: bytes) -> BadParams:
    if text.startswith((b"<<<<<<<", b"=======", b">>>>>>>", b"|||||||")):
        return BadParams(
            f"Line {number} of {terminal.path(path)} is a mark of a merge conflict.",
            "Delete git's marks; lines of both sides may stay.",
        )
    return BadParams(f"Line {number} of {terminal.path(path)} is no recorded answer.", _RESTORE)


def _write(path: Path, data: bytes) -> None:
    """Append bytes in one write; half a line that a crash has left at the end makes room first."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        size = os.lseek(handle, 0, os.SEEK_END)
        if last := _last(handle, size):
            try:
                _LINE.decode(last)
                data = b"\n" + data
            except _NO_LINE:
                if not _is_half(last):
                    raise BadParams(f"The end of {terminal.path(path)} is no recorded answer.", _RESTORE) from None
                size -= len(last)
                os.ftruncate(handle, size)
        written = 0
        try:
            written = os.write(handle, data)
        finally:
            if written < len(data):
                with suppress(OSError):
                    os.ftruncate(handle, size)
        if written < len(data):
            raise OSError("no space is left on the disk")
    finally:
        os.close(handle)


def _last(handle: int, size: int) -> bytes:
    """What stands behind the last line's end in a file; nothing, as a rule."""
    last, at = b"", size
    while at and b"\n" not in last:
        start = max(0, at - (65536 if last else 1))
        os.lseek(handle, start, os.SEEK_SET)
        last, at = os.read(handle, at - start) + last, start
    return last.rpartition(b"\n")[2]
