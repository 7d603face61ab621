"""What nobody needs any more: downloads given up, unfinished files of a server that died, blobs without a model.

Nothing is touched that somebody else has brought, or may need: see `claims`. Nor is anything that may still be
in use: by another server on the folder, which holds a lock, or by an Ollama, which does not: so all that was
written to within the last hour stays, as since Ollama 0.21.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from . import claims
from .fetch import lock
from .manifest import file_name
from .store import Store

_REST = 3600.0  # seconds without a write
_PARTIAL = re.compile(r"-partial(-\d+)?")


def sweep(store: Store) -> list[Path]:
    """Remove a store's garbage, unless `OLLAMA_NOPRUNE` says not to; for a server's start.

    Returns
    -------
    list of Path
        What has been removed. What can't be removed is left for the next time.
    """
    if _forbidden() or not store.folder.is_dir():
        return []
    removed = [path for path in store.folder.glob(f"{claims.UNFINISHED}*") if _rests([path]) and _remove(path)]
    with suppress(OSError), store.locked():  # a folder that is not ours to write to; no name may appear meanwhile
        needed = claims.needed(store.folder)
        for mark in claims.marked(store.folder):
            blob, partial = store.blobs / mark.name, _partial(store, mark.name)
            kept = needed is None or mark.name in needed
            doomed = partial if kept or not os.path.lexists(blob) else [*partial, blob]
            if doomed and _rests(doomed):
                with _alone(store, mark.name) as alone:
                    gone = [path for path in doomed if alone and _remove(path)]
                removed += gone
                doomed = [path for path in doomed if path not in gone]
            if not doomed and needed is not None and _rests([mark]):
                claims.unmark(store.folder, [mark.name])
        _remove_locks(store)
    return removed


def remove_unused(store: Store, digests: Iterable[str]) -> list[Path]:
    """Remove those of some blobs that surely no model needs any more."""
    names = {file_name(digest) for digest in digests}
    if not names or _forbidden():
        return []
    removed = []
    with store.locked():
        needed = claims.needed(store.folder)
        for name in names - needed if needed is not None else ():
            with _alone(store, name) as alone:
                path = store.blobs / name
                if alone and _remove(path):
                    removed.append(path)
        # if nobody can tell what is needed, whoever can may remove them
        claims.unmark(store.folder, names if needed is None else [path.name for path in removed])
    return removed


def _remove_locks(store: Store) -> None:
    """Remove the locks that nobody has touched for an hour, else there is one for each blob there ever was."""
    for path in (store.folder / ".locks").glob("sha256-*"):
        if _rests([path]):
            with _alone(store, path.name) as alone:  # whoever comes meanwhile tries again, with a new file
                if alone:
                    _remove(path)


def _forbidden() -> bool:
    return os.environ.get("OLLAMA_NOPRUNE", "").strip().lower() not in ("", "0", "f", "false")


def _partial(store: Store, name: str) -> list[Path]:
    """What has come of a blob so far, and the notes on it."""
    found = store.blobs.glob(f"{name}-partial*")
    return [path for path in found if _PARTIAL.fullmatch(path.name.removeprefix(name))]


def _rests(paths: list[Path]) -> bool:
    """Whether none of them was written to for an hour; one that has gone was."""
    try:
        return all(time.time() - path.lstat().st_mtime > _REST for path in paths)
    except OSError:
        return False


@contextmanager
def _alone(store: Store, name: str) -> Iterator[bool]:
    """Whether no server is downloading the blob, nor will be before the block ends."""
    guard = lock(store, name)
    Path(guard.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        guard.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        guard.release()


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:  # gone already, not ours, or in use where systems forbid to remove that
        return False
    return True
