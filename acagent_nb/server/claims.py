"""Which blobs of a folder somebody needs, and which of the others are ours to remove.

The folder may be an Ollama's as well, of any version; it may be half copied, or have parts on a disk that
is not there. So a blob is garbage only if both hold:

- No name needs it, and nothing can be misunderstood: the folder has only what this server knows (newer
  Ollamas keep names in `manifests-v2` too), and every file among the manifests is one that can be read.
- We brought it, or began to take it away: `.marks/sha256-<hex>`, an empty file, is written before that, and
  goes when a name needs the blob. What others have put there is never marked, and so never removed.

Source of the layouts: `manifest/paths.go` and `manifest/manifest.go` in ollama/ollama.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .manifest import Layer, file_name

UNFINISHED = ".writing-"
_KNOWN = {"blobs", "manifests", ".lock", ".locks", ".marks"}
_OF_DESKTOPS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # whoever only looks into a folder leaves these
_HEX = re.compile(rb"[0-9a-f]{64}", re.IGNORECASE)
_BLOB = re.compile(r"sha256-[0-9a-f]{64}")


def needed(folder: Path) -> set[str] | None:
    """The files of all blobs that a manifest names; `None` if nobody can know them all."""
    try:
        if all(name in _KNOWN | _OF_DESKTOPS or name.startswith(UNFINISHED) for name in os.listdir(folder)):
            return _named(folder / "manifests")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # all that a strange file can raise
        pass
    return None


def mark(folder: Path, digests: Iterable[str]) -> None:
    """Write down that these blobs are ours to remove if no name comes to need them."""
    marks = folder / ".marks"
    marks.mkdir(parents=True, exist_ok=True)
    for digest in digests:
        (marks / file_name(digest)).touch()


def unmark(folder: Path, digests: Iterable[str]) -> None:
    """Forget that: a name needs them, or they are gone."""
    for digest in digests:
        with suppress(OSError):  # a mark too much does no harm
            (folder / ".marks" / file_name(digest)).unlink()


def marked(folder: Path) -> list[Path]:
    """All marks."""
    return [path for path in folder.glob(".marks/*") if _BLOB.fullmatch(path.name)]


def _named(manifests: Path) -> set[str]:
    """What all files below a folder name; an error if one can't be read, or is no manifest that we know."""
    found: set[str] = set()
    folders = [str(manifests)] if os.path.lexists(manifests) else []
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                if entry.name in _OF_DESKTOPS:
                    continue
                try:
                    raw = Path(entry.path).read_bytes()  # a link to a folder can't be read
                except FileNotFoundError:
                    if os.path.lexists(entry.path):  # a link to what is not there now
                        raise
                    continue  # its name has just been removed
                found |= _digests(raw)
    return found


def _digests(raw: bytes) -> set[str]:
    """Whatever a manifest names, in its layers or in fields that only newer servers know."""
    told = json.loads(raw)
    for layer in (*told["layers"], told["config"]):
        Layer.read(layer)
    text = raw + json.dumps(told).encode()  # JSON can spell a digest in other ways too
    return {f"sha256-{found.decode().lower()}" for found in _HEX.findall(text)}
