"""The table of options, and what may stand in it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import get_args, get_type_hints

import pytest

from acagent_nb.errors import BadOption
from acagent_nb.options import TABLE, Options, doubts
from acagent_nb.presets import PRESETS
from acagent_nb.row import Group

SPECIFIED = {
    *("mirostat", "mirostat_eta", "mirostat_tau", "num_ctx", "repeat_last_n", "repeat_penalty", "temperature", "seed"),
    *("stop", "num_predict", "top_k", "top_p", "min_p", "num_keep", "typical_p", "presence_penalty"),
    *("frequency_penalty", "penalize_newline", "numa", "num_batch", "num_gpu", "main_gpu", "low_vram", "vocab_only"),
    *("use_mmap", "use_mlock", "num_thread"),
}


def test_the_table_holds_the_specification_and_one_more() -> None:
    assert set(TABLE) == SPECIFIED | {"draft_num_predict"}
    assert {name for name, row in TABLE.items() if row.until} == {
        *("mirostat", "mirostat_eta", "mirostat_tau", "penalize_newline"),
        *("numa", "low_vram", "vocab_only", "use_mlock"),
    }
    assert all(row.help.endswith(".") for row in TABLE.values())


def test_each_row_has_its_field_of_the_same_kind() -> None:
    kinds = {int: int | None, float: float | None, bool: bool | None, list: list[str] | None}
    assert get_type_hints(Options) == {name: kinds[row.kind] for name, row in TABLE.items()}
    assert [name for name, row in TABLE.items() if row.name != name] == []


def test_a_control_offers_only_what_is_not_refused() -> None:
    for name, row in TABLE.items():
        assert (row.usual is not None) is (row.kind in (int, float))
        for end in row.usual or ():
            Options.of({name: end})
        assert row.step > 0
        assert row.group in get_args(Group)


def test_openais_names() -> None:
    assert {name: row.openai for name, row in TABLE.items() if row.openai} == {
        "seed": "seed",
        "num_predict": "max_completion_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "presence_penalty": "presence_penalty",
        "frequency_penalty": "frequency_penalty",
        "stop": "stop",
    }


def test_nothing_is_sent_unless_it_was_set() -> None:
    assert Options().sent() == {}
    assert Options.of(
        {"seed": 0, "stop": "###", "top_p": 1, "num_ctx": 512.0, "use_mmap": False, "min_p": None}
    ).sent() == {
        "num_ctx": 512,
        "use_mmap": False,
        "seed": 0,
        "top_p": 1.0,
        "stop": ["###"],
    }


def test_every_default_is_of_its_kind_and_in_its_range() -> None:
    for name, row in TABLE.items():
        if row.default is not None:
            assert Options.of({name: row.default}).sent() == {name: row.default}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"temprature": 1}, "Did you mean 'temperature'?"),
        ({"zzz": 1}, "The options are: num_ctx"),
        ({"max_tokens": 1}, "Did you mean 'num_predict'?"),
        ({"Top-K": 1}, "Did you mean 'top_k'?"),
        ({7: 1}, "There is no model option 7"),
        ({"temperature": "hot"}, "takes a number, not 'hot'"),
        ({"temperature": True}, "takes a number, not True"),
        ({"temperature": float("nan")}, "takes a number, not nan"),
        ({"temperature": -1}, "takes a number from 0 to 5, not -1"),
        ({"top_k": 1.5}, "takes a whole number, not 1.5"),
        ({"num_ctx": 1}, "takes a number of at least 4, not 1"),
        ({"repeat_penalty": 0}, "takes a number of at least 0.01, not 0"),
        ({"seed": 10**400}, "takes a whole number, not 1000"),
        ({"seed": 10**5000}, "takes a whole number, not a number of thousands of digits"),
        ({"seed": 1e300}, "takes a whole number, not 1e+300"),
        ({"mirostat_tau": float("inf")}, "takes a number, not inf"),
        ({"seed": "7" * 1000}, "..."),
        ({"use_mmap": 1}, "takes true or false, not 1"),
        ({"stop": ["a", 1]}, "takes a text or a list of texts"),
    ],
)
def test_a_bad_option_says_what_it_should_have_been(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadOption) as caught:
        Options.of(given)
    assert said in str(caught.value)


def test_the_value_itself_is_checked_too() -> None:
    with pytest.raises(BadOption, match="seed takes a whole number, not 'x'"):
        Options(seed="x")  # type: ignore[arg-type]  # which is the point
    given = Options(temperature=1, top_k=20.0, stop="END")  # type: ignore[arg-type]  # as kind as `of`
    assert repr(given) == "Options(temperature=1.0, top_k=20, stop=['END'])"


def test_the_right_one_of_two_wins() -> None:
    both = Options(seed=1, temperature=0.5) | Options(temperature=0.0, stop=["x"])
    assert both.sent() == {"seed": 1, "temperature": 0.0, "stop": ["x"]}


def test_numpys_numbers_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    told = Options.of({"seed": numpy.int64(42), "top_p": numpy.float32(0.5), "num_ctx": numpy.float64(512)}).sent()
    assert told == {"num_ctx": 512, "seed": 42, "top_p": 0.5}
    assert [type(value) for value in told.values()] == [int, int, float]


def test_what_is_hardly_meant_is_doubted() -> None:
    told = doubts(Options(num_ctx=1024, num_batch=2, num_gpu=1, stop=["\n", "user:"], typical_p=0.7, seed=42))
    assert [note.split()[0] for note in told] == ["num_ctx", "num_batch", "num_gpu", "typical_p", "A"]
    assert told[1] == 'num_batch 2 is not usual; options.explain("num_batch") tells what it does.'
    assert "layers and not GPUs" in told[2]
    assert "after its first line" in told[4]


def test_what_is_many_only_on_a_small_machine_is_not_doubted() -> None:
    assert doubts(Options(num_ctx=131_072, num_thread=96, num_gpu=999, num_predict=50_000, temperature=0.0)) == []
    assert doubts(Options.of({name: row.default for name, row in TABLE.items()})) == []
    assert doubts(Options(temperature=2.0)) == [
        'temperature 2 is not usual; options.explain("temperature") tells what it does.'
    ]
    for preset in PRESETS.values():
        assert doubts(preset.options) == []


def test_it_is_written_shortly() -> None:
    assert repr(Options()) == "Options()"
    assert repr(Options(seed=1, stop=["x"])) == "Options(seed=1, stop=['x'])"


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options(seed=1).seed = 2  # type: ignore[misc]  # which is the point


def test_the_import_reads_no_prose() -> None:
    code = "import sys, acagent_nb.options, acagent_nb.presets; print([m for m in sys.modules if 'toml' in m])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
