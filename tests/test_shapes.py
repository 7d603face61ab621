"""Formats as users write them: what is sent, what comes back, and what is said when it does not fit."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import httpx
import jsonschema  # type: ignore[import-untyped, unused-ignore]
import pytest
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from acagent_nb.errors import BadAnswer, BadPrompt, LLMError, MissingExtra
from acagent_nb.messages import Done, Event, Request, Text, ToolCall, ToolResult
from acagent_nb.replies import Reply
from acagent_nb.shapes import Shape, plain, strict

SECRET = "hunter2"


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Street(BaseModel):
    title: str
    number: int = 1


class Person(BaseModel):
    name: str
    age: int
    home: Street | None = None
    mood: Mood = Mood.GOOD

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name == SECRET:
            raise ValueError(f"{name} is not welcome")
        return name


class Tree(BaseModel):
    label: str
    kids: list[Tree] = []
    street: Street | None = None


@dataclass
class Pair:
    left: int
    right: Street


class Card(TypedDict):
    suit: Literal["hearts", "spades"]
    value: int


ANNA = '{"name": "Anna", "age": 31, "home": {"title": "Elm", "number": 4}}'
READ = [
    (Person, ANNA, Person(name="Anna", age=31, home=Street(title="Elm", number=4))),
    (Pair, '{"left": 1, "right": {"title": "Elm"}}', Pair(1, Street(title="Elm"))),
    (Card, '{"suit": "hearts", "value": 3}', {"suit": "hearts", "value": 3}),
    (Mood, '"bad"', Mood.BAD),
    (Literal["yes", "no"], '"yes"', "yes"),
    (list[Person], f"[{ANNA}]", [Person(name="Anna", age=31, home=Street(title="Elm", number=4))]),
    (list[str], '["a"]', ["a"]),
    (int, "42", 42),
    (Annotated[int, Field(ge=0)], "42", 42),
    (Tree, '{"label": "a", "kids": [{"label": "b"}]}', Tree(label="a", kids=[Tree(label="b")])),
]


def reply(text: str, reason: str = "stop") -> Reply:
    return Reply.of(Request("tiny"), [Text(text), Done(reason)])


@pytest.mark.parametrize(("format", "text", "value"), READ, ids=lambda each: str(each)[:20])
def test_a_type_is_sent_as_a_schema_and_read_as_a_value(format: Any, text: str, value: Any) -> None:
    shape = Shape.of(format)
    jsonschema.Draft202012Validator.check_schema(shape.wire)
    jsonschema.validate(json.loads(text), shape.wire)
    assert shape.read(text) == value
    assert type(shape.read(text)) is type(value)


@pytest.mark.parametrize(
    "text", [ANNA, f"  \n{ANNA}\n\n", f"```json\n{ANNA}\n```", f"```\n{ANNA}```\n", f"```JSON {ANNA} ```"]
)
def test_blanks_and_a_fence_are_allowed_for(text: str) -> None:
    assert Shape.of(Person).read(text).age == 31
    assert Shape.of("json").read(text)["age"] == 31


def test_text_has_no_value_and_json_any() -> None:
    assert Shape.of(None) == Shape.of("") == Shape()
    assert Shape.of(None).wire is None
    assert Shape.of(None).read("hello") is None
    assert Shape.of("json").wire == "json"
    assert Shape.of("json").read("[1, null]") == [1, None]


def test_a_dict_is_sent_as_it_is_and_its_answer_only_parsed() -> None:
    schema = Person.model_json_schema()
    assert Shape.of(schema).wire is schema
    assert Shape.of(schema).read('{"other": 1}') == {"other": 1}


def test_references_are_put_in_place_and_titles_dropped() -> None:
    wire = Shape.of(Person).wire
    assert isinstance(wire, dict)
    assert "$ref" not in json.dumps(wire)
    assert "$defs" not in wire
    assert "title" not in wire
    assert wire["properties"]["home"]["anyOf"][0]["properties"]["title"] == {
        "type": "string"
    }  # a property of that name


def test_what_holds_itself_keeps_its_definition() -> None:
    wire = Shape.of(Tree).wire
    assert isinstance(wire, dict)
    assert wire["type"] == "object"
    assert list(wire["$defs"]) == ["Tree"]
    assert json.dumps(wire).count('"#/$defs/Tree"') == 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"label": "a", "kids": [{"label": "b", "kids": [{"label": 3}]}]}, wire)


def test_data_in_a_schema_is_let_be() -> None:
    schema = {"properties": {"default": {"title": "D", "default": {"title": "x"}, "enum": [{"title": "y"}]}}}
    assert plain(schema) == {"properties": {"default": {"default": {"title": "x"}, "enum": [{"title": "y"}]}}}


@pytest.mark.parametrize(
    ("format", "text", "said"),
    [
        (Person, '{"name": "Anna", "age": "hunter2"}', "age: Input should be a valid integer"),
        (Person, '{"name": "hunter2"}', "age: Field required"),
        (Person, '{"name": "hunter2", "age": 3}', "name: value error"),
        (Person, '{"name": "Anna", "age": 3, "mood": "hunter2"}', "mood: Input should be 'good' or 'bad'"),
        (list[Person], '[{"name": 1, "age": "hunter2"}, {}]', "and 1 more"),
        (Person, "My password is hunter2.", "Invalid JSON"),
        (Person, '{"name": "hunter2', "Invalid JSON: EOF"),
        (Card, '{"suit": "hunter2", "value": 1}', "suit: Input should be 'hearts' or 'spades'"),
        ("json", "My password is hunter2.", "not JSON (Expecting value, line 1)"),
        ("json", "", "not JSON"),
        ("json", "[" * 100_000, "nested too deeply"),
        ({"type": "object"}, '{"password": "hunter2"', "not JSON"),
    ],
)
def test_what_does_not_fit_is_told_without_the_answer(format: Any, text: str, said: str) -> None:
    with pytest.raises(BadAnswer) as raised:
        Shape.of(format).read(text)
    assert said in raised.value.message
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__


def test_an_error_carries_the_reply_and_knows_when_it_was_cut_off() -> None:
    with pytest.raises(BadAnswer) as raised:
        Shape.of(Person).value(bad := reply('{"name": "An'))
    assert raised.value.reply is bad
    assert "num_predict" not in raised.value.hint
    with pytest.raises(BadAnswer) as raised:
        Shape.of(Person).value(reply('{"name": "An', "length"))
    assert "num_predict" in raised.value.hint


def test_what_is_no_answer_yet_has_no_value() -> None:
    shape, call = Shape.of(Person), ToolCall("f", {})
    assert shape.value(reply(ANNA)) == Person.model_validate_json(ANNA)
    assert shape.value(reply("", "load")) is None
    assert shape.value(Reply.of(Request("tiny"), [Text("{")])) is None
    assert shape.value(Reply.of(Request("tiny"), [call, Done("stop")])) is None
    rounds: list[Event] = [call, Done("stop"), ToolResult(call, "1"), Text(ANNA), Done("stop")]
    assert shape.value(Reply.of(Request("tiny"), rounds)) == Person.model_validate_json(ANNA)


@pytest.mark.parametrize("format", ["xml", 5, lambda: 1, print, Person(name="Anna", age=3), list["Nowhere"]])  # type: ignore[name-defined]  # noqa: F821 -- that is the point
def test_what_is_no_format_is_refused(format: Any) -> None:
    with pytest.raises(BadPrompt) as raised:
        Shape.of(format)
    assert raised.value.hint


def test_without_pydantic_only_types_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)  # as Python has it for what is not installed
    assert Shape.of("json").read("{}") == {}
    with pytest.raises(MissingExtra, match="acagent-nb\\[client\\]"):
        Shape.of(int)


def _objects(schema: Any) -> list[Mapping[str, Any]]:
    if isinstance(schema, Mapping):
        here = [schema] if schema.get("type") == "object" else []
        return here + [each for below in schema.values() for each in _objects(below)]
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return [each for below in schema for each in _objects(below)]
    return []


@pytest.mark.parametrize("format", [Person, Tree, Pair, Card])
def test_a_strict_schema_closes_every_object(format: Any) -> None:
    wire = Shape.of(format).wire
    assert isinstance(wire, dict)
    closed = strict(wire)
    assert closed is not None
    for each in _objects(closed):
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
    assert "default" not in json.dumps(closed)
    assert "default" in json.dumps(wire) or format is Card  # the schema that was given is as it was


def test_what_fits_a_strict_schema_fits_the_type() -> None:
    closed = strict(Shape.of(Person).wire)  # type: ignore[arg-type]  # it is a dict
    whole = {"name": "Anna", "age": 3, "home": None, "mood": "bad"}
    jsonschema.validate(whole, closed)
    assert Shape.of(Person).read(json.dumps(whole)) == Person(name="Anna", age=3, mood=Mood.BAD)


class Free(BaseModel):
    counts: dict[str, int]


class Short(BaseModel):
    name: Annotated[str, Field(max_length=3)]


class Either(BaseModel):
    pet: Optional[tuple[int, str]]  # noqa: UP045 -- both ways of writing it are met


@pytest.mark.parametrize("format", [list[int], int, Mood, Free, Short, Either])
def test_what_strict_mode_can_not_say_is_none(format: Any) -> None:
    assert strict(Shape.of(format).wire) is None  # type: ignore[arg-type]  # it is a dict


class Reviewed(BaseModel):
    sentiment: Literal["positive", "negative", "neutral"]


@pytest.mark.parametrize("format", [Person, Tree, list[int], Reviewed, Mood, Card, Pair])
def test_the_engine_keeps_a_model_to_every_schema(api: httpx.Client, format: Any) -> None:
    shape = Shape.of(format)
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Classify the sentiment of this review: The soup was cold."}],
        "format": shape.wire,
        "stream": False,
        "options": {"temperature": 0, "num_predict": 400},
    }
    answer = api.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    if answer.json()["done_reason"] == "stop":
        assert shape.read(answer.json()["message"]["content"]) is not None
    else:
        with pytest.raises(LLMError):
            shape.read(answer.json()["message"]["content"])
