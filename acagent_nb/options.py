"""Model options as a typed value, and the door to all that is known of them.

The facts lie in `rows.py`, a row for each option; here is what a caller writes: `Options(temperature=0.2)`
with completion in the editor, checked, read from and written to JSON and TOML. A field
that is `None` is not sent, and then the server decides: a default that we sent would override the one
the model's author chose.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from . import liveness
from .errors import BadOption
from .explained import explain as explain
from .liveness import State as State
from .liveness import default as default
from .liveness import state as state
from .row import Row as Row
from .row import Value as Value
from .rows import TABLE as TABLE
from .rows import row_of

_WHOLE = 2**63  # no server counts further


@dataclass(frozen=True, repr=False)
class Options:
    """Model options by their names on Ollama's wire; `None` means "not sent".

    `options.explain("num_ctx")` tells all about one of them.

    Raises
    ------
    BadOption
        A value of a wrong kind, or out of range. A whole float is taken for an int, an int for a
        float, and one string for `stop` as a list of one.

    Examples
    --------
    >>> Options(temperature=0.2, seed=42).sent()
    {'seed': 42, 'temperature': 0.2}
    """

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None
    num_keep: int | None = None
    seed: int | None = None
    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_last_n: int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: list[str] | None = None
    mirostat: int | None = None
    mirostat_eta: float | None = None
    mirostat_tau: float | None = None
    penalize_newline: bool | None = None
    numa: bool | None = None
    low_vram: bool | None = None
    vocab_only: bool | None = None
    use_mlock: bool | None = None

    def __post_init__(self) -> None:
        for name, value in self.sent().items():
            object.__setattr__(self, name, check(name, value))  # frozen for all others

    @classmethod
    def of(cls, mapping: Mapping[str, Any]) -> Options:
        """Check names, kinds and ranges.

        Parameters
        ----------
        mapping
            Option names to values; `None` counts as not given.

        Raises
        ------
        BadOption
            An unknown name (with the nearest known one), or as in `Options`.
        """
        return cls(**{row_of(name).name: value for name, value in mapping.items() if value is not None})

    def sent(self) -> dict[str, Value]:
        """Only what was set, as it goes on the wire."""
        return {name: value for name in TABLE if (value := getattr(self, name)) is not None}

    def to_json(self) -> str:
        """Only what was set, as a JSON object."""
        import json

        return json.dumps(self.sent())

    @classmethod
    def from_json(cls, text: str) -> Options:
        """Read what `to_json` wrote, or any JSON object of options.

        Raises
        ------
        BadOption
            It is no JSON object, or as in `of`.
        """
        import json

        try:
            told = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadOption("This is not JSON.", f"{error}.") from None
        if not isinstance(told, dict):
            raise BadOption("This JSON is no object.", 'Options look like this: {"temperature": 0.2}')
        return cls.of(told)

    def to_toml(self) -> str:
        """Only what was set, as lines of TOML: `temperature = 0.2`."""
        return "".join(f"{name} = {_toml(value)}\n" for name, value in self.sent().items())

    @classmethod
    def from_toml(cls, text: str) -> Options:
        """Read what `to_toml` wrote, or any TOML whose keys are options.

        Raises
        ------
        BadOption
            It is no TOML, or as in `of`.
        """
        from .prose import toml

        try:
            told = toml(text)
        except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
            raise BadOption("This is not TOML.", f"{error}.") from None
        return cls.of(told)

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self.sent().items())})"

    def __or__(self, other: Options) -> Options:
        """Both together; where both set an option, the right one wins."""
        return dataclasses.replace(self, **other.sent())  # type: ignore[arg-type]  # values of its own fields


def check(name: str, value: Any) -> Value:
    """One option's value, checked against its row; `BadOption` says what it should have been."""
    row = row_of(name)
    if row.kind is list:
        if isinstance(value, str):
            return [value]
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return list(value)
        raise BadOption(f"{name} takes a text or a list of texts, not {_shown(value)}.")
    if row.kind is bool:
        if isinstance(value, bool):
            return value
        raise BadOption(f"{name} takes true or false, not {_shown(value)}.")
    if not _number(value) or (row.kind is int and value != int(value)):
        raise BadOption(f"{name} takes {'a whole number' if row.kind is int else 'a number'}, not {_shown(value)}.")
    if (row.low is not None and value < row.low) or (row.high is not None and value > row.high):
        ends = f"from {row.low:g} to {row.high:g}" if row.high is not None else f"of at least {row.low:g}"
        raise BadOption(f"{name} takes a number {ends}, not {_shown(value)}.", row.help)
    return int(value) if row.kind is int else float(value)


def notes(options: Options, version: str = "", engine: liveness.Engine = None) -> list[str]:
    """What to tell the user, once, of the options that this server ignores; nothing if it heeds all of them.

    Parameters
    ----------
    options
        What was set.
    version
        As the server tells it; one that can't be read, and "0.0.0", which is what builds from source say, count as
        the newest.
    engine
        The `engine` of its `/api/version`, or true, for the embedded server.
    """
    return liveness.notes(options.sent(), version, engine)


def doubts(options: Options) -> list[str]:
    """What to tell the user of values that are allowed and hardly ever meant, such as `num_gpu=1`.

    A whole number counts something, which may be many on a large machine, so only too few are doubted.
    """
    told = []
    for name, value in options.sent().items():
        row = TABLE[name]
        if row.trap is not None and (value == row.trap or (isinstance(value, list) and row.trap in value)):
            told.append(row.prose.trap)
        elif isinstance(value, (int, float)) and _beyond(value, row):
            told.append(f'{name} {value:g} is not usual; options.explain("{name}") tells what it does.')
    return told


def _beyond(value: float, row: Row) -> bool:
    """Whether a number is outside of the usual ones, as far as that is a mistake."""
    low, high = row.usual or (value, value)
    return value < low or (row.kind is float and value > high)


def _number(value: Any) -> bool:
    """Whether it is a number that a server can count to; numpy's are, too."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and -_WHOLE < cast(float, value) < _WHOLE


def _shown(value: Any) -> str:
    """A wrong value in few words."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _toml(value: Value) -> str:
    """A value as TOML writes it."""
    import json

    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        # JSON's escapes are TOML's too, but for pairs of surrogates; and TOML wants DEL escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
