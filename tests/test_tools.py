"""Functions as tools: the schema a model sees, the arguments it gives, and what is refused."""

from __future__ import annotations

import asyncio
import datetime
import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import jsonschema  # type: ignore[import-untyped, unused-ignore]
import numpy as np
import pytest

from acagent_nb.errors import BadPrompt, MissingExtra
from acagent_nb.messages import ToolCall
from acagent_nb.tools import Tools, schema, told

from .toolbox import (
    NOTHING,
    Place,
    Shop,
    Span,
    Unit,
    both,
    climb,
    everything,
    google,
    numpy,
    search,
    slowly,
    sphinx,
    traced,
)


def call(function: Callable[..., Any], **arguments: Any) -> Any:
    """What happens when a model calls it."""
    tools = Tools.of([function])
    work = tools.runs(ToolCall(tools.schemas[0]["function"]["name"], arguments))
    assert work is not None
    return work()


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = schema(function)["function"]["parameters"]
    jsonschema.Draft202012Validator.check_schema(parameters)
    return dict(parameters["properties"])


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_a_docstring_of_any_style_describes_function_and_parameters(function: Callable[..., Any]) -> None:
    assert schema(function) == {
        "type": "function",
        "function": {
            "name": function.__name__,
            "description": "Say what the weather is.\n\nOnly for cities.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where, in the language of the land."},
                    "days": {"type": "integer", "default": 3, "description": "How many of them."},
                },
                "required": ["city"],
            },
        },
    }


def test_every_kind_of_annotation_has_a_schema() -> None:
    inside = {"city": {"type": "string"}, "title": {"type": "string", "default": ""}}
    place = {"type": "object", "properties": inside, "required": ["city"]}
    start = {"type": "string", "format": "date"}
    assert properties(everything) == {
        "place": {**place, "description": "Somewhere."},
        "span": {
            "type": "object",
            "properties": {"start": start, "days": {"type": "integer", "default": 1}},
            "required": ["start"],
            "additionalProperties": False,
        },
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        "kind": {"type": "string", "enum": ["short", "long"], "default": "short"},
        "stops": {"type": "array", "items": {"type": "string"}, "description": "On the way."},
        "near": {**place, "description": "On the way."},
        "limit": {"type": "integer", "minimum": 1, "default": 5, "description": "At most"},
        "copy": {"default": True},
        "model_config": {},
    }
    assert schema(everything)["function"]["parameters"]["required"] == ["place", "span"]


def test_arguments_become_what_the_annotations_say() -> None:
    given = call(
        everything,
        place={"city": "Rome"},
        span={"start": "2026-11-22", "days": "3"},
        unit="fahrenheit",
        stops=["Bari"],
        near=None,
        limit="7",
        copy="x",
    )
    assert given == {
        "place": Place(city="Rome"),
        "span": Span(datetime.date(2026, 11, 22), 3),
        "unit": Unit.F,
        "kind": "short",
        "stops": ["Bari"],
        "near": None,
        "limit": 7,
        "copy": "x",
        "model_config": NOTHING,
    }
    assert given["model_config"] is NOTHING


def test_a_number_may_stand_for_a_word_and_a_word_for_a_number() -> None:
    assert call(google, city=90210, days="4") == "90210:4"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "city: Field required"),
        ({"city": "Rome", "days": "many"}, "days: Input should be a valid integer"),
        ({"city": "Rome", "unit": "F"}, "unit: Extra inputs are not permitted"),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError) as raised:
        call(google, **arguments)
    assert said in told(raised.value)


def test_places_and_free_arguments() -> None:
    assert properties(both).keys() == {"a", "b", "c"}
    assert call(both, a=1, b=2) == (1, 2, (), 0, {})
    assert call(both, a=1, b=2, c=3) == (1, 2, (), 3, {})


def test_methods_and_objects_that_can_be_called() -> None:
    shop = Shop()
    assert call(shop.buy, thing="bread") is None
    assert shop.sold == ["bread"]
    assert call(Shop.price, thing="bread") == 12.5
    assert call(shop, thing="milk") == "no milk today"
    assert schema(shop)["function"]["name"] == "Shop"
    assert properties(shop.buy) == {"thing": {"type": "string"}}


def test_what_a_partial_sets_stays_unseen() -> None:
    bound = functools.partial(functools.partial(search, key="hunter2"), limit=9)
    assert "hunter2" not in json.dumps(schema(bound))
    assert properties(bound).keys() == {"query"}
    assert schema(bound)["function"]["name"] == "search"
    assert schema(bound)["function"]["description"] == "Search the web."
    assert call(bound, query="cats") == "cats hunter2 9"
    assert call(functools.partial(search, "dogs"), key="k") == "dogs k 3"
    with pytest.raises(TypeError, match="key: Extra"):
        call(bound, query="cats", key="another")


def test_a_decorated_function_is_read_through() -> None:
    assert schema(traced(google)) == schema(google)
    assert call(traced(google), city="Rome", days="2") == "Rome:2"


def test_an_async_function_gives_what_can_be_awaited() -> None:
    assert asyncio.run(call(slowly, seconds="2")) == "after 2.0"


def test_a_tree_keeps_its_definition() -> None:
    parameters = schema(climb)["function"]["parameters"]
    jsonschema.validate({"tree": {"label": "a", "kids": [{"label": "b"}]}}, parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"tree": {"label": "a", "kids": [{"kids": [1]}]}}, parameters)
    assert call(climb, tree={"label": "a", "kids": [{"label": "b"}]}) == 1


def test_a_dict_is_a_ready_schema_whose_calls_are_the_callers() -> None:
    ready = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    tools = Tools.of([google, ready])
    assert tools.schemas == (schema(google), ready)
    assert tools.runs(ToolCall("find", {})) is None
    assert Tools.of([ready]).runs(ToolCall("something", {})) is None
    assert Tools.of([]) == Tools()


def test_a_function_that_is_not_there_is_told_with_those_that_are() -> None:
    work = Tools.of([google, numpy]).runs(ToolCall("get_whether", {}))
    assert work is not None
    with pytest.raises(LookupError) as raised:
        work()
    assert told(raised.value) == "LookupError: There is no function 'get_whether'. There are: google, numpy."


def lost(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821 -- that is the point
    ...


def unknown(x: np.ndarray[Any, Any], y: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("thing", "words", "hint"),
    [
        (lambda x: x, "A lambda has no name", "with def"),
        ("google", "A value of the type str is no tool", "Give functions"),
        (5, "A value of the type int is no tool", "Give functions"),
        (Place, "The class Place is no tool", "Give functions"),
        (Shop.buy, "buy belongs to a class and wants an object", "Give it as object.buy"),
        (lost, "parameters of lost have no JSON schema .*'Nowhere' is not defined", "Give functions"),
        (unknown, "parameters of unknown have no JSON schema .*ndarray", "Give functions"),
        (dict.get, "get belongs to a class and wants an object", "Give it as object.get"),
        ({}, "This dict is no tool's schema", '"type": "function"'),
        ({"name": "f"}, "This dict is no tool's schema", '"type": "function"'),
        ({"function": {"name": 3}}, "This dict is no tool's schema", '"type": "function"'),
    ],
)
def test_what_can_be_no_tool_is_refused(thing: Any, words: str, hint: str) -> None:
    with pytest.raises(BadPrompt, match=words) as raised:
        Tools.of([thing])
    assert hint in raised.value.hint


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(BadPrompt, match="Two tools have the name 'google'"):
        Tools.of([google, traced(google)])


@pytest.mark.parametrize("module", ["pydantic", "docstring_parser"])
def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python has it for what is not installed
    with pytest.raises(MissingExtra, match=r'pip install "acagent-nb\[client\]"'):
        schema(google)


def test_ready_schemas_need_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert Tools.of([{"type": "function", "function": {"name": "find"}}]).schemas
