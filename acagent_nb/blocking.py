"""`Sockets`: runs a flow (see `wire.py`) over blocking sockets.

What goes wrong on the way is thrown into the flow at its step, as an error of ours, so that a flow may
go on without something it could do without. All connections of an answer are closed when the flow
ends, however it ends.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from . import hosts, log, pieces, sdk
from .driving import Deadline, Line, Settings, headers_of, pool, shut, told
from .errors import ServerDown
from .plain import Plain
from .wire import READ, STEPS, Call, Flow, Header, Open, Wait

if TYPE_CHECKING:
    import openai

T = TypeVar("T")
_Answer = tuple[int, Mapping[str, str], Iterator[bytes]]


class Sockets:
    """Runs flows, blocking; threads may share it. `moved` is called when a server is left: the next may be another."""

    def __init__(self, settings: Settings, moved: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._moved = moved
        self._host: hosts.Host | None = None
        self._pools: dict[str, httpx.Client] = {}  # by address: a server that is started anew has another one
        self._clouds: dict[str, openai.OpenAI] = {}
        self._lock = RLock()

    def host(self) -> hosts.Host:
        """The Ollama server in use; it is looked for when first asked for, and again after it has ended."""
        with self._lock:
            if self._host is not None and hosts.ended(self._host):
                self._leave()
            if self._host is None:
                self._host = hosts.find(self._settings.host)
            return self._host

    def run(self, flow: Flow[T], timeout: float | None = None) -> Generator[T, None, None]:
        """Drive a flow to its end; yields what it yields for others.

        Raises
        ------
        TimedOut
            It took longer than `timeout` seconds.
        LLMError
            What the flow does not catch.
        """
        deadline = Deadline(timeout)
        lines: Iterator[bytes] = iter(())
        headers: Mapping[str, str] = {}
        answer: Any = None
        error: Exception | None = None
        with closing(flow), ExitStack() as opened:
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
                        answer = next(lines, None)
                    elif isinstance(step, (Open, Call)):
                        opened.close()
                        answer, headers, lines = yield from self._asked(step, deadline, opened)
                    elif isinstance(step, Header):
                        answer = headers.get(step.name)
                    elif isinstance(step, Wait):
                        opened.close()
                        if not step.recorded:
                            log.pause(step.seconds)
                        time.sleep(deadline.wait(step.seconds))
                    else:
                        answer = _now(step.work())
                    deadline.check()
                except Exception as raised:  # whatever it is, the flow decides; what it does not catch comes back
                    error = self._ours(raised, step, deadline)

    def close(self) -> None:
        """Close all connections; new ones are opened when they are needed."""
        with self._lock:
            pools, self._pools = self._pools, {}
            clouds, self._clouds = self._clouds, {}
        for client in pools.values():
            client.close()
        for cloud in clouds.values():
            cloud.close()

    def _asked(self, step: Open | Call, deadline: Deadline, opened: ExitStack) -> Generator[Any, None, _Answer]:
        """Send a request, here or in a thread that tells how far it is."""
        line = Line()
        if isinstance(step, Call) or step.tell is None:
            return self._answered(step, deadline, opened, line)
        from . import upload

        def send(own: ExitStack) -> _Answer:
            return self._answered(step, deadline, own, line)

        return (yield from upload.aside(send, line, step.tell, deadline, opened))

    def _answered(self, step: Open | Call, deadline: Deadline, opened: ExitStack, line: Line) -> _Answer:
        """Send a request; the answer's status, its headers and its lines."""
        exchange = log.Exchange(step) if log.on() else None
        response: Any = (
            self._called(step, deadline, opened) if isinstance(step, Call) else self._sent(step, deadline, opened, line)
        )
        _bound(response, deadline, opened)
        body: Iterator[bytes] = response.iter_raw()
        if exchange:
            exchange.answered(response.status_code, log.url(step, self._host, self._clouds))
            opened.callback(exchange.end)
            body = exchange.heard(body)
        return response.status_code, response.headers, pieces.lines(body)

    def _sent(self, step: Open, deadline: Deadline, opened: ExitStack, line: Line) -> httpx.Response:
        """To the Ollama server; see `Line` for when it is sent twice."""
        # One that may be ended from outside has a connection of its own: `Line` hears of new ones only.
        http = self._http() if step.tell is None else opened.enter_context(self._new_http())
        try:
            return self._once(http, step, deadline, opened, line)
        except Line.BROKEN as raised:
            if line.fresh:
                raise
            log.again(step, raised)
        return self._once(http, step, deadline, opened, line)

    def _once(
        self, http: httpx.Client, step: Open, deadline: Deadline, opened: ExitStack, line: Line
    ) -> httpx.Response:
        body = step.body
        data: Any = body
        if isinstance(body, Path):
            data = opened.enter_context(closing(deadline.kept(pieces.of(body, line.went))))
        request = http.stream(
            step.method,
            step.path,
            content=data,
            headers=headers_of(body),
            timeout=deadline.timeouts(step.seconds),
            extensions={"trace": line.hear},
        )
        return opened.enter_context(request)

    def _http(self) -> httpx.Client:
        """The connections to the Ollama server."""
        with self._lock:
            url = self.host().url
            if url not in self._pools:
                self._pools[url] = self._new_http()
            return self._pools[url]

    def _new_http(self) -> httpx.Client:
        """The same, none of which is open yet."""
        return httpx.Client(**pool(self.host().url, self._settings.headers, Plain))

    def _called(self, step: Call, deadline: Deadline, opened: ExitStack) -> sdk.Answer:
        """To a cloud model's server."""
        with self._lock:
            client = self._clouds.get(step.provider)
            if client is None:
                client = self._clouds[step.provider] = sdk.client(self._settings.cloud(step.provider))
        return opened.enter_context(sdk.sent(client, step, deadline.left))

    def _ours(self, raised: Exception, step: Any, deadline: Deadline) -> Exception:
        """The error of our tree, if it is one of the line's; a server that does not answer is forgotten."""
        error = told(raised, step, self._host, deadline)
        if log.on():
            log.failed(step, log.url(step, self._host, self._clouds), raised, error)
        if isinstance(error, ServerDown) and not isinstance(step, Call):
            self._leave()
        return error

    def _leave(self) -> None:
        self._host = None
        self._moved()


def _now(result: Any) -> Any:
    """A function's result, which must not be something that is still to be awaited."""
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("an async function can be called by AsyncClient only")
    return result


def _bound(response: Any, deadline: Deadline, opened: ExitStack) -> None:
    """End the answer when the time is up: a read that blocks notices nothing else."""
    if deadline.left is not None:
        timer = Timer(deadline.left, shut, [response])
        timer.daemon = True
        timer.start()
        opened.callback(timer.cancel)
