"""What a model file says of itself: the GGUF header, read without the weights.

The `gguf` package makes an array of every token; a vocabulary of 128,000 takes it seconds. Here long
arrays are stepped over unless they are asked for.

Source: ggml's `docs/gguf.md`, and `llama.h` for the file types.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import ServerError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_LONG = 1 << 32  # no sane count or text in a header is greater


def _numbered(words: str, start: int = 0) -> dict[int, str]:
    return dict(enumerate(words.split(), start))


def _names(words: str) -> frozenset[bytes]:
    return frozenset(word.encode() for word in words.split())


_FILE_TYPES = (
    _numbered("F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M")
    | _numbered("Q5_K_S Q5_K_M Q6_K IQ2_XXS IQ2_XS Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL", 16)
    | _numbered("IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16 - - - TQ1_0 TQ2_0 MXFP4", 26)
)
_TENSOR_TYPES = (
    _numbered("F32 F16 Q4_0 Q4_1 - - Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K")
    | _numbered("IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16", 16)
    | {34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4"}
)

# The tokens that stand before, after and for a gap in a text; llama.cpp, too, knows them by their names.
_GAPS = (
    _names("<|fim_prefix|> <fim-prefix> <fim_prefix> <\uff5cfim▁begin\uff5c> <PRE> ▁<PRE> <|code_prefix|> <|prefix|>"),
    _names("<|fim_suffix|> <fim-suffix> <fim_suffix> <\uff5cfim▁hole\uff5c> <SUF> ▁<SUF> <|code_suffix|> <|suffix|>"),
    _names("<|fim_middle|> <fim-middle> <fim_middle> <\uff5cfim▁end\uff5c> <MID> ▁<MID> <|code_middle|> <|middle|>"),
)
_GAP_NAMES = _GAPS[0] | _GAPS[1] | _GAPS[2]
_GAP_KEYS = (("fim_pre", "prefix"), ("fim_suf", "suffix"), ("fim_mid", "middle"))


class Tensor(NamedTuple):
    """One tensor's name, type's name, and shape with the fastest dimension first."""

    name: str
    type: str
    shape: list[int]


@dataclass(frozen=True, eq=False)  # an unchanged file has one and the same header, by which others remember things
class Gguf:
    """A model file's header.

    Attributes
    ----------
    values
        The metadata by key; an array of more than five items is `None` unless all was asked for.
    tensors
        In the file's order.
    gaps
        Those of its tokens that stand around a gap in a text.
    least
        Where its last tensor begins: a file of no more bytes is not whole.
    """

    values: dict[str, Any]
    tensors: list[Tensor]
    gaps: frozenset[bytes] = frozenset()
    least: int = 0

    @property
    def fills(self) -> bool:
        """Whether the model knows the three tokens that are needed to fill a gap in a text."""
        return all(
            bool(self.gaps & gap) or any(f"tokenizer.ggml.{key}_token_id" in self.values for key in keys)
            for gap, keys in zip(_GAPS, _GAP_KEYS, strict=True)
        )

    @property
    def architecture(self) -> str:
        """The kind of model, such as "llama"."""
        return str(self.values.get("general.architecture", ""))

    def of(self, key: str, default: Any = None) -> Any:
        """A value that belongs to the architecture, such as `context_length`."""
        return self.values.get(f"{self.architecture}.{key}", default)

    @property
    def parameters(self) -> int:
        """How many numbers the model was trained to."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def quantization(self) -> str:
        """How most of the weights are stored, such as "Q8_0"."""
        kind = self.values.get("general.file_type", 0)
        return _FILE_TYPES.get(kind, "unknown") if isinstance(kind, int) else "unknown"


def read(path: Path, *, arrays: bool = False) -> Gguf:
    """Read a model file's header; the last few are remembered.

    Parameters
    ----------
    path
        The file.
    arrays
        Whether to keep long arrays (the vocabulary) too.

    Raises
    ------
    ServerError
        Status 500: the file is not there, is no GGUF, or ends too early.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise ServerError(f"unable to load model: {path.name}: {error.strerror}") from error
    return _read(path, facts.st_mtime_ns, facts.st_size, arrays)


@lru_cache(maxsize=32)
def _read(path: Path, _changed: int, _size: int, arrays: bool) -> Gguf:
    try:
        with path.open("rb") as file:
            return _Reader(file, arrays).header()
    except (EOFError, UnicodeDecodeError, KeyError, struct.error, OverflowError, RecursionError, MemoryError) as error:
        raise ServerError(f"unable to load model: {path.name} is damaged or incomplete ({error})") from error


class _Reader:
    """Steps through a header from its first byte."""

    def __init__(self, file: BinaryIO, arrays: bool) -> None:
        self.file = file
        self.arrays = arrays
        self.gaps: set[bytes] = set()
        self.last = 0

    def header(self) -> Gguf:
        if self.file.read(4) != b"GGUF":
            raise EOFError("it does not begin as a GGUF file does")
        version, tensors, values = self.number("I"), self.number("Q"), self.number("Q")
        if not 2 <= version <= 3 or tensors > _LONG or values > _LONG:
            raise EOFError(f"version {version} of the format can't be read here")
        found = {self.text(): self.value(self.number("I")) for _ in range(values)}
        told = [self.tensor() for _ in range(tensors)]
        aligned = max(1, int(found.get("general.alignment", 32)))
        data = -(-self.file.tell() // aligned) * aligned
        return Gguf(found, told, frozenset(self.gaps), data + self.last if tensors else 0)

    def tensor(self) -> Tensor:
        name = self.text()
        dimensions = self.number("I")
        if dimensions > 4:  # as many as ggml has
            raise EOFError("a tensor has an impossible shape")
        shape = [self.number("Q") for _ in range(dimensions)]
        kind = self.number("I")
        self.last = max(self.last, self.number("Q"))  # where its data lie
        return Tensor(name, _TENSOR_TYPES.get(kind, f"type {kind}"), shape)

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind != _ARRAY:
            number = self.number(_SCALARS[kind])
            # a 32-bit float with the digits that it has, not with those of the double it became
            return float(f"{number:.7g}") if kind == 6 else number
        inner, count = self.number("I"), self.number("Q")
        if count > _LONG:
            raise EOFError("an array has an impossible length")
        keep = self.arrays or count <= 5
        if inner == _TEXT:
            items = [self.text() for _ in range(count)] if keep else self.skip_texts(count)
            if keep:
                self.gaps.update(_GAP_NAMES.intersection(item.encode() for item in items))
        elif inner == _ARRAY:
            items = [self.value(inner) for _ in range(count)]
        else:
            form = struct.Struct(f"<{count}{_SCALARS[inner]}")
            items = list(form.unpack(self.bytes(form.size)))
        return items if keep else None

    def number(self, code: str) -> Any:
        form = struct.Struct("<" + code)
        return form.unpack(self.bytes(form.size))[0]

    def text(self) -> str:
        return self.bytes(self.number("Q")).decode()

    def skip_texts(self, count: int) -> list[Any]:
        length, read, names = struct.Struct("<Q").unpack, self.file.read, _GAP_NAMES
        for _ in range(count):
            text = read(length(read(8))[0])  # past the end it is `unpack` that complains, at the next text or number
            if text in names:
                self.gaps.add(text)
        return []

    def bytes(self, count: int) -> bytes:
        if count > _LONG:
            raise EOFError("a text has an impossible length")
        data = self.file.read(count)
        if len(data) < count:
            raise EOFError("the file ends too early")
        return data
