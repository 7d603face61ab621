"""One answer's events through a queue: a thread reads them, another takes them when it has time.

The thread that draws is never held up by a stalled server, and stopping never waits for one: the
reader is a task that is cancelled, which closes its connection at once, whether it was
connecting, waiting for the first token or reading.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Thread
from types import TracebackType

from .client import AsyncClient
from .messages import Event, Request


class _End:
    """The last thing in the queue: why there is nothing more."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Pump:
    """Reads an answer in the background; leaving the `with` block stops it.

    Parameters
    ----------
    url
        The server's address.
    request
        What to ask.
    pull
        Whether a missing model is pulled first.

    Examples
    --------
    >>> with Pump(url, request) as pump:
    ...     while not pump.ended:
    ...         for event in pump.take(0.05):
    ...             print(event)
    """

    def __init__(self, url: str, request: Request, *, pull: bool = True) -> None:
        self.ended = False
        self._queue: SimpleQueue[Event | _End] = SimpleQueue()
        self._reading = Flag()
        self._thread = Thread(target=self._run, args=(url, request, pull), name="acagent_nb answer", daemon=True)

    def take(self, seconds: float) -> list[Event]:
        """All that has come; waits up to `seconds` for the first event if there is none yet.

        Raises
        ------
        LLMError
            What ended the answer, once everything before it has been taken.
        """
        taken: list[Event] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                next = self._queue.get(timeout=0 if taken else max(0.0, deadline - time.monotonic()))
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

    def stop(self) -> None:
        """Close the connection now; does nothing if the answer has ended."""
        if self._thread.is_alive():
            self._reading.wait()
            # The loop may end between the question and the call; then there is nothing to stop.
            try:
                self._loop.call_soon_threadsafe(self._task.cancel)
            except RuntimeError:
                return
            self._thread.join()

    def __enter__(self) -> Pump:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _run(self, url: str, request: Request, pull: bool) -> None:
        try:
            asyncio.run(self._read(url, request, pull))
        except asyncio.CancelledError:  # by stop()
            self._queue.put(_End(None))
        except BaseException as error:  # whatever it is, it belongs to the thread that takes
            self._queue.put(_End(error))
        else:
            self._queue.put(_End(None))

    async def _read(self, url: str, request: Request, pull: bool) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._loop, self._task = asyncio.get_running_loop(), task
        self._reading.set()
        async with AsyncClient(url) as client, aclosing(client.events(request, pull=pull)) as events:
            async for event in events:
                self._queue.put(event)
