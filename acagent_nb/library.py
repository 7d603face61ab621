"""The models that a server has, as flows (see `wire.py`): list, show, copy, delete."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from . import builtin, meant
from .errors import LLMError
from .models import Model, Running, Shown, Version
from .refusals import done, fetch
from .wire import Flow, Open, Step, post

_ASIDE_SECONDS = 5.0  # how long an error waits for what only makes it more helpful


def tags() -> Flow[list[Model]]:
    """The models that the server has."""
    yield (yield from fetch(Open("GET", "/api/tags"), TAGS)).models


def ps() -> Flow[list[Running]]:
    """The models that are loaded."""
    yield (yield from fetch(Open("GET", "/api/ps"), PS)).models


def version() -> Flow[Version]:
    """What the server says it is."""
    yield (yield from fetch(Open("GET", "/api/version"), VERSION))


def show(model: str) -> Flow[Shown]:
    """What the server knows of a model. Raises `ModelMissing` if it has none of this name."""
    yield (yield from fetch(post("/api/show", {"model": model}), SHOWN, model))


def delete(model: str) -> Flow[None]:
    """Remove a model; what other models share with it stays. Raises `ModelMissing`."""
    yield from done(Open("DELETE", "/api/delete", msgspec.json.encode({"model": model})), model)


def copy(source: str, destination: str) -> Flow[None]:
    """Give a model a second name; nothing is stored twice. Raises `ModelMissing` for the source."""
    yield from done(post("/api/copy", {"source": source, "destination": destination}), source)


def suggest(error: LLMError, model: str) -> Generator[Step, Any, None]:
    """Put the model that may have been meant into the hint of an error about one that can't be had, if there is one."""
    there = builtin.listed()
    with suppress(LLMError):
        listed = yield from fetch(Open("GET", "/api/tags", seconds=_ASIDE_SECONDS), TAGS)
        there += [each.name for each in listed.models]
    if like := meant.near(model, there):
        error.hint = f"Did you mean {meant.written(like)}? {error.hint}".rstrip()


class _Tags(Struct, frozen=True):
    models: list[Model] = []


class _Ps(Struct, frozen=True):
    models: list[Running] = []


TAGS = msgspec.json.Decoder(_Tags)
PS = msgspec.json.Decoder(_Ps)
SHOWN = msgspec.json.Decoder(Shown)
VERSION = msgspec.json.Decoder(Version)
