"""What is told of the options: pages, the list, the README's table."""

from __future__ import annotations

import re

import pytest

from acagent_nb import options
from acagent_nb.errors import BadOption
from acagent_nb.explained import facts, markdown, overview, page
from acagent_nb.options import TABLE
from acagent_nb.prose import prose

from .tables import NOTEBOOK, README, filled, written


def test_each_option_has_its_prose_and_each_prose_its_option() -> None:
    assert list(prose()) == list(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_prose_is_whole(name: str) -> None:
    told = prose()[name]
    sentences = re.findall(r"[.!?](?= [A-Z0-9-]|$)", " ".join(part for part in told))
    assert len(sentences) >= 5
    assert bool(told.trap) is (TABLE[name].trap is not None)
    for part in told[:5]:
        assert part
        assert part[-1] in '."'
    assert bool(told.instead) is (TABLE[name].until is not None or not TABLE[name].embedded)


@pytest.mark.parametrize("name", TABLE)
def test_a_page_tells_all(name: str) -> None:
    row, text = TABLE[name], " ".join(page(name).split())
    assert text.startswith(f"# {name} {row.help}")
    assert all(part in text for part in (*row.prose._replace(trap=""), row.partly))
    assert all(fact in text for fact in facts(row).values())


def test_explain_prints_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    options.explain("mirostat")
    told = capsys.readouterr().out
    assert told == page("mirostat") + "\n"
    assert "0.0.1 to before 0.7.0" in told
    assert "min_p 0.05" in told
    assert max(map(len, told.splitlines())) <= 120


def test_explain_without_a_name_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    options.explain()
    told = capsys.readouterr().out
    assert told == overview() + "\n"
    assert set(re.findall(r"^  (\w+)", told, re.MULTILINE)) == set(TABLE)


def test_explain_knows_what_was_meant() -> None:
    with pytest.raises(BadOption, match="Did you mean 'num_gpu'"):
        options.explain("num_gpus")


def test_the_traps_are_told() -> None:
    for name, word in {
        "num_gpu": "does not count GPUs",
        "num_batch": "500 passes",
        "num_ctx": "0.15.5",
        "stop": "must be a list",
        "repeat_penalty": "0.32.10",
        "seed": "At temperature 0 it does nothing",
        "num_predict": '"length"',
    }.items():
        assert word in page(name).replace("\n", " ")


def test_the_readmes_table_is_the_table() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == written(text), "python -m tests.tables writes it again"


def test_the_notebooks_table_is_the_table() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert text == filled(text), "python -m tests.tables writes it again"
    assert filled(text.replace("| `num_gpu` |", "| `num_gpus` |")) == text


def test_the_table_is_markdown_with_a_row_for_each_option() -> None:
    lines = markdown().splitlines()
    assert [re.match(r"\| `(\w+)`", line)[1] for line in lines[2:]] == list(TABLE)  # type: ignore[index]
    assert {line.count("|") for line in lines} == {9}
