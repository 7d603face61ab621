"""What both clients say: a caller's arguments -> flows, and an answer's events -> a `Reply`. No I/O."""

from __future__ import annotations

import difflib
import numbers
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from . import asking, cloud, delivery, embedding, library, making, names, ollama, rounds
from .asking import Asked, Image, Prompt
from .errors import BadName, BadOption, BadParams, Warned
from .facts import Facts
from .messages import Event, Note, Pulling, Request
from .models import Model, Running, Shown, Version
from .options import TABLE
from .params import Params
from .replies import Reply
from .wire import Flow

PING_SECONDS = 5.0
ROUNDS = 8  # how often a model may ask for functions before its answer is taken as it is
Watch = Callable[[Pulling], None]
_CREATES = tuple(making.making.__kwdefaults__ or ())
_OF_ALL = ("keep_alive", "pull", "timeout")
_EMBEDS = (*_OF_ALL, "dimensions", "truncate")
_GENERATES = (*_OF_ALL, "images", "format", "think", "truncate", "raw", "suffix", "template", "system")


class Talk:
    """One client's side of the talk: its roles and default options, and what it has learnt of the server."""

    def __init__(self, params: Params | Mapping[str, Any] | str | PathLike[str] | None) -> None:
        self.params = _params(params)
        self.facts = Facts()

    def asked(self, model: str | None, prompt: Prompt, how: Mapping[str, Any]) -> Asked:
        """A question, checked."""
        return asking.asked(self.params, model, prompt, **how)

    def answer(self, ask: Asked | Request, pull: bool, most: int = ROUNDS) -> Flow[Event]:
        """Ask a model, call the functions that it asks for, and have an answer of the wrong shape corrected once."""
        if not isinstance(most, numbers.Integral) or most < 0:
            told = f"rounds takes a whole number of at least 0, not {most!r:.60}."
            raise BadOption(told, "0 leaves all calls to you.")
        request = ask if isinstance(ask, Request) else ask.request
        chat: Callable[[Request], Flow[Event]] = partial(cloud.chat, facts=self.facts)
        if request.local:
            chat = partial(ollama.chat, pull=pull, facts=self.facts)
        if isinstance(ask, Request) or not (ask.tools.schemas or ask.shape.wire):
            return chat(request)
        return rounds.answering(chat, request, ask.tools, ask.shape, most)

    def generated(
        self,
        model: str,
        prompt: str,
        *,
        images: Iterable[Image] | Image | None = None,
        format: Any = None,
        think: Any = None,
        keep_alive: float | str | None = None,
        truncate: bool | None = None,
        raw: bool = False,
        suffix: str | None = None,
        template: str | None = None,
        system: str | None = None,
        pull: bool = True,
        **options: Any,
    ) -> tuple[Asked, Flow[Event]]:
        """A text to go on with: the question, and the flow that asks it."""
        self.local(model)
        given = asking.own_options(options, _GENERATES).sent()
        how = {"system": system, "images": images, "format": format, "think": think}
        how |= {"keep_alive": keep_alive, "truncate": truncate, **given}
        texts = {"suffix": suffix, "template": template, "system": system}
        body: dict[str, Any] = {name: asking.sendable(text, name) for name, text in texts.items() if text is not None}
        body["prompt"] = asking.sendable(prompt, "prompt")
        ask = self.asked(model, body["prompt"], how)
        body |= {"raw": raw or None, "images": ask.request.messages[-1].images or None}
        said = {name: value for name, value in body.items() if value is not None}
        return ask, ollama.generate(ask.request, said, pull=pull, facts=self.facts)

    def embedded(
        self,
        model: str,
        texts: str | Iterable[str],
        *,
        dimensions: int | None = None,
        truncate: bool = False,
        keep_alive: float | str | None = None,
        pull: bool = True,
        **options: Any,
    ) -> Flow[Any]:
        """Texts into vectors."""
        target, given = self.params.target(model), asking.own_options(options, _EMBEDS)
        lines = asking.several(texts)
        if target.provider != "ollama":
            said = {"truncate": truncate or None, "keep_alive": keep_alive, **given.sent()}
            unheard = [name for name, value in said.items() if value is not None]
            return _noted(cloud.embed(target.provider, target.model, lines, dimensions), target.provider, unheard)
        request = Request(target.model, options=self.params.options(given), keep_alive=keep_alive, truncate=truncate)
        return embedding.embed(request, lines, dimensions, pull=pull, facts=self.facts)

    def local(self, model: str) -> str:
        """A local model's name as its server knows it; `BadName` for a cloud model's."""
        # None would be the project's own model, and nobody wants that one deleted by a variable that was not set.
        provider, name = self.params.target("" if model is None else model)
        if provider != "ollama":
            bare = name[len(names.LOCAL) :] if name.lower().startswith(names.LOCAL) else name
            raise BadName(
                f"{model!r} is no local model, and this is something for local models only.",
                f"Local names start with {names.LOCAL}: if Ollama has such a model, write {names.LOCAL}{bare}.",
            )
        return name

    def pull(self, model: str, insecure: bool) -> Flow[Pulling]:
        """Download a model."""
        name = self.local(model)
        self.facts.forget(name)
        return delivery.pulling(name, insecure=insecure)

    def create(self, model: str, how: Mapping[str, Any]) -> Flow[Pulling | Note]:
        """Make a model."""
        name = self.local(model)
        self.facts.forget(name)
        _known(how)
        if source := how.get("from_model"):
            how = {**how, "from_model": self.local(source)}
        return making.making(name, **how)

    def delete(self, model: str) -> Flow[None]:
        """Remove a model."""
        name = self.local(model)
        self.facts.forget(name)
        return library.delete(name)

    def copy(self, source: str, destination: str) -> Flow[None]:
        """Give a model a second name."""
        name = self.local(destination)
        self.facts.forget(name)
        return library.copy(self.local(source), name)

    def show(self, model: str) -> Flow[Shown]:
        """What a server knows of a model."""
        return library.show(self.local(model))

    def load(self, model: str, keep_alive: float | str | None, pull: bool, options: Mapping[str, Any]) -> Flow[Event]:
        """Load a model with the options that a chat would have, or unload it with a `keep_alive` of 0."""
        given = self.params.options(asking.own_options(options, ("keep_alive", "pull")))
        return ollama.load(Request(self.local(model), options=given, keep_alive=keep_alive), pull=pull)

    def unload(self, model: str) -> Flow[Event]:
        """Free a model's memory."""
        return ollama.load(Request(self.local(model), keep_alive=0), pull=False)

    def models(self) -> Flow[list[Model]]:
        """The models that the server has."""
        return library.tags()

    def running(self) -> Flow[list[Running]]:
        """The models that are loaded."""
        return library.ps()

    def version(self) -> Flow[Version]:
        """What the server says it is."""
        return library.version()


def _known(how: Mapping[str, Any]) -> None:
    """`BadOption` for a keyword that `making` does not take."""
    for name in how.keys() - set(_CREATES):
        near = difflib.get_close_matches(name, _CREATES, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It takes {', '.join(_CREATES)}."
        if name in TABLE:
            hint = f"Model options go into parameters, as in parameters={{{name!r}: ...}}."
        raise BadOption(f"create has no keyword {name!r}.", hint)


def _noted(flow: Flow[Any], provider: str, unheard: list[str]) -> Flow[Any]:
    """The same, after a note on what the provider has no word for."""
    if unheard:
        yield Note(f"{' and '.join(unheard)} did nothing: {provider} has no such setting for embeddings.")
    yield from flow


def settled(ask: Asked, events: Iterable[Event]) -> Reply:
    """The whole answer, with its value if a shape was asked for.

    Raises
    ------
    BadAnswer
        It has not that shape; the error carries the reply.
    """
    reply = Reply.of(ask.request, events)
    return msgspec.structs.replace(reply, value=ask.shape.value(reply))


def warned(event: Event) -> Event:
    """The same event; a `Note` becomes a warning too, at the caller's own line."""
    if isinstance(event, Note):
        frame, level = sys._getframe(), 1
        while frame.f_back and frame.f_globals.get("__name__", "").startswith(f"{__package__}."):
            frame, level = frame.f_back, level + 1
        warnings.warn(event.text, Warned, stacklevel=level)
    return event


def _params(given: Params | Mapping[str, Any] | str | PathLike[str] | None) -> Params:
    if given is None:
        return Params.found()
    if isinstance(given, Params):
        return given
    if isinstance(given, Mapping):
        return Params.of(given)
    if not isinstance(given, (str, PathLike)):
        raise BadParams(f"params takes a dict or the path of a file, not {type(given).__name__}.")
    return Params.read(Path(given))
