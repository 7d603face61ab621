"""The table of options, and what may stand in it."""

from __future__ import annotations

import dataclasses

import pytest

from acagent_nb.errors import BadOption
from acagent_nb.options import TABLE, Options

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
        ({"temperature": "hot"}, "takes a number, not 'hot'"),
        ({"temperature": True}, "takes a number, not True"),
        ({"temperature": float("nan")}, "takes a number, not nan"),
        ({"temperature": -1}, "takes a number from 0 to 5, not -1"),
        ({"top_k": 1.5}, "takes a whole number, not 1.5"),
        ({"num_ctx": 1}, "takes a number of at least 4, not 1"),
        ({"use_mmap": 1}, "takes true or false, not 1"),
        ({"stop": ["a", 1]}, "takes a text or a list of texts"),
    ],
)
def test_a_bad_option_says_what_it_should_have_been(given: dict[str, object], said: str) -> None:
    with pytest.raises(BadOption) as caught:
        Options.of(given)
    assert said in str(caught.value)


def test_the_right_one_of_two_wins() -> None:
    both = Options(seed=1, temperature=0.5) | Options(temperature=0.0, stop=["x"])
    assert both.sent() == {"seed": 1, "temperature": 0.0, "stop": ["x"]}


def test_a_value_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options(seed=1).seed = 2  # type: ignore[misc]  # which is the point
