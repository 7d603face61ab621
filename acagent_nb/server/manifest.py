"""A model as its manifest tells of it: which layers it has, and what lies in them."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ServerError
from ..names import Name
from . import gguf

_KIND = "application/vnd.ollama.image."
WEIGHTS, ADAPTER, PROJECTOR = _KIND + "model", _KIND + "adapter", _KIND + "projector"
TEMPLATE, SYSTEM, LICENSE = _KIND + "template", _KIND + "system", _KIND + "license"
PARAMETERS, MESSAGES = _KIND + "params", _KIND + "messages"
CONFIG = "application/vnd.docker.container.image.v1+json"
JINJA = "application/vnd.acagent.template.jinja"  # a chat template that llama.cpp can run


_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Layer(NamedTuple):
    """One blob of a model."""

    media: str
    digest: str
    size: int

    @classmethod
    def read(cls, told: dict[str, Any]) -> Layer:
        """A layer as a manifest tells of it; nothing of it is trusted, as the digest becomes a file's name.

        Raises
        ------
        ValueError, KeyError, TypeError
            It is none.
        """
        media, digest, size = told["mediaType"], told["digest"], told["size"]
        if not (isinstance(media, str) and _DIGEST.fullmatch(digest) and type(size) is int and 0 <= size < 1 << 63):
            raise ValueError(told)
        return cls(media, digest, size)


class Model:
    """A model as its manifest tells of it.

    Attributes
    ----------
    name
        As it is spelled in the store.
    digest
        The manifest's own, 64 hex digits.
    changed
        When the manifest was written, nanoseconds since 1970.
    layers
        In the manifest's order; `config` is not among them.
    parent
        The name of the model that it was created from; empty if there is none.
    manifest, blobs
        Where these lie.
    """

    def __init__(self, name: Name, manifest: Path, blobs: Path, changed: int) -> None:
        raw = manifest.read_bytes()
        told = json.loads(raw)
        self.name = name
        self.digest = hashlib.sha256(raw).hexdigest()
        self.changed = changed
        self.layers = [Layer.read(each) for each in told["layers"]]
        self.config = Layer.read(told["config"])
        self.parent = next((str(each.get("from", "")) for each in told["layers"] if each["mediaType"] == WEIGHTS), "")
        self.manifest, self.blobs = manifest, blobs

    @property
    def size(self) -> int:
        """Bytes of all its blobs."""
        return sum(layer.size for layer in (*self.layers, self.config))

    @property
    def digests(self) -> set[str]:
        """Of all its blobs."""
        return {layer.digest for layer in (*self.layers, self.config)}

    @cached_property
    def weights(self) -> Path:
        """The model file; `ServerError` if the manifest names none."""
        path = self.path(WEIGHTS)
        if path is None:
            raise ServerError(f"unable to load model: {self.name.short} has no weights in the GGUF format")
        return path

    @property
    def header(self) -> gguf.Gguf:
        """What the model file says of itself."""
        return gguf.read(self.weights)

    @cached_property
    def template(self) -> str:
        """A Jinja template that stands in for the file's own; empty if there is none."""
        return self._text(JINJA)

    @cached_property
    def go_template(self) -> str:
        """Ollama's own kind of template, which llama.cpp can't run: kept for an Ollama on the same folder."""
        return self._text(TEMPLATE)

    @cached_property
    def system(self) -> str:
        """The system message of conversations that bring none."""
        return self._text(SYSTEM)

    @cached_property
    def license(self) -> str:
        """Its text; several are told one after the other."""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in self.paths(LICENSE))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The model author's own options."""
        return dict(self._json(PARAMETERS, dict))

    @cached_property
    def messages(self) -> list[dict[str, str]]:
        """Messages that open every conversation."""
        messages = list(self._json(MESSAGES, list))
        if not all(isinstance(each, dict) and {"role", "content"} <= each.keys() for each in messages):
            raise self._damaged(MESSAGES)
        return messages

    def paths(self, media: str) -> list[Path]:
        """Where the layers of a media type lie."""
        return [self.blobs / file_name(layer.digest) for layer in self.layers if layer.media == media]

    def path(self, media: str) -> Path | None:
        """Where the first of them lies."""
        return next(iter(self.paths(media)), None)

    @cached_property
    def projector(self) -> Path | None:
        """What turns images into tokens, for a model that sees."""
        return self.path(PROJECTOR)

    def _text(self, media: str) -> str:
        path = self.path(media)
        try:
            return path.read_text(encoding="utf-8") if path else ""
        except (OSError, UnicodeDecodeError):
            raise self._damaged(media) from None

    def _json(self, media: str, kind: type) -> Any:
        """What is in the first layer of a media type; something empty if there is none."""
        try:
            found = json.loads(self._text(media) or "null")
        except (ValueError, RecursionError):
            raise self._damaged(media) from None
        if not isinstance(found, (kind, type(None))):
            raise self._damaged(media)
        return kind() if found is None else found

    def _damaged(self, media: str) -> ServerError:
        return ServerError(
            f"unable to load model: the {media.rpartition('.')[2]} layer of {self.name.short} is damaged"
        )


def file_name(digest: str) -> str:
    """What a blob's file is called."""
    return digest.replace(":", "-")
