"""What a cloud model is sent: a request in OpenAI's words."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from acagent_nb import Client, Warned
from acagent_nb.messages import Message, Note, ToolCall

from .clouds import HI, OK, Ask, notes, sent
from .openai_like import openai_like


def test_options_in_openais_words() -> None:
    given = {
        "num_predict": 9,
        "seed": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop": ["END"],
    }
    body = sent(options=given)
    assert body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 9,
        **{name: value for name, value in given.items() if name != "num_predict"},
    }
    lab = sent(options=given, provider="lab")
    assert lab["max_tokens"] == 9
    assert "max_completion_tokens" not in lab
    assert not {"seed", "max_completion_tokens"} & set(sent(options={"num_predict": -1, "seed": -1}))


def test_what_has_no_counterpart_is_named_once_and_not_sent(ask: Ask) -> None:
    with openai_like(OK) as server:
        events = ask(
            server.url, options={"num_ctx": 4096, "top_k": 5, "temperature": 0}, keep_alive="5m", truncate=True
        )
        (body,) = (body for _, _, body in server.requests)
    (note,) = notes(events)
    assert events[0] == Note(note)
    assert all(name in note for name in ("num_ctx", "top_k", "keep_alive", "truncate", "127.0.0.1 has no such setting"))
    assert "temperature" not in note
    assert not {"num_ctx", "top_k", "keep_alive", "truncate"} & set(body)
    with openai_like(OK) as server:
        assert notes(ask(server.url, truncate=False, options={"num_predict": -1})) == []


@pytest.mark.parametrize(("think", "effort"), [(True, "medium"), (False, "none"), ("low", "low"), ("max", "max")])
def test_thinking_is_an_effort(think: Any, effort: str) -> None:
    assert sent(think=think)["reasoning_effort"] == effort
    assert "reasoning_effort" not in sent()


@pytest.mark.parametrize(
    ("start", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x10\x00\x00\x00WEBP", "image/webp"),
    ],
)
def test_pictures_say_what_they_are(start: bytes, mime: str) -> None:
    image = base64.b64encode(start + bytes(40)).decode()
    (turn,) = sent(messages=(Message("user", "What is it?", images=(image,)),))["messages"]
    assert turn["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{image}"}},
    ]


def test_tools_their_calls_and_their_results() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    calls = (ToolCall("add", {"a": 1}, "id_1"), ToolCall("sub", {"b": "ü"}), ToolCall("sub", {"b": 2}))
    body = sent(
        tools=(tool,),
        messages=(
            *HI,
            Message("assistant", thinking="not sent back", tool_calls=calls),
            Message("tool", "2", tool_name="sub"),
            Message("tool", "1", tool_name="add", tool_call_id="id_1"),
            Message("tool", "3", tool_name="sub"),
        ),
    )
    assert body["tools"] == [tool]
    said, *results = body["messages"][1:]
    assert set(said) == {"role", "content", "tool_calls"}
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids[0] == "id_1"
    assert len(set(ids)) == 3
    assert [json.loads(call["function"]["arguments"]) for call in said["tool_calls"]] == [
        {"a": 1},
        {"b": "ü"},
        {"b": 2},
    ]
    assert {call["type"] for call in said["tool_calls"]} == {"function"}
    assert [result["tool_call_id"] for result in results] == [ids[1], "id_1", ids[2]]


NAMED = {"title": "A person!", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def test_a_schema_is_strict_where_that_does_not_change_it() -> None:
    assert sent(format="json")["response_format"] == {"type": "json_object"}
    form = sent(format=NAMED)["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"] == {
        "name": "A_person_",
        "strict": True,
        "schema": {**NAMED, "additionalProperties": False},
    }
    nested = {
        "type": "object",
        "required": ["people", "boss"],
        "properties": {
            "people": {"type": "array", "items": {"$ref": "#/$defs/Person"}},
            "boss": {"$ref": "#/$defs/Person", "description": "who decides"},
        },
        "$defs": {"Person": NAMED},
    }
    schema = sent(format=nested)["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["$defs"]["Person"]["additionalProperties"] is False
    assert schema["schema"]["properties"]["boss"] == {"$ref": "#/$defs/Person"}


@pytest.mark.parametrize(
    "loose",
    [
        {**NAMED, "required": []},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {**NAMED, "properties": {"name": {"oneOf": [{"type": "string"}, {"type": "null"}]}}},
        {"type": "object", "properties": {"a": {**NAMED, "required": []}}, "required": ["a"]},
    ],
)
def test_a_schema_that_strict_mode_would_change_is_sent_as_it_is(loose: dict[str, Any]) -> None:
    assert sent(format=loose)["response_format"]["json_schema"]["strict"] is False
    assert sent(format=loose)["response_format"]["json_schema"]["schema"] == loose


def test_a_server_is_called_by_its_own_name(
    ask: Ask, server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with openai_like(OK) as lab:
        (note,) = notes(ask(lab.url, provider="lab", options={"num_ctx": 9}))
        assert note == "num_ctx did nothing: lab has no such setting."
        monkeypatch.setenv("OPENAI_BASE_URL", lab.url)
        with Client() as client, pytest.warns(Warned, match=r"127\.0\.0\.1 has no such setting\.$"):
            client.chat("gpt-4o-mini", "hi", num_ctx=9)
    with (
        Client(base_url=f"{server}/v1") as client,
        pytest.warns(Warned, match=r"127\.0\.0\.1 has no such setting for embeddings"),
    ):
        client.embed("tiny", "a", num_ctx=64)
