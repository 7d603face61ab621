"""Which option works on which server, and what is said where one does not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from acagent_nb.errors import BadOption
from acagent_nb.options import TABLE, Options, default, notes, state

MIROSTAT = ("mirostat", "mirostat_eta", "mirostat_tau")
GONE_SINCE_7 = {*MIROSTAT, "use_mlock", "penalize_newline", "numa", "low_vram", "vocab_only"}
OWN_ENGINE = {"typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty", "frequency_penalty"}
NEWEST = {"dead": GONE_SINCE_7}
SERVERS: dict[str, dict[str, set[str]]] = {
    "0.0.13": {"unknown": {"draft_num_predict", "min_p", "num_predict"}},
    "0.1.9": {"dead": {"low_vram"}, "unknown": {"draft_num_predict", "min_p"}},
    "0.3.3": {"dead": {"low_vram", "vocab_only"}, "unknown": {"draft_num_predict"}},
    "0.5.4": {"dead": {"low_vram", "vocab_only", "numa"}, "unknown": {"draft_num_predict"}},
    "0.6.8": {"dead": {"low_vram", "vocab_only", "numa", "penalize_newline"}, "unknown": {"draft_num_predict"}},
    "0.7.0": {"dead": GONE_SINCE_7, "unknown": {"draft_num_predict"}, "partly": OWN_ENGINE},
    "0.17.6": {"dead": GONE_SINCE_7, "unknown": {"draft_num_predict"}, "partly": OWN_ENGINE - {"repeat_penalty"}},
    "0.24.0": {"dead": GONE_SINCE_7, "unknown": {"draft_num_predict"}, "partly": OWN_ENGINE},
    "0.30.0": NEWEST,
    "0.32.15": NEWEST,
    "1.0.0": NEWEST,
    "0.0.0": NEWEST,
    "": NEWEST,
    "dev build": NEWEST,
}


def by_word(version: str, engine: Any = None) -> dict[str, set[str]]:
    """The options that are not live, by what they are."""
    found: dict[str, set[str]] = {}
    for name in TABLE:
        if (word := state(name, version, engine).word) != "live":
            found.setdefault(word, set()).add(name)
    return found


@pytest.mark.parametrize("version", SERVERS)
def test_what_works_where(version: str) -> None:
    assert by_word(version) == SERVERS[version]


def test_the_embedded_server_tells_that_it_is_one_and_heeds_what_the_table_says(api: httpx.Client) -> None:
    told = api.get("/api/version").json()
    assert by_word(told["version"], told["engine"]) == {
        "dead": {"draft_num_predict", "penalize_newline", "low_vram", "vocab_only"}
    }
    assert by_word("0.0.0", engine=True) == by_word(told["version"], told["engine"])


@pytest.mark.parametrize(
    ("written", "meant"),
    [("v0.7.0", "0.7.0"), ("0.6.8-rc1", "0.6.8"), (" 0.24.0\n", "0.24.0"), ("0.30", "0.30.0"), ("v0.5.4+abc", "0.5.4")],
)
def test_versions_are_read_as_people_write_them(written: str, meant: str) -> None:
    assert [state(name, written) for name in TABLE] == [state(name, meant) for name in TABLE]


@pytest.mark.parametrize("version", ["9" * 5000, "0." + "7" * 5000, "0.0", "...", "nightly", "\u0660.\u0667.0"])
def test_a_version_that_is_none_counts_as_the_newest(version: str) -> None:
    assert by_word(version) == NEWEST
    why = state("num_ctx", version).why
    assert "so it counts as the newest." in why
    assert len(why) < 200


def test_each_state_says_why_and_what_to_use_instead() -> None:
    for version in ("0.0.20", *SERVERS):
        for name in TABLE:
            for engine in (False, True):
                told = state(name, version, engine)
                assert name in told.why
                assert told.why.endswith(".")
                if told.word == "dead":
                    assert TABLE[name].instead in told.why
                    assert TABLE[name].instead
    assert "since version 0.7.0. Set temperature" in state("mirostat", "0.7.0").why
    assert "from version 0.30.0 on; this server is 0.24.0" in state("draft_num_predict", "0.24.0").why
    assert "Ollama's own engine ignore repeat_penalty" in state("repeat_penalty", "0.24.0").why
    with pytest.raises(BadOption, match="Did you mean 'mirostat'"):
        state("mirostatt")


def test_only_what_does_not_work_is_told() -> None:
    asked = Options(temperature=0.2, mirostat=2, draft_num_predict=3)
    assert [note.split(" since")[0].split(" from")[0] for note in notes(asked, "0.24.0")] == [
        "Ollama knows draft_num_predict",
        "Ollama ignores mirostat",
    ]
    assert len(notes(asked, "0.30.0")) == 1
    assert len(notes(asked, "0.30.0", {"name": "llama.cpp"})) == 1
    assert notes(Options(temperature=0.2), "0.6.8") == notes(Options(), "0.0.0") == []


def test_that_an_unknown_version_counts_as_the_newest_is_told_where_it_matters() -> None:
    assert notes(Options(temperature=0.2), "0.0.0") == []
    assert notes(Options(draft_num_predict=2), "0.0.0") == [
        "The server's version is not known ('0.0.0'), so it counts as the newest."
    ]
    dead, unknown = notes(Options(mirostat=2), "")
    assert dead == state("mirostat", "0.32.15").why
    assert unknown == "The server's version is not known, so it counts as the newest."
    assert notes(Options(mirostat=2), "0.0.0", engine=True) == []


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("num_ctx", {"0.6.6": 2048, "0.6.7": 4096, "0.15.4": 4096, "0.15.5": "4096, 32768 or 262144, by video memory"}),
        ("repeat_penalty", {"0.6.8": 1.1, "0.17.5": 1.0, "0.17.7": 1.0, "0.18.0": 1.1, "0.32.9": 1.1, "0.32.10": 1.0}),
        ("main_gpu", {"0.24.0": 0, "0.30.0": "not set: all GPUs"}),
        ("temperature", {"0.3.3": 0.8, "0.32.15": 0.8}),
    ],
)
def test_defaults_by_version(name: str, defaults: dict[str, Any]) -> None:
    assert {version: default(name, version) for version in defaults} == defaults
    assert default(name, "0.0.0") == default(name, "") == list(defaults.values())[-1]


def test_the_default_of_today_is_the_rows() -> None:
    for name, row in TABLE.items():
        today = default(name)
        assert today == row.default or (row.default is None and isinstance(today, str))
