"""The one table of model options. Every reader reads it, nobody copies it.

Each field of `Options` carries its `Row`: kind, range, the server's default, whether a change
reloads the model, in which server versions it works, and a sentence of help. A field that is
`None` is not sent, and then the server decides: a default that we sent would override the one
the model's author chose.

Source of kinds, defaults and versions: Ollama's `api/types.go` (`Options`, `Runner`) across its tags.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from .errors import BadOption

Value = bool | int | float | list[str]


@dataclass(frozen=True)
class Row:
    """What is known of one option.

    Attributes
    ----------
    kind
        `int`, `float`, `bool` or `list` (of strings).
    default
        What an Ollama server of today uses when neither the request nor the model says;
        `None` where it works the value out by itself.
    load
        True if a change reloads the model; False if it acts per request.
    low, high
        The sensible range, both ends included; `None` for no end.
    since, until
        First server version that knows it, and first one that ignores it (`None`: still works).
    help
        One sentence in plain words.
    """

    kind: type
    default: Value | None
    help: str
    load: bool = False
    low: float | None = None
    high: float | None = None
    since: str = "0.0.3"
    until: str | None = None


def _option(kind: type, default: Value | None, help: str, **more: Any) -> Any:
    """One row as a dataclass field whose own default is "not sent"."""
    return field(default=None, metadata={"row": Row(kind, default, help, **more)})


@dataclass(frozen=True, repr=False)
class Options:
    """Model options by their names on Ollama's wire; `None` means "not sent".

    Examples
    --------
    >>> Options(temperature=0.2, seed=42).sent()
    {'seed': 42, 'temperature': 0.2}
    """

    num_ctx: int | None = _option(
        int, None, "Context window: how many tokens of prompt and answer the model sees at once.", load=True, low=4
    )
    num_batch: int | None = _option(int, 512, "How many prompt tokens are processed together.", load=True, low=1)
    num_gpu: int | None = _option(
        int,
        -1,
        "How many of the model's layers (not GPUs) go to the GPU; -1 decides by itself, 0 is CPU only.",
        load=True,
    )
    main_gpu: int | None = _option(
        int,
        None,
        "Index of the one GPU to use; setting it stops splitting over several.",
        load=True,
        low=0,
        since="0.0.1",
    )
    use_mmap: bool | None = _option(
        bool, None, "Map the weights from disk instead of reading them into memory.", load=True
    )
    num_thread: int | None = _option(int, 0, "CPU threads; 0 decides by itself.", load=True, low=0)
    draft_num_predict: int | None = _option(
        int, 0, "Tokens drafted ahead by a model's draft model; 0 is off.", load=True, low=0, since="0.30.0"
    )
    num_keep: int | None = _option(
        int,
        4,
        "Prompt tokens kept when the context is full and shifts; negative keeps the whole prompt.",
        since="0.0.13",
    )
    seed: int | None = _option(int, -1, "Same seed and same prompt give the same answer; -1 is random.", since="0.0.1")
    num_predict: int | None = _option(int, -1, "Most tokens to generate; -1 sets no bound of its own.", since="0.0.18")
    temperature: float | None = _option(
        float, 0.8, "Creativity: 0 always takes the likeliest token, higher values vary more.", low=0, high=5
    )
    top_k: int | None = _option(int, 40, "Choose among the k likeliest tokens only; 0 means all.", low=0, since="0.0.1")
    top_p: float | None = _option(
        float,
        0.9,
        "Choose among the likeliest tokens that together reach this probability.",
        low=0,
        high=1,
        since="0.0.1",
    )
    min_p: float | None = _option(
        float, 0.0, "Leave out tokens less likely than this share of the likeliest one.", low=0, high=1, since="0.3.1"
    )
    typical_p: float | None = _option(
        float, 1.0, "Prefer tokens that are about as surprising as expected; 1 is off.", low=0, high=1, since="0.0.1"
    )
    repeat_last_n: int | None = _option(
        int, 64, "How many tokens back the repetition penalties look; 0 is off, -1 the whole context.", low=-1
    )
    repeat_penalty: float | None = _option(float, 1.0, "Make tokens that came lately less likely; 1 is off.", low=0)
    presence_penalty: float | None = _option(
        float, 0.0, "Make tokens that came at all less likely, once; 0 is off.", low=-2, high=2
    )
    frequency_penalty: float | None = _option(
        float, 0.0, "Make tokens less likely each time they come; 0 is off.", low=-2, high=2
    )
    stop: list[str] | None = _option(list, None, "Texts at which the answer ends; they are not shown.", since="0.0.13")
    mirostat: int | None = _option(
        int,
        0,
        "Steer the surprise of the text: 0 off, 1 Mirostat, 2 Mirostat 2.0.",
        low=0,
        high=2,
        since="0.0.1",
        until="0.7.0",
    )
    mirostat_eta: float | None = _option(float, 0.1, "How fast Mirostat corrects itself.", low=0, high=1, until="0.7.0")
    mirostat_tau: float | None = _option(float, 5.0, "How much surprise Mirostat aims for.", low=0, until="0.7.0")
    penalize_newline: bool | None = _option(
        bool, True, "Let the repetition penalty count line breaks too.", since="0.0.13", until="0.5.5"
    )
    numa: bool | None = _option(
        bool, False, "Memory placement for machines with several processors.", load=True, since="0.0.1", until="0.3.4"
    )
    low_vram: bool | None = _option(bool, False, "Save GPU memory.", load=True, since="0.0.1", until="0.0.21")
    vocab_only: bool | None = _option(
        bool, False, "Load the vocabulary without the weights.", load=True, since="0.0.1", until="0.1.10"
    )
    use_mlock: bool | None = _option(bool, False, "Keep the weights from being swapped out.", load=True, until="0.7.0")

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Options:
        """Check names, kinds and ranges.

        Parameters
        ----------
        mapping
            Option names to values; `None` counts as not given. A whole float is taken for an int,
            an int for a float, and one string for `stop` as a list of one.

        Raises
        ------
        BadOption
            An unknown name (with the nearest known one), a wrong kind, or a value out of range.
        """
        return cls(**{name: cast(Any, check(name, value)) for name, value in mapping.items() if value is not None})

    def sent(self) -> dict[str, Value]:
        """Only what was set, as it goes on the wire."""
        return {name: value for name in TABLE if (value := getattr(self, name)) is not None}

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self.sent().items())})"

    def __or__(self, other: Options) -> Options:
        """Both together; where both set an option, the right one wins."""
        return dataclasses.replace(self, **other.sent())  # type: ignore[arg-type]  # values of its own fields


TABLE: Mapping[str, Row] = {f.name: f.metadata["row"] for f in fields(Options)}


def check(name: str, value: Any) -> Value:
    """One option's value, checked against its row; `BadOption` says what it should have been."""
    row = TABLE.get(name)
    if row is None:
        near = difflib.get_close_matches(name, TABLE, n=1)
        raise BadOption(
            f"There is no model option {name!r}.",
            f"Did you mean {near[0]!r}?" if near else "The options are: " + ", ".join(TABLE) + ".",
        )
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if row.kind is list:
        if isinstance(value, str):
            return [value]
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return list(value)
        raise BadOption(f"{name} takes a text or a list of texts, not {value!r}.")
    if row.kind is bool:
        if isinstance(value, bool):
            return value
        raise BadOption(f"{name} takes true or false, not {value!r}.")
    if not number or not math.isfinite(value) or (row.kind is int and value != int(value)):
        raise BadOption(f"{name} takes {'a whole number' if row.kind is int else 'a number'}, not {value!r}.")
    if (row.low is not None and value < row.low) or (row.high is not None and value > row.high):
        ends = f"from {row.low:g} to {row.high:g}" if row.high is not None else f"of at least {row.low:g}"
        raise BadOption(f"{name} takes a number {ends}, not {value!r}.", row.help)
    return int(value) if row.kind is int else float(value)
