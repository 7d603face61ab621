"""A model's name as people type it behind a command -> the model that is meant: with or without `local_`."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from . import names
from .errors import ModelMissing

if TYPE_CHECKING:
    from .client import Client


def named(text: str, roles: Container[str] = ()) -> str:
    """A local model's name, whether or not it was written with the `local_`; a role stays what it is."""
    return text if text.startswith(names.LOCAL) or text in roles else names.LOCAL + text


def written(name: str) -> str:
    """What a server calls "tiny:latest", as a user writes it: "local_tiny"."""
    return names.LOCAL + name.removesuffix(f":{names.TAG}")


def near(text: str, there: Iterable[str]) -> str | None:
    """Of the models that are there the one whose name is most like a text, with or without `local_`; else `None`."""
    short = {name.removesuffix(f":{names.TAG}").lower(): name for name in there}
    wanted = text.removeprefix(names.LOCAL).removesuffix(f":{names.TAG}").lower()
    found = difflib.get_close_matches(wanted, [name for name in short if name != wanted], n=1)
    return short[found[0]] if found else None


@contextmanager
def suggesting(client: Client, text: str, get: str, more: Sequence[str] | None = None) -> Iterator[None]:
    """Let an error about a model that is not there name those that are.

    Parameters
    ----------
    text
        The name as it was typed.
    get
        The command that gets a first model.
    more
        Names that could be meant, too; for a pull, which says by itself what there is.
    """
    try:
        yield
    except ModelMissing as error:
        there = [each.name for each in client.models()]
        if like := near(text, [*(more or []), *there]):
            raise ModelMissing(error.message, f"Did you mean {like}?") from None
        if more is None:
            known = f"It has: {', '.join(there)}." if there else f"It has none yet; `{get}` gets one."
            raise ModelMissing(error.message, known) from None
        raise
