"""Options, from three layers: Ollama's defaults, the model's own PARAMETERs, the request's.

What they come to is in two parts: `Load` is what a child process is started with, and a real change
of it means a new child; the rest goes with each request, every value explicit, because the engine's
own defaults are not Ollama's.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own
from msgspec import Struct
from msgspec.structs import replace

from ..errors import ServerError
from ..options import TABLE, Value
from .durations import from_environment

# Dropped by Ollama, but not by llama.cpp; all other dropped ones are ignored whatever they hold, as Ollama does.
KNOWN = {name: row for name, row in TABLE.items() if row.until is None or row.embedded}

_WORDS = {int: "integer", float: "float32", bool: "boolean", list: "array"}  # for Ollama's error texts
_ONE_THREAD = 32 << 20  # bytes of weights below which one thread is the fastest
PER_TOKENS = 256  # the engine rounds a context up to a multiple of this


class Load(Struct, frozen=True):
    """What a child is started with.

    Attributes
    ----------
    num_ctx
        Tokens of context for each slot, not yet rounded up by the engine; one batch is enough `beside` another child.
    slots
        How many requests it answers at once.
    shift
        Whether a full context drops its older half and goes on.
    pool
        True if texts are to be embedded by the mean of their tokens; False if the model says itself.
    longest
        Tokens of the longest text to embed, which must be in one batch; 0 if none is longer than `num_batch`.
    beside
        Whether it only makes vectors, beside a child of the same model that answers questions.
    """

    weights: str
    alias: str
    num_ctx: int
    slots: int
    num_batch: int
    num_gpu: int
    num_thread: int
    projector: str = ""
    adapters: tuple[str, ...] = ()
    template: str = ""
    main_gpu: int | None = None
    use_mmap: bool | None = None
    use_mlock: bool = False
    numa: bool = False
    shift: bool = True
    pool: bool = True
    longest: int = 0
    beside: bool = False

    def serves(self, wanted: Load) -> bool:
        """Whether a child started with this can answer for what is wanted now."""
        if wanted.num_gpu < 0:  # "decide by yourself" is content with whatever is there, as in Ollama
            wanted = replace(wanted, num_gpu=self.num_gpu)
        if wanted.longest < self.longest:
            wanted = replace(wanted, longest=self.longest)
        return self == wanted

    @property
    def rounded(self) -> bool:
        """Whether the engine's context is larger than the one asked for."""
        return self.num_ctx % PER_TOKENS != 0


class Limits(NamedTuple):
    """What all models of a server may take together.

    Attributes
    ----------
    models
        How many are loaded at once.
    queue
        How many requests may wait for a load.
    load_seconds
        How long a load may go on without any progress; for ever if it is infinite.
    memory
        Bytes; `None` for what the machine has.
    """

    models: int = 3
    queue: int = 512
    load_seconds: float = 300.0
    memory: int | None = None

    @classmethod
    def from_environment(cls, memory: int | None = None) -> Limits:
        """Those that Ollama's own variables name."""
        models, queue = positive("OLLAMA_MAX_LOADED_MODELS", cls().models), positive("OLLAMA_MAX_QUEUE", cls().queue)
        seconds = from_environment(os.environ.get("OLLAMA_LOAD_TIMEOUT"), cls().load_seconds) or math.inf
        return cls(models, queue, seconds, memory)


def layered(*layers: Mapping[str, Any]) -> dict[str, Value]:
    """Ollama's defaults under the layers, the last one on top.

    Raises
    ------
    ServerError
        Status 500, as in Ollama: a value of the wrong type. Unknown names are ignored.
    """
    values = {name: row.default for name, row in KNOWN.items() if row.default is not None}
    for layer in layers:
        for name, value in layer.items():
            if name in KNOWN and value is not None:
                values[name] = _typed(name, value)
    return values


def _typed(name: str, value: Any) -> Value:
    """The value as Ollama takes it: whole numbers by cutting off, no check of its range."""
    kind = KNOWN[name].kind
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind is int and number:
        return int(value)
    if kind is float and number:
        return float(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is list and isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            return value
        raise ServerError(f'option "{name}" must be of an array of strings')
    raise ServerError(f'option "{name}" must be of type {_WORDS[kind]}')


def context(values: Mapping[str, Any], trained: int) -> int:
    """The context window of one slot: what is asked for, at least 4, at most what the model was trained on."""
    asked = values.get("num_ctx") or positive("OLLAMA_CONTEXT_LENGTH", 4096)
    return max(4, min(int(asked), trained or int(asked)))


def load(values: Mapping[str, Any], weights: str, trained: int, *, embeds: bool, **more: Any) -> Load:
    """The load-time part.

    Parameters
    ----------
    values
        From `layered`.
    weights
        The model file.
    trained
        The context that the model was trained on; 0 if it does not say.
    embeds
        Whether it is an embedding model, which must take a whole text in one batch.
    more
        Further fields of `Load`.
    """
    num_ctx = context(values, trained)
    slots = positive("OLLAMA_NUM_PARALLEL", 4)
    # The engine ends at a batch that has not a token for each slot.
    batch = min(2048, num_ctx) if embeds else max(slots, int(values["num_batch"]))
    return Load(
        weights=weights,
        num_ctx=num_ctx,
        slots=slots,
        num_batch=batch,
        num_gpu=max(-1, int(values["num_gpu"])),
        num_thread=min(int(values["num_thread"]), _most_threads()) if values["num_thread"] > 0 else _threads(weights),
        main_gpu=values.get("main_gpu"),
        use_mmap=values.get("use_mmap"),
        use_mlock=bool(values["use_mlock"]),
        numa=bool(values["numa"]),
        pool=not embeds,
        **more,
    )


def per_request(values: Mapping[str, Any], num_ctx: int) -> dict[str, Any]:
    """The part that goes to the engine with each request, under the engine's names."""
    most = 10 * num_ctx  # Ollama's own bound; "no bound" and 0, which it leaves out, come to the same
    predict = int(values["num_predict"])
    last = int(values["repeat_last_n"])
    sent = {
        "n_predict": predict if 0 < predict <= most else most,
        "n_keep": max(-1, int(values["num_keep"])),
        "seed": int(values["seed"]) & 0xFFFFFFFF,  # -1 becomes the engine's number for "random"
        "repeat_last_n": num_ctx if last < 0 else last,
        "typical_p": values["typical_p"] or 1.0,  # 0 is left out by Ollama, which means off
        "stop": [text for text in values.get("stop", []) if text],  # an empty one would end every answer at once
    }
    same = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty")
    return sent | {name: values[name] for name in (*same, "mirostat", "mirostat_eta", "mirostat_tau")}


def _threads(weights: str) -> int:
    """Threads for a model file: one for each core, but a small model only waits for its second thread.

    With all cores a 1 MB model on a busy machine took 0.4 s a token, spinning at its barriers; with one 0.3 ms.
    """
    return 1 if os.path.getsize(weights) < _ONE_THREAD else cores()


def _most_threads() -> int:
    """More are never faster, and so many more that the system refuses them would end the child."""
    return 4 * (os.cpu_count() or 1)


def cores() -> int:
    """Physical cores that this process may use."""
    physical = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    return max(1, min(physical, allowed))


def positive(name: str, default: int) -> int:
    """A positive whole number from the environment; anything else counts as not set."""
    text = os.environ.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) > 0 else default
