"""A server's answer that is one document, a status, or a refusal; what it says becomes an error of ours.

Source of the servers' words: Ollama's `server/` across its versions and recordings (`tests/wire/`). They
change between versions, so the status counts before the words, and the words only by what marks them.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from .errors import (
    BadName,
    Busy,
    ContextTooLong,
    DiskFull,
    Incapable,
    LLMError,
    ModelMissing,
    OutOfMemory,
    Refused,
    ServerError,
)
from .wire import Header, Open, Read, Step, decode, rest

T = TypeVar("T")

PULL = "It is pulled first unless pull=False, or --no-pull, forbids it."
LIST = "Client().models() lists those that it has."


def fetch(ask: Open, decoder: msgspec.json.Decoder[T], model: str = "") -> Generator[Step, Any, T]:
    """Ask for a JSON document."""
    status = yield ask
    if status != 200:
        raise (yield from refusal(status, model, LIST))
    return decode(decoder, (yield from rest()))


def done(ask: Open, model: str) -> Generator[Step, Any, None]:
    """Ask for something that is answered by its status alone."""
    status = yield ask
    if status not in (200, 201):
        raise (yield from refusal(status, model, LIST))


def refusal(status: int, model: str = "", missing: str = PULL) -> Generator[Read | Header, Any, LLMError]:
    """The error that an answer with this status tells in its body."""
    after: str | None = yield Header("retry-after")
    body = yield from rest()
    try:
        return error_of(_ERROR.decode(body).error, status, model, missing, after)
    except msgspec.DecodeError:  # text/plain, a proxy's page, or nothing at all
        said = body.decode(errors="replace").strip()
        brief = said.splitlines()[0][:200] if said and not said.startswith("<") else "no reason given"
        return _BY_STATUS.get(status, ServerError)(
            f"The server answered {status}: {brief}.", _hint(status, after), status=status
        )


def error_of(text: str | _Engine, status: int, model: str, missing: str = PULL, after: str | None = None) -> LLMError:
    """The error of our tree for the server's words; `missing` is the advice if the model is."""
    text, engine = _unpacked(text)
    if status == 404 and "not found" in text:
        return ModelMissing(f"The server does not have the model {model}.", missing)
    if engine.type == "exceed_context_size_error" or _has(text, _TOO_LONG):
        return too_long(engine.n_prompt_tokens, engine.n_ctx)
    if "invalid model name" in text or text == "model is required":
        return BadName(
            f"The server accepts no model of the name {model!r}.",
            "Names look like llama3.2, llama3.2:1b or hf.co/user/model:Q4_K_M.",
        )
    found = next(((kind, hint) for words, kind, hint in _KINDS if _has(text, words)), None)
    kind, hint = found or (_BY_STATUS.get(status, ServerError), _hint(status, after))
    return kind(f"The server could not answer: {text}", hint, status=status)


def too_long(needed: int | None, num_ctx: int | None) -> ContextTooLong:
    """The error for a prompt that does not fit, with what is known of both lengths."""
    if needed is None:
        return ContextTooLong(
            "The prompt does not fit the model's context window.",
            "Ask with a greater num_ctx, shorten the prompt, or let it be cut: truncate=True, in a cell --truncate.",
            num_ctx=num_ctx,
        )
    room = -(-(needed + 256) // 1024) * 1024  # some space for the answer, rounded up to what people write
    return ContextTooLong(
        f"The prompt has {needed:,} tokens, and the context window holds {num_ctx or 0:,}.",
        f"Ask with num_ctx={room} or more, shorten the prompt, or let it be cut: truncate=True, in a cell --truncate.",
        needed=needed,
        num_ctx=num_ctx,
    )


class _Engine(Struct, frozen=True):
    """What llama.cpp says of an error; its numbers are there for a prompt that is too long."""

    message: str = ""
    type: str = ""
    n_prompt_tokens: int | None = None
    n_ctx: int | None = None


class _EngineError(Struct, frozen=True):
    error: _Engine


class _Error(Struct, frozen=True):
    error: str | _Engine


_ERROR = msgspec.json.Decoder(_Error)
_ENGINE = msgspec.json.Decoder(_EngineError)


def _unpacked(text: str | _Engine) -> tuple[str, _Engine]:
    """The words, and what the engine's own JSON says where the server passes that on, as it is or as a text."""
    if isinstance(text, _Engine):
        return text.message, text
    start = text.find('{"error"')
    try:
        engine = _ENGINE.decode(text[start:].encode()).error if start >= 0 else _Engine()
    except msgspec.DecodeError:
        return text, _Engine()
    return engine.message or text, engine


def _hint(status: int, after: str | None) -> str:
    """What to do where only the status tells; `after` is the header that says how long to wait."""
    if status in (429, 503) and after and after.isdecimal():
        return f"The server wants to be left alone for {int(after):,} seconds."
    return _STATUS_HINTS.get(status, "")


def _has(text: str, words: Iterable[str]) -> bool:
    return any(re.search(word, text) for word in words)


_TOO_LONG = (r"exceeds? the (available )?context", r"longer than the context")

_KINDS: tuple[tuple[tuple[str, ...], type[ServerError], str], ...] = (  # words that mark them, class, what to do
    (("does not support thinking",), Incapable, "Ask without think, or choose a model that thinks."),
    (("does not support tools",), Incapable, "Ask without tools, or choose a model that can call them."),
    (
        ("support multimod", "missing data required for image", "does not support image"),
        Incapable,
        "Ask without pictures, or choose a model with vision.",
    ),
    (("does not support", "not support embeddings"), Incapable, "Choose another model: show tells what each can."),
    (("server busy",), Busy, "Try again in a moment."),
    (("no space left",), DiskFull, "Free some space on the server's disk, then try again."),
    (
        ("out of memory", "more system memory", "cudaMalloc", "failed to allocate", "unable to allocate"),
        OutOfMemory,
        "Choose a smaller model or a smaller num_ctx, or unload another model.",
    ),
    (("ollama cloud is disabled",), Refused, "Allow it on the server, or choose a model that runs there."),
    (
        ("error was encountered while running", "runner has unexpectedly stopped", "process has terminated"),
        ServerError,
        "Ask again; if it happens again, the server's log says more.",
    ),
    (("timed out waiting",), ServerError, "The model took too long to load: try again, or a smaller one."),
    (("may be incompatible",), ServerError, "Pull the model again, or update the server."),
)

_BY_STATUS: dict[int, type[ServerError]] = {401: Refused, 403: Refused, 429: Busy, 503: Busy}
_STATUS_HINTS = {
    401: "Sign in on the server (ollama signin), or give the key that the proxy in front of it wants as a header.",
    403: "It refuses this host name or origin: reach it as localhost, or set OLLAMA_ORIGINS on the server.",
    404: "Is this really an Ollama server? Check OLLAMA_HOST.",
    429: "Wait a while: the server counts how much is asked of it.",
    502: "The proxy in front of the server can't reach it.",
    503: "Try again in a moment.",
}
