"""One answer's events through a queue: a thread reads them, another takes them when it has time.

The thread that draws is never held up by a stalled server, and stopping never waits for one: the
reader is a task that is cancelled, which closes its connection at once, whether it was
connecting, waiting for the first token or reading.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import aclosing, suppress
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

from .asking import Asked
from .asynchronous import AsyncClient
from .messages import Done, Event, Pulling, Request, Text, Thinking

_LEARN_SECONDS = 1.0  # how long a finished answer waits for what the server says of its making


T = TypeVar("T")

_LEAST_SECONDS = 0.001


class Errands:
    """Work that other threads have for the one that draws, such as a question to the user.

    Examples
    --------
    >>> errands.run(lambda: input("Call add(1, 2)? "))  # in a function that a model calls
    'y'
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._closed = False

    def run(self, work: Callable[[], T]) -> T:
        """Have it done by the thread that draws, and wait for what it gives back or raises.

        Raises
        ------
        concurrent.futures.CancelledError
            Nobody draws any more: the answer has ended, or was stopped.
        """
        future: Future[T] = Future()
        self._queue.put((future, work))
        if self._closed:
            future.cancel()
        return future.result()

    @property
    def waiting(self) -> bool:
        """Whether there is something to do."""
        return not self._queue.empty()

    def do(self) -> None:
        """Do what there is; an interrupt of it is one of the thread that draws."""
        while self.waiting:
            future, work = self._queue.get()
            try:
                future.set_result(work())
            except Exception as error:  # whatever it is, it belongs to the one who asked for it
                future.set_exception(error)
            except BaseException:
                future.cancel()
                raise

    def close(self) -> None:
        """Do nothing more; who waits is told."""
        self._closed = True
        while self.waiting:
            self._queue.get()[0].cancel()


class _End:
    """The last thing in the queue: why there is nothing more."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pump:
    """Reads an answer in the background; leaving the `with` block stops it.

    Parameters
    ----------
    make
        Makes the client that asks, in the thread that reads.
    ask
        The question.
    pull
        Whether a missing model is pulled first.
    timeout
        Seconds for the whole answer; `None` sets no bound.
    fresh
        Whether it is asked although a recording has the answer.
    learn
        What to ask the server beside the answer, from its first word on: by then the model is loaded.

    Attributes
    ----------
    ended
        Whether all has been taken.
    first, done
        When the first word and the last `Done` came, by `time.monotonic`: they may be taken later.

    Examples
    --------
    >>> with Pump(AsyncClient, ask) as pump:
    ...     while not pump.ended:
    ...         for event in pump.take(0.05):
    ...             print(event)
    """

    def __init__(
        self,
        make: Callable[[], AsyncClient],
        ask: Asked | Request,
        *,
        pull: bool = True,
        timeout: float | None = None,
        fresh: bool = False,
        learn: Callable[[AsyncClient], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.ended = False
        self.first: float | None = None
        self.done: float | None = None
        self._queue: SimpleQueue[Event | _End] = SimpleQueue()
        self._reading, self._left = Flag(), Flag()
        self._learn = learn
        self._how: dict[str, Any] = {"pull": pull, "timeout": timeout, "fresh": fresh}
        self._thread = Thread(target=self._run, args=(make, ask), name="acagent_nb answer", daemon=True)

    def take(self, seconds: float = 0.0) -> list[Event]:
        """All that has come; waits up to `seconds` for the first event if there is none yet.

        Raises
        ------
        LLMError
            What ended the answer, once everything before it has been taken.
        """
        taken: list[Event] = []
        deadline = time.monotonic() + seconds
        while True:
            left = 0.0 if taken else deadline - time.monotonic()
            try:
                # A timeout that runs out while the queue looks is for ever in CPython 3.10, so the least ones are none.
                next = self._queue.get(timeout=left) if left > _LEAST_SECONDS else self._queue.get_nowait()
            except Empty:
                return taken
            if not isinstance(next, _End):
                taken.append(next)
            elif taken:
                self._queue.put(next)  # for the next call: first what came before it
                return taken
            else:
                self.ended = True
                if next.error is not None:
                    raise next.error
                return taken

    def start(self) -> None:
        """Ask; whoever calls this calls `stop` in the end."""
        self._thread.start()

    def cancel(self) -> None:
        """Have the connection closed, without waiting until it is."""
        if self._thread.is_alive():
            self._reading.wait()
            # The loop may end between the question and the call; then there is nothing to cancel.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)

    def stop(self) -> None:
        """Close the connection now; does nothing if the answer has ended."""
        self.cancel()
        if self._thread.is_alive():
            self._left.wait()  # not for the thread's end: it waits for functions of the user's that still run

    def __enter__(self) -> Pump:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _run(self, make: Callable[[], AsyncClient], ask: Asked | Request) -> None:
        try:
            asyncio.run(self._read(make, ask))
        except asyncio.CancelledError:  # by stop()
            self._queue.put(_End(None))
        except BaseException as error:  # whatever it is, it belongs to the thread that takes
            self._queue.put(_End(error))
        else:
            self._queue.put(_End(None))
        finally:
            self._left.set()

    async def _read(self, make: Callable[[], AsyncClient], ask: Asked | Request) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._loop, self._task = asyncio.get_running_loop(), task
        self._reading.set()
        learning: asyncio.Task[None] | None = None
        try:
            async with make() as client:
                try:
                    async with aclosing(client.events(ask, **self._how)) as events:
                        async for event in events:
                            self._stamp(event)
                            self._queue.put(event)
                            if learning is None and self._learn and not isinstance(event, Pulling):
                                learning = asyncio.create_task(self._learn(client))
                    if learning is not None:
                        await asyncio.wait([learning], timeout=_LEARN_SECONDS)
                finally:
                    if learning is not None:
                        learning.cancel()
        finally:
            self._left.set()

    def _stamp(self, event: Event) -> None:
        if isinstance(event, Done):
            self.done = time.monotonic()
        elif self.first is None and isinstance(event, (Text, Thinking)):
            self.first = time.monotonic()
