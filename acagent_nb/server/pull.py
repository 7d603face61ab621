"""Models into the store: the built-in ones from the package, with the progress lines of any other pull."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from .. import names
from ..errors import ServerError
from . import gguf, remote, show
from .store import JINJA, WEIGHTS, Store

_STEP = 192 * 1024  # bytes between two progress lines: a few lines for the tiny model


class BuiltIn(NamedTuple):
    """A model that comes with the package: its file, and a template if not the file's own."""

    file: Path
    template: str = ""


@cache
def built_in() -> dict[str, BuiltIn]:
    """The built-in models by the keys of their names."""
    from . import tiny

    return {
        names.parse("tiny").key: BuiltIn(tiny.PATH),
        names.parse("tiny:skills").key: BuiltIn(tiny.PATH, tiny.SKILLS_TEMPLATE),
    }


async def pull(store: Store, text: str, insecure: bool = False) -> AsyncGenerator[dict[str, Any], None]:
    """Bring a model into the store: a built-in one from the package, any other from its registry.

    Parameters
    ----------
    store
        Where to.
    text
        The model's name.
    insecure
        Whether its registry is asked by http.

    Yields
    ------
    dict
        Ollama's progress lines, "success" last.

    Raises
    ------
    ServerError
        The registry does not have it or does not answer, or the download failed.
    """
    name = names.parse(text)
    model = built_in().get(name.key)
    if model is None:
        async with aclosing(remote.pull(store, text, insecure)) as lines:
            async for line in lines:
                yield line
        return
    yield {"status": "pulling manifest"}
    weights = await asyncio.to_thread(_digest, model.file)
    async for line in _copied(store, model.file, weights):
        yield line
    layers = [_entry(WEIGHTS, weights, model.file.stat().st_size)]
    if model.template:
        data = model.template.encode()
        layers.append(_entry(JINJA, store.keep(data), len(data)))
    data = _config(model.file, [entry["digest"] for entry in layers])
    config = _entry("application/vnd.docker.container.image.v1+json", store.keep(data), len(data))
    for entry in (*layers[1:], config):
        yield _line(entry["digest"], entry["size"], entry["size"])
    yield {"status": "verifying sha256 digest"}
    yield {"status": "writing manifest"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": config,
        "layers": layers,
    }
    old = store.find(text)
    store.write(old.name if old else name, json.dumps(manifest, separators=(",", ":")).encode())
    yield {"status": "success"}


async def _copied(store: Store, file: Path, digest: str) -> AsyncIterator[dict[str, Any]]:
    """Copy a file into the blobs, telling how far it is; nothing to copy if it is there already."""
    total = await asyncio.to_thread(os.path.getsize, file)
    if store.has(digest):
        yield _line(digest, total, total)
        return
    seen = hashlib.sha256()
    blob = store.blobs / digest.replace(":", "-")
    with store.writing(blob) as out, file.open("rb") as source:
        while data := source.read(_STEP):
            out.write(data)
            seen.update(data)
            yield _line(digest, total, source.tell())
            await asyncio.sleep(0)  # other requests go on meanwhile
        if "sha256:" + seen.hexdigest() != digest:
            raise ServerError(
                f"digest mismatch, file must be downloaded again: want {digest}, got sha256:{seen.hexdigest()}"
            )


def _line(digest: str, total: int, completed: int) -> dict[str, Any]:
    return {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total, "completed": completed}


def _entry(media: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media, "digest": digest, "size": size}


def _config(file: Path, digests: list[str]) -> bytes:
    """The config blob as Ollama writes it, so that an Ollama on the same folder understands the model."""
    header = gguf.read(file)
    config = {
        "model_format": "gguf",
        "model_family": header.architecture,
        "model_families": [header.architecture],
        "model_type": show.human(header.parameters),
        "file_type": header.quantization,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    return json.dumps(config, separators=(",", ":")).encode()


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        digest = hashlib.sha256()
        while data := source.read(1 << 20):
            digest.update(data)
    return "sha256:" + digest.hexdigest()
