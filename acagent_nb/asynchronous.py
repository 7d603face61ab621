"""`AsyncClient`: the same as `Client` (see `client.py`) for `async` code."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from math import inf
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from . import answers
from .asking import Asked, How, Prompt, spelt_out
from .awaiting import AsyncSockets
from .driving import Settings
from .errors import LLMError
from .hosts import Host
from .messages import Event, Pulling, Request
from .models import Model, Running, Shown, Version
from .params import Params
from .replies import Reply
from .talking import PING_SECONDS, ROUNDS, Talk, Watch, settled, warned
from .wire import Flow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Unpack

T = TypeVar("T")


class AsyncClient:
    """`Client` for `async` code, with the same names; tasks may share it."""

    def __init__(
        self,
        host: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        params: Params | Mapping[str, Any] | str | PathLike[str] | None = None,
    ) -> None:
        self._talk = Talk(params, host, base_url, api_key)
        settings = Settings(host, headers or {}, api_key, base_url, self._talk.params)
        self._sockets = AsyncSockets(settings, self._talk.facts.moved)
        self._timeout = timeout

    @spelt_out
    async def chat(
        self,
        model: str | None,
        prompt: Prompt,
        *,
        pull: bool = True,
        timeout: float | None = None,
        rounds: int = ROUNDS,
        fresh: bool = False,
        **how: Unpack[How],
    ) -> Reply:
        """Ask and wait for the whole answer; see `Client.chat`. Functions of `tools` may be `async`."""
        ask = self.asked(model, prompt, **how)
        events = self._told(self.events(ask, pull=pull, timeout=timeout, rounds=rounds, fresh=fresh))
        return settled(ask, [event async for event in events])

    @spelt_out
    def stream(
        self,
        model: str | None,
        prompt: Prompt,
        *,
        pull: bool = True,
        timeout: float | None = None,
        rounds: int = ROUNDS,
        fresh: bool = False,
        **how: Unpack[How],
    ) -> AsyncGenerator[Event, None]:
        """Ask and get the events of the answer as they come; see `Client.stream`.

        Leaving the loop early closes the connection when the event loop goes on; in a block of
        `contextlib.aclosing` it is closed at the block's end.
        """
        ask = self.asked(model, prompt, **how)
        return self._told(self.events(ask, pull=pull, timeout=timeout, rounds=rounds, fresh=fresh))

    def asked(self, model: str | None, prompt: Prompt, **how: Unpack[How]) -> Asked:
        """Put a question together and check it; see `Client.asked`."""
        return self._talk.asked(model, prompt, how)

    def events(
        self,
        ask: Asked | Request,
        *,
        pull: bool = True,
        timeout: float | None = None,
        rounds: int = ROUNDS,
        fresh: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """Send a question that is put together already; see `Client.events`."""
        return self._run(self._talk.answer(ask, pull, rounds, fresh), timeout)

    async def generate(self, model: str, prompt: str, *, timeout: float | None = None, **how: Any) -> Reply:
        """Have a local model go on with a text; see `Client.generate`."""
        ask, flow = self._talk.generated(model, prompt, **how)
        return settled(ask, [event async for event in self._told(self._run(flow, timeout))])

    async def embed(
        self, model: str, texts: str | Iterable[str], *, timeout: float | None = None, **how: Any
    ) -> NDArray[np.float32]:
        """Make texts into vectors; see `Client.embed`."""
        events = self._told(self._run(self._talk.embedded(model, texts, **how), timeout))
        *_, vectors = [event async for event in events]
        return vectors  # type: ignore[return-value]  # the last thing that the flow yields

    async def pull(
        self, model: str, *, watch: Watch | None = None, insecure: bool = False, timeout: float = inf
    ) -> None:
        """Download a model; see `Client.pull`."""
        await self._watched(self._talk.pull(model, insecure), watch, timeout)

    async def create(self, model: str, *, watch: Watch | None = None, timeout: float = inf, **how: Any) -> None:
        """Make a model; see `Client.create`."""
        await self._watched(self._talk.create(model, how), watch, timeout)

    async def show(self, model: str) -> Shown:
        """What the server knows of a model; see `Client.show`."""
        return await self._result(self._talk.show(model))

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; see `Client.copy`."""
        await self._watched(self._talk.copy(source, destination))

    async def delete(self, model: str) -> None:
        """Remove a model from the server; see `Client.delete`."""
        await self._watched(self._talk.delete(model))

    async def load(
        self, model: str, *, keep_alive: float | str | None = None, pull: bool = True, **options: Any
    ) -> None:
        """Load a model into memory; see `Client.load`."""
        await self._watched(self._talk.load(model, keep_alive, pull, options))

    async def unload(self, model: str) -> None:
        """Free the memory that a model takes; see `Client.unload`."""
        await self._watched(self._talk.unload(model))

    async def models(self) -> list[Model]:
        """The models that the Ollama server has."""
        return await self._result(self._talk.models())

    async def running(self) -> list[Running]:
        """The models that are loaded."""
        return await self._result(self._talk.running())

    async def version(self) -> Version:
        """What the Ollama server says it is."""
        return await self._result(self._talk.version())

    async def ping(self) -> bool:
        """Whether the Ollama server answers."""
        try:
            await self._result(self._talk.version(), PING_SECONDS)
        except LLMError:  # for whatever reason it does not
            return False
        return True

    async def host(self) -> Host:
        """The Ollama server in use, and how it was found."""
        return answers.host() or await self._sockets.host()

    async def close(self) -> None:
        """Close all connections; the client opens new ones if it is used again."""
        await self._sockets.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _run(self, flow: Flow[T], timeout: float | None = None) -> AsyncGenerator[T, None]:
        return self._sockets.run(flow, self._timeout if timeout is None else timeout)

    async def _told(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """The same events; notes become warnings."""
        async with aclosing(events):
            async for event in events:
                yield warned(event)

    async def _result(self, flow: Flow[T], timeout: float | None = None) -> T:
        """The one thing that a flow yields."""
        (result,) = [result async for result in self._run(flow, timeout)]
        return result

    async def _watched(self, flow: Flow[Any], watch: Watch | None = None, timeout: float | None = None) -> None:
        """Run a flow to its end, and tell somebody of its steps."""
        async with aclosing(self._told(self._run(flow, timeout))) as steps:
            async for step in steps:
                if watch is not None and isinstance(step, Pulling):
                    watch(step)
