"""ollama-python and the openai package do all that they offer; ollama-js has its own file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import openai
import pytest
from pydantic import BaseModel

from acagent_nb.server import tiny

from .serving import ENDLESS, SKY, WEATHER

COLD: Any = {"temperature": 0}
ROME = [{"role": "user", "content": "What is the weather in Rome?"}]


class Number(BaseModel):
    n: int


@pytest.fixture(scope="module")
def python(server: str, api: httpx.Client) -> Iterator[ollama.Client]:
    with ollama.Client(host=server, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def ai(server: str, api: httpx.Client) -> Iterator[Any]:
    """Untyped, as its overloads know no messages that are plain values."""
    own = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", http_client=own, max_retries=0) as client:
        yield client


# ollama-python


def test_chat_and_generate(python: ollama.Client) -> None:
    whole = python.chat("tiny", SKY, options=COLD)
    pieces = list(python.chat("tiny", SKY, options=COLD, stream=True))
    assert "".join(piece.message.content or "" for piece in pieces) == whole.message.content
    told = python.generate("tiny", "what is 2+2?", options=COLD)
    parts = list(python.generate("tiny", "what is 2+2?", options=COLD, stream=True))
    assert "".join(part.response or "" for part in parts) == told.response
    assert python.generate("tiny", "and 3+3?", context=told.context, options=COLD).response
    assert python.generate("tiny", "Once", raw=True, format=ENDLESS, options={"num_predict": 3}).done_reason == "length"
    assert python.generate("tiny", system="Be brief.", prompt="hi", options=COLD).response


def test_formats_and_probabilities(python: ollama.Client) -> None:
    told = python.chat("tiny", SKY, format=Number.model_json_schema(), options=COLD)
    assert Number.model_validate_json(told.message.content or "")
    probable = python.chat("tiny", SKY, logprobs=True, top_logprobs=2, options={"num_predict": 2})
    assert [len(each.top_logprobs or []) for each in probable.logprobs or []] == [2, 2]


def test_tools_and_thinking(python: ollama.Client) -> None:
    def get_weather(city: str) -> str:
        """The weather in a city

        Args:
            city: its name
        """
        return f"21 degrees in {city}"

    asked = python.chat("tiny:skills", ROME, tools=[get_weather], think=False, options=COLD)
    (call,) = asked.message.tool_calls or ()
    result = get_weather(**call.function.arguments)
    more: Any = [*ROME, asked.message, {"role": "tool", "tool_name": call.function.name, "content": result}]
    assert python.chat("tiny:skills", more, tools=[WEATHER], think=False, options=COLD).message.content
    for think in (True, "low", "medium", "high"):
        assert python.chat("tiny:skills", SKY, think=think, options=COLD).message.thinking
    assert python.generate("tiny:skills", "why?", think=True, options=COLD).thinking
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        python.chat("tiny", SKY, think=True)


def test_vectors(python: ollama.Client) -> None:
    told = python.embed("tiny", ["a", "b"])
    assert [round(math.hypot(*each), 4) for each in told.embeddings] == [1, 1]
    assert len(python.embed("tiny", "a", dimensions=8).embeddings[0]) == 8
    assert len(python.embeddings("tiny", "a").embedding) == len(told.embeddings[0])


def test_models_made_copied_and_deleted(python: ollama.Client, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(tiny.PATH.read_bytes() + b"libraries")
    digest = python.create_blob(file)
    assert digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    lines = list(python.create("uploaded", files={"m.gguf": digest}, stream=True))
    assert lines[-1].status == "success"
    made = python.create("made", from_="uploaded", system="Be brief.", parameters={"top_k": 3}, license="Free")
    assert made.status == "success"
    assert python.copy("made", "copied").status == "success"
    shown = python.show("copied")
    assert "top_k" in (shown.parameters or "")
    assert shown.license == "Free"
    assert python.chat("copied", SKY, options=COLD).message.content
    names = {"uploaded:latest", "made:latest", "copied:latest"}
    assert names <= {model.model for model in python.list().models}
    for name in names:
        assert python.delete(name).status == "success"
    assert not names & {model.model for model in python.list().models}
    with pytest.raises(ollama.ResponseError) as refusal:
        python.delete("copied")
    assert refusal.value.status_code == 404


def test_pulls_loads_and_refusals(python: ollama.Client) -> None:
    lines = list(python.pull("tiny", stream=True))
    assert any(line.completed and line.completed == line.total for line in lines)
    assert lines[-1].status == python.pull("tiny").status == "success"
    assert python.generate("tiny", "", keep_alive="10m").done_reason == "load"
    assert "tiny:latest" in [model.model for model in python.ps().models]
    assert python.generate("tiny", "", keep_alive=0).done_reason == "unload"
    with pytest.raises(ollama.ResponseError) as refusal:
        python.push("tiny")
    assert refusal.value.status_code == 501


def test_the_asynchronous_client(server: str, api: httpx.Client) -> None:
    async def use() -> None:
        client = ollama.AsyncClient(host=server, trust_env=False)
        whole = await client.chat("tiny", SKY, options=COLD)
        stream = await client.chat("tiny", SKY, options=COLD, stream=True)
        assert "".join([part.message.content or "" async for part in stream]) == whole.message.content
        async for _ in await client.generate("tiny", "Once", raw=True, format=ENDLESS, stream=True):
            break  # and leaves in the middle
        assert len((await client.embed("tiny", "a")).embeddings) == 1
        await client._client.aclose()

    asyncio.run(use())


# openai


def test_openai_chat(ai: Any) -> None:
    whole = ai.chat.completions.create(model="tiny", messages=SKY, temperature=0, seed=1, stop=["zzz"])
    usage = {"include_usage": True}
    chunks = list(
        ai.chat.completions.create(model="tiny", messages=SKY, temperature=0, stream=True, stream_options=usage)
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    cut = ai.chat.completions.create(model="tiny", messages=SKY, max_completion_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    several = ai.chat.completions.create(model="tiny", messages=SKY, n=2, max_tokens=3)
    assert [choice.index for choice in several.choices] == [0, 1]


def test_openai_stream_helper(ai: Any) -> None:
    with ai.chat.completions.stream(model="tiny", messages=SKY, temperature=0) as stream:
        assert any(event.type == "content.delta" for event in stream)
        assert stream.get_final_completion().choices[0].message.content


def test_openai_tools(ai: Any) -> None:
    asked = {"model": "tiny:skills", "tools": [WEATHER], "temperature": 0}
    message = ai.chat.completions.create(messages=ROME, **asked).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    assert "city" in json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    assert ai.chat.completions.create(messages=[*ROME, message, result], **asked).choices[0].message.content
    chunks = list(ai.chat.completions.create(messages=ROME, stream=True, **asked))
    calls = [part for chunk in chunks if chunk.choices for part in chunk.choices[0].delta.tool_calls or ()]
    assert json.loads("".join(part.function.arguments or "" for part in calls))["city"]
    assert chunks[-1].choices == [] or chunks[-1].choices[0].finish_reason == "tool_calls"


def test_openai_structures(ai: Any) -> None:
    schema = {"name": "number", "schema": Number.model_json_schema(), "strict": True}
    form = {"type": "json_schema", "json_schema": schema}
    told = ai.chat.completions.create(model="tiny", messages=SKY, temperature=0, response_format=form)
    assert Number.model_validate_json(told.choices[0].message.content)
    parsed = ai.chat.completions.parse(model="tiny", messages=SKY, temperature=0, response_format=Number)
    assert isinstance(parsed.choices[0].message.parsed, Number)
    loose = {"type": "json_object"}
    told = ai.chat.completions.create(model="tiny", messages=SKY, max_tokens=40, response_format=loose)
    assert told.choices[0].message.content.lstrip().startswith("{")


def test_openai_probabilities_and_completions(ai: Any) -> None:
    told = ai.chat.completions.create(model="tiny", messages=SKY, logprobs=True, top_logprobs=2, max_tokens=3)
    assert [len(token.top_logprobs) for token in told.choices[0].logprobs.content] == [2, 2, 2]
    whole = ai.completions.create(model="tiny", prompt="Once", max_tokens=5, temperature=0)
    parts = ai.completions.create(model="tiny", prompt="Once", max_tokens=5, temperature=0, stream=True)
    assert "".join(part.choices[0].text for part in parts if part.choices) == whole.choices[0].text


def test_openai_vectors_and_models(ai: Any) -> None:
    told = ai.embeddings.create(model="tiny", input=["a", "b"])
    assert [round(math.hypot(*each.embedding), 4) for each in told.data] == [1, 1]
    plain = ai.embeddings.create(model="tiny", input="a", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(told.data[0].embedding, abs=1e-4)
    assert {"tiny:latest", "tiny:skills"} <= {model.id for model in ai.models.list()}
    assert ai.models.retrieve("tiny").id in ("tiny", "tiny:latest")


def test_openai_errors(ai: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        ai.chat.completions.create(model="nope", messages=SKY)
    with pytest.raises(openai.NotFoundError):
        ai.models.retrieve("nope")
    with pytest.raises(openai.BadRequestError, match="does not support tools"):
        ai.chat.completions.create(model="tiny", messages=SKY, tools=[WEATHER])
    with pytest.raises(openai.BadRequestError):
        ai.chat.completions.create(model="tiny", messages="no list")
    form = {"type": "json_schema", "json_schema": {"name": "endless", "schema": ENDLESS}}
    with pytest.raises(openai.APITimeoutError):
        ai.with_options(timeout=0.3).chat.completions.create(model="tiny", messages=SKY, response_format=form)
    assert ai.chat.completions.create(model="tiny", messages=SKY, max_tokens=1).choices
