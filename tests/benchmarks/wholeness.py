"""Whether a folder of models is whole: what is listed is there and answers, and nothing else stays for ever."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from functools import lru_cache
from pathlib import Path

import httpx

_BLOB = re.compile(r"sha256-[0-9a-f]{64}")
_ASKED = [{"role": "user", "content": "why is the sky blue?"}]


def whole(folder: Path, url: str) -> list[str]:
    """The names that a server lists, once the folder is found to be as it should.

    Raises
    ------
    AssertionError
        A manifest is damaged, not listed, or names a blob that is not there; or a blob is not what its name says.
    """
    listed = [model["name"] for model in httpx.get(f"{url}/api/tags", trust_env=False).json()["models"]]
    manifests = _manifests(folder)
    assert len(listed) == len(manifests), f"{listed} are listed, {sorted(manifests)} are there"
    for path, layers in manifests.items():
        for digest, size in layers.items():
            blob = folder / "blobs" / digest
            assert blob.is_file(), f"{path} names {digest}, which is missing"
            assert blob.stat().st_size == size, f"{digest} has {blob.stat().st_size} bytes instead of {size}"
    for blob in (folder / "blobs").glob("sha256-*"):
        if _BLOB.fullmatch(blob.name):
            facts = blob.stat()
            found = _digest(blob, facts.st_ino, facts.st_mtime_ns, facts.st_size)
            assert found == blob.name, f"{blob.name} holds {found}"
    return listed


def leftovers(folder: Path) -> list[str]:
    """Files that no model needs: blobs, parts of blobs, and files that were never finished; not the empty locks."""
    needed = {digest for layers in _manifests(folder).values() for digest in layers}
    blobs = [path.name for path in folder.glob("blobs/*") if path.name not in needed]
    return sorted(blobs + [path.name for path in folder.glob(".writing-*")])


def age(folder: Path, hours: float = 2) -> None:
    """Let all files be as old as garbage has to be."""
    then = time.time() - hours * 3600
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


def answers(url: str, name: str) -> bool:
    """True if a model answers, `AssertionError` if it does not."""
    answer = chat(url, name)
    assert answer.status_code == 200, f"{name} is listed, but answers {answer.text}"
    assert answer.json()["done"] is True
    return True


def chat(url: str, name: str) -> httpx.Response:
    """One token of an answer."""
    body = {"model": name, "messages": _ASKED, "stream": False, "options": {"num_predict": 1}}
    return httpx.post(f"{url}/api/chat", json=body, timeout=60, trust_env=False)


def _manifests(folder: Path) -> dict[str, dict[str, int]]:
    """For each manifest its blobs' files and sizes."""
    found = {}
    for path in folder.glob("manifests/*/*/*/*"):
        told = json.loads(path.read_bytes())
        layers = {each["digest"].replace(":", "-"): each["size"] for each in (*told["layers"], told["config"])}
        found[str(path.relative_to(folder))] = layers
    return found


@lru_cache(maxsize=256)
def _digest(path: Path, _inode: int, _changed: int, _size: int) -> str:
    """What a blob ought to be called; the same file is read once."""
    return "sha256-" + hashlib.sha256(path.read_bytes()).hexdigest()
