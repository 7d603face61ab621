"""Where a server's models lie on this machine, what they use there, and what is free.

Ollama's API tells none of it. A folder is believed to be a server's only on evidence: the process that
listens at its address says so, or the manifests in it have the digests that the server lists, or the
blob that is being pulled grows in it. A server elsewhere, or in a container whose volume this user can't
read, has no folder here, and then nothing is claimed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from . import names
from .addresses import is_loopback

if TYPE_CHECKING:
    from .models import Model

_BLOB = re.compile(r"sha256-[0-9a-f]{64}")
_LAYER = re.compile(r"pulling ([0-9a-f]{12})")  # Ollama's words while a layer comes: the first digits of its digest


class Usage(NamedTuple):
    """What lies in a folder of models, in bytes.

    Attributes
    ----------
    models
        Of whole blobs; one that several models share counts once.
    unfinished
        Of pulls that were stopped; pulling again goes on from there.
    free, size
        Of the disk: what this user may still write, and all of it.
    """

    folder: Path
    models: int
    unfinished: int
    free: int
    size: int


def folder(url: str, models: Iterable[Model]) -> Path | None:
    """The folder in which the server at an address keeps its models, if it is on this machine and can be seen.

    Parameters
    ----------
    models
        Those that the server lists.
    """
    if not is_loopback(url):
        return None
    told = _listening(urlsplit(url).port)
    if told is not None:
        return told
    listed = {names.parse(each.name): each.digest for each in models if names.is_name(each.name)}
    return next((place for place in _usual() if listed and _manifests(place) == listed), None)


def unseen(url: str) -> str:
    """Where the models of a server are whose folder is not known, in words."""
    return "in a folder that can't be seen from here" if is_loopback(url) else "on another machine or in a container"


def receiving(url: str, status: str) -> Path | None:
    """The folder in which what is being pulled grows, by the pull's own words ("pulling 53c5780fe2ec")."""
    layer = _LAYER.fullmatch(status)
    if layer is None or not is_loopback(url):
        return None
    return next((place for place in _usual() if any((place / "blobs").glob(f"sha256-{layer[1]}*"))), None)


def usage(folder: Path) -> Usage:
    """What a folder of models uses, and what is free where it lies.

    Raises
    ------
    OSError
        The disk can't be asked.
    """
    models = unfinished = 0
    for path in (folder / "blobs").glob("sha256-*"):
        with suppress(OSError):  # gone meanwhile
            facts = path.lstat()
            if _BLOB.fullmatch(path.name):
                models += facts.st_size  # a link's own few bytes: what it leads to lies elsewhere
            else:
                unfinished += getattr(facts, "st_blocks", 0) * 512  # as long as the whole blob, but full of holes
    disk = shutil.disk_usage(_there(folder))
    return Usage(folder, models, unfinished, disk.free, disk.total)


def free(folder: Path) -> int | None:
    """Bytes that this user may still write where a folder lies; `None` if nobody knows."""
    try:
        return shutil.disk_usage(_there(folder)).free
    except OSError:
        return None


def _there(folder: Path) -> Path:
    """The folder, or the one in which it will be made: a new server makes its own with the first model."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def _listening(port: int | None) -> Path | None:
    """The folder that the server listening at a port was told to use, or uses when told nothing.

    Only this user's own processes can be asked, and only an Ollama's or ours knows: behind a tunnel or a
    container's door the models lie elsewhere. Needs psutil, which the embedded server brings.
    """
    try:
        import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own
    except ImportError:
        return None
    try:
        found = (each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN and each.pid)
        process = next((psutil.Process(each.pid) for each in found if each.laddr.port == port), None)
        if process is None:
            return None
        words, variables, here = process.cmdline(), process.environ(), process.cwd()
    except (psutil.Error, OSError):
        return None
    ours = "acagent_nb" in words or any(Path(word).stem == "acagent-nb" for word in words[:2])
    if "serve" not in words or not (ours or Path(words[0]).stem == "ollama"):
        return None
    if told := (_flag(words, "--models") if ours else None) or variables.get("OLLAMA_MODELS"):
        return Path(here, os.path.expanduser(told))
    return _own() if ours else Path(variables.get("HOME", "~"), ".ollama", "models").expanduser()


def _flag(words: list[str], flag: str) -> str | None:
    """What stands after a flag of a command line, or after its sign; the last one counts."""
    for word, after in reversed([*zip(words, [*words[1:], ""], strict=True)]):
        if word == flag or word.startswith(f"{flag}="):
            return after if word == flag else word.partition("=")[2]
    return None


def _usual() -> Iterator[Path]:
    """Where models may lie: as this user says, where Ollama keeps them, where the embedded server does."""
    told = os.environ.get("OLLAMA_MODELS")
    ollamas = ("~/.ollama/models", "/usr/share/ollama/.ollama/models", "/root/.ollama/models")
    for text in (*([told] if told else []), *ollamas):
        path = Path(text).expanduser()
        if os.access(path, os.R_OK | os.X_OK):
            yield path
    if (own := _own()).is_dir():
        yield own


def _own() -> Path:
    """The embedded server's folder, unless it is told another."""
    from platformdirs import user_data_path

    return user_data_path("acagent_nb") / "models"


def _manifests(folder: Path) -> dict[names.Name, str]:
    """The models of a folder, with the digests of their manifests; what can't be read is left out."""
    found = {}
    for path in (folder / "manifests").glob("*/*/*/*"):
        with suppress(OSError):
            found[names.Name(*path.parts[-4:])] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
