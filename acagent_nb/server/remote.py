"""A model from a registry into the store, told in the progress lines of Ollama's `/api/pull`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from typing import Any

from .. import names
from ..errors import ServerError
from .fetch import Download, holding, under_way
from .garbage import remove_unused
from .manifest import Layer
from .partial import Partial, check_room, is_there, writing
from .registry import Registry
from .store import Store
from .transfer import How

_ROUNDS = 3  # a layer may be deleted with another model while the next one is downloaded


async def pull(
    store: Store, text: str, insecure: bool = False, how: How | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """Bring a model from its registry into the store.

    Closing the generator, or cancelling who reads it, stops the downloads that nobody else waits for;
    what has come is kept for the next time.

    Parameters
    ----------
    store
        Where to.
    text
        The model's name; its host is the registry. A scheme in front of it does not count.
    insecure
        Speak http instead of https.
    how
        Sizes and times, for tests.

    Yields
    ------
    dict
        Ollama's progress lines, "success" last. Unlike Ollama's, every layer ends with a line that
        says it is complete, so a bar never stays short of its end.

    Raises
    ------
    ServerError
        In Ollama's words.
    BadName
        No server accepts such a name.
    """
    how = how or How()
    name = names.parse(text)
    registry = Registry(name, insecure)
    yield {"status": "pulling manifest"}
    async with registry.connected(connect=how.connect, stall=how.stall) as client:
        manifest = await registry.manifest(client)
    old = store.find(text)
    for left in reversed(range(_ROUNDS)):
        with ExitStack() as held:  # until the manifest names them, nobody removes the blobs as garbage
            _check_room_for_all(store, manifest.layers)
            downloads: list[Download] = []
            for layer in manifest.layers:
                async with aclosing(_arriving(store, layer, registry, how, held, downloads)) as lines:
                    async for line in lines:
                        yield line
            yield {"status": "verifying sha256 digest"}
            for download in downloads:
                await asyncio.shield(download.task)
            yield {"status": "writing manifest"}
            try:
                with writing(store.manifests):
                    await asyncio.to_thread(store.write, old.name if old else name, manifest.raw)
                break
            except ServerError:
                if not left or all(is_there(store, layer) for layer in manifest.layers):
                    raise
    before = old.digests if old else set()
    if await asyncio.to_thread(remove_unused, store, before - {layer.digest for layer in manifest.layers}):
        yield {"status": "removing unused layers"}
    yield {"status": "success"}


async def _arriving(
    store: Store, layer: Layer, registry: Registry, how: How, held: ExitStack, downloads: list[Download]
) -> AsyncGenerator[dict[str, Any], None]:
    """The lines of one layer until all its bytes are on the disk; its download is added to the list."""
    while not is_there(store, layer):
        download = held.enter_context(holding(store, layer, registry, how))
        ends = {download.arrived, download.task}
        while not (await asyncio.wait(ends, timeout=how.tick, return_when=asyncio.FIRST_COMPLETED))[0]:
            yield _line(layer, download.completed)
        if download.arrived.done():
            downloads.append(download)
            break
        if download.registry is registry:
            download.task.result()  # raises what went wrong; what another asker's registry refuses, ours may give
    yield _line(layer, layer.size)


def _check_room_for_all(store: Store, layers: list[Layer]) -> None:
    """Refuse a model that does not fit, before its first blob; blobs already on their way have been checked."""
    with writing(store.blobs):
        store.blobs.mkdir(parents=True, exist_ok=True)
        needed = {}
        for layer in layers:
            if layer.digest not in under_way(store) and not is_there(store, layer):
                partial = Partial(store, layer)
                partial.look()
                needed[layer.digest] = layer.size - partial.completed
        check_room(sum(needed.values()), store.blobs)


def _line(layer: Layer, completed: int) -> dict[str, Any]:
    line = {"status": f"pulling {layer.digest[7:19]}", "digest": layer.digest, "total": layer.size}
    return line | ({"completed": completed} if completed else {})
