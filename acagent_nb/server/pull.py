"""Models into the store: the built-in ones from the package, with the progress lines of any other pull."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from .. import builtin, names
from ..errors import ServerError
from . import layers, remote
from .manifest import CONFIG, JINJA, WEIGHTS, Model
from .store import Store

_STEP = 192 * 1024  # bytes between two progress lines: a few lines for the tiny model


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
    target = store.stands_for(text)
    if target and (there := store.find(target)):
        for line in _complete(there):
            yield line
        return
    text = target or text
    model = builtin.find(text)
    if model is None:
        async with aclosing(remote.pull(store, text, insecure)) as lines:
            async for line in lines:
                yield line
        return
    yield {"status": "pulling manifest"}
    weights = await asyncio.to_thread(getattr, model, "digest")  # it reads the whole file
    for again in (True, False):
        async for line in _copied(store, model.file, weights):
            yield line
        kept = [layers.entry(WEIGHTS, weights, model.size)]
        if template := model.jinja.encode():
            kept.append(layers.entry(JINJA, store.keep(template), len(template)))
        data = layers.config(layers.about(model.file), kept)
        config = layers.entry(CONFIG, store.keep(data), len(data))
        for entry in (*kept[1:], config):
            yield _line(entry["digest"], entry["size"], entry["size"])
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        old = store.find(text)
        try:
            store.write(old.name if old else names.parse(text), layers.manifest(kept, config))
            break
        except ServerError:  # a blob may have gone with a model that was deleted meanwhile
            if not again or all(store.has(entry["digest"]) for entry in (*kept, config)):
                raise
    yield {"status": "success"}


def _complete(model: Model) -> Iterator[dict[str, Any]]:
    """The lines of a pull that finds everything here."""
    yield {"status": "pulling manifest"}
    for layer in (*model.layers, model.config):
        yield _line(layer.digest, layer.size, layer.size)
    for status in ("verifying sha256 digest", "writing manifest", "success"):
        yield {"status": status}


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
