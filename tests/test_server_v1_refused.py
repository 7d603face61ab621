"""What the OpenAI-compatible routes refuse, in Ollama's words and OpenAI's form, and what they take that is odd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .serving import SKY, WEATHER, Server, serving, unhurt

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with serving() as server:
        yield server


def call(arguments: Any) -> dict[str, Any]:
    """An assistant's message that calls a function."""
    return {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]}


def go(word: str, field: str, kind: str, struct: str = "ChatCompletionRequest") -> str:
    return f"json: cannot unmarshal {word} into Go struct field {struct}.{field} of type {kind}"


REASONING = 'must be "high", "medium", "low", "max", or "none"'

REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    (CHAT, {"reasoning_effort": "huge"}, 400, f"invalid reasoning value: 'huge' ({REASONING})"),
    (CHAT, {"reasoning": {"effort": "HIGH"}}, 400, f"invalid reasoning value: 'HIGH' ({REASONING})"),
    (CHAT, {"reasoning_effort": "high"}, 400, '"tiny" does not support thinking'),
    (CHAT, {"messages": []}, 400, "[] is too short - 'messages'"),
    (CHAT, {"messages": None}, 400, "[] is too short - 'messages'"),
    (CHAT, {"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    (TEXT, {"logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
    (CHAT, {"model": 3}, 400, go("number", "model", "string")),
    (TEXT, {"model": 3}, 400, go("number", "model", "string", "CompletionRequest")),
    (CHAT, {"model": ""}, 400, "model is required"),
    (TEXT, {"model": ""}, 404, "model '' not found"),
    (CHAT, {"model": "../x"}, 400, "invalid model name"),
    (CHAT, {"temperature": "hot"}, 400, go("string", "temperature", "float64")),
    (CHAT, {"max_tokens": 1.5}, 400, go("number 1.5", "max_tokens", "int")),
    (CHAT, {"stream_options": 3}, 400, go("number", "stream_options", "openai.StreamOptions")),
    (CHAT, {"stream_options": {"include_usage": 1}}, 400, go("number", "stream_options.include_usage", "bool")),
    (CHAT, {"messages": "hi"}, 400, go("string", "messages", "[]openai.Message")),
    (CHAT, {"messages": [{"role": 3, "content": "hi"}]}, 400, go("number", "messages.role", "string")),
    (CHAT, {"messages": [{"role": "user"}]}, 400, "invalid message content type: <nil>"),
    (CHAT, {"messages": [{"role": "user", "content": 3}]}, 400, "invalid message content type: float64"),
    (CHAT, {"messages": [*SKY, call("{bad")]}, 400, "invalid tool call arguments"),
    (CHAT, {"messages": [*SKY, call("[1]")]}, 400, "invalid tool call arguments"),
    (CHAT, {"tools": [WEATHER]}, 400, "registry.ollama.ai/library/tiny:latest does not support tools"),
    (CHAT, {"stop": [3]}, 400, "invalid type for 'stop' field: float64"),
    (TEXT, {"prompt": [1, 2]}, 400, go("array", "prompt", "string", "CompletionRequest")),
    (TEXT, {"prompt": {"text": "hi"}}, 400, go("object", "prompt", "string", "CompletionRequest")),
    (CHAT, {"n": 129}, 400, "Invalid 'n': integer above maximum value. Expected a value <= 128, but got 129."),
]


@pytest.mark.parametrize(("path", "fields", "status", "words"), REFUSED)
@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_has_ollamas_words(
    own: Server, path: str, fields: dict[str, Any], status: int, words: str, stream: bool
) -> None:
    question = {"messages": SKY} if path == CHAT else {"prompt": "hi"}
    answer = own.client.post(path, json={"model": "tiny", **question, "stream": stream, **fields})
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, words)
    assert answer.headers["content-type"] == "application/json"
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    assert answer.json()["error"] == {"message": words, "type": kinds[status], "param": None, "code": None}


@pytest.mark.parametrize("stream", [True, False])
def test_a_picture_for_a_model_that_sees_none(own: Server, stream: bool) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    body = {"model": "tiny", "messages": [{"role": "user", "content": [part]}], "stream": stream}
    answer = own.client.post(CHAT, json=body)
    assert answer.status_code == 400
    assert "does not support multimodal" in answer.json()["error"]["message"]


def post(server: Server, body: bytes, path: str = CHAT) -> Any:
    with unhurt(server):
        return server.client.post(path, content=body)


def test_bodies_that_go_reads_are_read(own: Server) -> None:
    body = json.dumps({"model": "tiny", "messages": SKY, "max_tokens": 2}).encode()
    plain = post(own, body).json()
    assert post(own, body + b" and more").json()["choices"] == plain["choices"]
    half = b'{"model":"tiny","messages":[{"role":"user","content":"\\ud800 hi"}],"max_tokens":2}'
    assert post(own, half).status_code == 200
    without = json.dumps({"model": "tiny", "messages": [{"content": "hi"}], "max_tokens": 2}).encode()
    assert post(own, without).status_code == 200  # a message without a role
    for none in (b"", b"{", b"[1]", b'"x"', b'{"model":"tiny","messages":[' + b"[" * 100_000):
        refused = post(own, none)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("bias", [{"a": {"b": 1}}, {"99999999": 5}, {"-5": 5}, {"5": "x"}, {"": 3}, {"5": 1e308}])
def test_an_odd_bias_does_no_harm(own: Server, bias: dict[str, Any]) -> None:
    answer = post(own, json.dumps({"model": "tiny", "messages": SKY, "max_tokens": 2, "logit_bias": bias}).encode())
    assert answer.json().get("choices") or answer.status_code == 400
