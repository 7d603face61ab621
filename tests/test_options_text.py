"""Options as JSON and TOML, and back."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from acagent_nb.errors import BadOption
from acagent_nb.options import TABLE, Options, Row
from acagent_nb.prose import toml

EXAMPLE = {
    **{"num_keep": 5, "seed": 42, "num_predict": 100, "top_k": 20, "top_p": 0.9, "min_p": 0.0, "typical_p": 0.7},
    **{"repeat_last_n": 33, "temperature": 0.8, "repeat_penalty": 1.2, "presence_penalty": 1.5},
    **{"frequency_penalty": 1.0, "mirostat": 1, "mirostat_tau": 0.8, "mirostat_eta": 0.6, "penalize_newline": True},
    **{"stop": ["\n", "user:"], "numa": False, "num_ctx": 1024, "num_batch": 2, "num_gpu": 1, "main_gpu": 0},
    **{"low_vram": False, "vocab_only": False, "use_mmap": True, "use_mlock": False, "num_thread": 8},
}  # all 27 of the specification, as it sends them


def values(row: Row) -> some.SearchStrategy[Any]:
    """Everything that may stand in a row."""
    if row.kind is bool:
        return some.booleans()
    if row.kind is list:
        return some.lists(some.text(), max_size=4)
    if row.kind is int:
        whole = (-(2**63) + 1 if row.low is None else math.ceil(row.low), 2**63 - 1 if row.high is None else row.high)
        return some.integers(whole[0], int(whole[1]))
    return some.floats(-(2.0**62) if row.low is None else row.low, 2.0**62 if row.high is None else row.high)


every = some.fixed_dictionaries({}, optional={name: values(row) for name, row in TABLE.items()}).map(Options.of)


@given(every)
def test_nothing_is_lost_on_the_way(options: Options) -> None:
    assert Options.of(options.sent()) == options
    assert Options.from_json(options.to_json()) == options
    assert Options.from_toml(options.to_toml().encode().decode()) == options
    assert options.to_toml().count("\n") == len(options.sent())


@given(every, every)
def test_the_right_one_of_two_wins(left: Options, right: Options) -> None:
    assert (left | right).sent() == left.sent() | right.sent()


@given(some.dictionaries(some.sampled_from([*TABLE, "nonsense"]), some.from_type(type).flatmap(some.from_type)))
def test_whatever_comes_is_taken_or_refused(mapping: dict[str, Any]) -> None:
    with suppress(BadOption):
        assert Options.of(Options.of(mapping).sent()) == Options.of(mapping)


def test_the_specifications_example_is_read_and_told() -> None:
    options = Options.of(EXAMPLE)
    assert options.sent() == EXAMPLE
    assert json.loads(options.to_json()) == EXAMPLE
    assert toml(options.to_toml()) == EXAMPLE


def test_how_it_looks() -> None:
    options = Options(seed=42, temperature=0.2, use_mmap=False, stop=['"', "\n", "\x7f"])
    assert options.to_json() == '{"use_mmap": false, "seed": 42, "temperature": 0.2, "stop": ["\\"", "\\n", "\\u007f"]}'
    assert options.to_toml() == ('use_mmap = false\nseed = 42\ntemperature = 0.2\nstop = ["\\"", "\\n", "\\u007f"]\n')
    assert (Options().to_json(), Options().to_toml()) == ("{}", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "This is not JSON."),
        ("{", "This is not JSON."),
        ("[" * 100_000, "This is not JSON."),
        ('{"seed": ' + "9" * 5000 + "}", ""),
        ("[1]", "This JSON is no object."),
        ('{"temprature": 1}', "Did you mean 'temperature'?"),
        ('{"temperature": NaN}', "takes a number, not nan"),
    ],
    ids=range(7),
)
def test_bad_json(text: str, said: str) -> None:
    with pytest.raises(BadOption) as caught:
        Options.from_json(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed", "This is not TOML."),
        ("seed = 1\nseed = 2", "This is not TOML."),
        ("x = " + "[" * 100_000, "This is not TOML."),
        ("temprature = 1", "Did you mean 'temperature'?"),
        ("seed = 1979-05-27", "takes a whole number, not datetime.date(1979, 5, 27)"),
        ("temperature = inf", "takes a number, not inf"),
    ],
    ids=range(6),
)
def test_bad_toml(text: str, said: str) -> None:
    with pytest.raises(BadOption) as caught:
        Options.from_toml(text)
    assert said in str(caught.value)


def test_json_null_is_not_set() -> None:
    assert Options.from_json('{"seed": null, "top_k": 5}') == Options(top_k=5)


def test_toml_files_of_people(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text('# mine\ntemperature = 0.2   # calm\nstop = "###"\nnum_ctx = 8_192\n', encoding="utf-8")
    assert Options.from_toml(file.read_text(encoding="utf-8")).sent() == {
        "num_ctx": 8192,
        "temperature": 0.2,
        "stop": ["###"],
    }
