"""Where models lie, in Ollama's own layout, so that either can read what the other has written.

    manifests/<host>/<namespace>/<model>/<tag>    JSON: which layers a model has
    blobs/sha256-<hex>                            the layers, each under its digest

A name appears only when all it needs is there: blobs first, the manifest last, each written under
another name, synced and then renamed.

Behind a store there may be the folder of an Ollama, which is only read: its models are used where they lie.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from .. import names
from ..errors import LLMError, ServerError
from ..names import Name
from . import claims
from .manifest import Model, file_name

_NO_MANIFEST = (OSError, ValueError, KeyError, TypeError, RecursionError)  # what reading a strange file can raise


class Store:
    """All models of one folder, and of the one behind it whose names are free.

    Parameters
    ----------
    folder
        Where; else `OLLAMA_MODELS`, else the user's data folder.
    behind
        A second folder, in which nothing is ever written or deleted.

    Raises
    ------
    LLMError
        Both are the same folder.
    """

    def __init__(self, folder: str | Path | None = None, behind: str | Path | None = None) -> None:
        self.folder = Path(folder or os.environ.get("OLLAMA_MODELS") or _data_folder()).expanduser().absolute()
        self.behind = Store(behind) if behind else None
        if self.behind and self.behind.folder.resolve() == self.folder.resolve():
            raise LLMError(
                f"{self.folder} can't be the server's own folder and one that is only read.",
                "Leave --ollama-models out, or name another folder with --models.",
            )
        self.blobs = self.folder / "blobs"
        self.manifests = self.folder / "manifests"

    def models(self) -> list[Model]:
        """Every model that can be read, the newest first."""
        found = self._own()
        taken = {model.name.key for model in found}
        found += [model for model in self.behind.models() if model.name.key not in taken] if self.behind else []
        return sorted(found, key=lambda model: (-model.changed, model.name.key))

    def find(self, text: str) -> Model | None:
        """The model of this name, in whatever case it is spelled; `None` if there is none.

        Raises
        ------
        BadName
            No server accepts such a name.
        """
        name = names.parse(text)
        path = self._path(name)
        try:
            return _model(name, path, self.blobs, path.stat().st_mtime_ns)
        except _NO_MANIFEST:
            own = next((model for model in self._own() if model.name.key == name.key), None)
            return own or (self.behind.find(text) if self.behind else None)

    def has(self, digest: str) -> bool:
        """Whether a blob is here, whole."""
        return (self.blobs / file_name(digest)).is_file()

    def refuse(self, name: Name) -> None:
        """Refuse to put a model under a name that can't be changed; here all can."""

    def stands_for(self, text: str) -> str:
        """The model's name that this one is an alias of; empty for all that are none."""
        return ""

    def copy(self, source: Model, to: str) -> None:
        """Give a model a second name."""
        there = self.find(to)
        self.borrow(source)
        self.write(there.name if there else names.parse(to), source.manifest.read_bytes())

    def borrow(self, model: Model) -> None:
        """Let names in here use the blobs of a model that lies in the folder behind: by links, without a copy."""
        if model.blobs == self.blobs:
            return
        self.blobs.mkdir(parents=True, exist_ok=True)
        for layer in (*model.layers, model.config):
            if not self.has(layer.digest):
                claims.mark(self.folder, [layer.digest])
                link = self.blobs / file_name(layer.digest)
                link.unlink(missing_ok=True)  # one to a blob that is there no more
                with suppress(FileExistsError):  # somebody else has just made it
                    link.symlink_to(model.blobs / file_name(layer.digest))

    def write(self, name: Name, manifest: bytes) -> None:
        """Make a model appear; its blobs must be there.

        Raises
        ------
        ServerError
            A blob is missing.
        """
        told = json.loads(manifest)
        digests = {layer["digest"] for layer in (*told["layers"], told["config"])}
        with self.locked():
            for digest in digests:
                if not self.has(digest):
                    raise ServerError(f"digest mismatch, file must be downloaded again: {digest} is missing")
            path = self._path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(*_NO_MANIFEST):  # what it replaces may be needed no more
                claims.mark(self.folder, Model(name, path, self.blobs, 0).digests - digests)
            with self.writing(path) as file:
                file.write(manifest)
            claims.unmark(self.folder, digests)

    def keep(self, data: bytes) -> str:
        """Store a small blob; its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            with self.writing(self.blobs / file_name(digest)) as file:
                file.write(data)
        return digest

    @contextmanager
    def writing(self, path: Path) -> Iterator[BinaryIO]:
        """A file that is at `path` when the block has ended well, and nowhere when it has not."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        if path.parent == self.blobs:
            claims.mark(self.folder, [path.name])
        # beside the manifests, not among them: there every file counts as a model
        temporary = self.folder / f"{claims.UNFINISHED}{secrets.token_hex(8)}"
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)

    def locked(self) -> FileLock:
        """Names and the blobs they need change together, for every server on this folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    def delete(self, model: Model) -> None:
        """Remove a name, and the blobs that surely no other needs; `ServerError` if it is in the folder behind."""
        if model.blobs != self.blobs:
            name = model.name.short
            raise ServerError(
                f"'{name}' lies in an Ollama's folder, which this server only reads: `ollama rm {name}` removes it",
                status=400,
            )
        digests = model.digests
        with self.locked():
            with suppress(OSError):  # a full disk must not keep anybody from making room
                claims.mark(self.folder, digests)
            path = self._path(model.name)
            path.unlink(missing_ok=True)
            for folder in path.parents[:3]:
                try:
                    folder.rmdir()
                except OSError:
                    break  # other names are still in it
            needed = claims.needed(self.folder)
            for digest in digests:
                if needed is not None and file_name(digest) not in needed:
                    (self.blobs / file_name(digest)).unlink(missing_ok=True)
            claims.unmark(self.folder, digests)

    def _own(self) -> list[Model]:
        """Those of this folder, in no order."""
        found = []
        for path in self.manifests.glob("*/*/*/*"):
            name = Name(*path.relative_to(self.manifests).parts)
            try:
                found.append(_model(name, path, self.blobs, path.stat().st_mtime_ns))
            except _NO_MANIFEST:
                continue  # a file that is no manifest, or is just being removed
        return found

    def _path(self, name: Name) -> Path:
        return _joined(self.manifests, name)


@lru_cache(maxsize=256)  # for every request, as below
def _joined(folder: Path, name: Name) -> Path:
    return folder.joinpath(*name)


@lru_cache(maxsize=256)
def _model(name: Name, path: Path, blobs: Path, changed: int) -> Model:
    """A manifest is read once, until it changes: every request asks for it."""
    return Model(name, path, blobs, changed)


def ollamas(folder: str = "") -> Path:
    """The folder of an Ollama on this machine: the one that is named, or else where Ollama keeps its models.

    Raises
    ------
    LLMError
        There is none that can be read.
    """
    usual = ("~/.ollama/models", "/usr/share/ollama/.ollama/models")  # of a user's own, and of Linux's service
    for each in (folder,) if folder else usual:
        path = Path(each).expanduser()
        if os.access(path / "manifests", os.R_OK | os.X_OK):
            return path
    places = folder or " or ".join(usual)
    raise LLMError(
        f"There are no models of an Ollama at {places}, or they can't be read by this user.",
        "Name the folder that holds Ollama's `blobs` and `manifests`: --ollama-models DIR",
    )


def _data_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("acagent_nb") / "models"


def sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where folders can be synced."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
