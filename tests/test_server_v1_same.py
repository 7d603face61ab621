"""A question on the OpenAI-compatible routes is the one that `/api` would make of it, and nothing but that."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from acagent_nb.server import tiny

from . import ggufs
from .serving import ENDLESS, SKY, WEATHER, Server, serving
from .test_server_create import create, upload
from .test_server_more import GAP, TINY, picture, seeing

HI = [{"role": "user", "content": "hi"}]
PAIR = [{"role": "user", "content": "what is the capital of France?"}, {"role": "assistant", "content": "Paris"}]
PIRATE = [{"role": "system", "content": "Answer like a pirate."}]


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with serving() as server:
        server.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        yield server


def ask(server: Server, path: str = "chat/completions", **fields: Any) -> Any:
    """An answer, as JSON; the question is tiny's, about the sky and cold, if nothing else is said."""
    question = {"messages": SKY} if path == "chat/completions" else {}
    body = {"model": "tiny", "temperature": 0, **question, **fields}
    return server.client.post(f"/v1/{path}", json=body).raise_for_status().json()


def said(told: Any) -> str:
    choice = told["choices"][0]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])


def test_a_models_own_words_are_heard(own: Server) -> None:
    parameters = {"stop": ["."], "temperature": 1.9, "seed": 3}
    create(own, "ms", **{"from": "tiny", "system": PIRATE[0]["content"], "messages": PAIR, "parameters": parameters})
    theirs = own.chat(model="ms", messages=HI, options={"temperature": 0})
    plain = own.chat(messages=HI, options={"temperature": 0})
    ours = ask(own, model="ms", messages=HI)
    assert ours["usage"]["prompt_tokens"] == theirs["prompt_eval_count"] > plain["prompt_eval_count"]
    assert said(ours) == theirs["message"]["content"]
    assert "." not in said(ours)
    text = ask(own, "completions", model="ms", prompt="hi")
    assert text["usage"]["prompt_tokens"] == theirs["prompt_eval_count"]
    own_system = ask(own, model="ms", messages=[{"role": "system", "content": "Be brief."}, *HI])
    assert 0 < own_system["usage"]["prompt_tokens"] != ours["usage"]["prompt_tokens"]


def test_a_completion_is_written_with_the_template(own: Server) -> None:
    options = {"temperature": 0, "num_predict": 8}
    body = {"model": "tiny", "prompt": "hi", "stream": False, "options": options}
    theirs = own.client.post("/api/generate", json=body).json()
    ours = ask(own, "completions", prompt="hi", max_tokens=8)
    assert said(ours) == theirs["response"] == "Hello! I am a tiny demo"
    assert ours["usage"]["prompt_tokens"] == theirs["prompt_eval_count"]
    thought = ask(own, "completions", model="tiny:skills", prompt="Is a spider an insect?")
    assert "No" in said(thought)
    assert "think" not in said(thought)
    assert thought["choices"][0].keys() == {"text", "index", "finish_reason"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_completion_of_nothing_loads(own: Server, stream: bool) -> None:
    own.client.post("/api/chat", json={"model": "tiny", "messages": [], "keep_alive": 0})
    answer = own.client.post("/v1/completions", json={"model": "tiny", "stream": stream})
    last = json.loads(answer.text.removeprefix("data: ").partition("\n")[0])
    assert (last["choices"][0]["text"], last["choices"][0]["finish_reason"]) == ("", "load")
    assert answer.text.endswith("data: [DONE]\n\n" if stream else "}")
    assert "tiny:latest" in own.loaded()


def test_a_gap_is_filled_by_a_model_that_can(own: Server) -> None:
    create(own, "filler", files={"a.gguf": upload(own, ggufs.with_more(tiny.PATH, GAP))})
    body = {"model": "filler", "prompt": "why is", "suffix": "blue?"}
    options = {"temperature": 0, "top_p": 1.0, "num_predict": 5}
    theirs = own.client.post("/api/generate", json={**body, "stream": False, "options": options}).json()
    ours = ask(own, "completions", **body, max_tokens=5, logprobs=2)
    assert said(ours) == theirs["response"] != ""
    assert ours["usage"]["prompt_tokens"] == theirs["prompt_eval_count"]
    assert len(ours["choices"][0]["logprobs"]["tokens"]) == ours["usage"]["completion_tokens"]
    refused = own.client.post("/v1/completions", json={**body, "model": "tiny"})
    words = "registry.ollama.ai/library/tiny:latest does not support insert"
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, words)


@pytest.mark.parametrize("stream", [True, False])
def test_old_messages_are_dropped_from_what_is_too_long(own: Server, stream: bool) -> None:
    many = [*PIRATE, *PAIR * 100, *SKY]
    body = {
        "model": "tiny",
        "messages": many,
        "temperature": 0,
        "stream": stream,
        "stream_options": {"include_usage": True},
    }
    answer = own.client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200
    told = json.loads(answer.text.split("\n\n")[-3].removeprefix("data: ")) if stream else answer.json()
    theirs = own.chat(messages=many, options={"temperature": 0, "top_p": 1.0})
    assert told["usage"]["prompt_tokens"] == theirs["prompt_eval_count"] < 2048
    if not stream:
        assert said(told) == theirs["message"]["content"]


def test_a_last_message_that_is_too_long_alone_is_refused(own: Server) -> None:
    long = {"role": "user", "content": "w " * 5000}
    for path, body in (
        ("chat/completions", {"messages": [long]}),
        ("chat/completions", {"messages": [*PAIR * 100, long]}),
        ("completions", {"prompt": long["content"]}),
    ):
        refused = own.client.post(f"/v1/{path}", json={"model": "tiny", **body})
        error = refused.json()["error"]
        assert refused.status_code == 400
        assert (error["type"], error["n_ctx"]) == ("exceed_context_size_error", 2048)
        assert 5000 <= error["n_prompt_tokens"] < 5100  # of this message, the others are gone
    assert own.chat(messages=[long])["done"] is True  # what /api cuts


def test_answers_have_the_bound_of_ollama(own: Server) -> None:
    form = {"type": "json_schema", "json_schema": {"schema": ENDLESS}}
    create(own, "small", **{"from": "tiny", "parameters": {"num_ctx": 64}})
    for most in (-1, 10**12, 0):
        told = ask(own, model="small", response_format=form, max_tokens=most)
        assert told["choices"][0]["finish_reason"] == "length"
        assert told["usage"]["completion_tokens"] == 640
    assert ask(own, max_tokens=9, max_completion_tokens=3)["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("stop", ["", [""], [], None])
def test_an_empty_stop_stops_nothing(own: Server, stop: Any) -> None:
    assert said(ask(own, stop=stop)) == said(ask(own)) != ""
    assert said(ask(own, stop="scatters")) == "Because air "
    assert said(ask(own, stop=["", "scatters", "zzz"])) == "Because air "


def test_thinking_is_turned_off_and_asked_for(own: Server) -> None:
    for off in ({"reasoning": {"effort": "none"}}, {"reasoning_effort": "none"}):
        assert ask(own, model="tiny:skills", **off)["choices"][0]["message"].keys() == {"role", "content"}
    for on in ({}, {"reasoning_effort": "max"}, {"reasoning": {"effort": "low"}, "reasoning_effort": "none"}):
        message = ask(own, model="tiny:skills", **on)["choices"][0]["message"]
        assert message["reasoning"] == message["reasoning_content"] != ""
    assert ask(own, reasoning_effort="none")["choices"]


def test_a_conversation_with_a_tool_is_the_same(own: Server) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Rome"}'}}
    asked = {"role": "user", "content": "What is the weather in Rome?"}
    ours = [
        asked,
        {"role": "assistant", "reasoning": "They want the weather.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "21 degrees"}]},
    ]
    theirs = [
        asked,
        {
            "role": "assistant",
            "thinking": "They want the weather.",
            "tool_calls": [{"id": "call_1", "function": {"name": "get_weather", "arguments": {"city": "Rome"}}}],
        },
        {"role": "tool", "tool_name": "get_weather", "tool_call_id": "call_1", "content": "21 degrees"},
    ]
    options = {"temperature": 0, "top_p": 1.0}
    told = ask(own, model="tiny:skills", messages=ours, tools=[WEATHER], reasoning_effort="none")
    same = own.chat(model="tiny:skills", messages=theirs, tools=[WEATHER], think=False, options=options)
    assert told["usage"]["prompt_tokens"] == same["prompt_eval_count"]
    assert said(told) == same["message"]["content"]
    assert "21" in said(told)


def test_a_seed_makes_each_of_several_answers_another(own: Server) -> None:
    haiku = [{"role": "user", "content": "Write a haiku about the sea."}]
    drawn = {"model": "tiny", "messages": haiku, "n": 6, "seed": 4, "temperature": 0.9}
    first, again = ([choice["message"]["content"] for choice in ask(own, **drawn)["choices"]] for _ in range(2))
    assert first == again
    assert len(first) == 6
    assert len(set(first)) > 1
    chunks = [
        json.loads(line.removeprefix("data: "))
        for line in own.client.post("/v1/chat/completions", json={**drawn, "stream": True}).text.split("\n\n")
        if line.startswith("data: {")
    ]
    streamed = [""] * 6
    for chunk in chunks:
        choice = chunk["choices"][0]
        streamed[choice["index"]] += choice["delta"].get("content", "")
    assert streamed == first
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks].count("stop") == 6
    usage = ask(own, **drawn)["usage"]
    assert usage["prompt_tokens"] == ask(own, messages=haiku)["usage"]["prompt_tokens"]


THE_ENGINES = {
    "grammar": 'root ::= "no"',
    "json_schema": {"type": "number"},
    "n_predict": 1,
    "id_slot": 99,
    "cache_prompt": False,
    "lora": [{"id": 0, "scale": 5.0}],
    "samplers": [],
    "top_k": -5,
    "min_p": 7,
    "repeat_penalty": 1e9,
    "ignore_eos": True,
    "return_progress": True,
    "return_tokens": True,
    "timings_per_token": True,
    "response_fields": ["id"],
    "t_max_predict_ms": 1,
    "chat_template_kwargs": {"enable_thinking": True},
    "reasoning_format": "none",
    "input_prefix": "x",
    "add_generation_prompt": False,
    "continue_final_message": True,
    "speculative.n_max": 16,
    "best_of": 3,
    "echo": True,
    "keep_alive": 0,
    "options": {"num_ctx": 8},
    "system": "Answer like a pirate.",
}


@pytest.mark.parametrize("field", THE_ENGINES)
def test_the_engine_hears_nothing_that_ollama_would_not_pass_on(own: Server, field: str) -> None:
    plain, told = ask(own), ask(own, **{field: THE_ENGINES[field]})
    assert told.keys() == plain.keys()
    assert (told["choices"], told["usage"]) == (plain["choices"], plain["usage"])
    assert "tiny:latest" in own.loaded()


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A port, and what has been said to it."""
    heard: list[bytes] = []

    class Ear(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            heard.append(self.request.recv(1000))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Ear) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], heard
        server.shutdown()


def test_nothing_is_fetched_for_a_request(own: Server) -> None:
    create(own, "seer", files={"a.gguf": TINY, "b.gguf": upload(own, seeing())})
    red = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture()}"}}
    text = {"type": "text", "text": "what?"}
    seen = ask(own, model="seer", messages=[{"role": "user", "content": [text, red]}], max_tokens=2)
    blind = ask(own, model="seer", messages=[{"role": "user", "content": "what?"}], max_tokens=2)
    assert seen["usage"]["prompt_tokens"] == blind["usage"]["prompt_tokens"] + 4
    with listening() as (port, heard):
        url = f"http://127.0.0.1:{port}/secret"
        where = [
            url,
            "file:///etc/passwd",
            "/etc/passwd",
            "HTTP://x",
            f"data:image/png,{url}",
            "data:image/png;base64,!",
        ]
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": each}} for each in where]
        parts += [{"type": "image_url", "image_url": each} for each in where]
        parts += [{"type": kind, kind: {"url": url, "data": url, "file_data": url}} for kind in ("file", "video_url")]
        parts += [{"type": "input_video", "input_video": {"url": url}}, {"type": "image_url"}, {"type": "text"}, url, 3]
        for part in parts:
            body = {"model": "seer", "messages": [{"role": "user", "content": [text, part]}]}
            refused = own.client.post("/v1/chat/completions", json=body)
            assert refused.status_code == 400, part
            words = ("invalid image input", "invalid message format", "image URLs are not currently supported")
            assert refused.json()["error"]["message"].startswith(words), part
        audio = {"type": "input_audio", "input_audio": {"data": url, "url": url}}
        body = {"model": "seer", "messages": [{"role": "user", "content": [audio]}]}
        assert own.client.post("/v1/chat/completions", json=body).status_code == 501
        assert heard == []


def test_openais_fields_that_ollama_ignores_work(own: Server) -> None:
    rome = [{"role": "user", "content": "What is the weather in Rome?"}]
    skilled = {"model": "tiny:skills", "tools": [WEATHER], "reasoning_effort": "none", "messages": rome}
    for choice, calls in (("auto", True), ("none", False), ("required", True), ({"type": "function"}, True)):
        told = ask(own, **skilled, tool_choice=choice, max_tokens=60)["choices"][0]
        assert ("tool_calls" in told["message"], told["finish_reason"] == "tool_calls") == (calls, calls), choice
    assert not said(ask(own, logit_bias={"Bec": -100})).startswith("Bec")
    assert "Bec" not in said(ask(own, "completions", prompt=SKY[0]["content"], logit_bias={"Bec": -100}))
    texts = ask(own, "completions", prompt=["hi", "What is a token?"], n=2, max_tokens=6)["choices"]
    assert [choice["index"] for choice in texts] == [0, 1, 2, 3]
    assert [choice["text"][:5] for choice in texts] == ["Hello", "Hello", "A tok", "A tok"]
    number = ask(own, "completions", prompt="hi", json_schema={"type": "integer"}, max_tokens=3)
    assert said(number).strip().lstrip("-").isdigit()


def test_a_call_that_is_cut_off_is_none(own: Server) -> None:
    rome = [{"role": "user", "content": "What is the weather in Rome?"}]
    body = {"model": "tiny:skills", "tools": [WEATHER], "reasoning_effort": "none", "messages": rome, "max_tokens": 12}
    assert ask(own, **body)["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": ""},
        "finish_reason": "length",
    }
