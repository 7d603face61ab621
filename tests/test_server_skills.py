"""Thinking, tools, formats and probabilities."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from .serving import SKY, WEATHER

ROME = [{"role": "user", "content": "What is the weather in Rome?"}]


def chat(api: httpx.Client, **fields: Any) -> Any:
    body = {"model": "tiny:skills", "messages": SKY, "stream": False, "options": {"temperature": 0}, **fields}
    answer = api.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["message"]


@pytest.mark.parametrize("think", [None, True, "low", "medium", "high", "max"])
def test_thinking_is_told_apart_from_the_answer(api: httpx.Client, think: Any) -> None:
    message = chat(api, think=think)
    assert message["thinking"].strip()
    assert "think>" not in message["content"] + message["thinking"]


def test_thinking_can_be_switched_off(api: httpx.Client) -> None:
    assert "thinking" not in chat(api, think=False)


def test_thinking_comes_before_the_answer_in_a_stream(api: httpx.Client) -> None:
    answer = api.post("/api/chat", json={"model": "tiny:skills", "messages": SKY, "options": {"temperature": 0}})
    kinds = ["thinking" if "thinking" in json.loads(line)["message"] else "text" for line in answer.iter_lines()]
    assert "thinking" in kinds
    assert kinds == sorted(kinds, reverse=True)


def test_a_tool_is_called_and_its_result_used(api: httpx.Client) -> None:
    asked = chat(api, messages=ROME, tools=[WEATHER], think=False)
    (call,) = asked["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert call["id"].startswith("call_")
    assert len(call["id"]) == 13
    assert isinstance(call["function"]["arguments"]["city"], str)
    result = {"role": "tool", "tool_name": "get_weather", "tool_call_id": call["id"], "content": "21 degrees"}
    answer = chat(api, messages=[*ROME, asked, result], tools=[WEATHER], think=False)
    assert answer["content"]


@pytest.mark.parametrize("think", [True, False])
def test_a_schema_is_kept_with_thinking_or_without(api: httpx.Client, think: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    message = chat(api, format=schema, think=think)
    assert list(json.loads(message["content"])) == ["n"]
    assert ("thinking" in message) is think


def test_a_schema_holds_for_generate_too(api: httpx.Client) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    for raw in (False, True):
        if raw:  # out of its template this model likes blanks, to which the engine's own grammar sets no end
            schema["x-guidance"] = {"whitespace_flexible": False}
        body = {
            "model": "tiny",
            "prompt": "is it?",
            "format": schema,
            "stream": False,
            "raw": raw,
            "options": {"seed": 1},
        }
        assert isinstance(json.loads(api.post("/api/generate", json=body).json()["response"])["ok"], bool)


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/x"}, {"enum": []}], ids=str)
def test_what_is_no_schema_is_refused_wherever_it_is_given(api: httpx.Client, schema: dict[str, Any]) -> None:
    body = {"model": "tiny", "prompt": "is it?", "format": schema, "stream": False}
    context = api.post("/api/generate", json=body | {"format": None, "options": {"num_predict": 2}}).json()["context"]
    asked = [
        ("/api/chat", {"model": "tiny", "messages": SKY, "format": schema, "stream": False}),
        ("/api/generate", body),
        ("/api/generate", body | {"raw": True}),
        ("/api/generate", body | {"context": context}),
    ]
    for path, fields in asked:
        refusal = api.post(path, json=fields)
        assert refusal.status_code == 400, fields
        assert "JSON schema error" in refusal.json()["error"]


@pytest.mark.parametrize("more", [{"raw": True}, {"context": [1, 2, 3]}, {}], ids=str)
@pytest.mark.parametrize("schema", [{"enum": ["yes"]}, {"enum": ["yes"], "uniqueItems": True, "nobody": 1}], ids=str)
def test_a_schema_holds_for_each_kind_of_prompt(api: httpx.Client, more: dict[str, Any], schema: Any) -> None:
    body = {"model": "tiny", "prompt": "is it?", "format": schema, "stream": False, **more}
    assert json.loads(api.post("/api/generate", json=body).json()["response"]) == "yes"


def test_an_empty_schema_is_any_json_value(api: httpx.Client) -> None:
    asked = {"model": "tiny", "format": {}, "stream": False, "options": {"temperature": 0, "num_predict": 40}}
    chats, raws = set(), set()
    for question in ("why is the sky blue?", "What is a token?", "What is the capital of France?"):
        body = asked | {"messages": [{"role": "user", "content": question}]}
        chats.add(api.post("/api/chat", json=body).json()["message"]["content"][0])
    for prompt in ('the answer is {"a": ', 'the list: ["a", ', "a number, 12, 13, ", 'say "yes", '):
        body = asked | {"prompt": prompt, "raw": True}
        raws.add(api.post("/api/generate", json=body).json()["response"].lstrip()[0])
    for firsts in (chats, raws):
        assert firsts <= set('{["-0123456789tfn')
        assert firsts - {"{"}, "not only objects"


def test_json_begins_as_an_object(api: httpx.Client) -> None:
    body = {"model": "tiny", "messages": SKY, "format": "json", "stream": False, "options": {"num_predict": 8}}
    assert api.post("/api/chat", json=body).json()["message"]["content"].lstrip().startswith("{")


def test_probabilities_belong_to_the_tokens(api: httpx.Client) -> None:
    body = {"model": "tiny", "messages": SKY, "logprobs": True, "top_logprobs": 3, "options": {"temperature": 0}}
    lines = [json.loads(line) for line in api.post("/api/chat", json=body).iter_lines()]
    tokens = [token for line in lines for token in line.get("logprobs", [])]
    assert "".join(token["token"] for token in tokens) == "".join(line["message"]["content"] for line in lines)
    assert all(len(token["top_logprobs"]) == 3 and token["logprob"] <= 0 for token in tokens)


def test_probabilities_without_alternatives(api: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": "hello", "logprobs": True, "stream": False, "options": {"num_predict": 3}}
    told = api.post("/api/generate", json=body).json()
    assert all("top_logprobs" not in token for token in told["logprobs"])


def test_probabilities_come_with_a_context_too(api: httpx.Client) -> None:
    body = {"model": "tiny", "prompt": "hello", "stream": False, "options": {"temperature": 0, "num_predict": 3}}
    context = api.post("/api/generate", json=body).json()["context"]
    told = api.post("/api/generate", json=body | {"context": context, "logprobs": True, "top_logprobs": 2}).json()
    assert len(told["logprobs"]) == told["eval_count"] > 0
    assert all(len(token["top_logprobs"]) == 2 for token in told["logprobs"])


def test_capabilities_are_what_the_templates_render(api: httpx.Client) -> None:
    told = {
        name: api.post("/api/show", json={"model": name}).json()["capabilities"] for name in ("tiny", "tiny:skills")
    }
    assert told == {"tiny": ["completion"], "tiny:skills": ["completion", "tools", "thinking"]}
