"""Rounds of tools and answers of a shape with the embedded engine's own model."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from acagent_nb import Client

from .clients import asynchronous, blocking
from .skills import MODEL, SIX, Person, get_weather


@pytest.mark.parametrize("think", [True, False])
@pytest.mark.parametrize(
    ("question", "name", "arguments", "result", "answer"),
    [
        ("What is the weather in Rome?", "get_weather", {"city": "Rome"}, get_weather("Rome"), "21 degrees"),
        ("What is 12 plus 75?", "add", {"a": 12, "b": 75}, "87", "87"),
    ],
)
def test_the_engines_own_model_calls_and_answers(
    api: httpx.Client, think: bool, question: str, name: str, arguments: Any, result: str, answer: str
) -> None:
    reply = blocking(str(api.base_url), "chat", MODEL, question, tools=SIX, think=think, temperature=0)
    ((call,), (told,)) = reply.tool_calls, reply.tool_results
    assert (call.name, call.arguments) == (name, arguments)
    assert (told.content, told.failed) == (result, False)
    assert answer in reply.text
    assert bool(reply.messages[1].thinking) is think


def test_the_engines_own_model_with_an_async_function(api: httpx.Client) -> None:
    reply = asynchronous(
        str(api.base_url), "chat", MODEL, "What time is it in Oslo?", tools=SIX, think=False, temperature=0
    )
    assert reply.tool_results[0].content == "12:30"
    assert "12:30" in reply.text


class Warmth(BaseModel):
    warm: bool


def test_the_engines_own_model_with_tools_and_a_format(api: httpx.Client) -> None:
    question = "What is the weather in Rome?"
    reply = blocking(str(api.base_url), "chat", MODEL, question, tools=SIX, format=Warmth, think=False, temperature=0)
    assert isinstance(reply.value, Warmth)
    assert [result.call.name for result in reply.tool_results] == ["get_weather"]


def test_the_engines_own_model_fills_a_class(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client:
        reply = client.chat(
            "local_tiny", "Extract name and age as JSON: Anna is 31 years old.", format=Person, temperature=0
        )
    assert reply.value == Person(name="Anna", age=31)
    assert json.loads(reply.text) == {"name": "Anna", "age": 31}
