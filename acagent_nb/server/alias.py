"""Models under other names, for examples that name a cloud's: they last as long as the server."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from .. import builtin, names
from ..errors import LLMError, ServerError
from ..names import Name
from . import pull
from .manifest import Model
from .store import Store


class Aliased(Store):
    """A store some of whose models have second names, which nobody can change.

    Parameters
    ----------
    folder, behind
        See `Store`.
    aliases
        Pairs of a second name and its model.

    Raises
    ------
    BadName
        One of them is no name.
    LLMError
        Two of them mean the same name.
    """

    def __init__(
        self, folder: str | Path | None, aliases: Iterable[tuple[str, str]], behind: str | Path | None = None
    ) -> None:
        super().__init__(folder, behind)
        self._real = Store(folder, behind)
        self._aliases: dict[str, tuple[Name, str]] = {}
        for alias, model in aliases:
            name = names.parse(alias)
            if name.key in self._aliases:
                raise LLMError(f"{alias!r} is said to be an alias twice.", "Keep the one that you mean.")
            self._aliases[name.key] = name, model

    async def prepare(self) -> None:
        """Pull the built-in models that are missing; to be awaited before the server answers.

        Raises
        ------
        LLMError
            A second name is that of a model already, or its model is not here.
        """
        for alias, text in self._aliases.values():
            name = _plain(alias)
            if self._real.find(name) is not None or builtin.find(name):
                raise LLMError(f"{name!r} can't be an alias: it is a model already.", "Choose another name.")
            if names.parse(text).key in self._aliases:
                raise LLMError(f"{text!r} is an alias itself.", "Name the model that it stands for.")
            if self._real.find(text) is None and builtin.find(text):
                async for _ in pull.pull(self, text):
                    pass
            if self._real.find(text) is None:
                raise LLMError(
                    f"There is no model {text!r} that {name!r} could stand for.",
                    f"Start the server without the alias and pull it: acagent-nb pull {text}",
                )

    def models(self) -> list[Model]:
        """Every model, under each of its names."""
        aliased = [self.find(_plain(alias)) for alias, _ in self._aliases.values()]
        return self._real.models() + [model for model in aliased if model is not None]

    def find(self, text: str) -> Model | None:
        """The model of this name, see `Store.find`."""
        found = self._aliases.get(names.parse(text).key) if self._aliases else None
        if found is None:
            return self._real.find(text)
        alias, target = found
        model = self._real.find(target)
        return _renamed(model, alias) if model is not None else None

    def stands_for(self, text: str) -> str:
        """See `Store.stands_for`."""
        return self._aliases.get(names.parse(text).key, (None, ""))[1]

    def copy(self, source: Model, to: str) -> None:
        """Give a model a second name that lasts."""
        self.refuse(names.parse(to))
        self._real.copy(source, to)

    def write(self, name: Name, manifest: bytes) -> None:
        """Make a model appear, see `Store.write`; `ServerError` if the name is an alias."""
        self.refuse(name)
        super().write(name, manifest)

    def delete(self, model: Model) -> None:
        """Remove a name, see `Store.delete`; `ServerError` if it is an alias."""
        self.refuse(model.name)
        super().delete(model)

    def refuse(self, name: Name) -> None:
        """See `Store.refuse`; `ServerError` for an alias."""
        if alias := self._aliases.get(name.key):
            raise ServerError(f"'{_plain(name)}' stands for '{alias[1]}' as long as this server runs", status=400)


def parse(text: str) -> tuple[str, str]:
    """The two names in `gpt-4o-mini=tiny`; `LLMError` if they are not two."""
    alias, found, model = text.partition("=")
    if not (alias and found and model):
        raise LLMError(f"{text!r} is no alias.", "Write the new name first, then the model: --alias gpt-4o-mini=tiny")
    return alias, model.removeprefix(names.LOCAL)


def _plain(name: Name) -> str:
    """As people write it."""
    return name.short.removesuffix(":latest")


@lru_cache(maxsize=64)
def _renamed(model: Model, name: Name) -> Model:
    """The same model under another name; remembered, because every request asks for it."""
    other = copy.copy(model)
    other.name = name
    return other
