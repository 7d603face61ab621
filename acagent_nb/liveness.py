"""Whether a server does anything with an option: by its version, or because it is the embedded one.

A dead option is silent on the wire: the server answers as if it had not been set. So whoever sends
options asks `notes` first, and tells the user once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from .row import Row, Value
from .rows import row_of

Engine = dict[str, Any] | bool | None  # `engine` of a server's `/api/version`: only the embedded one has it
_OLDEST = (0, 3, 0)  # what was there before is taken to be everywhere


class State(NamedTuple):
    """What a server does with an option.

    Attributes
    ----------
    word
        "live"; "partly", if only some of its models heed it; "dead", if it is ignored;
        "unknown", if the server is too old for it, and ignores it too.
    why
        One or two sentences, with what to use instead.
    """

    word: Literal["live", "partly", "dead", "unknown"]
    why: str


def parsed(version: str) -> tuple[int, int, int] | None:
    """A version's three numbers; `None` if it has none, or is the "0.0.0" of a build from source."""
    found = re.match(r"\s*v?([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?(?![0-9])", version)
    if found is None:
        return None
    first, second, third = (int(number or 0) for number in found.groups())
    return (first, second, third) if first or second or third else None


def state(name: str, version: str = "", engine: Engine = None) -> State:
    """What a server does with an option.

    Parameters
    ----------
    name
        The option.
    version
        As the server tells it: "0.6.8", "v0.7.0-rc1". One that can't be read, and "0.0.0", which is what builds
        from source say, count as the newest.
    engine
        The `engine` of its `/api/version`, or true, for the embedded server, whose version then does not count.

    Raises
    ------
    BadOption
        There is no such option.
    """
    at = parsed(version)
    found = _found(row_of(name), at, engine)
    return found if engine or at else State(found.word, f"{found.why} {_newest(version)}")


def notes(names: Iterable[str], version: str = "", engine: Engine = None) -> list[str]:
    """What to tell the user, once, of the options that were set; nothing if all of them do what they say.

    Parameters
    ----------
    names
        The options that were set; a mapping's keys will do.
    version, engine
        As in `state`.

    Raises
    ------
    BadOption
        There is no such option.
    """
    at = parsed(version)
    rows = [row_of(name) for name in names]
    states = [_found(row, at, engine) for row in rows]
    told = [found.why for found in states if found.word != "live"]
    if not engine and at is None and any(varies(row.name) for row in rows):
        told.append(_newest(version))
    return told


def varies(name: str) -> bool:
    """Whether some servers heed it and others don't, so that one has to know which server it is."""
    row = row_of(name)
    return bool(row.until or row.skipped or not row.embedded or _numbers(row.since) > _OLDEST)


def default(name: str, version: str = "") -> Value | str | None:
    """What a server uses if neither the request nor the model says: a value, or how it is found.

    Parameters
    ----------
    name
        The option.
    version
        As in `state`.

    Raises
    ------
    BadOption
        There is no such option.
    """
    row, at = row_of(name), parsed(version)
    found = [value for first, value in row.defaults if at is None or at >= _numbers(first)]
    return found[-1] if found else row.default


def _found(row: Row, at: tuple[int, int, int] | None, engine: Engine) -> State:
    """`state`, with the version read."""
    if engine and row.embedded:
        return State("live", f"The embedded server heeds {row.name}.")
    if engine:
        return State("dead", f"The embedded server does nothing with {row.name}. {row.instead}")
    if row.until and (at is None or at >= _numbers(row.until)):
        return State("dead", f"Ollama ignores {row.name} since version {row.until}. {row.instead}")
    if at is None:
        return State("live", f"The newest Ollama heeds {row.name}.")
    told = ".".join(map(str, at))
    if at < _numbers(row.since):
        return State("unknown", f"Ollama knows {row.name} from version {row.since} on; this server is {told}.")
    if any(_numbers(first) <= at < _numbers(end) for first, end in row.skipped):
        return State("partly", f"In Ollama {told}, models that run on Ollama's own engine ignore {row.name}.")
    return State("live", f"Ollama {told} heeds {row.name}.")


def _numbers(version: str) -> tuple[int, int, int]:
    """A version of the table's."""
    at = parsed(version)
    assert at is not None  # a test reads them all
    return at


def _newest(version: str) -> str:
    """What is said of a version that tells nothing."""
    said = f" ({version.strip()[:20]!r})" if version.strip() else ""
    return f"The server's version is not known{said}, so it counts as the newest."
