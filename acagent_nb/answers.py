"""Answers that are kept in a file, or come from it: `record("a.jsonl")`, `replay("a.jsonl")`.

It holds for every client of this process. ACAGENT_NB_ANSWERS=record:FILE, replay:FILE or auto:FILE does the same
from outside, for instance for a whole notebook; what is said inside then lies on top of that:

    a client ─► record("inner.jsonl") ─► ACAGENT_NB_ANSWERS=replay:outer.jsonl        no server is asked
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from os import PathLike
from threading import Lock

from .errors import BadParams
from .hosts import Host
from .modes import FORM, NOTEBOOK, PACE, VARIABLE, parted
from .tape import RECORDED as RECORDED
from .tape import Answers


def record(file: str | PathLike[str], *, auto: bool = False) -> Answers:
    """Keep every answer of every client in a file, from now on.

    Parameters
    ----------
    file
        Its path; it is made if it is not there. Answers that it has already to the same questions are replaced.
    auto
        Replay what is there, and ask only what is missing, or what another version of the model has answered.

    Returns
    -------
    Answers
        `close()` ends it, and so does the end of a `with` block.

    Raises
    ------
    BadParams
        The file can't be written.
    """
    return _used(Answers("auto" if auto else "record", file, beneath=_beneath()))


def replay(file: str | PathLike[str], *, pace: float = 0.0) -> Answers:
    """Take every answer from a file, from now on: no server is asked, and no key is needed.

    Parameters
    ----------
    file
        What `record` has written.
    pace
        0 streams the answers at once, 1 as they came, 2 twice as fast.

    Returns
    -------
    Answers
        `close()` ends it, and so does the end of a `with` block. What is not in the file raises `NotRecorded`.

    Raises
    ------
    NotRecorded
        There is no such file.
    BadParams
        It can't be read.
    """
    return _used(Answers("replay", file, pace, _beneath()))


def off() -> None:
    """End what `record` and `replay` have begun; if there is nothing of that, what the environment says."""
    begun = any(_live())
    _in_use[:] = [None] if not begun or None in _in_use else []


def current() -> Answers | None:
    """The file of answers in use, if there is one. Raises what `record` and `replay` do, for the environment's."""
    if _beside.get():
        return None
    live = _live()
    return live[-1] if live else _outer()


def host() -> Host | None:
    """The recording in the place of a server, if nothing but that is asked."""
    tape = current()
    return tape.host if tape else None


@contextmanager
def beside() -> Iterator[None]:
    """In this block questions are asked that are not the user's own: they are neither recorded nor replayed."""
    token = _beside.set(True)
    try:
        yield
    finally:
        _beside.reset(token)


_in_use: list[Answers | None] = []  # the last one holds; None is the environment's, switched off
_of_environment: dict[tuple[str, str], Answers] = {}
_beside: ContextVar[bool] = ContextVar("acagent_nb_beside", default=False)
_lock = Lock()


def _used(answers: Answers) -> Answers:
    _in_use[:] = [*_live(), answers]
    return answers


def _live() -> list[Answers | None]:
    """Those that are not closed; other threads may look at the list meanwhile, so it is left as it is."""
    return [each for each in _in_use if each is None or not each.closed]


def _beneath() -> Answers | None:
    return None if None in _in_use else _outer()


def _outer() -> Answers | None:
    """What the environment says."""
    told, pace = (os.environ.get(name, "").strip() for name in (VARIABLE, PACE))
    if not told:
        return None
    with _lock:
        if (told, pace) not in _of_environment:
            setting = parted(told)
            if setting is None:
                raise BadParams(f"{VARIABLE} says {told[:80]!r}, which can't be meant.", f"{VARIABLE} is {FORM}.")
            mode, file = setting
            if NOTEBOOK in file:
                which = "only `acagent-nb run`, `acagent-nb check` and pytest know the notebook's name"
                raise BadParams(f"{VARIABLE} has {NOTEBOOK} in it, and {which}.", "Write the file's name in full.")
            try:
                speed = float(pace or 0)
            except ValueError:
                raise BadParams(f"{PACE} is a number, not {pace[:40]!r}.", "0 is at once, 1 as it came.") from None
            file = os.path.abspath(os.path.expanduser(file))
            _of_environment[told, pace] = Answers(mode, file, speed)
        return _of_environment[told, pace]
