"""A blob that is on its way: a sparse file of the full length, and notes on how far each part of it is.

    sha256-<hex>-partial      the bytes, each where it belongs
    sha256-<hex>-partial-<N>  {"N": 0, "Offset": 0, "Size": 1000, "Completed": 500}

Both are Ollama's (`server/download.go`), so either server goes on where the other one stopped. The
notes never promise more than what is in the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ServerError
from . import claims
from .manifest import Layer
from .store import Store, sync_folder

_NOTE = re.compile(r"-partial-(\d+)")


class Part:
    """A range of a blob, downloaded from its start on."""

    def __init__(self, number: int, offset: int, size: int, completed: int = 0) -> None:
        self.number = number
        self.offset = offset
        self.size = size
        self.completed = completed

    @property
    def position(self) -> int:
        """Where the next byte belongs in the blob."""
        return self.offset + self.completed

    @property
    def end(self) -> int:
        """Where the next part begins."""
        return self.offset + self.size

    def __str__(self) -> str:
        note = {"N": self.number, "Offset": self.offset, "Size": self.size, "Completed": self.completed}
        return json.dumps(note, separators=(",", ":"))


class Partial:
    """The file and the parts of one blob.

    Parameters
    ----------
    store
        Where it belongs.
    layer
        Which blob.
    """

    def __init__(self, store: Store, layer: Layer) -> None:
        self.store = store
        self.layer = layer
        self.blob = store.blobs / layer.digest.replace(":", "-")
        self.path = Path(f"{self.blob}-partial")
        self.parts: list[Part] = []

    @property
    def completed(self) -> int:
        """Bytes that have come."""
        return sum(part.completed for part in self.parts)

    @property
    def finished(self) -> bool:
        """Whether the blob is where it belongs, whoever has brought it there."""
        return is_there(self.store, self.layer)

    def look(self) -> None:
        """Read how far it is, without touching anything; no parts if there is nothing that can be trusted."""
        try:
            parts = sorted((_read(path) for path in self._notes()), key=lambda part: part.offset)
            facts = self.path.lstat()  # a link could lead out of the store
            whole = stat.S_ISREG(facts.st_mode) and facts.st_size == self.layer.size
        except (OSError, ValueError, KeyError, TypeError):
            parts, whole = [], False
        ends = [0, *(part.end for part in parts)]
        fits = [part.offset for part in parts] == ends[:-1] and ends[-1] == self.layer.size
        self.parts = parts if whole and fits else []

    def prepare(self, smallest: int, largest: int, at_once: int) -> None:
        """Make all ready to write, going on where an earlier download stopped.

        Raises
        ------
        ServerError
            There is less free space than the rest needs.
        """
        self.store.blobs.mkdir(parents=True, exist_ok=True)
        claims.mark(self.store.folder, [self.layer.digest])
        self.look()
        if not self.parts:
            self.remove()
        check_room(self.layer.size - self.completed, self.path)
        if self.parts:
            return
        size = max(smallest, min(largest, self.layer.size // at_once))
        offsets = range(0, self.layer.size, size)
        self.parts = [Part(n, at, min(size, self.layer.size - at)) for n, at in enumerate(offsets)]
        with self.path.open("wb") as file:
            file.truncate(self.layer.size)
        self.note(sync=False)

    def write(self, position: int, data: bytes | bytearray) -> None:
        """Put bytes where they belong."""
        with self.path.open("r+b") as file:
            file.seek(position)
            file.write(data)

    def note(self, sync: bool = True) -> None:
        """Write down how far each part is.

        Parameters
        ----------
        sync
            Bring the bytes to the disk first, so that the notes are true even after a power cut.
        """
        notes = {Path(f"{self.path}-{part.number}"): str(part) for part in self.parts}
        if sync:
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
        for path, note in notes.items():
            # where the server's other unfinished files are, which Ollama does not look at
            temporary = self.store.folder / f".writing-{secrets.token_hex(8)}"
            try:
                temporary.write_text(note, encoding="ascii")
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)

    def hashed(self, digest: hashlib._Hash, position: int, length: int) -> None:
        """Add a stretch of the file to a checksum."""
        with self.path.open("rb") as file:
            file.seek(position)
            while length > 0 and (data := file.read(min(length, 1 << 20))):
                digest.update(data)
                length -= len(data)

    def finish(self) -> None:
        """Make it the blob, to stay."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.blob)
        sync_folder(self.blob.parent)
        for note in self._notes():
            note.unlink(missing_ok=True)

    def remove(self) -> None:
        """Forget all that has come."""
        for path in (*self._notes(), self.path):  # notes first: alone they would promise bytes that are gone
            path.unlink(missing_ok=True)

    def _notes(self) -> Iterator[Path]:
        found = list(self.path.parent.glob(f"{self.path.name}-*"))
        return (path for path in found if _NOTE.fullmatch(path.name.removeprefix(self.blob.name)))


def is_there(store: Store, layer: Layer) -> bool:
    """Whether a blob is in the store with all its bytes."""
    try:
        return (store.blobs / layer.digest.replace(":", "-")).stat().st_size == layer.size
    except OSError:
        return False


def check_room(needed: int, path: Path) -> None:
    """Refuse what the disk has no room for.

    Raises
    ------
    ServerError
        In Ollama's words, and how much is needed and free.
    """
    free = shutil.disk_usage(path if path.is_dir() else path.parent).free
    if needed > free:
        raise ServerError(f"{full(path)}: {_human(needed)} are needed and {_human(free)} are free")


def full(path: Path) -> str:
    """Ollama's words for a full disk."""
    return f"write {path}: no space left on device"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A disk's refusal in Ollama's words; to try again would not help."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ServerError(full(path)) from None
        raise ServerError(f"write {error.filename or path}: {(error.strerror or str(error)).lower()}") from None


def _read(path: Path) -> Part:
    told = json.loads(path.read_bytes())
    part = Part(*(int(told[name]) for name in ("N", "Offset", "Size", "Completed")))
    if path.name.rpartition("-")[2] != str(part.number) or not 0 <= part.completed <= part.size:
        raise ValueError(path)
    return part


def _human(size: float) -> str:
    for power, unit in enumerate(("bytes", "kB", "MB", "GB")):
        if size < 1000 ** (power + 1):
            return f"{size / 1000**power:.{min(power, 1)}f} {unit}"
    return f"{size / 1000**4:.1f} TB"
