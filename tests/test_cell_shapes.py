"""Answers that a cell keeps as values: JSON, objects of the notebook's own classes, tables."""

from __future__ import annotations

import json
import sys

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import BadAnswer, BadPrompt
from tests.cells import ask
from tests.replay import replaying, said

JSON = "Extract name and age as JSON: Anna is 31 years old."


def test_json(tiny: InteractiveShell) -> None:
    reply = ask(tiny, "--json --into anna", JSON)
    assert reply.value == tiny.user_ns["anna"] == {"name": "Anna", "age": 31}


SHAPES = """
from dataclasses import dataclass
from typing_extensions import TypedDict
from pydantic import BaseModel
@dataclass
class Data:
    name: str
    age: int
class Model(BaseModel):
    name: str
    age: int
class Typed(TypedDict):
    name: str
    age: int
schema = Model.model_json_schema()
"""


def test_schemas(tiny: InteractiveShell) -> None:
    assert tiny.run_cell(SHAPES).success
    names = tiny.user_ns
    anna = {"name": "Anna", "age": 31}
    for schema, value in (("Data", names["Data"](**anna)), ("Model", names["Model"](**anna))):
        assert ask(tiny, f"--schema {schema} --into x", JSON).value == names["x"] == value
    for schema in ("Typed", "schema"):
        assert ask(tiny, f"--schema {schema} --into x", JSON).value == names["x"] == anna
    with pytest.raises(BadPrompt) as caught:
        ask(tiny, "--schema Modl", JSON)
    assert caught.value.hint == "Did you mean Model?"


@pytest.mark.parametrize("schema", ["list[Data]", "list[Model]", "list[Typed]"])
def test_a_list_of_objects_is_a_table(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch, schema: str) -> None:
    shell.run_cell(SHAPES)
    rows = [{"name": "Anna", "age": 31}, {"name": "Ben", "age": 5}]
    with replaying(chat=[said(json.dumps(rows)), said("[]")]) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        reply = ask(shell, f"local_tiny --schema {schema} --into people", JSON)
        pd.testing.assert_frame_equal(shell.user_ns["people"], pd.DataFrame(rows))
        assert [type(one).__name__ for one in reply.value] == [schema[5:-1] if schema != "list[Typed]" else "dict"] * 2
        ask(shell, f"local_tiny --schema {schema} --into people", JSON)
        assert list(shell.user_ns["people"].columns) == ["name", "age"]
        assert len(shell.user_ns["people"]) == 0


def test_without_pandas_tables_are_lists(tiny: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.run_cell(SHAPES)
    monkeypatch.setitem(sys.modules, "pandas", None)  # which is how Python notes that it is not there
    ask(tiny, "--json --temperature 0,0.1 --into both", JSON)
    assert [(row["temperature"], row["value"]) for row in tiny.user_ns["both"]] == [
        (0.0, {"name": "Anna", "age": 31}),
        (0.1, {"name": "Anna", "age": 31}),
    ]
    rows = [{"name": "Anna", "age": 31}, {"name": "Ben", "age": 5}]
    with replaying(chat=said(json.dumps(rows))) as one:
        monkeypatch.setenv("OLLAMA_HOST", one.url)
        tiny.run_line_magic("reload_ext", "acagent_nb")  # another server from now on
        ask(tiny, "local_tiny --schema list[Typed] --into people", JSON)
    assert tiny.user_ns["people"] == rows


def test_an_answer_of_the_wrong_shape(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(chat=said('{"name": 1}')) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        shell.run_cell(SHAPES)
        with pytest.raises(BadAnswer) as caught:
            ask(shell, "local_tiny --schema Model --into x --chat trip", JSON)
    assert caught.value.message.endswith("The conversation 'trip' is as it was.")
    assert shell.user_ns["_llm"].text == '{"name": 1}'
    assert "x" not in shell.user_ns


def test_several_values_of_one_model_and_a_form(tiny: InteractiveShell) -> None:
    ask(tiny, "--json --temperature 0,0.1 --into table", JSON)
    assert list(tiny.user_ns["table"].value) == [{"name": "Anna", "age": 31}] * 2
