"""Cloud models with a real engine behind them: the embedded server's OpenAI-compatible routes."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy
import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own
import pytest

from acagent_nb import AsyncClient, Client, cloud, hosts
from acagent_nb.blocking import Sockets
from acagent_nb.driving import Settings
from acagent_nb.errors import ContextTooLong, Incapable, ModelMissing, Warned
from acagent_nb.messages import Done, Event, Message, Note, Request, Text, Thinking, ToolCall
from acagent_nb.options import Options
from acagent_nb.params import Params
from acagent_nb.replies import Reply

from .serving import ENDLESS, WEATHER, soon

GREEDY = Options(temperature=0.0, num_predict=100)
ALIASES = ("gpt-4o-mini=tiny", "o3=tiny:skills", "text-embedding-3-small=tiny")
TOOLS = (
    WEATHER,
    *(
        {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": fields}}}
        for name, fields in (
            ("add", {"a": {"type": "number"}, "b": {"type": "number"}}),
            ("multiply", {"a": {"type": "number"}, "b": {"type": "number"}}),
            ("get_time", {"city": {"type": "string"}}),
            ("get_population", {"country": {"type": "string"}}),
            ("convert_currency", {"amount": {"type": "number"}, "source": {}, "target": {}}),
        )
    ),
)


@pytest.fixture(scope="module")
def private() -> Iterator[hosts.Private]:
    with hosts.private(None, *(flag for alias in ALIASES for flag in ("--alias", alias))) as private:
        with httpx.Client(base_url=private.url, timeout=60, trust_env=False) as api:
            for model in ("tiny", "tiny:skills"):
                api.post("/api/pull", json={"model": model, "stream": False}).raise_for_status()
        yield private


@pytest.fixture(scope="module")
def server(private: hosts.Private) -> str:
    return private.url


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[Client]:
    with Client(base_url=f"{server}/v1") as client:
        yield client


def asked(prompt: str = "Why is the sky blue?", model: str = "gpt-4o-mini", **how: Any) -> Request:
    return Request(model, (Message("user", prompt),), how.pop("options", GREEDY), provider="openai", **how)


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def test_an_answer_streams_and_is_counted(client: Client) -> None:
    events = list(client.events(asked()))
    assert "blue" in text(events)
    assert len(events) > 5
    done = events[-1]
    assert isinstance(done, Done)
    assert done.done_reason == "stop"
    assert done.stats.prompt_eval_count is not None
    assert done.stats.eval_count == pytest.approx(len(events) - 1, abs=3)
    assert text(list(client.events(asked()))) == text(events)


def test_the_openai_package_says_the_same(client: Client, server: str) -> None:
    import openai

    own = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", http_client=own) as theirs:
        said: Any = theirs.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            temperature=0,
        )
    assert text(list(client.events(asked("What is the capital of France?")))) == said.choices[0].message.content


def test_options_are_heard_and_the_others_named(client: Client) -> None:
    events = list(client.events(asked(options=Options(num_predict=3, num_ctx=512))))
    assert isinstance(events[0], Note)
    assert "num_ctx" in events[0].text
    done = events[-1]
    assert isinstance(done, Done)
    assert (done.done_reason, done.stats.eval_count) == ("length", 3)


def test_thinking(client: Client) -> None:
    for think in (True, "high", "max"):
        events = list(client.events(asked("Is a spider an insect?", "o3", think=think)))
        assert any(isinstance(event, Thinking) for event in events)
        assert "No" in text(events)
    events = list(client.events(asked("Is a spider an insect?", "o3", think=False)))
    assert not any(isinstance(event, Thinking) for event in events)


def test_tools_and_their_results(client: Client) -> None:
    request = asked("What is the weather in Rome?", "o3", think=False, tools=TOOLS)
    events = list(client.events(request))
    (call,) = (event for event in events if isinstance(event, ToolCall))
    assert (call.name, call.arguments) == ("get_weather", {"city": "Rome"})
    assert call.id
    answered = (
        *request.messages,
        Message("assistant", tool_calls=(call,)),
        Message("tool", "21 degrees and sunny", tool_name=call.name, tool_call_id=call.id),
    )
    told = list(client.events(Request("o3", answered, GREEDY, None, False, tools=TOOLS, provider="openai")))
    assert "21" in text(told)


def test_a_schema_is_followed(client: Client) -> None:
    fields = {"name": {"type": "string"}, "age": {"type": "integer"}}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    events = list(client.events(asked("Extract name and age as JSON: Anna is 31 years old.", format=schema)))
    assert json.loads(text(events)) == {"name": "Anna", "age": 31}
    events = list(client.events(asked("Extract name and age as JSON: Anna is 31 years old.", format="json")))
    assert isinstance(json.loads(text(events)), dict)


def test_refusals(client: Client) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    with pytest.raises(Incapable, match="without tools"):
        list(client.events(asked(tools=TOOLS)))
    seen = Request("gpt-4o-mini", (Message("user", "What is it?", images=(pixel,)),), provider="openai")
    with pytest.raises(Incapable, match="without pictures"):
        list(client.events(seen))
    with pytest.raises(ModelMissing, match="gpt-17"):
        list(client.events(asked(model="gpt-17")))
    with pytest.raises(ContextTooLong) as raised:
        list(client.events(asked("word " * 6000)))
    assert raised.value.needed is not None
    assert raised.value.num_ctx is not None
    assert raised.value.needed > raised.value.num_ctx > 0


def test_leaving_an_answer_stops_the_engine(client: Client, private: hosts.Private) -> None:
    children = psutil.Process(private.pid).children()

    def idle() -> bool:
        before = sum(sum(child.cpu_times()[:2]) for child in children)
        time.sleep(0.3)
        return sum(sum(child.cpu_times()[:2]) for child in children) - before < 0.05

    events = client.events(asked("Once", format=ENDLESS, options=Options()))
    assert isinstance(next(events), Text)
    assert not idle()
    events.close()
    soon(idle, 15)


def test_eight_at_once(server: str) -> None:
    sums = [(number, number + 1) for number in range(1, 9)]

    async def main() -> list[Reply]:
        async def one(client: AsyncClient, a: int, b: int) -> Reply:
            request = asked(f"What is {a} + {b}?")
            return Reply.of(request, [event async for event in client.events(request)])

        async with AsyncClient(base_url=f"{server}/v1") as client:
            return await asyncio.gather(*(one(client, a, b) for a, b in sums))

    for (a, b), reply in zip(sums, asyncio.run(main()), strict=True):
        assert str(a + b) in reply.text


def test_vectors_and_models(server: str) -> None:
    sockets = Sockets(Settings(None, {}, None, f"{server}/v1", Params()))
    try:
        (rows,) = sockets.run(cloud.embed("openai", "text-embedding-3-small", ["a cat", "a dog", "a cat"]))
        assert rows.shape[0] == 3
        assert rows.dtype == numpy.float32
        assert numpy.allclose(rows[0], rows[2], atol=1e-4)
        assert not numpy.allclose(rows[0], rows[1], atol=1e-2)
        assert numpy.allclose(numpy.linalg.norm(rows, axis=1), 1, atol=1e-3)
        (short,) = sockets.run(cloud.embed("openai", "text-embedding-3-small", ["a"], 8))
        assert short.shape == (1, 8)
        (names,) = sockets.run(cloud.models("openai"))
        assert {"tiny:latest", "tiny:skills"} <= set(names)
    finally:
        sockets.close()


def test_a_setting_without_a_counterpart_is_told_once_for_each_client(server: str) -> None:
    with Client(base_url=f"{server}/v1") as client:
        with pytest.warns(Warned, match="num_ctx did nothing"):
            first = client.chat("gpt-4o-mini", "Why is the sky blue?", num_ctx=512)
        second = client.chat("gpt-4o-mini", "Why is the sky blue?", num_ctx=512)  # a warning would be an error
    assert (len(first.notes), second.notes) == (1, ())
