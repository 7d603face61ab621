"""Folders that somebody else uses too, or that are not whole: nothing goes that anybody may need."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from acagent_nb import hosts
from acagent_nb.server import claims
from acagent_nb.server.garbage import remove_unused, sweep
from acagent_nb.server.store import Store

from .pulling import pulled
from .registries import fake, made
from .serving import Server

ONES = "sha256:" + "1" * 64
LIST = "application/vnd.ollama.manifest.list.v2+json"


def aged(folder: Path) -> None:
    """All in it as if nobody had touched it for two hours."""
    then = time.time() - 7200
    for path in folder.rglob("*"):
        os.utime(path, (then, then), follow_symlinks=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """One with a model of two names."""
    store = Store(tmp_path / "models")
    with fake() as registry:
        registry.add(made())
        pulled(store, f"{registry.host}/library/m")
    store.copy(store.models()[0], "second")
    aged(store.folder)
    return store


def one(manifests: Path) -> Path:
    """The file of the name that is not `second`."""
    return next(path for path in manifests.rglob("*") if path.is_file() and "second" not in path.parts)


def gone(manifests: Path) -> None:
    shutil.rmtree(manifests)


def empty(manifests: Path) -> None:
    gone(manifests)
    manifests.mkdir()


def half_copied(manifests: Path) -> None:
    one(manifests).unlink()
    shutil.rmtree(manifests / "registry.ollama.ai")


def elsewhere(manifests: Path) -> None:
    gone(manifests)
    manifests.symlink_to(manifests.parent / "a disk that is not there")


def newer(manifests: Path) -> None:
    """As an Ollama with `manifests-v2` has it: a name is a link to a blob."""
    path = one(manifests)
    blob = manifests.parent / "blobs" / ONES.replace(":", "-")
    blob.write_bytes(path.read_bytes())
    there = manifests.parent / "manifests-v2" / path.relative_to(manifests)
    there.parent.mkdir(parents=True)
    there.symlink_to(blob)
    path.unlink()


def a_list(manifests: Path) -> None:
    told = {"schemaVersion": 2, "mediaType": LIST, "manifests": [{"mediaType": "x", "digest": ONES}]}
    one(manifests).write_text(json.dumps(told))


def cut_short(manifests: Path) -> None:
    one(manifests).write_bytes(one(manifests).read_bytes()[:50])


def behind_a_link(manifests: Path) -> None:
    host = one(manifests).parents[2]
    there = manifests.parent.parent / "another disk"
    host.rename(there)
    host.symlink_to(there)


def in_capitals(manifests: Path) -> None:
    raw = json.loads(one(manifests).read_bytes())
    for layer in (*raw["layers"], raw["config"]):
        layer["digest"] = "sha256:" + layer["digest"][7:].upper()
    one(manifests).write_text(json.dumps(raw))


def an_index(manifests: Path) -> None:
    one(manifests).rename(manifests.parent / "index.json")


MISREAD = [elsewhere, newer, a_list, cut_short, behind_a_link, in_capitals, an_index]


@pytest.mark.parametrize("happened", [gone, empty, half_copied, *MISREAD])
def test_no_blob_goes_whatever_happened_to_the_names(store: Store, happened: Callable[[Path], None]) -> None:
    before = set(store.blobs.iterdir())
    happened(store.manifests)
    aged(store.folder)
    assert sweep(store) == []
    assert before <= set(store.blobs.iterdir())


@pytest.mark.parametrize("happened", MISREAD)
def test_not_even_what_is_ours_while_names_may_be_misread(store: Store, happened: Callable[[Path], None]) -> None:
    before = {path.name for path in store.blobs.iterdir()}
    claims.mark(store.folder, before)
    happened(store.manifests)
    aged(store.folder)
    assert sweep(store) == remove_unused(store, before) == []
    assert before <= {path.name for path in store.blobs.iterdir()}


@pytest.mark.parametrize("happened", [each for each in MISREAD if each is not elsewhere])
def test_nor_with_a_name_that_is_removed(store: Store, happened: Callable[[Path], None]) -> None:
    before = set(store.blobs.iterdir())
    happened(store.manifests)
    second = store.find("second")
    assert second is not None
    store.delete(second)
    assert store.find("second") is None
    aged(store.folder)
    assert sweep(store) == []
    assert before <= set(store.blobs.iterdir())


def test_who_only_looks_into_the_folder_stops_nothing(store: Store) -> None:
    for folder in (store.folder, store.manifests, one(store.manifests).parent):
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    for model in store.models():
        store.delete(model)
    assert list(store.blobs.iterdir()) == []


def test_fields_that_only_a_newer_server_knows_count(store: Store) -> None:
    model = store.models()[0]
    draft = store.keep(b"weights of a draft model")
    raw = json.loads(model.manifest.read_bytes()) | {"draft": {"digest": draft[7:].upper()}}
    model.manifest.write_text(json.dumps(raw))
    assert remove_unused(store, [draft]) == []
    assert store.has(draft)


def test_a_server_on_a_newer_ollamas_folder_leaves_all_as_it_is(store: Store) -> None:
    before = {path: path.read_bytes() for path in store.blobs.iterdir()}
    store.manifests.rename(store.folder / "manifests-v2")
    aged(store.folder)
    with hosts.private(store.folder) as private:
        server = Server(private)  # which pulls `tiny`
        assert [model["name"] for model in server.client.get("/api/tags").json()["models"]] == ["tiny:latest"]
        server.client.request("DELETE", "/api/delete", json={"model": "tiny"}).raise_for_status()
        server.client.close()
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_manifest_list_keeps_what_it_names_when_another_name_is_deleted(tmp_path: Path) -> None:
    with hosts.private(tmp_path) as private:
        server = Server(private)
        store = Store(tmp_path)
        tiny = store.find("tiny")
        assert tiny is not None
        blobs = set(store.blobs.iterdir())
        path = tiny.manifest.parents[1] / "listed" / "latest"
        path.parent.mkdir()
        children = [{"digest": layer.digest} for layer in (*tiny.layers, tiny.config)]
        path.write_text(json.dumps({"schemaVersion": 2, "mediaType": LIST, "manifests": children}))
        server.client.request("DELETE", "/api/delete", json={"model": "tiny"}).raise_for_status()
        assert set(store.blobs.iterdir()) == blobs
        server.client.close()
