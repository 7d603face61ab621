"""Models in child processes: started on first use, leased to requests, ended when nobody needs them.

A `Runner` is one model's place: at most one child at a time. A request leases it; while any lease is
out, the child is neither restarted for other load-time options nor ended by its keep_alive.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own

from ..errors import ServerError
from . import show
from .durations import later
from .process import Child
from .settings import Load
from .store import Model


class Runner:
    """One model, its child if it has one, and how many requests it is leased to.

    Parameters
    ----------
    model
        Whose weights they are.
    keep_alive
        Seconds that the child stays after its last request, until a request says otherwise.
    """

    def __init__(self, model: Model, keep_alive: float) -> None:
        self.model = model
        self.keep_alive = self._default = keep_alive
        self.child: Child | None = None
        self.leases = 0
        self.expires = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def lease(self, load: Load, keep_alive: float | None) -> Child:
        """A living child with these settings; `release` must follow."""
        async with self._one_at_a_time:
            if self.child is not None and not (self.child.alive and self.child.load.serves(load)):
                if self.child.alive:
                    await self._idle.wait()  # requests already running finish first
                await self.end()
            if self.child is None:
                self.child = await Child.start(load)
                self.keep_alive = self._default  # what an earlier request said ended with its child
            if self._timer is not None:
                self._timer.cancel()
            if keep_alive is not None:
                self.keep_alive = keep_alive
            self.leases += 1
            self._idle.clear()
            self.expires = time.monotonic() + self.keep_alive
            return self.child

    def release(self) -> None:
        """A request has done with the child."""
        self.leases -= 1
        if self.leases == 0:
            self._idle.set()
            self.rest()

    def rest(self, keep_alive: float | None = None) -> None:
        """Nobody uses the child now: let its time run."""
        if keep_alive is not None:
            self.keep_alive = keep_alive
        self.expires = time.monotonic() + self.keep_alive
        if self._timer is not None:
            self._timer.cancel()
        if self.leases or math.isinf(self.keep_alive):
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self.keep_alive, lambda: self._keep(loop.create_task(self._expire())))

    async def end(self) -> None:
        """End the child, whatever it does."""
        child, self.child = self.child, None
        if child is not None:
            await child.end()

    async def _expire(self) -> None:
        async with self._one_at_a_time:
            if self.leases == 0 and time.monotonic() >= self.expires:
                await self.end()

    def _keep(self, task: asyncio.Task[None]) -> None:
        """The event loop holds tasks weakly; someone has to hold this one."""
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


class Engine:
    """All runners of a server.

    Parameters
    ----------
    keep_alive
        Seconds that a model stays loaded when no request says.
    """

    def __init__(self, keep_alive: float) -> None:
        self.keep_alive = keep_alive
        self._runners: dict[str, Runner] = {}
        self._ending = False

    @asynccontextmanager
    async def lease(self, model: Model, load: Load, keep_alive: float | None = None) -> AsyncIterator[Child]:
        """A child that answers for this model during the block.

        Raises
        ------
        ServerError
            Status 500: the model can't be loaded; the text says why. Status 503: the server ends.
        """
        if self._ending:
            raise ServerError("the server is ending", status=503)
        runner = self._runners.setdefault(model.digest, Runner(model, self.keep_alive))
        runner.model = model  # of several names for one manifest, the last one used is shown
        # A client that leaves while its model loads must not leave half a child behind.
        leasing = asyncio.ensure_future(runner.lease(load, keep_alive))
        try:
            child = await asyncio.shield(leasing)
        except asyncio.CancelledError:
            leasing.add_done_callback(lambda done: None if done.cancelled() or done.exception() else runner.release())
            raise
        try:
            yield child
        finally:
            runner.release()

    def unload(self, model: Model) -> None:
        """End a model's child as soon as nobody uses it."""
        if runner := self._runners.get(model.digest):
            runner.rest(0.0)

    def running(self) -> list[dict[str, Any]]:
        """What `/api/ps` shows."""
        told = []
        for runner in self._runners.values():
            if (child := runner.child) is not None and child.alive:
                size = 0
                with contextlib.suppress(psutil.Error):  # it may die at any moment
                    size = psutil.Process(child.pid).memory_info().rss
                left = runner.expires - time.monotonic()
                told.append(show.running(runner.model, size=size, expires=later(left), num_ctx=child.load.num_ctx))
        return told

    async def end(self) -> None:
        """End all children, and with them the answers that they give; none is started any more."""
        self._ending = True
        await asyncio.gather(*(runner.end() for runner in self._runners.values()))
        self._runners.clear()
