"""A disk that is full: what can't be kept is refused with a sentence, nothing is half there, and the server goes on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import hosts
from acagent_nb.server import tiny

from .benchmarks.wholeness import answers, leftovers, whole
from .registries import Fake, Made, Turn, fake, honest

_ROOM = 6 << 20  # bytes: two tiny models fit, three do not
_FULL = "no space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a small disk can be made by Linux's root only")
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def registry() -> Iterator[Fake]:
    """One with a model that fits into an empty disk, and answers."""
    with fake() as registry:
        weights = tiny.PATH.read_bytes() + bytes(1 << 20)
        registry.add(Made((weights, b"{{ .Prompt }}", b"{}", b'{"model_format":"gguf"}')))
        yield registry


def test_what_does_not_fit_is_refused_and_the_rest_goes_on(disk: Path, registry: Fake) -> None:
    store = disk / "models"
    filling = disk / "filling"
    name = f"{registry.host}/library/m"
    with hosts.private(store) as private, httpx.Client(base_url=private.url, timeout=30, trust_env=False) as client:

        def told(path: str, **body: Any) -> str:
            answer = client.post(path, json=body)
            return str(answer.json().get("error", "done")) if answer.content else "done"

        assert told("/api/pull", model="tiny", stream=False) == "done"
        _fill(disk, filling)
        upload = tiny.PATH.read_bytes() + b"another"
        digest = f"sha256:{hashlib.sha256(upload).hexdigest()}"
        refused = [
            told("/api/pull", model=name, insecure=True, stream=False),
            told("/api/pull", model="tiny:skills", stream=False),
            told("/api/create", model="made", **{"from": "tiny"}, system="Be brief.", stream=False),
            told("/api/copy", source="tiny", destination="copied"),
            client.post(f"/api/blobs/{digest}", content=upload).json()["error"],
            client.post(f"/api/blobs/{digest}", content=_without_length(upload)).json()["error"],
        ]
        assert all(_FULL in said for said in refused), refused
        streamed = client.post("/api/pull", json={"model": "tiny:skills"}).text
        assert _FULL in streamed.splitlines()[-1]
        assert whole(store, private.url) == ["tiny:latest"]
        assert answers(private.url, "tiny")
        assert leftovers(store) == []

        filling.unlink()
        assert told("/api/pull", model=name, insecure=True, stream=False) == "done"
        assert told("/api/create", model="made", **{"from": "tiny"}, system="Be brief.", stream=False) == "done"
        assert told("/api/copy", source="tiny", destination="copied") == "done"
        assert sorted(whole(store, private.url)) == sorted(
            [f"{name}:latest", "copied:latest", "made:latest", "tiny:latest"]
        )
        assert all(answers(private.url, each) for each in (name, "made", "copied"))


def test_a_disk_that_fills_up_on_the_way(disk: Path, registry: Fake) -> None:
    store, filling, name = disk / "models", disk / "filling", f"{registry.host}/library/m"

    def fills(turn: Turn) -> None:
        turn.honest_head()
        turn.send(turn.data[: 1 << 20])
        _fill(disk, filling)
        turn.send(turn.data[1 << 20 :])

    registry.answer = fills
    with hosts.private(store) as private, httpx.Client(base_url=private.url, timeout=30, trust_env=False) as client:
        body = {"model": name, "insecure": True}
        said = client.post("/api/pull", json=body).text.splitlines()[-1]
        assert _FULL in said
        assert whole(store, private.url) == []
        filling.unlink()
        registry.answer = honest
        assert client.post("/api/pull", json={**body, "stream": False}).json() == {"status": "success"}
        assert answers(private.url, name)
        assert leftovers(store) == []


def _fill(disk: Path, filling: Path) -> None:
    facts = os.statvfs(disk)
    with filling.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize)


def _without_length(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 1 << 16):
        yield data[start : start + (1 << 16)]
