"""What both clients say: a caller's arguments -> flows, and an answer's events -> a `Reply`. No I/O."""

from __future__ import annotations

import difflib
import numbers
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from . import (
    answers,
    asking,
    cloud,
    delivery,
    embedding,
    hosts,
    inquiries,
    keyed,
    keys,
    library,
    making,
    names,
    ollama,
    rounds,
)
from .asking import Asked, Image, Prompt
from .errors import BadName, BadOption, BadParams, Warned
from .facts import Facts
from .keyed import Question
from .messages import Event, Note, Pulling, Request
from .models import Model, Running, Shown, Version
from .options import TABLE
from .params import Params
from .refusals import LIST
from .replies import Reply
from .wire import Flow

T = TypeVar("T")

PING_SECONDS = 5.0
ROUNDS = 8  # how often a model may ask for functions before its answer is taken as it is
Watch = Callable[[Pulling], None]
_CREATES = tuple(making.making.__kwdefaults__ or ())
_OF_ALL = ("keep_alive", "pull", "timeout", "fresh")
_EMBEDS = (*_OF_ALL, "dimensions", "truncate")
_GENERATES = (*_OF_ALL, "images", "format", "think", "truncate", "raw", "suffix", "template", "system")


class Talk:
    """One client's side of the talk: its roles and default options, and what it has learnt of the server."""

    def __init__(
        self,
        params: Params | Mapping[str, Any] | str | PathLike[str] | None,
        host: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self.params = _params(params)
        self.facts = Facts()
        self._host = host
        self._cloud = (base_url, api_key)

    def asked(self, model: str | None, prompt: Prompt, how: Mapping[str, Any]) -> Asked:
        """A question, checked."""
        return asking.asked(self.params, model, prompt, **how)

    def answer(self, ask: Asked | Request, pull: bool, most: int = ROUNDS, fresh: bool = False) -> Flow[Event]:
        """Ask a model, call the functions that it asks for, and have an answer of the wrong shape corrected once."""
        if not isinstance(most, numbers.Integral) or most < 0:
            told = f"rounds takes a whole number of at least 0, not {most!r:.60}."
            raise BadOption(told, "0 leaves all calls to you.")
        request = ask if isinstance(ask, Request) else ask.request
        one: Callable[[Request], Flow[Event]] = partial(ollama.chat, pull=pull, facts=self.facts)
        if not request.local:
            one = partial(cloud.chat, facts=self.facts, server=self._provider(request.provider))

        def chat(request: Request) -> Flow[Event]:
            return self._taped(one(request), partial(keyed.asked, "chat", request), fresh)

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
        fresh: bool = False,
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
        flow = ollama.generate(ask.request, said, pull=pull, facts=self.facts)
        return ask, self._taped(flow, partial(keyed.asked, "generate", ask.request, **said), fresh)

    def embedded(
        self,
        model: str,
        texts: str | Iterable[str],
        *,
        dimensions: int | None = None,
        truncate: bool = False,
        keep_alive: float | str | None = None,
        pull: bool = True,
        fresh: bool = False,
        **options: Any,
    ) -> Flow[Any]:
        """Texts into vectors."""
        target, given = self.params.target(model), asking.own_options(options, _EMBEDS)
        asking.lasting(keep_alive)
        if dimensions is not None and not (isinstance(dimensions, numbers.Integral) and dimensions > 0):
            raise BadOption(f"dimensions takes a whole number of at least 1, not {dimensions!r:.60}.")
        lines = asking.several(texts)
        if target.provider != "ollama":
            said = {"truncate": truncate or None, "keep_alive": keep_alive, **given.sent()}
            unheard = [name for name, value in said.items() if value is not None]
            server = self._provider(target.provider)
            flow = _noted(cloud.embed(target.provider, target.model, lines, dimensions, server), server.name, unheard)
            request = Request(target.model, provider=target.provider)
        else:
            own = self.params.options(given)
            request = Request(target.model, options=own, keep_alive=keep_alive, truncate=truncate)
            flow = embedding.embed(request, lines, dimensions, pull=pull, facts=self.facts)
        question = partial(keyed.asked, "embed", request, texts=lines, dimensions=dimensions)
        return self._taped(flow, question, fresh)

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
        flow = delivery.pulling(name, insecure=insecure)
        return self._taped(flow, partial(inquiries.about, "pull", name))

    def create(self, model: str, how: Mapping[str, Any]) -> Flow[Pulling | Note]:
        """Make a model."""
        name = self.local(model)
        self.facts.forget(name)
        _known(how)
        if source := how.get("from_model"):
            how = {**how, "from_model": self.local(source)}
        if answers.current() is None:
            return making.making(name, **how)
        how = {word: list(given) if isinstance(given, Iterator) else given for word, given in how.items()}  # read twice
        return self._taped(making.making(name, **how), partial(inquiries.create, name, how), late=True)

    def delete(self, model: str) -> Flow[None]:
        """Remove a model."""
        name = self.local(model)
        self.facts.forget(name)
        return self._taped(library.delete(name), partial(inquiries.about, "delete", name))

    def copy(self, source: str, destination: str) -> Flow[None]:
        """Give a model a second name."""
        name = self.local(destination)
        self.facts.forget(name)
        source = self.local(source)
        question = partial(inquiries.about, "copy", source, destination=keyed.named("ollama", name))
        return self._taped(library.copy(source, name), question)

    def show(self, model: str) -> Flow[Shown]:
        """What a server knows of a model."""
        name = self.local(model)
        return self._taped(library.show(name), partial(inquiries.about, "show", name))

    def load(self, model: str, keep_alive: float | str | None, pull: bool, options: Mapping[str, Any]) -> Flow[Event]:
        """Load a model with the options that a chat would have, or unload it with a `keep_alive` of 0."""
        given = self.params.options(asking.own_options(options, ("keep_alive", "pull")))
        request = Request(self.local(model), options=given, keep_alive=asking.lasting(keep_alive))
        return self._taped(ollama.load(request, pull=pull), partial(keyed.asked, "load", request))

    def unload(self, model: str) -> Flow[Event]:
        """Free a model's memory."""
        name = self.local(model)
        flow = ollama.load(Request(name, keep_alive=0), pull=False, missing=LIST)
        return self._taped(flow, partial(inquiries.about, "unload", name))

    def models(self) -> Flow[list[Model]]:
        """The models that the server has."""
        return self._taped(library.tags(), partial(inquiries.about, "models"))

    def running(self) -> Flow[list[Running]]:
        """The models that are loaded."""
        return self._taped(library.ps(), partial(inquiries.about, "running"))

    def version(self) -> Flow[Version]:
        """What the server says it is."""
        return self._taped(library.version(), partial(inquiries.about, "version"))

    def _taped(
        self, flow: Flow[T], question: Callable[[], Question], fresh: bool = False, late: bool = False
    ) -> Flow[T]:
        """The flow itself, or what a recording makes of it; a question that is told `late` reads files first."""
        tape = answers.current()
        if tape is None:
            return flow
        return tape.flow(question if late else question(), flow, fresh=fresh, facts=self.facts, there=self._there)

    def _provider(self, name: str) -> keys.Provider:
        """What to call a cloud model's server."""
        return keys.provider(*self._cloud) if name == "openai" else keys.provider(endpoint=self.params.endpoints[name])

    def _there(self) -> hosts.Host | None:
        """The server at hand; none is started."""
        return hosts.present(self._host) if self._host else hosts.running()


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
