"""The words that flows and drivers speak, and how a server's answer or refusal is read. No I/O.

A flow is a generator. It yields steps, and is sent what came of each:

    Open(...)    the request is sent; the status comes back. Call(...) is the same for a cloud model
    READ         the next line of the answer, or `None` at its end
    Header(name) a header of the answer, or `None`
    Wait(s)      nothing, after so many seconds
    Run(work)    what a function of the caller's returns; what it raises is thrown into the flow

Everything else it yields goes to whoever watches: events, or its one result. Closing a flow
half-way closes its connection, which is how a server is told to stop.

Source of all shapes: Ollama's `api/types.go` and recordings of real servers (`tests/wire/`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .errors import ServerError


class Open(Struct, frozen=True):
    """Send this request; the answer's status comes back.

    Attributes
    ----------
    method, path
        Of the request.
    body
        What to send: bytes, or the path of a file, which the driver sends piece by piece.
    seconds
        How long the server may be silent, for an answer that should not be waited for; `None` for
        as long as the call may take.
    tell
        Makes an event out of the bytes of a file that are on their way; whoever watches gets one a
        few times a second, until the status is there.
    """

    method: str
    path: str
    body: bytes | Path | None = None
    seconds: float | None = None
    tell: Callable[[int], Any] | None = None


class Call(Struct, frozen=True):
    """Ask a cloud model's server through the openai package; the answer's status comes back.

    Attributes
    ----------
    provider
        "openai", or the name of an endpoint.
    path
        Of the request, below the server's base: "/chat/completions".
    body
        What to send, as Python data; `None` to get something (GET).
    """

    provider: str
    path: str
    body: dict[str, Any] | None


class Header(Struct, frozen=True):
    """A header of the answer that was opened last, by its name."""

    name: str


class Wait(Struct, frozen=True):
    """Let so many seconds pass.

    Attributes
    ----------
    recorded
        Whether it is a pause of a recorded answer, and not one for a busy server.
    """

    seconds: float
    recorded: bool = False


class Run(Struct, frozen=True):
    """Call a function of the caller's; an awaitable that it returns is awaited, where that can be done."""

    work: Callable[[], Any]


class Read(Enum):
    """Read one line of the answer; it comes back without its end, or `None` when all is read."""

    LINE = "line"


READ = Read.LINE

T = TypeVar("T")
Step = Open | Call | Read | Header | Wait | Run
STEPS = (Open, Call, Read, Header, Wait, Run)
Flow = Generator[Step | T, Any, None]


def decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    """Read JSON from a server; `ServerError` if it is none, or not of the shape that Ollama's has."""
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ServerError(
            f"The server sent something that is not Ollama's protocol ({error}).", "Is this really an Ollama server?"
        ) from None


def post(path: str, body: dict[str, Any]) -> Open:
    """A request with JSON."""
    return Open("POST", path, msgspec.json.encode(body))


def rest() -> Generator[Read, bytes | None, bytes]:
    """All that is left of the answer."""
    lines = []
    while (line := (yield READ)) is not None:
        lines.append(line)
    return b"\n".join(lines)
