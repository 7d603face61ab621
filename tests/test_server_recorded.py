"""The recorded requests of a real Ollama, sent to the embedded server: same statuses, words and shapes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest


def words(text: str) -> list[str]:
    return text.split()


WIRE = Path(__file__).parent / "wire" / "head-2026-08-21.jsonl"


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """The recordings by name."""
    return {case["name"]: case for case in map(json.loads, WIRE.read_text(encoding="utf-8").splitlines())}


def send(api: httpx.Client, case: dict[str, Any]) -> tuple[httpx.Response, list[str]]:
    """Send a recorded request to our models; the answer and its lines."""
    asked = case["request"]
    body = asked["body"]
    if isinstance(body, dict) and body.get("model") == "skills":
        body = body | {"model": "tiny:skills"}
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


# Refusals and plain texts: every byte is Ollama's, as JSON reads it.
SAME_TEXT = words(
    """
    root chat_stop_as_string chat_option_wrong_type chat_options_not_object chat_format_bad
    chat_think_unsupported chat_think_bad chat_tools_unsupported chat_images_on_text_model
    chat_images_bad_base64 chat_keep_alive_bad chat_missing_model chat_missing_model_nonstream chat_bad_name
    chat_empty_name chat_empty_body chat_bad_json chat_get unknown_route generate_suffix_unsupported
    generate_missing_model show_missing embed_missing_model copy_missing delete_missing openai_missing_model
    pull_bad_name
    """
)


@pytest.mark.parametrize("name", SAME_TEXT)
def test_the_same_words(api: httpx.Client, name: str) -> None:
    case = recorded()[name]
    answer, lines = send(api, case)
    assert answer.status_code == case["status"]
    if name != "chat_format_bad":  # there Ollama leaves the charset out
        assert answer.headers["content-type"] == case["content_type"]
    said = case["lines"][0][1]
    assert [json.loads(line) if said.startswith("{") else line for line in lines] == [
        json.loads(said) if said.startswith("{") else said
    ]


SAME_SHAPE = words(
    """
    ps_before chat_stream chat_nonstream ps_loaded chat_system_and_history chat_seed_a chat_num_predict_5
    chat_num_predict_0 chat_stop chat_option_unknown chat_option_dead_mirostat chat_option_out_of_range
    chat_option_null chat_think_false chat_options_at_top_level_are_ignored chat_num_ctx_reload chat_logprobs
    chat_load chat_unload chat_keep_alive_forever generate_stream generate_nonstream generate_raw generate_load
    generate_unload embed_one embed_many openai_models pull_nonstream
    """
)


@pytest.mark.parametrize("name", SAME_SHAPE)
def test_the_same_shape(api: httpx.Client, name: str) -> None:
    case = recorded()[name]
    if name.startswith("ps_"):
        api.post("/api/chat", json={"model": "tiny", "messages": []})
    if name == "pull_nonstream":  # the registry of the recording is not there, the model is ours
        case = case | {"request": case["request"] | {"body": {"model": "tiny", "stream": False}}}
    answer, lines = send(api, case)
    assert answer.status_code == case["status"]
    assert answer.headers["content-type"] == case["content_type"]
    ours = [json.loads(line) for line in lines]
    theirs = [json.loads(line) for _, line in case["lines"]]
    assert shape(ours[0]) == shape(theirs[0])
    assert shape(ours[-1]) == shape(theirs[-1])
    assert ours[-1].get("done_reason") == theirs[-1].get("done_reason")
    assert ours[-1].get("model") == theirs[-1].get("model")
    if len(theirs) > 1:
        assert all(shape(line) == shape(theirs[0]) for line in ours[:-1])


SKILLS = words(
    """
    thinking_stream thinking_nonstream thinking_field_absent thinking_level tool_call_stream tool_call_nonstream
    thinking_then_two_tool_calls_stream generate_thinking_stream
    """
)


@pytest.mark.parametrize("name", SKILLS)
def test_the_same_shapes_for_thinking_and_tools(api: httpx.Client, name: str) -> None:
    """Other words than the recording's, so compare which shapes of line there are, not how many."""
    case = recorded()[name]
    body = dict(case["request"]["body"])
    body["options"] = {"temperature": 0}
    if body.get("messages"):
        text = "What is the weather in Rome?" if "tools" in body else "why is the sky blue?"
        body["messages"] = [{"role": "user", "content": text}]
    else:
        body["prompt"] = "why is the sky blue?"
    answer, lines = send(api, case | {"request": case["request"] | {"body": body}})
    assert answer.status_code == case["status"]
    ours = {json.dumps(shape(json.loads(line))) for line in lines}
    theirs = {json.dumps(shape(json.loads(line))) for _, line in case["lines"]}
    assert ours == theirs


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
