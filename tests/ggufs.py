"""Model files for tests: small GGUFs of any kind, written from scratch or with more said in their header."""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from acagent_nb import builtin

TINY = builtin.find("tiny")
assert TINY is not None
_ALIGNED = 32


class Array(NamedTuple):
    """Weights in F32: the shape with the fastest dimension first, and the numbers."""

    shape: Sequence[int]
    numbers: Sequence[float]


def noise(*shape: int, scale: float = 0.02, seed: int = 1) -> Array:
    """Weights that nobody trained."""
    draw = random.Random(f"{seed}{shape}")
    count = 1
    for length in shape:
        count *= length
    return Array(shape, [draw.gauss(0, scale) for _ in range(count)])


def constant(length: int, value: float) -> Array:
    return Array([length], [value] * length)


def written(values: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """A whole file."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(arrays), len(values)) + _values(values)
    data = b""
    for name, array in arrays.items():
        shape = b"".join(struct.pack("<Q", length) for length in array.shape)
        head += _text(name) + struct.pack("<I", len(array.shape)) + shape + struct.pack("<IQ", 0, len(data))
        data += _padded(struct.pack(f"<{len(array.numbers)}f", *array.numbers))
    return _padded(head) + data


def with_more(file: Path, values: Mapping[str, Any]) -> bytes:
    """A file with more values in its header; one that is there already may not be among them."""
    whole = file.read_bytes()
    tensors, count = struct.unpack_from("<QQ", whole, 8)
    at = 24
    for _ in range(count):
        at = _after_value(whole, _after_text(whole, at))
    info = at
    for _ in range(tensors):
        at = _after_text(whole, at)
        at += 4 + 8 * struct.unpack_from("<I", whole, at)[0] + 12
    head = whole[:16] + struct.pack("<Q", count + len(values)) + whole[24:info] + _values(values) + whole[info:at]
    return _padded(head) + whole[at + -at % _ALIGNED :]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _values(values: Mapping[str, Any]) -> bytes:
    return b"".join(_text(key) + _value(value) for key, value in values.items())


def _value(value: Any) -> bytes:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    if isinstance(value, list):
        return struct.pack("<IIQ", 9, 6, len(value)) + struct.pack(f"<{len(value)}f", *value)
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    return struct.pack("<II", 4, value) if isinstance(value, int) else struct.pack("<I", 8) + _text(value)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNED)


def _after_text(whole: bytes, at: int) -> int:
    return int(at + 8 + struct.unpack_from("<Q", whole, at)[0])


_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def _after_value(whole: bytes, at: int) -> int:
    kind = struct.unpack_from("<I", whole, at)[0]
    return _after(whole, at + 4, kind)


def _after(whole: bytes, at: int, kind: int) -> int:
    if kind == 8:
        return _after_text(whole, at)
    if kind != 9:
        return at + _SIZES[kind]
    inner, count = struct.unpack_from("<IQ", whole, at)
    at += 12
    for _ in range(count):
        at = _after(whole, at, inner)
    return at
