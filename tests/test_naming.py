"""Names of the notebook behind `--tool` and `--schema`."""

from __future__ import annotations

import math
import typing
from typing import Any

import pytest

from acagent_nb import BadPrompt
from acagent_nb.naming import shape, tool


class Person:
    def greet(self) -> str:
        return "hello"


def weather(city: str) -> str:
    return city


NAMES: dict[str, Any] = {"Person": Person, "weather": weather, "math": math, "anna": Person(), "n": 5, "form": {}}


def test_tools() -> None:
    assert tool("weather", NAMES) is weather
    assert tool("math.sqrt", NAMES) is math.sqrt
    assert tool("anna.greet", NAMES)() == "hello"


def test_shapes() -> None:
    assert shape("Person", NAMES) is Person
    assert shape("list[Person]", NAMES) == list[Person]
    assert shape("dict[str, int | None]", NAMES) == dict[str, int | None]
    assert shape("Literal['a', -1]", NAMES) == typing.Literal["a", -1]
    assert shape("form", NAMES) is NAMES["form"]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("wether", "There is no function 'wether' in the notebook.", "Did you mean weather?"),
        ("qqq", "There is no function 'qqq' in the notebook.", "Define it in a cell above"),
        ("math.sqroot", "'math' has no 'sqroot'.", ""),
        ("n", "'n' is no function, but of the type int.", ""),
    ],
)
def test_what_is_no_tool(name: str, message: str, hint: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        tool(name, NAMES)
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("Persn", "There is no 'Persn' in the notebook.", "Did you mean Person?"),
        ("list[Persn]", "There is no 'Persn' in the notebook.", "Did you mean Person?"),
        ("list[", "'list[' is no type.", ""),
        ("weather('x')", "\"weather('x')\" is no type.", ""),
        ("n[0]", "'n[0]' is no type (TypeError).", ""),
    ],
)
def test_what_is_no_shape(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadPrompt) as caught:
        shape(text, NAMES)
    assert caught.value.message == message
    assert caught.value.hint.startswith(hint)
