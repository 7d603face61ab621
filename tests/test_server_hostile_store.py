"""Models that are not what they seem, and files that somebody else put into the store.

They can't be used, but they can be seen and deleted, and all other models go on.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import hosts
from acagent_nb.server import manifest, tiny
from acagent_nb.server.garbage import sweep
from acagent_nb.server.store import Store

from .pulling import pulled, stored
from .registries import MANIFEST, Fake, Made, digest, fake, made
from .serving import SKY, soon

WEIGHTS = tiny.PATH.read_bytes()
CONFIG = b'{"model_format":"gguf"}'


class Shop:
    """A registry and a server."""

    def __init__(self, registry: Fake, client: httpx.Client, store: Path) -> None:
        self.registry, self.client, self.store = registry, client, store
        self.name = f"{registry.host}/library/m"

    def offer(self, *layers: tuple[str, bytes], config: bytes = CONFIG) -> bytes:
        """Put a model of these layers into the registry; its manifest."""
        blobs = [*layers, (manifest.CONFIG, config)]
        told = [{"mediaType": media, "digest": digest(data), "size": len(data)} for media, data in blobs]
        raw = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": told.pop(), "layers": told}).encode()
        self.registry.manifests["library/m"] = raw
        self.registry.blobs.update((digest(data), data) for _, data in blobs)
        return raw

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        method = "DELETE" if path == "/api/delete" else "POST"
        try:
            answer = self.client.request(method, path, json={"stream": False, **body}, timeout=3)
        except httpx.ReadTimeout:
            return {"error": "it works on it still"}
        return dict(answer.json()) if answer.content else {}

    def listed(self) -> list[str]:
        return [model["name"] for model in self.client.get("/api/tags").json()["models"]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    store = tmp_path_factory.mktemp("shop") / "models"
    with ExitStack() as held:
        registry, private = held.enter_context(fake()), held.enter_context(hosts.private(store))
        client = held.enter_context(httpx.Client(base_url=private.url, timeout=30, trust_env=False))
        shop = Shop(registry, client, store)
        shop.ask("/api/pull", model="tiny")
        yield shop


@pytest.fixture(autouse=True)
def tidy(shop: Shop) -> Iterator[None]:
    """Each test finds `tiny` alone, whatever the one before did."""
    yield
    for name in shop.listed():
        if name != "tiny:latest":
            shop.ask("/api/delete", model=name)


def gguf(*values: bytes, tensors: bytes = b"", count: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, count, len(values)) + b"".join(values) + tensors


def value(key: str, kind: int, data: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + data


_NESTED = struct.pack("<IQ", 9, 1) * 5000 + struct.pack("<IQ", 0, 0)
_WIDE = struct.pack("<Q", 1) + b"t" + struct.pack("<I", 1 << 30) + struct.pack("<Q", 1 << 62) * 1000
_HUGE = struct.pack("<Q", 1) + b"t" + struct.pack("<I", 4) + struct.pack("<Q", (1 << 64) - 1) * 4 + bytes(12)
PARAMS, MESSAGES, JINJA = manifest.PARAMETERS, manifest.MESSAGES, manifest.JINJA
LAYERS: dict[str, list[tuple[str, bytes]]] = {
    "no GGUF": [(manifest.WEIGHTS, b"not a model at all")],
    "half a GGUF": [(manifest.WEIGHTS, WEIGHTS[:5000])],
    "an empty file": [(manifest.WEIGHTS, b"")],
    "no weights": [(manifest.SYSTEM, b"hello")],
    "arrays of arrays": [(manifest.WEIGHTS, gguf(value("a", 9, _NESTED)))],
    "a billion dimensions": [(manifest.WEIGHTS, gguf(tensors=_WIDE, count=1))],
    "2 to the 256 parameters": [(manifest.WEIGHTS, gguf(tensors=_HUGE, count=1))],
    "a text of 4 GB": [(manifest.WEIGHTS, gguf(value("a", 8, struct.pack("<Q", 1 << 32))))],
    "texts of an exabyte": [(manifest.WEIGHTS, gguf(value("a", 9, struct.pack("<IQQ", 8, 9, 1 << 60))))],
    "a list as file type": [(manifest.WEIGHTS, gguf(value("general.file_type", 9, struct.pack("<IQ", 4, 0))))],
    "a list as context": [
        (
            manifest.WEIGHTS,
            gguf(
                value("general.architecture", 8, struct.pack("<Q", 5) + b"llama"),
                value("llama.context_length", 9, struct.pack("<IQ", 4, 0)),
            ),
        )
    ],
    "a template that is no text": [(manifest.WEIGHTS, WEIGHTS), (JINJA, b"\xff\xfe{{ messages }}")],
    "a template that fails": [(manifest.WEIGHTS, WEIGHTS), (JINJA, b"{% for x in messages %}")],
    "a template without end": [
        (manifest.WEIGHTS, WEIGHTS),
        (
            JINJA,
            b"{% for a in range(9999) %}{% for b in range(9999) %}{{ messages[0].content }}{% endfor %}{% endfor %}",
        ),
    ],
    "parameters that are none": [(manifest.WEIGHTS, WEIGHTS), (PARAMS, b"[1,")],
    "parameters in a list": [(manifest.WEIGHTS, WEIGHTS), (PARAMS, b"[1]")],
    "depth": [(manifest.WEIGHTS, WEIGHTS), (PARAMS, b"[" * 100_000)],
    "strange parameters": [(manifest.WEIGHTS, WEIGHTS), (PARAMS, b'{"num_ctx":[],"stop":5,"temperature":{"a":1}}')],
    "messages that are none": [(manifest.WEIGHTS, WEIGHTS), (MESSAGES, b"[5]")],
    "a system that is no text": [(manifest.WEIGHTS, WEIGHTS), (manifest.SYSTEM, b"\xff")],
    "a licence that is no text": [(manifest.WEIGHTS, WEIGHTS), (manifest.LICENSE, b"\xff")],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
def test_a_model_that_is_none(shop: Shop, layers: list[tuple[str, bytes]]) -> None:
    shop.offer(*layers)
    said = [shop.ask("/api/pull", model=shop.name, insecure=True)]
    assert sorted(shop.listed()) == [f"{shop.name}:latest", "tiny:latest"]
    said += [
        shop.ask("/api/show", model=shop.name, verbose=True),
        shop.ask("/api/chat", model=shop.name, messages=SKY, options={"num_predict": 1}),
        shop.ask("/api/embed", model=shop.name, input="a"),
        shop.ask("/api/create", model=f"{shop.name}2", **{"from": shop.name}, system="x", parameters={"top_k": 1}),
    ]
    assert not [each for each in said if "internal error" in str(each.get("error"))]
    assert shop.ask("/api/chat", model="tiny", messages=SKY, options={"num_predict": 1})["done"] is True
    for name in (shop.name, f"{shop.name}2"):
        shop.ask("/api/delete", model=name)
    assert shop.listed() == ["tiny:latest"]
    soon(lambda: shop.name not in shop.client.get("/api/ps").text)  # not even an engine that is at work for ever


@pytest.mark.parametrize("config", [b"not JSON", b"[5]", b"\xff", b"[" * 100_000, b""])
def test_a_config_that_is_none(shop: Shop, config: bytes) -> None:
    shop.offer((manifest.WEIGHTS, WEIGHTS), config=config)
    assert shop.ask("/api/pull", model=shop.name, insecure=True) == {"status": "success"}
    assert shop.ask("/api/chat", model=shop.name, messages=SKY, options={"num_predict": 1})["done"] is True
    told = shop.ask("/api/create", model=f"{shop.name}2", **{"from": shop.name}, system="x")
    assert told["error"] == f"the config layer of {shop.name}:latest is damaged"
    shop.ask("/api/delete", model=shop.name)
    assert shop.listed() == ["tiny:latest"]


@pytest.mark.parametrize("where", ["{outside}", "sha256:../../{name}", "../../{name}", "sha256:" + "0" * 64 + "/../x"])
def test_a_manifest_that_leads_outside(shop: Shop, where: str) -> None:
    outside = shop.store.parent / "secret"
    outside.write_text("secret")
    entry = {"mediaType": manifest.SYSTEM, "digest": where.format(outside=outside, name=outside.name), "size": 6}
    model = {"mediaType": manifest.WEIGHTS, "digest": digest(WEIGHTS), "size": len(WEIGHTS)}
    raw = json.dumps({"schemaVersion": 2, "config": entry, "layers": [model, entry]})
    path = shop.store / "manifests" / "127.0.0.1:1" / "a" / "b" / "latest"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(raw)
    assert shop.listed() == ["tiny:latest"]
    for route in ("/api/show", "/api/delete"):
        assert "not found" in shop.ask(route, model="127.0.0.1:1/a/b")["error"]
    assert "not found" in shop.ask("/api/chat", model="127.0.0.1:1/a/b", messages=SKY)["error"]
    assert outside.read_text() == "secret"
    path.unlink()


def test_links_are_replaced_and_not_followed(shop: Shop, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    store = Store(tmp_path / "models")
    model = made(5000)
    blob = store.blobs / digest(model.blobs[0]).replace(":", "-")
    store.blobs.mkdir(parents=True)
    outside.write_bytes(bytes(5000))
    Path(f"{blob}-partial").symlink_to(outside)
    Path(f"{blob}-partial-0").write_text('{"N":0,"Offset":0,"Size":5000,"Completed":100}')
    shop.registry.add(model)
    where = store.manifests.joinpath(shop.registry.host, "library", "m", "latest")
    where.parent.mkdir(parents=True)
    where.symlink_to(outside)
    pulled(store, shop.name)
    assert outside.read_bytes() == bytes(5000)
    assert not where.is_symlink()
    assert stored(store, model)
    blob.unlink()
    blob.symlink_to(outside)
    store.delete(store.models()[0])
    assert outside.exists()
    assert not blob.is_symlink()


@pytest.mark.parametrize("spelled", ["escaped", "UTF-16"])
def test_blobs_of_a_manifest_in_another_spelling_are_no_garbage(shop: Shop, spelled: str, tmp_path: Path) -> None:
    raw = shop.offer((manifest.WEIGHTS, WEIGHTS))
    other = raw.replace(b"sha256:", b"\\u0073ha256:") if spelled == "escaped" else raw.decode().encode("utf-16")
    shop.registry.manifests["library/m"] = other
    store = Store(tmp_path)
    pulled(store, shop.name)
    then = time.time() - 7200
    for path in store.blobs.iterdir():
        os.utime(path, (then, then))
    assert sweep(store) == []
    assert stored(store, Made((WEIGHTS, CONFIG)))
