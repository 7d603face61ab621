"""What is written of a model, in Ollama's words, so that an Ollama on the same folder understands it too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import gguf, show


def entry(media: str, digest: str, size: int) -> dict[str, Any]:
    """One layer, as a manifest lists it."""
    return {"mediaType": media, "digest": digest, "size": size}


def manifest(layers: list[dict[str, Any]], config: dict[str, Any]) -> bytes:
    """A manifest of these layers, and of the config that lies beside them."""
    told = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": config,
        "layers": layers,
    }
    return json.dumps(told, separators=(",", ":")).encode()


def about(weights: Path) -> dict[str, Any]:
    """A config's fields for a model file."""
    header = gguf.read(weights)
    return {
        "model_format": "gguf",
        "model_family": header.architecture,
        "model_families": [header.architecture],
        "model_type": show.human(header.parameters),
        "file_type": header.quantization,
        "architecture": "amd64",
        "os": "linux",
    }


def config(fields: dict[str, Any], layers: list[dict[str, Any]]) -> bytes:
    """The config blob: its fields, and the digests of the layers."""
    told = fields | {"rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}
    return json.dumps(told, separators=(",", ":")).encode()
