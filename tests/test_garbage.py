"""What a server's start removes from the store, and what it must not touch."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from acagent_nb.server import claims
from acagent_nb.server.fetch import lock
from acagent_nb.server.garbage import remove_unused, sweep
from acagent_nb.server.store import Store

from .pulling import left_at, pulled, puller, stored
from .registries import fake, made, slow

HEX = "sha256-" + "0" * 64


def old(path: Path, hours: float = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x")
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


def ours(store: Store, end: str = "", name: str = HEX) -> Path:
    """What a server of ours left in the blobs' folder when it died, two hours ago."""
    claims.mark(store.folder, [name])
    old(store.folder / ".marks" / name)
    return old(store.blobs / f"{name}{end}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One with a model, all of it two hours old."""
    with fake() as registry:
        registry.add(made())
        pulled(tmp_path, f"{registry.host}/library/m")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            old(path)
    return Store(tmp_path)


def test_a_model_s_blobs_stay(store: Store) -> None:
    before = sorted(store.blobs.iterdir())
    assert sweep(store) == []
    assert sorted(store.blobs.iterdir()) == before
    assert len(store.models()) == 1


def test_what_has_rested_for_an_hour_goes(store: Store) -> None:
    garbage = [old(store.folder / ".writing-0123"), *(ours(store, end) for end in ("", "-partial", "-partial-0"))]
    assert sorted(sweep(store)) == sorted(garbage)
    assert not any(path.exists() for path in garbage)
    sweep(store)
    assert claims.marked(store.folder) == []


def test_a_small_blob_that_no_model_was_made_of_goes(store: Store) -> None:
    path = old(store.blobs / store.keep(b"a system message").replace(":", "-"))
    assert sweep(store) == [path]


def test_what_only_a_replaced_model_needed_goes_even_if_the_server_died_then(store: Store) -> None:
    model = store.models()[0]
    raw = json.loads(model.manifest.read_bytes())
    store.write(model.name, json.dumps(raw | {"layers": raw["layers"][:1]}).encode())
    removed = {path.name.replace("-", ":") for path in sweep(store)}
    assert removed == {layer.digest for layer in model.layers[1:]}
    assert store.has(model.layers[0].digest)
    assert store.has(model.config.digest)


@pytest.mark.parametrize("value", ["1", "true"])
def test_unless_noprune_says_not_to(value: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_NOPRUNE", value)
    path = ours(store)
    assert sweep(store) == []
    assert path.exists()
    monkeypatch.setenv("OLLAMA_NOPRUNE", "0")
    assert sweep(store) == [path]


def test_what_is_fresh_or_locked_or_not_ours_stays(store: Store) -> None:
    fresh = [ours(store, end) for end in ("-partial", "-partial-0")]
    fresh[1].write_text("{}")  # a download that goes on writes its notes
    strange = old(store.blobs / "notes.txt")
    new = store.folder / ".writing-4567"
    new.touch()
    locked = ours(store, name=HEX.replace("0", "1"))
    with lock(store, locked.name):
        assert sweep(store) == []
    assert all(path.exists() for path in (*fresh, strange, new, locked))
    assert sweep(store) == [locked]


def test_nothing_goes_if_a_manifest_can_t_be_read(store: Store) -> None:
    path = ours(store)
    loop = store.manifests / "loop"
    loop.symlink_to(loop)
    assert sweep(store) == []
    loop.unlink()
    assert sweep(store) == [path]


def test_a_manifest_that_is_no_model_still_keeps_its_blobs(store: Store) -> None:
    path = ours(store)
    other = store.manifests / "host" / "other" / "list"
    other.parent.mkdir(parents=True)
    other.write_text(f'{{"manifests":[{{"digest":"{HEX.replace("-", ":")}"}}]}}')
    assert sweep(store) == []
    assert path.exists()


def test_locks_that_nobody_has_touched_for_an_hour_go(store: Store) -> None:
    locks = sorted((store.folder / ".locks").iterdir())
    assert len(locks) == 4
    with lock(store, locks[0].name):
        old(locks[0])  # a download that takes long
        sweep(store)
    assert list((store.folder / ".locks").iterdir()) == locks[:1]


def test_no_folder_no_garbage(tmp_path: Path) -> None:
    assert sweep(Store(tmp_path / "none")) == []
    assert not (tmp_path / "none").exists()


def test_blobs_that_another_model_needs_stay(store: Store) -> None:
    model = store.models()[0]
    unused = old(store.blobs / HEX)
    assert remove_unused(store, [model.config.digest, HEX.replace("-", ":")]) == [unused]
    assert store.has(model.config.digest)


def test_a_download_of_another_server_is_left_alone(tmp_path: Path) -> None:
    with fake(slow) as registry:
        model = registry.add(made(3 << 20))
        with puller(tmp_path, f"{registry.host}/library/m") as process:
            assert process.stdout is not None
            while b'"completed"' not in process.stdout.readline().encode():
                pass
            for path in tmp_path.glob("blobs/*"):
                old(path)
            assert sweep(Store(tmp_path)) == []
            process.communicate()
    assert stored(tmp_path, model)


def test_a_download_given_up_is_removed_in_the_end(tmp_path: Path) -> None:
    with fake(slow) as registry:
        registry.add(made(3 << 20))
        store = Store(tmp_path)
        asyncio.run(left_at(store, f"{registry.host}/library/m", 1 << 20))
    assert sweep(store) == []
    for path in store.blobs.iterdir():
        old(path)
    assert len(sweep(store)) == 4
    assert not list(store.blobs.iterdir())
