"""The words that flows and drivers speak, and how a server's answer or refusal is read. No I/O.

A flow is a generator. It yields `Open(...)` and is sent the status, yields `READ` and is sent the next
line (`None` at the end), and yields everything else to whoever watches: events, or its one result.
Closing a flow half-way closes its connection, which is how Ollama is told to stop.

Source of all shapes: Ollama's `api/types.go` and recordings of real servers (`tests/wire/`).
"""

from __future__ import annotations

from collections.abc import Generator
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .errors import ContextTooLong, LLMError, ModelMissing, ServerError


class Open(Struct, frozen=True):
    """Send this request; the answer's status comes back.

    Attributes
    ----------
    method, path
        Of the request.
    body
        What to send: bytes, or the path of a file, which the driver sends piece by piece.
    """

    method: str
    path: str
    body: bytes | Path | None = None


class Read(Enum):
    """Read one line of the answer; it comes back without its end, or `None` when all is read."""

    LINE = "line"


READ = Read.LINE

T = TypeVar("T")
Flow = Generator[Open | Read | T, Any, None]


class _Error(Struct, frozen=True):
    error: str


_ERROR = msgspec.json.Decoder(_Error)

_PULL = "It is pulled first unless pull=False, or --no-pull, forbids it."
_LIST = "Client().models() lists those that it has."

_STATUS_HINTS = {
    403: "It refuses this host name or origin: reach it as localhost, or set OLLAMA_ORIGINS on the server.",
    404: "Is this really an Ollama server? Check OLLAMA_HOST.",
    502: "The proxy in front of the server can't reach it.",
}

_HINTS = (  # what a server's words contain, and the one thing to do
    ("error was encountered while running", "Ask again; if it happens again, the server's log says more."),
    ("does not support thinking", "Ask without think, or choose a model that thinks."),
    ("server busy", "Try again in a moment."),
    ("memory", "Choose a smaller model, or a smaller num_ctx."),
    ("invalid model name", "Names look like llama3.2, llama3.2:1b or hf.co/user/model:Q4_K_M."),
)


def decode(decoder: msgspec.json.Decoder[T], line: bytes) -> T:
    """Read JSON from a server; `ServerError` if it is none, or not of the shape that Ollama's has."""
    try:
        return decoder.decode(line)
    except msgspec.DecodeError as error:
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


def fetch(ask: Open, decoder: msgspec.json.Decoder[T], model: str = "") -> Generator[Open | Read, Any, T]:
    """Ask for a JSON document."""
    status = yield ask
    if status != 200:
        raise (yield from refusal(status, model, _LIST))
    return decode(decoder, (yield from rest()))


def done(ask: Open, model: str) -> Generator[Open | Read, Any, None]:
    """Ask for something that is answered by its status alone."""
    status = yield ask
    if status not in (200, 201):
        raise (yield from refusal(status, model, _LIST))


def refusal(status: int, model: str = "", missing: str = _PULL) -> Generator[Read, bytes | None, LLMError]:
    """The error that an answer with this status tells in its body."""
    body = yield from rest()
    try:
        return error_of(_ERROR.decode(body).error, status, model, missing)
    except msgspec.DecodeError:
        said = body.decode(errors="replace").strip()
        brief = said.splitlines()[0][:200] if said and not said.startswith("<") else "no reason given"
        return ServerError(f"The server answered {status}: {brief}.", _STATUS_HINTS.get(status, ""), status=status)


def error_of(text: str, status: int, model: str, missing: str = _PULL) -> LLMError:
    """The error of our tree for the server's words; `missing` is the advice if the model is."""
    if status == 404 and "not found" in text:
        return ModelMissing(f"The server does not have the model {model}.", missing)
    if "context" in text and ("exceed" in text or "longer than" in text):
        return ContextTooLong(f"The prompt does not fit the model's context: {text}", "Shorten it, or raise num_ctx.")
    hint = next((hint for needle, hint in _HINTS if needle in text), "")
    return ServerError(f"The server could not answer: {text}", hint, status=status)
