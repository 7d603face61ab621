"""Registries that lie: of a model that is none nothing is kept, and the server answers the next request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .pulling import refused
from .registries import Fake, digest, fake, say
from .serving import Server, serving, unhurt

DEEP = 100_000


@pytest.fixture(scope="module")
def victim() -> Iterator[Server]:
    """One server for all attacks, so that each shows what the ones before have left of it."""
    with serving() as server:
        yield server


def manifest(**config: Any) -> dict[str, Any]:
    media = "application/vnd.ollama.image.model"
    entry = {"mediaType": media, "digest": digest(b"x"), "size": 1}
    return {"schemaVersion": 2, "config": entry | config, "layers": [entry]}


MANIFESTS: dict[str, bytes] = {
    "a path": json.dumps(manifest(digest="sha256:../../x")).encode(),
    "an absolute path": json.dumps(manifest(digest="/etc/passwd")).encode(),
    "a path after the digest": json.dumps(manifest(digest=digest(b"x") + "/../../x")).encode(),
    "a newline after the digest": json.dumps(manifest(digest=digest(b"x") + "\n")).encode(),
    "upper case": json.dumps(manifest(digest=digest(b"x").upper())).encode(),
    "a list as digest": json.dumps(manifest(digest=["sha256:x"])).encode(),
    "less than nothing": json.dumps(manifest(size=-1)).encode(),
    "half a byte": json.dumps(manifest(size=0.5)).encode(),
    "too many bytes to count": json.dumps(manifest(size=10**400)).encode(),
    "no media type": json.dumps(manifest(mediaType=None)).encode(),
    "no layers": json.dumps(manifest() | {"layers": None}).encode(),
    "one layer": json.dumps(manifest() | {"layers": {"digest": "x"}}).encode(),
    "a list": b"[]",
    "depth": b"[" * DEEP,
    "no end": b'{"layers":[' + b" " * (5 << 20),
    "nothing": b" ",
}


@pytest.mark.parametrize("raw", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_manifests_that_are_none(raw: bytes, tmp_path: Path) -> None:
    with fake() as registry:
        registry.manifests["library/m"] = raw
        said = refused(tmp_path / "store", f"{registry.host}/library/m")
    assert said == "pull model manifest: the registry's answer is not the manifest of a model"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_quintillion_bytes(victim: Server) -> None:
    with fake() as registry, unhurt(victim):
        registry.manifests["library/m"] = json.dumps(manifest(size=10**18)).encode()
        assert "no space left on device" in pull(victim, registry)
    assert victim.client.get("/api/tags").json()["models"][0]["name"] == "tiny:latest"


def test_thousands_of_layers(victim: Server) -> None:
    layers = [{"mediaType": "x", "digest": digest(b"%d" % number), "size": 1} for number in range(20_000)]
    with fake() as registry, unhurt(victim):
        registry.manifests["library/m"] = json.dumps(manifest() | {"layers": layers}).encode()
        assert "the manifest names 20000 layers" in pull(victim, registry)


def test_a_token_without_end(victim: Server) -> None:
    def asks(handler: Any) -> None:
        say(handler, 401, b"{}", WWW_Authenticate=f'Bearer realm="http://{registry.host}/v2/library/t/manifests/x"')

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(400):
            handler.wfile.write(b" " * (1 << 20))

    before = victim.process.memory_info().rss
    with fake() as registry, unhurt(victim):
        registry.manifests |= {"library/m": asks, "library/t": endless}
        assert "unauthorized" in pull(victim, registry)
    assert victim.process.memory_info().rss < before + (60 << 20)


def pull(server: Server, registry: Fake, name: str = "library/m") -> str:
    """How a pull ends."""
    body = {"model": f"{registry.host}/{name}", "insecure": True, "stream": False}
    told = server.client.post("/api/pull", json=body).json()
    return str(told.get("error", told.get("status")))
