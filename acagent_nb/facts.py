"""What is learnt of a server while it is used: its version, its models' abilities, what is loaded.

Flows ask for a fact when they first need it, and a client keeps it for the next answer.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

from . import names
from .errors import BadName, Incapable, LLMError
from .library import PS, SHOWN, TAGS, VERSION
from .liveness import varies
from .messages import Note, Request
from .models import Running, Version
from .options import Options, notes
from .refusals import fetch
from .wire import Open, Step, post

_FRESH_SECONDS = 30.0  # how long what is loaded counts as known: another program may load it anew
_ASIDE_SECONDS = 5.0  # how long an answer waits for what is only nice to know of it


class Facts:
    """What one client knows of one server.

    Attributes
    ----------
    version, digests
        `None` until they were asked for; the digests are those of the server's models, by their names' keys.
    """

    def __init__(self) -> None:
        self.version: Version | None = None
        self.digests: dict[str, str] | None = None
        self._told: set[str] = set()
        self._capabilities: dict[str, tuple[str, ...]] = {}
        self._running: dict[tuple[str, int | None], tuple[Running | None, float]] = {}

    def warnings(self, options: Options) -> Generator[Step | Note, Any, None]:
        """What is to be said of options that do nothing on this server, each once."""
        if not any(varies(name) for name in options.sent()):
            return  # they work everywhere, so the version need not be known before the answer
        version = yield from self.versioned()
        said = notes(options, version.version if version else "", version.engine if version else None)
        for sentence in said:
            yield from self.once(sentence)

    def once(self, sentence: str) -> Iterator[Note]:
        """Something that the user should know, unless it was said before."""
        if sentence not in self._told:
            self._told.add(sentence)
            yield Note(sentence)

    def versioned(self) -> Generator[Step, Any, Version | None]:
        """The server's version, asked for once; `None` if it does not say."""
        if self.version is None:
            with suppress(LLMError):  # a proxy may let nothing but chats through
                self.version = yield from fetch(Open("GET", "/api/version", seconds=_ASIDE_SECONDS), VERSION)
        return self.version

    def digest(self, model: str) -> Generator[Step, Any, str]:
        """The digest of a model; empty if the server does not have it, or does not say."""
        if self.digests is None:
            self.digests = {}
            with suppress(LLMError):  # what it is asked for can be said without
                listed = yield from fetch(Open("GET", "/api/tags", seconds=_ASIDE_SECONDS), TAGS)
                self.digests = {_key(each.name): each.digest for each in listed.models}
        return (self.digests or {}).get(_key(model), "")  # none if the server has gone meanwhile: see `moved`

    def running(self, request: Request) -> Generator[Step, Any, Running | None]:
        """The model as it was loaded for a request; `None` if it is not any more, or the server does not say.

        It is asked for again after half a minute, or when another window is asked for.
        """
        key = (_key(request.model), request.options.num_ctx)
        loaded, until = self._running.get(key, (None, 0.0))
        if time.monotonic() > until:
            fresh = time.monotonic() + _FRESH_SECONDS
            try:
                every = (yield from fetch(Open("GET", "/api/ps", seconds=_ASIDE_SECONDS), PS)).models
            except LLMError:  # the answer has come all the same, and is worth more than this
                self._running[key] = None, fresh
                return None
            loaded = next((each for each in every if _key(each.name) == key[0]), None)
            self._running[key] = loaded, fresh if loaded else 0.0
        return loaded

    def needs(self, capability: str, request: Request) -> Generator[Step, Any, None]:
        """Refuse what the model can't do, where the server says what it can: some servers ignore it in silence.

        Raises
        ------
        Incapable, ModelMissing
        """
        key = _key(request.model)
        able = self._capabilities.get(key)
        if able is None:
            shown = yield from fetch(post("/api/show", {"model": request.model}), SHOWN, request.model)
            able = self._capabilities[key] = shown.capabilities
        if able and capability not in able:
            raise Incapable(
                f"The model {request.model} has no {capability}.",
                f"It can do: {', '.join(able)}. Choose a model with {capability}.",
                status=400,
            )

    def moved(self) -> None:
        """Know nothing of the server: it is another one from now on, or has begun anew; what was said was said."""
        self.version = self.digests = None
        self._capabilities, self._running = {}, {}

    def forget(self, model: str) -> None:
        """Know nothing of a model: it was made anew, or removed."""
        key = _key(model)
        self.digests = None
        self._capabilities.pop(key, None)
        self._running = {known: loaded for known, loaded in self._running.items() if known[0] != key}


def _key(model: str) -> str:
    """By which two spellings of a name are known to be one; a server may have names that it would not take."""
    try:
        return names.parse(model).key
    except BadName:
        return model
