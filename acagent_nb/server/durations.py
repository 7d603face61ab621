"""Go's durations and timestamps, as Ollama reads and writes them."""

from __future__ import annotations

import math
import re
import time
from functools import lru_cache
from typing import Any

from ..errors import ServerError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)([^\d.]*)", re.ASCII)
_LONGEST = (2**63 - 1) / 1e9  # seconds in Go's greatest duration: about 292 years


def parse(text: str) -> float:
    """Seconds in a Go duration such as "5m" or "1h30m".

    Raises
    ------
    ServerError
        Status 400 with the words of Go's `time.ParseDuration`.
    """
    sign, rest = (-1.0, text[1:]) if text[:1] == "-" else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not rest:
        raise ServerError(f"time: invalid duration {_quoted(text)}", status=400)
    total, position = 0.0, 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise ServerError(f"time: invalid duration {_quoted(text)}", status=400)
        number, unit = part.groups()
        if not unit:
            raise ServerError(f"time: missing unit in duration {_quoted(text)}", status=400)
        if unit not in _UNITS:
            raise ServerError(f"time: unknown unit {_quoted(unit)} in duration {_quoted(text)}", status=400)
        total += float(number) * _UNITS[unit]
        position = part.end()
    if total > _LONGEST:
        raise ServerError(f"time: invalid duration {_quoted(text)}", status=400)
    return sign * total


def keep_alive(value: Any) -> float:
    """Seconds that a model stays loaded; negative values mean for ever.

    Parameters
    ----------
    value
        A request's `keep_alive`: seconds as a number, or a Go duration as a text.

    Raises
    ------
    ServerError
        Status 400: no duration, or neither a number nor a text.
    """
    if isinstance(value, str):
        seconds = parse(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        kind = {bool: "bool", list: "[]interface {}"}.get(type(value), "map[string]interface {}")
        raise ServerError(f"Unsupported type: '{kind}'", status=400)
    return math.inf if seconds < 0 else seconds


def with_seconds(asked: dict[str, Any]) -> dict[str, Any]:
    """A request with its `keep_alive` in seconds, checked before anything else is, as in Ollama."""
    if "keep_alive" in asked:
        asked["keep_alive"] = keep_alive(asked["keep_alive"])
    return asked


def from_environment(text: str | None, default: float = 300.0) -> float:
    """`OLLAMA_KEEP_ALIVE`: a duration or whole seconds; what can't be read counts as not set."""
    if not text:
        return default
    try:
        return keep_alive(int(text) if re.fullmatch(r"[+-]?\d+", text, re.ASCII) else text)
    except ServerError:
        return default


def stamp(nanoseconds: int | None = None) -> str:
    """A moment, by default now, in RFC 3339 with nine digits and Z."""
    seconds, rest = divmod(time.time_ns() if nanoseconds is None else nanoseconds, 1_000_000_000)
    return f"{_to_the_second(seconds)}.{rest:09d}Z"


@lru_cache(maxsize=4)  # a stream's lines, some thousand a second, are mostly of the same second
def _to_the_second(seconds: int) -> str:
    moment = time.gmtime(seconds)
    return f"{moment[0]:04d}-{moment[1]:02d}-{moment[2]:02d}T{moment[3]:02d}:{moment[4]:02d}:{moment[5]:02d}"


def later(seconds: float) -> str:
    """The moment in so many seconds; for ever is 292 years from now, as Ollama says it."""
    return stamp(time.time_ns() + int(min(seconds, _LONGEST) * 1e9))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
