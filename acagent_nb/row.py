"""What is known of one model option: what can be counted or compared, and the sentences that belong to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .prose import Prose, prose

Value = bool | int | float | list[str]
Group = Literal["creativity", "length", "repetition", "memory and hardware", "advanced"]


@dataclass(frozen=True)
class Row:
    """What is known of one option.

    Attributes
    ----------
    name
        Its name on Ollama's wire.
    kind
        `int`, `float`, `bool` or `list` (of strings).
    default
        What an Ollama server of today uses when neither the request nor the model says;
        `None` where it works the value out by itself.
    help
        One sentence in plain words.
    group
        Where a panel shows it.
    unit
        What it counts; empty for a plain number.
    load
        True if a change reloads the model; False if it acts per request.
    low, high
        The range outside of which a value is clear nonsense and refused, both ends included; `None` for no end.
    usual
        The range that a control offers, both ends included; `None` where there is none to offer.
    step
        How finely a control moves through it.
    trap
        A value, or one text of a list, that is often sent and hardly ever meant; `None` if there is none.
    since, until
        First server version that knows it, and first one that ignores it (`None`: still works).
    defaults
        The server's defaults where they changed or are no plain value: each first version, and the value or
        how it is found. Empty if it was always `default`.
    skipped
        Server versions, each from the first to before the second, in which models that run on Ollama's own
        engine ignore it.
    embedded
        Whether the embedded server honours it.
    openai
        Its name in OpenAI's chat completions, or `None`.
    """

    name: str
    kind: type
    default: Value | None
    help: str
    group: Group
    unit: str = ""
    load: bool = False
    low: float | None = None
    high: float | None = None
    usual: tuple[float, float] | None = None
    step: float = 1
    trap: int | str | None = None
    since: str = "0.0.3"
    until: str | None = None
    defaults: tuple[tuple[str, Value | str], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    embedded: bool = True
    openai: str | None = None

    @property
    def prose(self) -> Prose:
        """All its sentences."""
        return prose()[self.name]

    @property
    def outside(self) -> str:
        """What a server does with values outside of the sensible range."""
        return self.prose.outside

    @property
    def instead(self) -> str:
        """What to use where a server ignores it; empty where none does."""
        return self.prose.instead

    @property
    def partly(self) -> str:
        """For which models some servers ignore it; empty where that is never so."""
        if not self.skipped:
            return ""
        spans = " and ".join(f"from {first} to before {end}" for first, end in self.skipped)
        return f"In Ollama {spans}, models that run on Ollama's own engine ignore it."
