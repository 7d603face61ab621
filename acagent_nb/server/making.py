"""New models out of others or out of uploaded files, with the progress lines of Ollama's `/api/create`.

Source: `server/create.go` of Ollama. The weights are never copied: a new model is a manifest that names
blobs which are there, and a few small ones of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from .. import names
from ..errors import BadName, ServerError
from . import gguf, go, manifest, pull, templates
from . import layers as written
from .garbage import remove_unused
from .manifest import Model, file_name
from .partial import writing
from .store import Store
from .upload import checked

_ABSENT = {  # fields of Ollama's that nothing here can honour
    "quantize": "this server does not quantize: upload a file that is quantized already",
    "quantization": "this server does not quantize: upload a file that is quantized already",
    "renderer": "Ollama's built-in renderers are not part of this server: give a Jinja `template` instead",
    "parser": "Ollama's built-in parsers are not part of this server: leave `parser` out",
    "draft_files": "this server runs no draft models: leave `draft_files` out",
    "remote_host": "this server runs models itself: leave `remote_host` out",
}
GO_TEMPLATE = "the template is Go's: it is kept for Ollama, while this server writes prompts with "


async def create(store: Store, asked: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """Make a model.

    Parameters
    ----------
    store
        Where its parts are, and where it will be.
    asked
        The request, checked by `body.CREATE` and for its name.

    Yields
    ------
    dict
        Ollama's progress lines, "success" last.

    Raises
    ------
    ServerError
        Status 400 for a request that makes no model, 501 for what this server can't do, else 500.
    """
    for field, why in _ABSENT.items():
        if asked.get(field):
            raise ServerError(why, status=501)
    for name in (*asked.get("files", {}), *asked.get("adapters", {})):
        if not _is_relative(name):
            raise ServerError("file path must be relative", status=400)
    if (template := asked.get("template")) and not templates.is_jinja(template):
        go.check(template)
    text = asked.get("model") or asked.get("name", "")
    layers: list[dict[str, Any]] = []
    async with aclosing(_parts(store, asked, layers)) as lines:
        async for line in lines:
            yield line
    if template and templates.is_jinja(template):
        await templates.check(template)
    base = store.find(asked["from"]) if asked.get("from") else None
    layers, config, statuses = await asyncio.to_thread(_kept, store, layers, base, asked)
    for status in (*statuses, "writing manifest"):
        yield {"status": status}
    await asyncio.to_thread(_write, store, text, layers, config)
    yield {"status": "success"}


async def _parts(
    store: Store, asked: dict[str, Any], layers: list[dict[str, Any]]
) -> AsyncGenerator[dict[str, Any], None]:
    """The layers that are there already, or are brought now, put into the list."""
    if source := asked.get("from"):
        async with aclosing(_brought(store, source)) as lines:
            async for line in lines:
                yield line
        base = store.find(source)
        if base is None:  # taken away the moment it was here
            raise ServerError(f"model '{source}' not found", status=404)
        await asyncio.to_thread(store.borrow, base)
        layers += [_named(base, *layer) for layer in base.layers]
    elif "files" in asked:
        if not asked["files"]:
            raise ServerError("no files provided to convert", status=400)
        for name, digest in asked["files"].items():
            yield _parsing(name)
            layers.append(_of_file(store, digest))
        if sum(layer["mediaType"] == manifest.WEIGHTS for layer in layers) != 1:
            raise ServerError("exactly one of the files must be a model", status=400)
    else:
        raise ServerError("neither 'from' or 'files' was specified", status=400)
    for name, digest in asked.get("adapters", {}).items():
        yield _parsing(name)
        layers.append(_of_file(store, digest, adapter=True))


def _write(store: Store, text: str, layers: list[dict[str, Any]], config: dict[str, Any]) -> None:
    """Let the model appear, and remove what only the one that it replaces has needed."""
    old = store.find(text)
    with writing(store.manifests):
        store.write(old.name if old else names.parse(text), written.manifest(layers, config))
    if old is not None:
        remove_unused(store, old.digests - {layer["digest"] for layer in (*layers, config)})


async def _brought(store: Store, source: str) -> AsyncGenerator[dict[str, Any], None]:
    """Pull a model that is not here, without the "success" that belongs to what is made of it."""
    try:
        if store.find(source) is not None:
            return
    except BadName:
        raise ServerError("invalid model name", status=400) from None
    async with aclosing(pull.pull(store, source)) as lines:
        async for line in lines:
            if line != {"status": "success"}:
                yield line


def _is_relative(name: str) -> bool:
    """Whether a file's name is one that Go's `fs.ValidPath` takes."""
    return name == "." or not any(part in ("", ".", "..") for part in name.split("/"))


def _parsing(name: str) -> dict[str, Any]:
    if name.endswith(".safetensors"):
        raise ServerError("this server does not convert safetensors: upload a GGUF file", status=501)
    return {"status": "parsing GGUF"}


def _of_file(store: Store, digest: str, *, adapter: bool = False) -> dict[str, Any]:
    """The layer that an uploaded file is, by what it says of itself."""
    digest = checked(digest)
    path = store.blobs / file_name(digest)
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ServerError("supplied file was not in GGUF format", status=400)
    except FileNotFoundError:
        raise ServerError(f"open {path}: no such file or directory") from None
    header = gguf.read(path)
    if path.stat().st_size <= header.least:
        raise ServerError(f"unable to load model: {path.name} is damaged or incomplete (the file ends too early)")
    if header.values.get("split.count", 0) > 1:
        raise ServerError("this server takes whole GGUF files only: merge the parts of this one first", status=501)
    media = manifest.WEIGHTS
    if header.values.get("general.type") == "adapter":
        media = manifest.ADAPTER
    elif header.architecture == "clip":
        media = manifest.PROJECTOR
    if adapter and media != manifest.ADAPTER:
        raise ServerError("the file of an adapter says that it is something else", status=400)
    return written.entry(media, digest, path.stat().st_size)


def _kept(
    store: Store, layers: list[dict[str, Any]], base: Model | None, asked: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
    """All layers, the config, and what to say of them, with the small ones written to the store."""
    own, replaced = _own(asked, base)
    layers = [layer for layer in layers if layer["mediaType"] not in replaced]
    given = asked.get("template", "") if manifest.TEMPLATE in replaced and manifest.JINJA not in replaced else ""
    used = [GO_TEMPLATE + _effective(store, layers, given)] if given else []
    statuses = [f"using existing layer {layer['digest']}" for layer in layers]
    with writing(store.blobs):
        for media, data in own:
            there = store.has("sha256:" + hashlib.sha256(data).hexdigest())
            layers.append(written.entry(media, store.keep(data), len(data)))
            statuses.append(f"{'using existing' if there else 'creating new'} layer {layers[-1]['digest']}")
        data = _config(store, layers, base, asked)
        config = written.entry(manifest.CONFIG, store.keep(data), len(data))
    return layers, config, statuses + used


def _own(asked: dict[str, Any], base: Model | None) -> tuple[list[tuple[str, bytes]], set[str]]:
    """The new model's small layers, and the kinds of inherited ones that they stand in for."""
    own: list[tuple[str, bytes]] = []
    if template := asked.get("template"):
        own.append((manifest.JINJA if templates.is_jinja(template) else manifest.TEMPLATE, template.encode()))
    if system := asked.get("system"):
        own.append((manifest.SYSTEM, system.encode()))
    licenses = asked.get("license") or []
    licenses = [licenses] if isinstance(licenses, str) else licenses
    if not isinstance(licenses, list) or not all(isinstance(each, str) for each in licenses):
        raise ServerError("a license is a text, or a list of texts", status=400)
    own += [(manifest.LICENSE, each.encode()) for each in licenses]
    if parameters := asked.get("parameters"):
        merged = (base.parameters if base else {}) | parameters
        own.append((manifest.PARAMETERS, _json(dict(sorted(merged.items())))))
    if messages := asked.get("messages"):
        said = [{"role": each.get("role", ""), "content": each.get("content", "")} for each in messages]
        own.append((manifest.MESSAGES, _json(said)))
    dropped = {media for media, _ in own} - {manifest.LICENSE}
    if manifest.JINJA in dropped:
        dropped.add(manifest.TEMPLATE)  # which was written for what this replaces
    return own, dropped


def _config(store: Store, layers: list[dict[str, Any]], base: Model | None, asked: dict[str, Any]) -> bytes:
    """The config blob as Ollama writes it."""
    if base is not None:
        try:
            config = dict(json.loads((store.blobs / file_name(base.config.digest)).read_bytes()))
        except FileNotFoundError:  # it has just been deleted
            raise ServerError(f"model '{base.name.short}' not found", status=404) from None
        except (ValueError, TypeError, RecursionError):
            raise ServerError(f"the config layer of {base.name.short} is damaged") from None
    else:
        weights = next(layer["digest"] for layer in layers if layer["mediaType"] == manifest.WEIGHTS)
        config = written.about(store.blobs / file_name(weights))
    if requires := asked.get("requires"):
        config["requires"] = requires
    return written.config(config, layers)


def _effective(store: Store, layers: list[dict[str, Any]], given: str) -> str:
    """Which template prompts are really written with where Go's is given; `ServerError` if there would be none."""
    if any(layer["mediaType"] == manifest.JINJA for layer in layers):
        return "the one that the model had before"
    weights = next(layer["digest"] for layer in layers if layer["mediaType"] == manifest.WEIGHTS)
    own = gguf.read(store.blobs / file_name(weights)).values.get("tokenizer.chat_template")
    if not own and not go.jinja(given):
        raise ServerError(f"the model can't be used like this: {go.UNSAYABLE}; give a Jinja template", status=400)
    return "the model file's own" if own else "a Jinja one that says the same"


def _named(base: Model, media: str, digest: str, size: int) -> dict[str, Any]:
    origin = {"from": base.name.short} if media == manifest.WEIGHTS else {}
    return written.entry(media, digest, size) | origin


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
