"""The openai package on the OpenAI-compatible routes: an answer in one piece is what its stream says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from .serving import ENDLESS, SKY, WEATHER, Server, serving

ROME = [{"role": "user", "content": "What is the weather in Rome?"}]
GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with serving() as server:
        server.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        yield server


@pytest.fixture(scope="module")
def client(own: Server) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{own.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    "asked",
    [
        {"model": "tiny", "messages": SKY},
        {"model": "tiny", "messages": SKY, "max_tokens": 3},
        {"model": "tiny:skills", "messages": SKY},
        {"model": "tiny:skills", "messages": ROME, "tools": [WEATHER]},
        {"model": "tiny", "messages": SKY, "response_format": {"type": "json_object"}, "max_tokens": 9},
    ],
)
def test_a_chat_in_one_piece_is_its_stream(client: Any, asked: dict[str, Any]) -> None:
    whole = client.chat.completions.create(**asked, **GREEDY)
    chunks = list(
        client.chat.completions.create(**asked, **GREEDY, stream=True, stream_options={"include_usage": True})
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    (choice,) = whole.choices
    assert (whole.object, whole.model, choice.index) == ("chat.completion", asked["model"], 0)
    assert all(chunk.model == asked["model"] for chunk in chunks)
    assert "".join(delta.content or "" for delta in deltas) == (choice.message.content or "")
    thoughts = "".join((delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas)
    assert thoughts == (choice.message.model_extra or {}).get("reasoning_content", "")
    assert bool(thoughts) is (asked["model"] == "tiny:skills")
    parts = [part.function for delta in deltas for part in delta.tool_calls or ()]
    calls = [call.function for call in choice.message.tool_calls or ()]
    assert [(part.name, part.arguments) for part in parts] == [(call.name, call.arguments) for call in calls]  # whole
    if "tools" in asked:
        assert json.loads(calls[0].arguments) == {"city": "Rome"}
        assert (calls[0].name, choice.finish_reason) == ("get_weather", "tool_calls")
        assert choice.message.tool_calls[0].id
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == choice.finish_reason
    counted = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert all(getattr(whole.usage, name) == getattr(chunks[-1].usage, name) > 0 for name in counted)


def test_several_answers_are_told_by_index(client: Any) -> None:
    whole = client.chat.completions.create(model="tiny", messages=SKY, n=3, max_tokens=4, **GREEDY)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) == 1
    one = client.chat.completions.create(model="tiny", messages=SKY, max_tokens=4, **GREEDY)
    assert whole.choices[0].message.content == one.choices[0].message.content
    texts = client.completions.create(model="tiny", prompt=["a", "b b b"], max_tokens=2, n=2)
    assert [choice.index for choice in texts.choices] == [0, 1, 2, 3]


def test_probabilities_have_the_form_of_their_route(client: Any) -> None:
    chat = client.chat.completions.create(
        model="tiny", messages=SKY, max_tokens=4, logprobs=True, top_logprobs=2, **GREEDY
    ).choices[0]
    assert "".join(token.token for token in chat.logprobs.content) == chat.message.content
    assert all(len(token.top_logprobs) == 2 for token in chat.logprobs.content)
    text = client.completions.create(model="tiny", prompt="The", max_tokens=4, logprobs=2, **GREEDY).choices[0]
    told = text.logprobs
    assert "".join(told.tokens) == text.text
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset)
    assert told.text_offset[1] == len(told.tokens[0])
    assert client.completions.create(model="tiny", prompt="The", max_tokens=1).choices[0].logprobs is None


def test_a_completion_is_its_stream(client: Any) -> None:
    asked: dict[str, Any] = {"model": "tiny", "prompt": "Hello", "max_tokens": 6, **GREEDY}
    whole = client.completions.create(**asked)
    silent = list(client.completions.create(**asked, stream=True))
    assert all(chunk.usage is None for chunk in silent)
    *chunks, last = client.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert all(isinstance(chunk, openai.types.Completion) for chunk in chunks)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert "".join(chunk.choices[0].text for chunk in silent) == whole.choices[0].text
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert (whole.object, whole.model) == ("text_completion", "tiny")
    assert whole.usage == last.usage
    assert last.usage.completion_tokens > 0


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"tools": [WEATHER]}, openai.BadRequestError, "does not support tools"),
        ({"temperature": "hot"}, openai.BadRequestError, "temperature"),
        ({"messages": [{"role": "user", "content": "w " * 5000}]}, openai.BadRequestError, "exceeds the available"),
        ({"n": 129}, openai.BadRequestError, "'n'"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal_keeps_its_status(client: Any, fields: Any, error: Any, words: str, stream: bool) -> None:
    with pytest.raises(error, match=words):
        client.chat.completions.create(**{"model": "tiny", "messages": SKY, "stream": stream, **fields})


@pytest.mark.parametrize("stream", [True, False])
def test_an_engine_that_dies_is_an_error(own: Server, client: Any, stream: bool) -> None:
    own.client.post("/api/chat", json={"model": "tiny:skills", "messages": [], "keep_alive": 0})
    own.chat()
    threading.Timer(0.4, lambda: [child.kill() for child in own.children]).start()
    with pytest.raises(openai.APIError, match="an error was encountered while running the model"):
        list(
            client.completions.create(
                model="tiny", prompt="Once", max_tokens=20_000, stream=stream, extra_body={"json_schema": ENDLESS}
            )
        )
    assert client.chat.completions.create(model="tiny", messages=SKY).choices[0].finish_reason == "stop"


def test_a_second_name_answers_under_it_from_the_same_child(own: Server, client: Any) -> None:
    own.client.post("/api/copy", json={"source": "tiny", "destination": "me/second"}).raise_for_status()
    for name in ("tiny", "me/second", "TINY"):
        assert client.chat.completions.create(model=name, messages=SKY, max_tokens=1).model == name
        assert client.embeddings.create(model=name, input="a").model == name
        children = own.children
    assert own.children == children


def test_vectors_of_texts_and_of_tokens(own: Server, client: Any) -> None:
    texts = ["hello", "word " * 700]  # the second is longer than a batch
    told = client.embeddings.create(model="tiny", input=texts)
    assert [item.index for item in told.data] == [0, 1]
    assert told.usage.prompt_tokens == told.usage.total_tokens > 700
    ours = own.client.post("/api/embed", json={"model": "tiny", "input": texts}).json()["embeddings"]
    assert all(
        abs(a - b) < 1e-3
        for item, each in zip(told.data, ours, strict=True)
        for a, b in zip(item.embedding, each, strict=True)
    )
    assert len(client.embeddings.create(model="tiny", input="hello", dimensions=16).data[0].embedding) == 16
    as_floats = client.embeddings.create(model="tiny", input="hello", encoding_format="float").data[0].embedding
    assert all(abs(a - b) < 1e-3 for a, b in zip(as_floats, told.data[0].embedding, strict=True))
    assert len(client.embeddings.create(model="tiny", input=[[5, 6], [7]]).data) == 2
    for wrong in ("", [], [""], [{}]):
        with pytest.raises(openai.BadRequestError, match="invalid input"):
            client.embeddings.create(model="tiny", input=wrong)
    with pytest.raises(openai.NotFoundError, match="not found"):
        client.embeddings.create(model="nope", input="x")
