"""Asking a cloud model, as flows (see `wire.py`): OpenAI's API, and the many servers that speak it too.

    Note* ─► ask ─► busy? wait, ask again ─► a field it does not know? ask without ─► pieces ─► Done

A request's words are in `wording.py`, those of a refusal in `denials.py`, an answer's stream is read in
`sse.py`, and `sdk.py` sends what a `Call` says through the openai package.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from .denials import Told, denied, told
from .errors import Busy, MissingExtra, ServerDown, ServerError
from .facts import Facts
from .keys import Provider
from .messages import Event, Note, Request
from .sse import decode, events
from .wire import Call, Flow, Header, Step, Wait, rest
from .wording import EFFORTS, body, unheard

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PAUSES = (0.5, 1.0)  # seconds between the times a server is asked, unless it names its own
_LONGEST_PAUSE = 60.0
_MOST_CHANGES = 4  # fields that a server may refuse before it is taken at its word
_MOST_INPUTS = 2048  # texts that one request for embeddings may hold


def chat(request: Request, facts: Facts | None = None, server: Provider | None = None) -> Flow[Event]:
    """Ask a model; a setting that its server has no word for is told once for these facts.

    Parameters
    ----------
    server
        What to call it, where that is not what the request says.

    Raises
    ------
    ModelMissing, ContextTooLong, Incapable, Refused, Busy, ServerError
        As the server says.
    Incomplete
        The stream ended before the server said it was done, or in the middle of a call.
    """
    server = server or Provider(request.provider)
    if names := unheard(request):
        yield from (facts or Facts()).once(f"{' and '.join(names)} did nothing: {server.name} has no such setting.")
    call = Call(request.provider, "/chat/completions", body(request))
    if changed := (yield from _asked(call, request.model, server)):
        yield Note(changed)
    yield from events(request, server)


def embed(
    provider: str, model: str, texts: Sequence[str], dimensions: int | None = None, server: Provider | None = None
) -> Flow[NDArray[np.float32]]:
    """The vectors of texts; yields one float32 array, a row for each text.

    Raises
    ------
    MissingExtra
        numpy is not there.
    ModelMissing, ContextTooLong, Incapable, Refused, Busy, ServerError
        As the server says.
    """
    try:
        import numpy
    except ImportError:
        raise MissingExtra("Embeddings need numpy.", 'Install it: pip install "acagent-nb[client]"') from None
    server = server or Provider(provider)
    rows = []
    for start in range(0, len(texts), _MOST_INPUTS):
        some = list(texts[start : start + _MOST_INPUTS])
        ask: dict[str, Any] = {"model": model, "input": some, "encoding_format": "base64"}
        if dimensions is not None:
            ask["dimensions"] = dimensions
        yield from _asked(Call(provider, "/embeddings", ask), model, server)
        listed = decode(_VECTORS, (yield from rest()), server.name)
        if len(listed.data) != len(some):
            raise ServerError(
                f"{server.name} sent {len(listed.data)} vectors for {len(some)} texts.", "Ask again.", status=200
            )
        for vector in sorted(listed.data, key=lambda each: each.index):
            numbers = vector.embedding
            if isinstance(numbers, str):
                rows.append(numpy.frombuffer(base64.b64decode(numbers), dtype="<f4"))
            else:
                rows.append(numpy.asarray(numbers, dtype="<f4"))
    yield numpy.stack(rows) if rows else numpy.empty((0, dimensions or 0), dtype="<f4")


def models(provider: str) -> Flow[list[str]]:
    """The names of the models that a server offers; yields one list."""
    yield from _asked(Call(provider, "/models", None), "", Provider(provider))
    listed = decode(_MODELS, (yield from rest()), provider)
    yield sorted(model.id for model in listed.data)


def _asked(call: Call, model: str, server: Provider) -> Generator[Step, Any, str]:
    """Send a request until it is accepted: after a pause if the server is busy, changed if it does not take a field.

    Nothing has come of it before, so asking again is safe. Gives back what the user should know of a change.
    """
    pauses, changes, changed = list(_PAUSES), 0, ""
    while True:
        try:
            status = yield call
        except ServerDown:
            if not pauses:
                raise
            yield Wait(pauses.pop(0))
            continue
        if 200 <= status < 300:
            return changed
        after = yield Header("retry-after")
        said = told((yield from rest()))
        mended = _mended(call.body or {}, said) if status in (400, 422) else None
        if mended is not None and changes < _MOST_CHANGES:
            changes += 1
            call = Call(call.provider, call.path, mended)
            if "reasoning_effort" in said.message:
                nearest = mended["reasoning_effort"]
                changed = f"{model} does not take this think; the nearest that it takes was used: {nearest}."
            continue
        error = denied(status, said, model, server, after)
        named = re.fullmatch(r"\d+(\.\d+)?", after or "")
        seconds = float(named[0]) if named else pauses[0] if pauses else 0.0
        again = type(error) in (Busy, ServerError) and (status in (408, 409, 429) or (status >= 500 and status != 501))
        if not (again and pauses and seconds <= _LONGEST_PAUSE):
            raise error
        pauses.pop(0)
        yield Wait(seconds)


def _mended(ask: dict[str, Any], said: Told) -> dict[str, Any] | None:
    """The request with the one thing changed that the server does not take; `None` if that is not for us to change."""
    words = f"{said.message} {said.param}"
    for spare in ("stream_options", "encoding_format"):
        if spare in words and spare in ask:
            return {name: value for name, value in ask.items() if name != spare}
    if "max_completion_tokens" in words and "max_tokens" in ask:
        renamed = {name: value for name, value in ask.items() if name != "max_tokens"}
        return {**renamed, "max_completion_tokens": ask["max_tokens"]}
    effort = ask.get("reasoning_effort")
    if effort and "reasoning_effort" in words and (listed := re.search(r"[Ss]upported values are:(.*)", words)):
        offered = [each for each in EFFORTS if f"'{each}'" in listed[1]]
        near = min(offered, key=lambda each: abs(EFFORTS.index(each) - EFFORTS.index(effort)), default=None)
        if near not in (None, effort):
            return {**ask, "reasoning_effort": near}
    return None


class _Vector(Struct, frozen=True):
    embedding: str | list[float]
    index: int = 0


class _Vectors(Struct, frozen=True):
    data: list[_Vector]


class _Named(Struct, frozen=True):
    id: str


class _Models(Struct, frozen=True):
    data: list[_Named]


_VECTORS = msgspec.json.Decoder(_Vectors)
_MODELS = msgspec.json.Decoder(_Models)
