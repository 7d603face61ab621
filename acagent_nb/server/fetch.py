"""One blob's download, shared by all who ask for it, from the lock to the checked file.

A `Download` is a task of its own. Who wants its blob holds it; when the last holder lets go it stops,
and what has come stays for the next time. Servers on one folder keep out of each other's way by a
lock for each blob, held until no holder needs the blob to stay.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakKeyDictionary

from filelock import FileLock, Timeout

from ..errors import ServerError
from .manifest import Layer
from .partial import Partial, writing
from .registry import Registry
from .store import Store
from .transfer import How, in_thread, transfer

_STRETCH = 16 << 20  # bytes to hash before looking whether anybody still wants it


class Download:
    """A blob on its way.

    Attributes
    ----------
    registry
        Where it comes from.
    task
        Done when the blob is in the store, or can't be.
    arrived
        Done when all bytes are on the disk; their checksum is still to be seen.
    """

    def __init__(self, store: Store, layer: Layer, registry: Registry, how: How) -> None:
        self.registry = registry
        self.layer = layer
        self.holders = 0
        self._how = how
        self._file = Partial(store, layer)
        self._lock = lock(store, layer.digest)
        self.arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._ended)

    @property
    def completed(self) -> int:
        """Bytes on the disk, whoever has brought them there."""
        return self.layer.size if self.arrived.done() else self._file.completed

    @property
    def stale(self) -> bool:
        """Whether it has failed, or its blob has been deleted since."""
        return self.task.done() and not self._file.finished

    def let_go(self) -> None:
        """One holder less; without any, it stops."""
        self.holders -= 1
        if not self.holders:
            self.task.cancel()
            self._ended(self.task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.done() and not task.cancelled():
            task.exception()  # seen, even if all have left
        if task.done() and (self.stale or not self.holders):
            self.unlock()

    def unlock(self) -> None:
        """Let other servers have the blob: it is not needed here, or not coming."""
        self._lock.release()

    async def _run(self) -> None:
        with writing(self._file.path):
            if await self._is_brought_by_another():
                self.arrived.set_result(None)
                return
            how = self._how
            await in_thread(self._file.prepare, how.smallest, how.largest, how.at_once)
            notes = asyncio.create_task(self._noting())
            try:
                await transfer(self.registry, self.layer, self._file, how)
            finally:
                notes.cancel()
                await asyncio.wait([notes])
                with suppress(OSError):  # the reason may be a full disk
                    await in_thread(self._file.note, sync=False)
            self.arrived.set_result(None)
            await self._check()
            await in_thread(self._file.finish)

    async def _is_brought_by_another(self) -> bool:
        """Wait while another server downloads the blob, then take over unless it has finished."""
        Path(self._lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        while not self._file.finished:
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                self._file.look()
                await asyncio.sleep(self._how.poll)
            else:
                return self._file.finished
        return True

    async def _noting(self) -> None:
        while True:
            await asyncio.sleep(self._how.note)
            with suppress(OSError):  # a full disk is found by the one who writes the blob
                await in_thread(self._file.note)

    async def _check(self) -> None:
        """Refuse and remove what is not what was wanted."""
        seen = hashlib.sha256()
        for position in range(0, self.layer.size, _STRETCH):
            await in_thread(self._file.hashed, seen, position, _STRETCH)
        got = f"sha256:{seen.hexdigest()}"
        if got != self.layer.digest:
            self._file.remove()
            raise ServerError(f"digest mismatch, file must be downloaded again: want {self.layer.digest}, got {got}")


_running: WeakKeyDictionary[Store, dict[str, Download]] = WeakKeyDictionary()


@contextmanager
def holding(store: Store, layer: Layer, registry: Registry, how: How) -> Iterator[Download]:
    """Take part in the download of a blob, or start it.

    To let go must not wait: whoever is being cancelled could not.
    """
    running = _running.setdefault(store, {})
    download = running.get(layer.digest)
    if download is not None and download.stale:
        download.unlock()
        download = None
    if download is None:
        download = running[layer.digest] = Download(store, layer, registry, how)
    download.holders += 1
    try:
        yield download
    finally:
        download.let_go()
        if not download.holders and running.get(layer.digest) is download:
            del running[layer.digest]


def under_way(store: Store) -> set[str]:
    """The digests of the blobs that this process is downloading into a store."""
    return set(_running.get(store, ()))


def lock(store: Store, digest: str) -> FileLock:
    """What keeps a blob, or one that is on its way, for one server."""
    # not among the blobs, where Ollama removes whatever has another name
    return FileLock(store.folder / ".locks" / digest.replace(":", "-"))
