"""`AsyncSockets`: runs a flow (see `wire.py`) for `async` code, as `blocking.py` does for other code."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from . import hosts, log, pieces, sdk, upload
from .driving import Deadline, Line, Settings, headers_of, pool, shut, told
from .errors import ServerDown
from .plain import AsyncPlain
from .wire import READ, STEPS, Call, Flow, Header, Open, Run, Wait

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
_Answer = tuple[int, Mapping[str, str], AsyncIterator[bytes]]

_SHARD = 8  # connections of one pool: httpcore looks through all of a pool's for every request


class AsyncSockets:
    """The same for `async` code; tasks may share it. See `Sockets`."""

    def __init__(self, settings: Settings, moved: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._moved = moved
        self._host: hosts.Host | None = None
        self._shards: list[_Shard] = []
        self._clouds: dict[str, openai.AsyncOpenAI] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    async def host(self) -> hosts.Host:
        """The Ollama server in use; see `Sockets.host`."""
        self._enter()
        async with self._finding:
            if self._host is not None and hosts.ended(self._host):
                self._leave()
            if self._host is None:
                self._host = await asyncio.to_thread(hosts.find, self._settings.host)
            return self._host

    async def run(self, flow: Flow[T], timeout: float | None = None) -> AsyncGenerator[T, None]:
        """Drive a flow to its end; see `Sockets.run`."""
        deadline = Deadline(timeout)
        lines: AsyncIterator[bytes] = _nothing()
        headers: Mapping[str, str] = {}
        answer: Any = None
        error: Exception | None = None
        self._enter()
        with closing(flow):
            async with AsyncExitStack() as opened:
                while True:
                    try:
                        step = flow.send(answer) if error is None else flow.throw(error)
                    except StopIteration:
                        return
                    answer = error = None
                    if not isinstance(step, STEPS):
                        yield step
                        continue
                    try:
                        if step is READ:
                            answer = await anext(lines, None)
                        elif isinstance(step, (Open, Call)):
                            await opened.aclose()
                            line = Line()
                            asking: Awaitable[_Answer] = _within(deadline, self._answered(step, deadline, opened, line))
                            if isinstance(step, Open) and step.tell:
                                asking = asyncio.ensure_future(asking)
                                async with aclosing(upload.ticks(asking)) as ticks:
                                    async for _ in ticks:
                                        yield step.tell(line.sent)
                            answer, headers, lines = await asking
                        elif isinstance(step, Header):
                            answer = headers.get(step.name)
                        elif isinstance(step, Wait):
                            await opened.aclose()
                            if not step.recorded:
                                log.pause(step.seconds)
                            await asyncio.sleep(deadline.wait(step.seconds))
                        else:
                            answer = await _within(deadline, _awaited(step))
                        deadline.check()
                    except Exception as raised:  # whatever it is, the flow decides; what it does not catch comes back
                        error = self._ours(raised, step, deadline)

    async def close(self) -> None:
        """Close all connections; new ones are opened when they are needed."""
        self._enter()
        shards, self._shards = self._shards, []
        clouds, self._clouds = self._clouds, {}
        for shard in shards:
            await shard.http.aclose()
        for client in clouds.values():
            await client.close()

    def _enter(self) -> None:
        """Leave the connections of another event loop alone: they ended with it."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._shards, self._clouds = [], {}
            self._finding = asyncio.Lock()
            self._loop = loop

    async def _answered(self, step: Open | Call, deadline: Deadline, opened: AsyncExitStack, line: Line) -> _Answer:
        """Send a request; the answer's status, its headers and its lines."""
        exchange = log.Exchange(step) if log.on() else None
        response: Any = await (
            self._called(step, deadline, opened) if isinstance(step, Call) else self._sent(step, deadline, opened, line)
        )
        if deadline.left is not None:
            timer = asyncio.get_running_loop().call_later(deadline.left, shut, response)
            opened.callback(timer.cancel)
        body: AsyncIterator[bytes] = response.aiter_raw()
        if exchange:
            exchange.answered(response.status_code, log.url(step, self._host, self._clouds))
            opened.callback(exchange.end)
            body = await opened.enter_async_context(aclosing(exchange.aheard(body)))
        lines = await opened.enter_async_context(aclosing(pieces.alines(body)))
        return response.status_code, response.headers, lines

    async def _sent(self, step: Open, deadline: Deadline, opened: AsyncExitStack, line: Line) -> httpx.Response:
        """To the Ollama server; see `Line` for when it is sent twice."""
        url = (await self.host()).url
        shard = next((shard for shard in self._shards if shard.url == url and shard.busy < _SHARD), None)
        if shard is None:
            shard = _Shard(url, httpx.AsyncClient(**pool(url, self._settings.headers, AsyncPlain)))
            self._shards.append(shard)
        opened.enter_context(shard)
        try:
            return await self._once(shard.http, step, deadline, opened, line)
        except Line.BROKEN as raised:
            if line.fresh:
                raise
            log.again(step, raised)
        return await self._once(shard.http, step, deadline, opened, line)

    async def _once(
        self, http: httpx.AsyncClient, step: Open, deadline: Deadline, opened: AsyncExitStack, line: Line
    ) -> httpx.Response:
        body = step.body
        data: Any = body
        if isinstance(body, Path):
            data = await opened.enter_async_context(aclosing(pieces.aof(body, line.went)))
        request = http.stream(
            step.method,
            step.path,
            content=data,
            headers=headers_of(body),
            timeout=deadline.timeouts(step.seconds),
            extensions={"trace": line.ahear},
        )
        return await opened.enter_async_context(request)

    async def _called(self, step: Call, deadline: Deadline, opened: AsyncExitStack) -> sdk.AsyncAnswer:
        """To a cloud model's server."""
        client = self._clouds.get(step.provider)
        if client is None:
            client = sdk.async_client(self._settings.cloud(step.provider))
            self._clouds[step.provider] = client
        return await opened.enter_async_context(sdk.async_sent(client, step, deadline.left))

    def _ours(self, raised: Exception, step: Any, deadline: Deadline) -> Exception:
        """See `Sockets._ours`."""
        error = told(raised, step, self._host, deadline)
        if log.on():
            log.failed(step, log.url(step, self._host, self._clouds), raised, error)
        if isinstance(error, ServerDown) and not isinstance(step, Call):
            self._leave()
        return error

    def _leave(self) -> None:
        self._host = None
        self._moved()


class _Shard:
    """One pool of a few connections to an address, and how many of them are in use."""

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self.http = http
        self.busy = 0

    def __enter__(self) -> None:
        self.busy += 1

    def __exit__(self, *exc: object) -> None:
        self.busy -= 1


async def _nothing() -> AsyncGenerator[bytes, None]:
    """The lines of an answer before there is one."""
    for line in tuple[bytes, ...]():
        yield line


async def _within(deadline: Deadline, work: Awaitable[T]) -> T:
    """Wait for something as long as there is time."""
    if deadline.left is None:
        return await work
    try:
        return await asyncio.wait_for(work, deadline.left)
    except asyncio.TimeoutError:
        raise deadline.error() from None


async def _awaited(step: Run) -> Any:
    """Run a function of the caller's: an `async` one here, any other in a thread, so that other tasks go on."""
    result = await asyncio.to_thread(step.work)
    return await result if inspect.isawaitable(result) else result
