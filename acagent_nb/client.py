"""`Client` and `AsyncClient`: the only sockets in the house.

What is said is written once, in the flows of `ollama.py`, `library.py` and `delivery.py`; each client has one
driver that runs a flow over its sockets. Both can be kept for long and shared: threads may share a `Client`, tasks an
`AsyncClient`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import httpx

from . import delivery, hosts, library, names, ollama, pieces
from .errors import BadName, ServerDown
from .messages import Event, Message, Model, Pulling, Reply, Request, Running, Shown, Think, Version
from .options import Options
from .wire import READ, Flow, Open

Prompt = str | Iterable[Message | Mapping[str, str]]
T = TypeVar("T")

CONNECT_SECONDS = 5.0


def request(
    model: str,
    prompt: Prompt,
    *,
    system: str | None = None,
    format: str | dict[str, Any] | None = None,
    think: Think | None = None,
    keep_alive: float | str | None = None,
    **options: Any,
) -> Request:
    """What `chat` and `stream` send for their arguments, checked before anything is sent.

    Raises
    ------
    BadName, BadOption
        See `names.target` and `Options.of`.
    """
    name = _local(model)
    turns = [Message("user", prompt)] if isinstance(prompt, str) else [_message(turn) for turn in prompt]
    if system:
        turns.insert(0, Message("system", system))
    return Request(name, tuple(turns), Options.of(options), format, think, keep_alive)


class Client:
    """Talks to models, blocking; works inside a running event loop too.

    Parameters
    ----------
    host
        Address of an Ollama server, as `OLLAMA_HOST` takes it. Without it, see `hosts.find`; the
        search happens at the first request.

    Examples
    --------
    >>> with Client() as client:
    ...     client.chat("local_tiny", "What is 2 + 2?").text
    '2 + 2 = 4.'
    """

    def __init__(self, host: str | None = None) -> None:
        self._wanted = host
        self._host: hosts.Host | None = None
        self._http: httpx.Client | None = None

    def host(self) -> hosts.Host:
        """The server in use; it is looked for when first asked for."""
        if self._host is None or hosts.ended(self._host):
            self.close()
            self._host = hosts.find(self._wanted)
        return self._host

    def chat(self, model: str, prompt: Prompt, *, pull: bool = True, **how: Any) -> Reply:
        """Ask and wait for the whole answer.

        Parameters
        ----------
        model
            A name such as "local_llama3.2:1b".
        prompt
            One question, or a conversation as messages or dicts of `role` and `content`.
        pull
            Whether a model that the server lacks is pulled first.
        how
            `system` (text), `format` ("json" or a JSON schema), `think` (bool or level),
            `keep_alive` (seconds or a duration), and any model option by its name.

        Raises
        ------
        BadName, BadOption
            Before anything is sent.
        ServerDown, ModelMissing, ContextTooLong, ServerError, Incomplete
            See `errors`.
        """
        ask = request(model, prompt, **how)
        return Reply.of(ask, self.events(ask, pull=pull))

    def stream(self, model: str, prompt: Prompt, *, pull: bool = True, **how: Any) -> Generator[Event, None, None]:
        """Ask and get the events of the answer as they come; takes and raises what `chat` does.

        Closing the iterator, or leaving the loop over it, closes the connection, and the server stops.
        """
        return self.events(request(model, prompt, **how), pull=pull)

    def events(self, request: Request, *, pull: bool = True) -> Generator[Event, None, None]:
        """Send a request that is already put together, see `stream`."""
        return self._run(ollama.chat(request, pull=pull))

    def pull(self, model: str) -> Generator[Pulling, None, None]:
        """Download a model; yields its progress. Raises `ModelMissing`, `ServerError`, `ServerDown`."""
        return self._run(delivery.pulling(_local(model)))

    def show(self, model: str) -> Shown:
        """What the server knows of a model. Raises `ModelMissing`."""
        return self._result(library.show(_local(model)))

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; nothing is stored twice. Raises `ModelMissing`."""
        self._finish(library.copy(_local(source), _local(destination)))

    def delete(self, model: str) -> None:
        """Remove a model from the server. Raises `ModelMissing`."""
        self._finish(library.delete(_local(model)))

    def models(self) -> list[Model]:
        """The models that the server has."""
        return self._result(library.tags())

    def running(self) -> list[Running]:
        """The models that are loaded."""
        return self._result(library.ps())

    def version(self) -> Version:
        """What the server says it is."""
        return self._result(library.version())

    def close(self) -> None:
        """Close all connections; the client opens new ones if it is used again."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _result(self, flow: Flow[T]) -> T:
        """The one thing that a flow yields."""
        (result,) = self._run(flow)
        return result

    def _finish(self, flow: Flow[None]) -> None:
        """Run a flow that yields nothing."""
        for _ in self._run(flow):
            pass

    def _forget(self) -> None:
        """Look for a server anew at the next request: the one in use does not answer."""
        self._host = None

    def _run(self, flow: Flow[T]) -> Generator[T, None, None]:
        """Drive a flow over this client's sockets."""
        url = self.host().url
        if self._http is None:
            self._http = httpx.Client(**_settings(url))
        http = self._http
        lines: Iterator[bytes] = iter(())
        answer: int | bytes | None = None
        with _told(url, self._forget), closing(flow), ExitStack() as opened:
            while True:
                try:
                    step = flow.send(answer)
                except StopIteration:
                    return
                answer = None
                if isinstance(step, Open):
                    opened.close()
                    data: bytes | Iterable[bytes] | None
                    if isinstance(step.body, Path):
                        data = opened.enter_context(closing(pieces.of(step.body)))
                    else:
                        data = step.body
                    ask = http.stream(step.method, step.path, content=data, headers=_headers(step.body))
                    response = opened.enter_context(ask)
                    lines = pieces.lines(response.iter_raw())
                    answer = response.status_code
                elif step is READ:
                    answer = next(lines, None)
                else:
                    yield step


class AsyncClient:
    """The same for `async` code, with the same names; see `Client`."""

    def __init__(self, host: str | None = None) -> None:
        self._wanted = host
        self._host: hosts.Host | None = None
        self._http: httpx.AsyncClient | None = None

    async def host(self) -> hosts.Host:
        """The server in use; it is looked for when first asked for."""
        if self._host is None or hosts.ended(self._host):
            await self.close()
            self._host = await asyncio.to_thread(hosts.find, self._wanted)
        return self._host

    async def chat(self, model: str, prompt: Prompt, *, pull: bool = True, **how: Any) -> Reply:
        """Ask and wait for the whole answer; see `Client.chat`."""
        ask = request(model, prompt, **how)
        return Reply.of(ask, [event async for event in self.events(ask, pull=pull)])

    def stream(self, model: str, prompt: Prompt, *, pull: bool = True, **how: Any) -> AsyncGenerator[Event, None]:
        """Ask and get the events of the answer as they come; see `Client.stream`.

        Wrap it in `contextlib.aclosing` if you may leave the loop early: Python closes an
        abandoned asynchronous generator late.
        """
        return self.events(request(model, prompt, **how), pull=pull)

    def events(self, request: Request, *, pull: bool = True) -> AsyncGenerator[Event, None]:
        """Send a request that is already put together, see `stream`."""
        return self._run(ollama.chat(request, pull=pull))

    def pull(self, model: str) -> AsyncGenerator[Pulling, None]:
        """Download a model; see `Client.pull`."""
        return self._run(delivery.pulling(_local(model)))

    async def show(self, model: str) -> Shown:
        """What the server knows of a model; see `Client.show`."""
        return await self._result(library.show(_local(model)))

    async def copy(self, source: str, destination: str) -> None:
        """Give a model a second name; see `Client.copy`."""
        await self._finish(library.copy(_local(source), _local(destination)))

    async def delete(self, model: str) -> None:
        """Remove a model from the server; see `Client.delete`."""
        await self._finish(library.delete(_local(model)))

    async def models(self) -> list[Model]:
        """The models that the server has."""
        return await self._result(library.tags())

    async def running(self) -> list[Running]:
        """The models that are loaded."""
        return await self._result(library.ps())

    async def version(self) -> Version:
        """What the server says it is."""
        return await self._result(library.version())

    async def close(self) -> None:
        """Close all connections; the client opens new ones if it is used again."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _result(self, flow: Flow[T]) -> T:
        """The one thing that a flow yields."""
        (result,) = [result async for result in self._run(flow)]
        return result

    async def _finish(self, flow: Flow[None]) -> None:
        """Run a flow that yields nothing."""
        async for _ in self._run(flow):
            pass

    def _forget(self) -> None:
        """Look for a server anew at the next request; see `Client`."""
        self._host = None

    async def _run(self, flow: Flow[T]) -> AsyncGenerator[T, None]:
        """Drive a flow over this client's sockets."""
        url = (await self.host()).url
        if self._http is None:
            self._http = httpx.AsyncClient(**_settings(url))
        http = self._http
        answer: int | bytes | None = None
        with _told(url, self._forget), closing(flow):
            async with AsyncExitStack() as opened:
                while True:
                    try:
                        step = flow.send(answer)
                    except StopIteration:
                        return
                    answer = None
                    if isinstance(step, Open):
                        await opened.aclose()
                        data: bytes | AsyncIterable[bytes] | None
                        if isinstance(step.body, Path):
                            data = await opened.enter_async_context(aclosing(pieces.aof(step.body)))
                        else:
                            data = step.body
                        ask = http.stream(step.method, step.path, content=data, headers=_headers(step.body))
                        response = await opened.enter_async_context(ask)
                        lines = await opened.enter_async_context(aclosing(pieces.alines(response.aiter_raw())))
                        answer = response.status_code
                    elif step is READ:
                        answer = await anext(lines, None)
                    else:
                        yield step


def _local(model: str) -> str:
    """A local model's name as its server knows it."""
    provider, name = names.target(model)
    if provider != "ollama":
        bare = name[len(names.LOCAL) :] if name.lower().startswith(names.LOCAL) else name
        raise BadName(
            f"{model!r} is no local model's name, and this version talks to local models only.",
            f"Local names start with {names.LOCAL}: if Ollama has such a model, write {names.LOCAL}{bare}.",
        )
    return name


def _message(turn: Message | Mapping[str, str]) -> Message:
    return turn if isinstance(turn, Message) else Message(**turn)


def _headers(body: bytes | Path | None) -> dict[str, str]:
    """What a body needs said of it: JSON goes without saying, a file that is sent in pieces does not."""
    if not isinstance(body, Path):
        return {}
    return {"Content-Length": str(body.stat().st_size), "Content-Type": "application/octet-stream"}


def _settings(url: str) -> dict[str, Any]:
    """How both clients' httpx is set up for a server."""
    return {
        "base_url": url,
        # A model may take minutes to load or to think: only connecting is bounded.
        "timeout": httpx.Timeout(None, connect=CONNECT_SECONDS),
        # We read the bytes as they come, so they must not be compressed on the way.
        "headers": {"Accept-Encoding": "identity", "Content-Type": "application/json"},
        "trust_env": not hosts.is_loopback(url),
        "verify": _no_certificates() if url.startswith("http://") else True,
    }


@cache
def _no_certificates() -> ssl.SSLContext:
    """A context that trusts nobody: reading the certificates takes 40 ms, which http:// does not need."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def _told(url: str, forget: Callable[[], None]) -> Iterator[None]:
    """Turn httpx's errors into ours, and forget a server that does not answer."""
    url = hosts.without_secrets(url)
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        forget()
        raise ServerDown(
            f"No server answers at {url} ({error or 'timed out'}).", "Start it, or check the address."
        ) from error
    except httpx.TransportError as error:
        forget()
        raise ServerDown(
            f"The connection to {url} broke before the answer was complete.",
            "Ask again; if it happens again, see the server's log.",
        ) from error
