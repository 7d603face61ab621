"""What nobody needs any more: downloads given up, unfinished files of a server that died, blobs without a model.

Nothing is touched that may still be in use: by another server on the folder, which holds a lock, or by
an Ollama, which does not: so all that was written to within the last hour stays, as since Ollama 0.21.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from .fetch import lock
from .store import Store

_REST = 3600.0  # seconds without a write
_NAMED = re.compile(rb"sha256[:-][0-9a-f]{64}")
_BLOB = re.compile(r"(sha256-[0-9a-f]{64})(-partial(-\d+)?)?")


def sweep(store: Store) -> list[Path]:
    """Remove a store's garbage, unless `OLLAMA_NOPRUNE` says not to; for a server's start.

    Returns
    -------
    list of Path
        What has been removed. What can't be removed is left for the next time.
    """
    if _forbidden() or not store.folder.is_dir():
        return []
    removed = [path for path in store.folder.glob(".writing-*") if _rests([path]) and _remove(path)]
    with suppress(OSError), store.locked():  # a folder that is not ours to write to; no name may appear meanwhile
        needed = _needed(store)
        for name, paths in _blobs(store).items():
            wanted = needed is None or name in needed
            doomed = [path for path in paths if not (wanted and path.name == name)]
            if doomed and _rests(paths):
                with _alone(store, name) as alone:
                    removed += [path for path in doomed if alone and _remove(path)]
        _remove_locks(store)
    return removed


def remove_unused(store: Store, digests: Iterable[str]) -> list[Path]:
    """Remove those of some blobs that no model needs any more."""
    names = {digest.replace(":", "-") for digest in digests}
    if not names or _forbidden():
        return []
    removed = []
    with store.locked():
        needed = _needed(store)
        for name in names - needed if needed is not None else ():
            with _alone(store, name) as alone:
                path = store.blobs / name
                if alone and path.exists() and _remove(path):
                    removed.append(path)
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


def _needed(store: Store) -> set[str] | None:
    """The files of all blobs that a manifest names; `None` if one can't be read, as then nobody knows."""
    found: set[str] = set()
    try:
        for path in store.manifests.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):
                if not path.is_dir():
                    raw = path.read_bytes()
                    with suppress(ValueError, RecursionError):  # JSON can spell a digest in other ways too
                        raw += json.dumps(json.loads(raw)).encode()
                    found.update(each.decode().replace(":", "-") for each in _NAMED.findall(raw))
    except OSError:
        return None
    return found


def _blobs(store: Store) -> dict[str, list[Path]]:
    """All files of the blobs' folder that have a blob's name, by that name."""
    found: dict[str, list[Path]] = {}
    for path in store.blobs.glob("sha256-*"):
        if match := _BLOB.fullmatch(path.name):
            found.setdefault(match[1], []).append(path)
    return found


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
