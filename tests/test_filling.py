"""`{{expression}}`: values of the notebook in a prompt, and everything else left alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb import BadPrompt
from acagent_nb.filling import COLUMNS, ROWS, filled


@dataclasses.dataclass
class City:
    name: str
    people: int


NAMES: dict[str, Any] = {
    "rows": [3, 1, 2],
    "x": "{{rows}}",
    "price": 1234567.891,
    "words": {"a": {"b": [1, None, "é"]}},
    "city": City("Rome", 2_800_000),
    "sales": pd.DataFrame({"item": ["a|b", "c\nd", None], "sold": [1, 2, 3], "price": [0.1 + 0.2, float("nan"), 5]}),
}


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("{{rows}}", "[3,1,2]"),
        ("a {{ len(rows) }} b {{max(rows)}}", "a 3 b 3"),
        ("{{sorted(rows, reverse=True)[0]}}", "3"),
        ("{{rows | join('-')}}", "3-1-2"),
        ("{{x}}", "{{rows}}"),
        ("{{price}}", "1234567.891"),
        ("{{words}}", '{"a":{"b":[1,null,"é"]}}'),
        ("{{words.a['b'][2]}}", "é"),
        ("{{city.name}} has {{'{:,}'.format(city.people)}}", "Rome has 2,800,000"),
        ("{{[city]}}", '[{"name":"Rome","people":2800000}]'),
        ("{{ {'a': {'b': 1}}['a'] }}", '{"b":1}'),
        ("{{ {'a': 1}}}", '{"a":1}'),
        ('{{ "{{" }}name{{ "}}" }}', "{{name}}"),
        ("{{sales.sold.sum()}}", "6"),
        ("{{True}} {{None}}", "True None"),
        ("f'{x}' {% if %} {# no #} {'a': {1}} ${x} } }", "f'{x}' {% if %} {# no #} {'a': {1}} ${x} } }"),
        ("<b>{{'<i>'}}</b>", "<b><i></b>"),
        ("a }} b", "a }} b"),
    ],
)
def test_what_a_prompt_becomes(text: str, meant: str) -> None:
    assert filled(text, NAMES) == (meant, [])


@given(st.text(alphabet=st.characters(exclude_characters="{")))
def test_text_without_braces_is_left_alone(text: str) -> None:
    assert filled(text, {}) == (text, [])


@given(st.text())
def test_a_value_is_never_filled_again(value: str) -> None:
    assert filled("a{{value}}b", {"value": value}) == (f"a{value}b", [])


def test_a_table() -> None:
    table = "| item | sold | price |\n| --- | --- | --- |\n| a\\|b | 1 | 0.3 |\n| c d | 2 |  |\n|  | 3 | 5 |"
    assert filled("{{sales}}", NAMES) == (table, [])


@pytest.mark.parametrize(
    ("text", "filling"),
    [
        ("Sum up {{t}}", "Sum up \n\n| a |\n| --- |\n| 1 |"),
        ("{{t}} Sum it up.", "| a |\n| --- |\n| 1 |\n\n Sum it up."),
        ("Sum up:\n  {{t}}  \nNow.", "Sum up:\n  | a |\n| --- |\n| 1 |  \nNow."),
        ("{{t}}{{t.a}}", "| a |\n| --- |\n| 1 |\n\n| a |\n| --- |\n| 1 |"),
    ],
)
def test_a_table_stands_on_lines_of_its_own(text: str, filling: str) -> None:
    assert filled(text, {"t": pd.DataFrame({"a": [1]})}) == (filling, [])


def test_an_index_that_says_something_is_a_column() -> None:
    text, _ = filled("{{sales.set_index('sold')[['price']]}}", NAMES)
    assert text.startswith("| sold | price |\n| --- | --- |\n| 1 | 0.3 |")
    text, _ = filled("{{sales.groupby('sold').price.max()}}", NAMES)
    assert text.startswith("| sold | price |\n| --- | --- |\n| 1 | 0.3 |")


def test_a_long_table_is_shortened_and_says_so() -> None:
    long = pd.DataFrame([[1] * (COLUMNS + 5)] * (ROWS + 950))
    text, (note,) = filled("{{long}}", {"long": long})
    assert note == f"Of {{{{long}}}} the model sees the first {ROWS} of its 1,000 rows and {COLUMNS} of its 25 columns."
    lines = text.splitlines()
    assert len(lines) == 2 + ROWS + 1
    assert {line.count("|") for line in lines} == {COLUMNS + 2}
    assert lines[-1].startswith("| … | … |")
    assert lines[0].endswith(f"| {COLUMNS - 1} | … |")


def test_a_cell_of_a_table_is_not_a_page() -> None:
    text, _ = filled("{{t}}", {"t": pd.DataFrame({"a": ["x" * 10_000]})})
    assert len(text) < 600


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{{sale}}", "There is no 'sale' in the notebook.", "Did you mean sales?"),
        ("{{nothing.like}}", "There is no 'nothing' in the notebook.", "A double brace that is meant as it is"),
        ("{{len(nothing)}}", "There is no 'nothing' in the notebook.", ""),
        ("{{city.mayor}}", "{{city.mayor}} has no value: ", ""),
        ("{{words['z']}}", "{{words['z']}} has no value: ", ""),
        ("{{1/0}}", "{{1/0}} failed with ZeroDivisionError: division by zero.", "Run the expression in a cell"),
        ("{{rows.remove(9)}}", "{{rows.remove(9)}} failed with ValueError: list.remove(x): x not in list.", ""),
        ("{{}}", "{{}} is no expression that can be read", "A double brace that is meant as it is"),
        ("int a[2][2] = {{1,2},{3,4}};", "{{1,2},{3,4}} is no expression", "A double brace that is meant as it is"),
        ("{{rows", "A {{ in the prompt has no }}.", "A double brace that is meant as it is"),
        ("{{" + "a " * 100 + "}}", "{{a a a", ""),
        ("{{" + "(" * 5000 + "}}", "{{(((", ""),
        ("{{" + "9" * 5000 + "}}", "{{999", ""),
    ],
)
def test_what_can_not_be_filled_in(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        filled(text, NAMES)
    assert caught.value.message.startswith(message)
    assert len(caught.value.message) < 400
    assert caught.value.hint.startswith(hint)
