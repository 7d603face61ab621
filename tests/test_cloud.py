"""Cloud models over real sockets and the real openai package, with answers as OpenAI's API documents them."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import numpy
import pytest

from acagent_nb import AsyncClient, Client, cloud
from acagent_nb.blocking import Sockets
from acagent_nb.driving import Settings
from acagent_nb.errors import (
    Busy,
    ContextTooLong,
    Incapable,
    Incomplete,
    LLMError,
    MissingExtra,
    ModelMissing,
    Refused,
    ServerDown,
    ServerError,
    TimedOut,
)
from acagent_nb.messages import Done, Event, Message, Note, Request, Stats, Text, Thinking, ToolCall
from acagent_nb.options import Options
from acagent_nb.params import Params

from .openai_like import Told, document, openai_like, piece, refusal, stream

KEY = "sk-proj-Tf3xqZ9aLm"
HI = (Message("user", "hi"),)
OK = stream(piece(content="ok"), piece("stop"))
Ask = Callable[..., list[Event]]


def asked(
    model: str = "gpt-4o-mini", messages: tuple[Message, ...] = HI, provider: str = "openai", **how: Any
) -> Request:
    return Request(model, messages, Options.of(how.pop("options", {})), provider=provider, **how)


def blocking(url: str, timeout: float | None = None, **how: Any) -> list[Event]:
    with Client(base_url=url, api_key=KEY, params=endpoints(url)) as client:
        return list(client.events(asked(**how), timeout=timeout))


def asynchronous(url: str, timeout: float | None = None, **how: Any) -> list[Event]:
    async def main() -> list[Event]:
        async with AsyncClient(base_url=url, api_key=KEY, params=endpoints(url)) as client:
            return [event async for event in client.events(asked(**how), timeout=timeout)]

    return asyncio.run(main())


def endpoints(url: str) -> dict[str, Any]:
    return {"endpoints": {"lab": {"base_url": url}}}


@pytest.fixture(params=[blocking, asynchronous], ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


def sent(**how: Any) -> dict[str, Any]:
    """The body of a request."""
    with openai_like(OK) as server:
        blocking(server.url, **how)
        ((method, path, body),) = server.requests
    assert (method, path) == ("POST", "/v1/chat/completions")
    assert isinstance(body, dict)
    return body


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


# answers

BUSY_STREAM: tuple[Any, ...] = (
    b": keep-alive\r\n\r\n",
    {"choices": [], "prompt_filter_results": []},
    piece(role="assistant", content=""),
    b"event: chunk\nid: 7\nretry: 10\n",
    piece(reasoning_content="Let me see."),
    piece(reasoning=" Yes."),
    b'data:{"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe, "}}]}\r\n\r\n',
    b"\n\n",
    piece(content="世界 🌍", new_field={"a": [1]}),
    piece("stop"),
    {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "more": {}}},
)
BUSY_EVENTS = [
    Thinking("Let me see."),
    Thinking(" Yes."),
    Text("Grüße, "),
    Text("世界 🌍"),
    Done("stop", Stats(prompt_eval_count=12, eval_count=34)),
]


@pytest.mark.parametrize("cuts", [None, *range(6)])
def test_a_stream_reads_the_same_wherever_it_is_cut(ask: Ask, cuts: int | None) -> None:
    with openai_like(stream(*BUSY_STREAM, cuts=cuts)) as server:
        assert ask(server.url) == BUSY_EVENTS


def test_calls_come_whole_and_in_order(ask: Ask) -> None:
    def call(index: int, **part: Any) -> dict[str, Any]:
        return piece(tool_calls=[{"index": index, **part}])

    told = stream(
        call(0, id="call_a", type="function", function={"name": "add", "arguments": ""}),
        call(0, function={"arguments": '{"a": 1, '}),
        call(1, id="call_b", type="function", function={"name": "now", "arguments": ""}),
        call(0, function={"arguments": '"b": [2]}'}),
        piece("tool_calls"),
    )
    with openai_like(told) as server:
        events = ask(server.url)
    assert events == [ToolCall("add", {"a": 1, "b": [2]}, "call_a"), ToolCall("now", {}, "call_b"), Done("stop")]


def test_calls_without_an_index_or_with_ready_arguments() -> None:
    first = piece(tool_calls=[{"id": "x", "function": {"name": "add", "arguments": '{"a"'}}])
    rest = piece(tool_calls=[{"function": {"arguments": ": 1}"}}])
    second = piece("tool_calls", tool_calls=[{"id": "y", "function": {"name": "sub", "arguments": {"b": 2}}}])
    with openai_like(stream(first, rest, second)) as server:
        assert blocking(server.url)[:2] == [ToolCall("add", {"a": 1}, "x"), ToolCall("sub", {"b": 2}, "y")]


@pytest.mark.parametrize(
    ("finish", "error", "words"), [("length", Incomplete, "num_predict"), ("tool_calls", ServerError, "no JSON object")]
)
def test_a_call_that_is_cut_off_is_no_call(finish: str, error: type[LLMError], words: str) -> None:
    broken = piece(finish, tool_calls=[{"index": 0, "id": "x", "function": {"name": "add", "arguments": '{"a": 1'}}])
    with openai_like(stream(broken)) as server, pytest.raises(error, match=words):
        blocking(server.url)


@pytest.mark.parametrize(("finish", "ours"), [("length", "length"), ("content_filter", "content_filter")])
def test_why_an_answer_ended(finish: str, ours: str) -> None:
    with openai_like(stream(piece(content="a"), piece(finish))) as server:
        events = blocking(server.url)
    assert events[-1] == Done(ours)
    assert len(notes(events)) == (finish == "content_filter")


def test_a_refusal_is_what_the_model_says() -> None:
    with openai_like(stream(piece(refusal="I can't "), piece(refusal="do that."), piece("stop"))) as server:
        assert blocking(server.url)[:2] == [Text("I can't "), Text("do that.")]


def test_a_server_that_does_not_stream(ask: Ask) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "tool_calls": [call]}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    pretty = Told(json.dumps(whole, indent=2).encode(), headers=(("Content-Type", "application/json"),))
    expected = [Thinking("Hm."), Text("Hi"), ToolCall("add", {}, "x"), Done("stop", Stats(prompt_eval_count=1))]
    for told in (document(whole), pretty):
        with openai_like(told) as server:
            assert ask(server.url) == expected


def test_an_answer_may_be_compressed() -> None:
    import gzip

    packed = Told(gzip.compress(OK.body), headers=(("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")))
    with openai_like(packed) as server:
        assert blocking(server.url)[0] == Text("ok")


# what is sent


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
    assert all(name in note for name in ("num_ctx", "top_k", "keep_alive", "truncate", "openai"))
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


# refusals

WRONG_KEY = (
    f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}. You can find your API key at https://platform.openai.com."
)
LIMIT = "Rate limit reached for gpt-4o in organization org-abcDEF on tokens per min (TPM): Limit 30000, Used 29000."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
LENGTH = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 10005 tokens. "
    "Please reduce the length of the messages."
)
ONE = "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported."
FASTAPI = {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be a number", "input": "my diary"}]}


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        (refusal(401, WRONG_KEY, "invalid_api_key"), Refused, ["OPENAI_API_KEY"]),
        (refusal(403, "Country, region, or territory not supported", "unsupported_country"), Refused, ["Country"]),
        (refusal(403, "Project `proj_x9` lacks access", "model_not_found"), ModelMissing, ["gpt-4o-mini"]),
        (
            refusal(404, "The model `gpt-4o-mini` does not exist", "model_not_found"),
            ModelMissing,
            ["local_gpt-4o-mini"],
        ),
        (refusal(404, "This is not a chat model and thus not supported", None, "model"), Incapable, ["for chats"]),
        (Told(b"404 page not found", 404), ServerError, ["404 page not found", "/v1"]),
        (refusal(400, LENGTH, "context_length_exceeded", "messages"), ContextTooLong, ["10,005", "8,192"]),
        (refusal(400, ONE, "unsupported_value", "temperature"), Incapable, ["Ask without temperature."]),
        (
            refusal(400, "Unrecognized request argument supplied: reasoning_effort"),
            Incapable,
            ["Ask without think."],
        ),
        (refusal(400, "tools is not supported in this model", "unsupported", "tools"), Incapable, ["can call them"]),
        (
            refusal(400, "Invalid content type. image_url is only supported by certain models.", None, "messages.[0]"),
            Incapable,
            ["without pictures"],
        ),
        (
            refusal(
                400, "Invalid 'max_completion_tokens': integer below minimum value.", None, "max_completion_tokens"
            ),
            ServerError,
            ["Change num_predict"],
        ),
        (refusal(400, "Rejected by our safety system.", "content_policy_violation"), ServerError, ["other words"]),
        (refusal(429, LIMIT, "rate_limit_exceeded", retry_after="400"), Busy, ["in 400 seconds"]),
        (refusal(429, QUOTA, "insufficient_quota", retry_after="0"), Refused, ["billing"]),
        (refusal(500, "The server had an error", retry_after="0"), ServerError, ["The server had an error"]),
        (refusal(503, "The engine is currently overloaded", retry_after="0"), Busy, ["overloaded"]),
        (document(FASTAPI, 422), ServerError, ["Input should be a number"]),
        (document({"object": "error", "message": LENGTH, "code": 400}, 400), ContextTooLong, ["8,192"]),
        (document([{"error": {"message": "API key not valid", "code": 400}}], 400), ServerError, ["not valid"]),
        (
            Told(b"<html><body>Bad gateway</body></html>", 502, (("Retry-After", "0"),)),
            ServerError,
            ["no reason given"],
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_each_refusal_is_an_error_of_ours(ask: Ask, told: Told, error: type[LLMError], words: list[str]) -> None:
    with openai_like(told) as server, pytest.raises(error) as raised:
        ask(server.url, options={"temperature": 0.2})
    assert type(raised.value) is error
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert not any(secret in str(raised.value) for secret in ("sk-", KEY[-4:], "org-abc", "my diary"))
    if isinstance(raised.value, ServerError):
        assert raised.value.status == told.status


def test_the_lengths_are_numbers() -> None:
    engines = {
        "code": 400,
        "message": "too long",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9,
        "n_ctx": 4,
    }
    for told, lengths in (
        (refusal(400, LENGTH, "context_length_exceeded"), (10005, 8192)),
        (document({"error": engines}, 400), (9, 4)),
        (refusal(400, "Input tokens exceed the configured limit of 272,000 tokens.", "x"), (None, 272000)),
    ):
        with openai_like(told) as server, pytest.raises(ContextTooLong) as raised:
            blocking(server.url)
        assert (raised.value.needed, raised.value.num_ctx) == lengths


def test_a_word_that_only_stands_for_a_key_is_left_in_what_a_server_says() -> None:
    told = refusal(400, "The request exceeds the available context size")
    with (
        openai_like(told) as server,
        Client(base_url=server.url, api_key="x") as client,
        pytest.raises(ContextTooLong),
    ):
        list(client.events(asked()))


def test_a_key_that_a_server_repeats_is_not_shown() -> None:
    key = "gsk_8fQz71LwPd"
    with openai_like(refusal(400, f"Bad header: Authorization={key}")) as server:
        with Client(base_url=server.url, api_key=key) as client, pytest.raises(ServerError) as raised:
            list(client.events(asked()))

        async def main() -> None:
            async with AsyncClient(base_url=server.url, api_key=key) as client:
                async for _ in client.events(asked()):
                    pass

        with pytest.raises(ServerError, match="Bad header") as again:
            asyncio.run(main())
    assert key not in f"{raised.value} {again.value}"


def test_a_server_that_contradicts_itself_is_not_asked_for_ever() -> None:
    words = "Unsupported value: 'reasoning_effort'. Supported values are: {}."
    answers = [refusal(400, words.format(effort)) for effort in ("'low'", "'high'") * 10]
    with openai_like(*answers) as server:
        with pytest.raises(Incapable, match="think"):
            blocking(server.url, think=True)
        assert len(server.requests) < 10
    with openai_like(*answers) as server, pytest.raises(Incapable, match="think"):
        blocking(server.url)


def test_an_endpoints_key_is_named_as_such() -> None:
    with openai_like(refusal(401, WRONG_KEY)) as server, pytest.raises(Refused, match=r"params\.toml names for .* lab"):
        blocking(server.url, provider="lab")


# asking again


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_server_is_asked_again_as_soon_as_it_says(ask: Ask, status: int) -> None:
    with openai_like(refusal(status, "wait", retry_after="0"), refusal(status, "wait", retry_after="0"), OK) as server:
        assert ask(server.url) == [Text("ok"), Done("stop")]
        assert len(server.requests) == 3


def test_nobody_is_asked_for_ever() -> None:
    with openai_like(refusal(429, LIMIT, "rate_limit_exceeded", retry_after="0")) as server:
        with pytest.raises(Busy):
            blocking(server.url)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "told",
    [refusal(401, "no"), refusal(429, QUOTA, "insufficient_quota"), refusal(429, LIMIT, retry_after="3600")],
    ids=["key", "quota", "an hour"],
)
def test_what_waiting_does_not_help_is_asked_once(told: Told) -> None:
    with openai_like(told) as server:
        with pytest.raises(ServerError):
            blocking(server.url)
        assert len(server.requests) == 1


def test_nothing_is_asked_again_after_the_first_token(ask: Ask) -> None:
    error = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
    for told, kind in (
        (stream(piece(content="a"), end=b""), Incomplete),
        (stream(piece(content="a"), end=b"", breaks=True), ServerDown),
        (stream(piece(content="a"), error), ServerError),
        (stream(piece(content="a"), {"error": "something broke"}), ServerError),
        (stream(piece(content="a"), {"error": {"message": "slow down", "code": 429}}), Busy),
        (stream(piece(content="a"), b"data: {nonsense\n\n"), ServerError),
    ):
        with openai_like(told) as server:
            with pytest.raises(kind) as raised:
                ask(server.url)
            assert type(raised.value) is kind
            assert len(server.requests) == 1


@pytest.mark.parametrize(
    "told",
    [
        Told(b"<!DOCTYPE html>\n<html></html>", headers=(("Content-Type", "text/html"),)),
        document({"models": []}),
        document({"choices": "none"}),
        stream(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'),
    ],
    ids=["page", "no choices", "a text", "no UTF-8"],
)
def test_what_is_not_openais_protocol_is_no_answer(told: Told) -> None:
    with openai_like(told) as server, pytest.raises(ServerError, match="/v1"):
        blocking(server.url)


def test_fields_that_a_server_does_not_take_are_changed_once() -> None:
    unknown = refusal(400, "Unknown parameter: 'stream_options'.", "unknown_parameter", "stream_options")
    renamed = refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "unsupported")
    with openai_like(unknown, renamed, OK) as server:
        assert blocking(server.url, provider="lab", options={"num_predict": 5}) == [Text("ok"), Done("stop")]
        first, second, third = (body for _, _, body in server.requests)
    assert ("stream_options" in first, "stream_options" in second) == (True, False)
    assert third == {
        **{name: value for name, value in second.items() if name != "max_tokens"},
        "max_completion_tokens": 5,
    }
    with openai_like(unknown) as server:
        with pytest.raises(ServerError, match="stream_options"):
            blocking(server.url)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("think", "offered", "taken"),
    [
        (False, "'minimal', 'low', 'medium', and 'high'", "minimal"),
        ("max", "'none', 'low', 'medium', 'high', and 'xhigh'", "xhigh"),
        (True, "'high'", "high"),
    ],
)
def test_the_nearest_effort_that_a_model_takes(think: Any, offered: str, taken: str) -> None:
    words = (
        f"Unsupported value: 'reasoning_effort' does not support it with this model. Supported values are: {offered}."
    )
    with openai_like(refusal(400, words, "unsupported_value", "reasoning_effort"), OK) as server:
        events = blocking(server.url, think=think)
        assert [body["reasoning_effort"] for _, _, body in server.requests][-1] == taken
    (note,) = notes(events)
    assert taken in note


# the line


def test_closing_an_answer_closes_its_connection() -> None:
    with openai_like(stream(piece(content="a"), end=b"", stall=30)) as server:
        with Client(base_url=server.url, api_key=KEY) as client:
            began = time.monotonic()
            events = client.events(asked())
            assert next(events) == Text("a")
            events.close()
            assert server.left.wait(10)
        assert time.monotonic() - began < 20

    async def leave(url: str) -> None:
        async with AsyncClient(base_url=url, api_key=KEY) as client, aclosing(client.events(asked())) as events:
            assert await anext(events) == Text("a")

    with openai_like(stream(piece(content="a"), end=b"", stall=30)) as server:
        asyncio.run(leave(server.url))
        assert server.left.wait(10)


@pytest.mark.parametrize(
    "told", [stream(piece(content="a"), end=b"", stall=30), stream(late=30), refusal(429, LIMIT, retry_after="30")]
)
def test_a_timeout_holds_for_the_whole_call(ask: Ask, told: Told) -> None:
    began = time.monotonic()
    with openai_like(told) as server, pytest.raises(TimedOut):
        ask(server.url, timeout=0.5)
    assert time.monotonic() - began < 20


def test_nobody_there(ask: Ask) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ServerDown, match=r"127\.0\.0\.1 can't be reached \(.*(refused|failed)"):
            ask(url)


def test_a_server_that_hangs_up_is_asked_again() -> None:
    with openai_like(stream(end=b"", breaks=True)) as server, pytest.raises(ServerDown, match="broke"):
        blocking(server.url)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(20)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with ThreadPoolExecutor() as pool:
            events = pool.submit(blocking, url)
            listening.accept()[0].close()
            connection = listening.accept()[0]
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(OK.body), OK.body))
            connection.close()
            assert events.result(20) == [Text("ok"), Done("stop")]


def test_no_proxy_and_no_surprise_from_the_environment(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: secret\nAuthorization: Bearer other")
    with openai_like(OK) as server:
        ask(server.url)
        (headers,) = server.headers
        assert headers["authorization"] == f"Bearer {KEY}"
        assert not {"openai-organization", "openai-project", "x-mine"} & set(headers)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with Client() as client:
            list(client.events(asked()))
        headers = server.headers[-1]
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["openai-organization"] == "org-mine"
        assert headers["x-mine"] == "secret"


def test_without_the_openai_package() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from tests.test_cloud import *\n"
        "try: blocking('http://127.0.0.1:9/v1')\n"
        "except MissingExtra as error: print(error.hint)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "acagent-nb[cloud]" in ran.stdout
    assert issubclass(MissingExtra, ImportError)


# vectors and models


def vectors(*rows: Any) -> Told:
    return document({"object": "list", "data": [{"index": index, "embedding": row} for index, row in rows]})


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def run(url: str, flow: Any) -> Any:
    sockets = Sockets(Settings(None, {}, KEY, url, Params()))
    try:
        (result,) = sockets.run(flow)
        return result
    finally:
        sockets.close()


def test_vectors_are_rows_in_the_order_of_the_texts() -> None:
    for told in (vectors((1, packed(3, 4)), (0, packed(1, 2))), vectors((1, [3, 4.0]), (0, [1, 2]))):
        with openai_like(told) as server:
            rows = run(server.url, cloud.embed("openai", "small", ["a", "b"], 2))
            ((_, path, body),) = server.requests
        assert (path, body["dimensions"], body["encoding_format"]) == ("/v1/embeddings", 2, "base64")
        assert rows.dtype == numpy.float32
        assert rows.tolist() == [[1, 2], [3, 4]]


def test_many_texts_go_in_several_requests_and_none_in_no_request() -> None:
    full = vectors(*((index, packed(index)) for index in range(2048)))
    with openai_like(full, vectors((0, packed(-1)))) as server:
        rows = run(server.url, cloud.embed("openai", "small", [str(number) for number in range(2049)]))
        assert [len(body["input"]) for _, _, body in server.requests] == [2048, 1]
        assert rows.shape == (2049, 1)
        assert (rows[2047, 0], rows[2048, 0]) == (2047, -1)
        assert run(server.url, cloud.embed("openai", "small", [])).shape == (0, 0)
        assert len(server.requests) == 2


def test_vectors_that_are_refused_or_too_few() -> None:
    with openai_like(vectors((0, packed(1)))) as server, pytest.raises(ServerError, match="1 vectors for 2 texts"):
        run(server.url, cloud.embed("openai", "small", ["a", "b"]))
    plain = refusal(400, "Unknown parameter: 'encoding_format'.", None, "encoding_format")
    with openai_like(plain, vectors((0, [1.0]))) as server:
        assert run(server.url, cloud.embed("openai", "small", ["a"])).tolist() == [[1.0]]
    missing = refusal(404, "The model `small` does not exist", "model_not_found")
    with openai_like(missing) as server, pytest.raises(ModelMissing, match="small"):
        run(server.url, cloud.embed("openai", "small", ["a"]))


def test_the_models_that_a_server_offers() -> None:
    with openai_like(document({"object": "list", "data": [{"id": "b", "owned_by": "x"}, {"id": "a"}]})) as server:
        assert run(server.url, cloud.models("openai")) == ["a", "b"]
        assert server.requests == [("GET", "/v1/models", None)]
