"""One child's place in the engine: what it was started with, who uses it, when it is to go; and who waits for one."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import NamedTuple

from .manifest import Model
from .process import Child
from .settings import Load


class Place:
    """A child from before its start until after its end.

    Parameters
    ----------
    model
        Whose weights it holds; of several names for one manifest, the last one used.
    load
        What it is started with.
    need
        Bytes of memory it is expected to take.
    keep_alive
        Seconds that it stays after its last request, until a request says otherwise.
    changed
        Called when the last request has done with it.
    expired
        Called when nobody has used it for so long.

    Attributes
    ----------
    child
        `None` until it answers.
    ending
        Whether it is being ended, so that nobody may begin to use it.
    leases
        How many requests use it.
    used, expires
        When it was last asked for, and when it will go; seconds of `time.monotonic`.
    """

    def __init__(
        self,
        model: Model,
        load: Load,
        need: int,
        keep_alive: float,
        changed: Callable[[], None],
        expired: Callable[[Place], None],
    ) -> None:
        self.model, self.load, self.need, self.keep_alive = model, load, need, keep_alive
        self.child: Child | None = None
        self.ending = False
        self.leases = 0
        self.used = time.monotonic()
        self.expires = self.used + keep_alive
        self._changed, self._expired = changed, expired
        self._timer: asyncio.TimerHandle | None = None

    @property
    def key(self) -> tuple[str, bool]:
        """Under which the engine keeps it: a model has one child for all, and at times one beside it."""
        return self.model.digest, self.load.beside

    @property
    def pid(self) -> int | None:
        """The child's process number, if it answers already."""
        return self.child.pid if self.child is not None else None

    @property
    def dead(self) -> bool:
        """Whether the child has ended by itself, or was killed."""
        return self.child is not None and not self.child.alive

    @property
    def idle(self) -> bool:
        """Whether it can be ended without hurting anybody."""
        return not self.ending and self.child is not None and (self.leases == 0 or not self.child.alive)

    def serves(self, load: Load) -> bool:
        """Whether a request that needs this can begin now."""
        return not self.ending and self.child is not None and self.child.alive and self.load.serves(load)

    def take(self, model: Model, keep_alive: float | None) -> None:
        """A request begins to use it; `release` must follow."""
        self.model = model
        self.leases += 1
        if keep_alive is not None:
            self.keep_alive = keep_alive
        self._stop()
        self.used = time.monotonic()
        self.expires = self.used + self.keep_alive

    def release(self) -> None:
        """A request has done with it."""
        self.leases -= 1
        if self.leases == 0:
            self.rest()
            self._changed()

    def rest(self, keep_alive: float | None = None) -> None:
        """Let the time run in which nobody uses it, or do so when the last request has done."""
        if keep_alive is not None:
            self.keep_alive = keep_alive
        self.expires = time.monotonic() + self.keep_alive
        self._stop()
        if self.leases == 0 and not self.ending and not math.isinf(self.keep_alive):
            self._timer = asyncio.get_running_loop().call_later(self.keep_alive, self._expired, self)

    async def end(self) -> None:
        """End the child, whatever it does."""
        self.ending = True
        self._stop()
        if self.child is not None:
            await self.child.end()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Waiting(NamedTuple):
    """A request that has to wait for its place.

    Attributes
    ----------
    need
        Bytes of memory that its model is expected to take.
    told
        Gets the place, already taken, or the error.
    """

    model: Model
    load: Load
    need: int
    keep_alive: float | None
    told: asyncio.Future[Place]

    @property
    def key(self) -> tuple[str, bool]:
        """Of the place that it waits for."""
        return self.model.digest, self.load.beside
