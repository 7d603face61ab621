"""Texts into vectors, as a flow (see `wire.py`)."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from .errors import ServerError
from .facts import Facts
from .messages import Event, Request
from .ollama import asked
from .shapes import extra
from .wire import Flow, decode, post, rest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def embed(
    request: Request, texts: list[str], dimensions: int | None = None, *, pull: bool = True, facts: Facts | None = None
) -> Flow[Event | NDArray[np.float32]]:
    """One vector for each text, see `Client.embed`; the vectors are the last thing that it yields.

    Raises
    ------
    ModelMissing, ContextTooLong, ServerError
        As the server says.
    MissingExtra
        numpy is not installed.
    """
    numpy = extra("numpy")
    if not texts:  # which would load the model, and the width of its vectors is not known
        yield numpy.empty((0, 0), numpy.float32)
        return
    if facts is not None:
        yield from facts.warnings(request.options)
    body = {"model": request.model, "input": texts, "truncate": request.truncate is True}
    more = {"dimensions": dimensions, "keep_alive": request.keep_alive, "options": request.options.sent() or None}
    ask = post("/api/embed", body | {name: value for name, value in more.items() if value is not None})
    yield from asked(ask, request.model, pull)
    vectors = [_float32(vector) for vector in decode(_EMBEDDINGS, (yield from rest())).embeddings]
    if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) > 1:
        raise ServerError(
            f"The server sent {len(vectors)} vectors for {len(texts)} texts, or some of other lengths.",
            "Ask again.",
            status=200,
        )
    yield numpy.frombuffer(bytearray().join(vectors), numpy.float32).reshape(len(vectors), -1)


def _float32(vector: msgspec.Raw) -> bytes:
    """A vector as numpy keeps it; three times quicker than to give numpy the numbers."""
    numbers = decode(_VECTOR, vector)
    return pack(f"{len(numbers)}f", *numbers)


class _Embeddings(Struct, frozen=True):
    embeddings: list[msgspec.Raw] = []


_VECTOR = msgspec.json.Decoder(list[float])
_EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
