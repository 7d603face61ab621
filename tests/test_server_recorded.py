"""Single recorded requests in more detail than the contract, and bodies that Go refuses in words of its own."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

WIRE = Path(__file__).parent / "wire" / "head-2026-08-21.jsonl"


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """The recordings by name."""
    return {case["name"]: case for case in map(json.loads, WIRE.read_text(encoding="utf-8").splitlines())}


def send(api: httpx.Client, case: dict[str, Any]) -> tuple[httpx.Response, list[str]]:
    """Send a recorded request to our models; the answer and its lines."""
    asked = case["request"]
    body = asked["body"]
    content = body if isinstance(body, str) else "" if body is None else json.dumps(body)
    answer = api.request(asked["method"], asked["path"], content=content)
    return answer, answer.text.splitlines()


def shape(value: Any) -> Any:
    """Keys in their order, and types; a list is its first item's shape."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_overflow_is_refused_with_token_counts(api: httpx.Client) -> None:
    answer, lines = send(api, recorded()["chat_overflow_truncate_false"])
    assert answer.status_code == 400
    ours = json.loads(json.loads(lines[0])["error"])
    theirs = json.loads(json.loads(recorded()["chat_overflow_truncate_false"]["lines"][0][1])["error"])
    assert shape(ours) == shape(theirs)
    assert ours["error"]["type"] == theirs["error"]["type"]
    assert ours["error"]["n_prompt_tokens"] > ours["error"]["n_ctx"]


def test_overflow_is_cut_by_default(api: httpx.Client) -> None:
    answer, lines = send(api, recorded()["chat_overflow_truncated"])
    told = json.loads(lines[0])
    assert answer.status_code == 200
    assert told["prompt_eval_count"] <= 34  # num_keep 4 and half of the other 60, as recorded


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"model": 1}', "json: cannot unmarshal number into Go struct field ChatRequest.model of type string"),
        (
            '{"model": "tiny", "stream": "no"}',
            "json: cannot unmarshal string into Go struct field ChatRequest.stream of type bool",
        ),
        ("[]", "json: cannot unmarshal array into Go value of type api.ChatRequest"),
        ('{"model": "tiny"', "unexpected EOF"),
        ('{"model": tiny}', "invalid character 'i' in literal true (expecting 'r')"),
        ('{"model": ' + "[" * 100_000, "exceeded max depth"),
        ('{"model": x}', "invalid character 'x' looking for beginning of value"),
        ('{"model" "tiny"}', "invalid character '\"' after object key"),
        ('{"model": "tiny" 1}', "invalid character '1' after object key:value pair"),
        ('{"messages": [1 2]}', "invalid character '2' after array element"),
        (
            '{"model": "tiny", "top_logprobs": 21, "messages": [{"content": "x"}]}',
            "top_logprobs must be between 0 and 20",
        ),
        ('{"model": "tiny", "keep_alive": "zz"}', 'time: invalid duration "zz"'),
        ('{"model": "tiny", "keep_alive": "5x"}', 'time: unknown unit "x" in duration "5x"'),
    ],
)
def test_bad_bodies_are_refused_in_gos_words(api: httpx.Client, body: str, said: str) -> None:
    answer = api.post("/api/chat", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": said})


def test_the_first_json_value_counts_whatever_the_content_type(api: httpx.Client) -> None:
    body = '{"model": "tiny", "messages": [], "unknown": 1} and what follows'
    answer = api.post("/api/chat", content=body, headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["done_reason"]) == (200, "load")


@pytest.mark.parametrize("content", ['"a \\ud800 half"', '"caf\\u00e9 \\ud83d\\ude00"'])
def test_any_text_is_taken(api: httpx.Client, content: str) -> None:
    body = '{"model": "tiny", "stream": false, "messages": [{"role": "user", "content": ' + content + "}]}"
    assert api.post("/api/chat", content=body).json()["done"] is True
