"""How much memory a model will take, and how much there is.

    need = files + context + batch + engine

    files    the weights, adapters and the projector: mapped or read, they are all touched by the first answer
    context  2 bytes (f16) for each number of each layer's keys and values, for each token:
             slots x num_ctx (rounded up to 256) x layers x key-value heads x (key + value length)
    batch    4 bytes for each number that is worked out while a prompt is read:
             num_batch x (vocabulary + 4 x embedding + 3 x feed-forward)
    engine   48 MB: Python, llama.cpp, and the stacks of its threads

It is meant to be too high rather than too low: layers that keep less than the whole context count in full, and
the files for each of two children with the same ones, because of weights in Q4 the engine makes a copy in each.
A second child that only makes vectors has one slot, with num_batch in the place of num_ctx.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own

from .gguf import Gguf
from .settings import PER_TOKENS, Load

_ENGINE = 48 << 20
_CGROUP = Path("/sys/fs/cgroup")


def need(header: Gguf, load: Load) -> int:
    """Bytes that a child will take.

    Parameters
    ----------
    header
        Of the weights.
    load
        What it is to be started with.
    """
    files = sum(os.path.getsize(path) for path in (load.weights, load.projector, *load.adapters) if path)
    embedding, layers = _number(header, "embedding_length"), _number(header, "block_count")
    heads = _number(header, "attention.head_count") or 1
    width = embedding // heads
    lengths = sum(_number(header, f"attention.{part}_length") or width for part in ("key", "value"))
    per_token = 2 * layers * (_number(header, "attention.head_count_kv") or heads) * lengths
    batch = max(load.num_batch, load.longest)
    rounded = -(-(batch if load.beside else load.num_ctx) // PER_TOKENS) * PER_TOKENS
    vocabulary = next((tensor.shape[-1] for tensor in header.tensors if tensor.name == "token_embd.weight"), 0)
    numbers = vocabulary + 4 * embedding + 3 * _number(header, "feed_forward_length")
    return files + load.slots * rounded * per_token + 4 * batch * numbers + _ENGINE


def on_gpu(header: Gguf, load: Load) -> float:
    """Which share of a model lies on the GPU, where there is one: all, or so many layers as were asked for."""
    return 1.0 if load.num_gpu < 0 else min(1.0, load.num_gpu / (_number(header, "block_count") + 1))


def available(limit: int | None, taken: Iterable[tuple[int, int | None]]) -> int:
    """Bytes that one more model may take.

    Parameters
    ----------
    limit
        What all models may take together; `None` for what this machine's main memory has left.
    taken
        For each model that is loaded or being loaded what it needs, and its process if it has one yet.
    """
    others = list(taken)
    if limit is not None:
        return limit - sum(needed for needed, _ in others)
    # What they have not touched yet, or only mapped, counts as available to the system, but they will want it.
    return _free() - sum(max(0, needed - own(pid)) for needed, pid in others)


def own(pid: int | None) -> int:
    """What a process holds that the system can't take from it: not the file that it maps."""
    if pid is None:
        return 0
    try:
        told = psutil.Process(pid).memory_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(told.rss - getattr(told, "shared", 0))


def human(size: int) -> str:
    """Bytes in Go's binary units, as Ollama's errors have them."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{max(0, size)} B"


def _number(header: Gguf, key: str) -> int:
    """A number of the architecture; the greatest one where each layer has its own."""
    told: Any = header.of(key, 0)
    return int(max(told, default=0) if isinstance(told, list) else told or 0)


def _free() -> int:
    """What the system can give, or else what is left of this container's share."""
    free = int(psutil.virtual_memory().available)
    try:
        most = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        facts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, no limit, or not Linux
        return free
    return min(free, most - used + int(facts.get("inactive_file", 0)))
