"""Models in child processes: leased to requests, a few at a time, ended when nobody needs them.

A request whose model is loaded as it needs it begins at once; its child answers several and lets the
rest wait. Any other joins a queue, which is looked through from its front at each change:

- its model is loaded otherwise: the child ends when the requests that use it have done, and another
  starts. Meanwhile nobody else begins with the old one, so that two settings take turns, and all who
  wait for the new one begin together: a restart for each turn, not for each request.
- its model is not loaded: it is, if there is room. To make room the child that was used longest ago
  ends; if all are in use, that one takes no new requests until the queue has moved on.

While a child answers questions the engine makes no vectors in it. Texts to embed then have a second child of
their model, with one slot and little context. Nothing ends for it: it starts if there is room and nobody waits
for any, and is the first to go when somebody does. Without it, as on a GPU, whose memory is not counted here,
the texts wait for the end of the answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own
from msgspec.structs import replace

from ..errors import ServerError
from . import memory, show
from .durations import later
from .manifest import Model
from .place import Place, Waiting
from .process import Child
from .settings import Limits, Load

_BESIDE = 30.0  # seconds that a second child stays at most: for the next texts, not for a keep_alive that nobody sees
_NO_ROOM = "there is no room for a second child"  # which nobody reads: the texts wait instead


class Engine:
    """All children of a server.

    Parameters
    ----------
    keep_alive
        Seconds that a model stays loaded when no request says.
    limits
        Those of the environment if left out.
    """

    def __init__(self, keep_alive: float, limits: Limits | None = None) -> None:
        self.keep_alive = keep_alive
        self.limits = limits or Limits.from_environment()
        self._places: dict[tuple[str, bool], Place] = {}
        self._waiting: list[Waiting] = []
        self._closed: list[Place] = []  # those that nobody may begin with before somebody in the queue
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    @asynccontextmanager
    async def lease(
        self, model: Model, load: Load, keep_alive: float | None = None, *, embeds: bool = False
    ) -> AsyncIterator[Child]:
        """A child that answers for this model during the block; for texts to embed one that answers no questions.

        Raises
        ------
        ServerError
            Status 500: the model can't be loaded; the text says why. Status 503: too many requests wait,
            or the server ends.
        """
        place = await self._beside(model, load, keep_alive) if embeds else None
        place = place or await self._place(model, load, keep_alive)
        assert place.child is not None  # nobody is given a place before
        place.child.answers += not embeds
        try:
            yield place.child
        finally:
            place.child.answers -= not embeds
            place.release()

    def rivals(self, child: Child) -> int:
        """How many a child's texts give way to: the questions that it answers, and who needs a second one's room."""
        return child.answers + sum(place.child is child for place in self._closed if place.load.beside)

    def unload(self, model: Model) -> None:
        """End a model's children as soon as nobody uses them."""
        for place in self._places.values():
            if place.model.digest == model.digest:
                place.rest(0.0)

    def rename(self, named: list[Model]) -> None:
        """Show a model that has these names, each a `Model`, under one of them."""
        for place in self._places.values():
            if place.model.digest == named[0].digest and all(place.model.name != model.name for model in named):
                place.model = named[0]

    def running(self) -> list[dict[str, Any]]:
        """What `/api/ps` shows: the models that can answer now, the one that stays longest first."""
        told = []
        for place in sorted(self._places.values(), key=lambda place: -place.expires):
            other = self._places.get((place.model.digest, not place.load.beside))
            if place.child is None or place.ending or place.dead or (place.load.beside and other):
                continue
            with contextlib.suppress(ServerError):  # its file has just been deleted
                size = place.need
                with contextlib.suppress(psutil.Error):  # it may die at any moment
                    size = psutil.Process(place.child.pid).memory_info().rss + memory.own(other.pid if other else None)
                left = place.expires - time.monotonic()
                shown = show.running(place.model, size=size, expires=later(left), num_ctx=place.load.num_ctx)
                shown["size_vram"] = int(size * memory.on_gpu(place.model.header, place.load)) if place.child.gpu else 0
                told.append(shown)
        return told

    async def end(self) -> None:
        """End all children, and with them the answers that they give; none is started any more."""
        self._ending = True
        for waiting in self._waiting:
            if not waiting.told.done():
                waiting.told.set_exception(ServerError("the server is ending", status=503))
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(place.end() for place in self._places.values()))
        self._places.clear()

    async def _place(self, model: Model, load: Load, keep_alive: float | None) -> Place:
        """A request's place, already taken."""
        if self._ending:
            raise ServerError("the server is ending", status=503)
        there = self._places.get((model.digest, load.beside))
        if there is None or not there.serves(load) or there in self._closed:
            return await self._queued(model, load, keep_alive)
        there.take(model, keep_alive)
        return there

    async def _beside(self, model: Model, load: Load, keep_alive: float | None) -> Place | None:
        """The second child's place, already taken, if the first one answers questions and there is room for two."""
        first = self._places.get((model.digest, False))
        if first is None or first.child is None or not first.child.answers or first.child.gpu:
            return None
        first.rest(keep_alive)  # it has work, but is to stay so long after it
        half = max(1, load.num_thread // 2)  # two that want all cores would wait for each other's threads
        second = replace(load, slots=1, num_thread=half, beside=True)
        with contextlib.suppress(ServerError):  # there is no room any more, or it does not start
            if (model.digest, True) in self._places or self._room(memory.need(model.header, second)):
                return await self._place(model, second, min(first.keep_alive, _BESIDE))
        return None

    def _room(self, need: int) -> bool:
        """Whether one more child may start, and no request for a first one waits."""
        waited = any(not waiting.load.beside for waiting in self._waiting)
        return not waited and len(self._places) < self.limits.models and need <= self._free()

    async def _queued(self, model: Model, load: Load, keep_alive: float | None) -> Place:
        """The place of a request that has to wait for it, already taken."""
        if len(self._waiting) >= self.limits.queue:
            raise ServerError("server busy, please try again.  maximum pending requests exceeded", status=503)
        need = memory.need(model.header, load)
        if (model.digest, load.beside) in self._places and (error := self._too_big(need, self._free())):
            raise error  # before the child that is there is ended for it; else `_load` looks when its turn comes
        told: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        waiting = Waiting(model, load, need, keep_alive, told)
        self._waiting.append(waiting)
        self._look()
        try:
            return await told
        except asyncio.CancelledError:  # the client has left
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._look()
            elif told.done() and not told.cancelled() and told.exception() is None:
                told.result().release()
            raise

    def _look(self) -> None:
        """Go through the queue: whoever can begin does, whatever can be begun for the others is."""
        self._closed.clear()
        if not self._waiting:
            return
        for each in self._places.values():
            if each.dead and not each.ending:
                self._end(each)
        stuck = False
        for waiting in tuple(self._waiting):
            place = self._places.get(waiting.key)
            if place is None and stuck and waiting.load.beside:
                self._refuse(waiting, ServerError(_NO_ROOM))
            elif place is None:
                stuck = stuck or not self._load(waiting)  # whoever needs room waits behind who came first
            elif place.serves(waiting.load) and place not in self._closed:
                self._grant(waiting, place)
            elif place.idle:
                self._end(place)
            else:
                self._closed.append(place)

    def _load(self, waiting: Waiting) -> bool:
        """Begin to load a model, or to make room for it; whether there was room (or never will be)."""
        places = self._places.values()
        try:
            free = self._free()
        except ServerError as fault:  # nobody may wait for ever
            self._refuse(waiting, fault)
            return True
        if len(places) < self.limits.models and waiting.need <= free:
            keep_alive = self.keep_alive if waiting.keep_alive is None else waiting.keep_alive
            place = Place(waiting.model, waiting.load, waiting.need, keep_alive, self._look, self._expire)
            self._places[place.key] = place
            self._do(self._start(place))
            return True
        if error := self._too_big(waiting.need, free):
            self._refuse(waiting, error)
            return True
        if waiting.load.beside:
            self._refuse(waiting, ServerError(_NO_ROOM))
            return True
        if not any(place.ending for place in places):
            oldest = min(places, key=lambda place: (not place.load.beside, not place.idle, place.used))
            if oldest.idle:
                self._end(oldest)
            else:
                self._closed.append(oldest)
        return False

    def _free(self) -> int:
        """Bytes that are available beside what is loaded and being loaded."""
        try:
            return memory.available(self.limits.memory, ((place.need, place.pid) for place in self._places.values()))
        except OSError as fault:  # no file handle is left to ask the system with
            raise ServerError(f"unable to load model: {fault}") from fault

    def _too_big(self, need: int, free: int) -> ServerError | None:
        """The refusal of what would not fit even if nothing else were loaded."""
        if any(place.child is None for place in self._places.values()):
            return None  # what is being loaded counts twice: wait and see
        most = free + sum(place.need for place in self._places.values())
        told = f"({memory.human(need)}) than is available ({memory.human(most)})"
        return ServerError(f"model requires more system memory {told}") if need > most else None

    async def _start(self, place: Place) -> None:
        """Start a child; all who wait for exactly it begin together, whoever came between them."""
        try:
            place.child = await Child.start(place.load, self.limits.load_seconds)
        except Exception as fault:  # whatever it is (no process, no handle left), nobody may wait for ever
            error = fault if isinstance(fault, ServerError) else ServerError(f"unable to load model: {fault}")
            self._forget(place)
            for waiting in self._meant(place):
                self._refuse(waiting, error)
        else:
            place.rest()  # perhaps nobody waits for it any more
            for waiting in self._meant(place):
                self._grant(waiting, place)
        self._look()

    def _meant(self, place: Place) -> list[Waiting]:
        """Those in the queue whom a place serves."""
        return [waiting for waiting in self._waiting if waiting.key == place.key and place.load.serves(waiting.load)]

    def _grant(self, waiting: Waiting, place: Place) -> None:
        self._waiting.remove(waiting)
        if not waiting.told.done():  # else its client has just left
            place.take(waiting.model, waiting.keep_alive)
            waiting.told.set_result(place)

    def _refuse(self, waiting: Waiting, error: ServerError) -> None:
        self._waiting.remove(waiting)
        if not waiting.told.done():
            waiting.told.set_exception(error)

    def _expire(self, place: Place) -> None:
        if place.idle:
            self._end(place)

    def _end(self, place: Place) -> None:
        """Begin to end a child; the queue is looked through when it has gone."""

        async def end() -> None:
            await place.end()
            self._forget(place)
            self._look()

        place.ending = True
        self._do(end())

    def _forget(self, place: Place) -> None:
        if self._places.get(place.key) is place:
            del self._places[place.key]

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; the event loop holds tasks weakly, so someone has to hold them."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
