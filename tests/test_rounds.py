"""Rounds of tools and second tries: played back over a real socket, and with the embedded engine."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from acagent_nb import AsyncClient, Client
from acagent_nb.errors import BadAnswer, Incomplete, ServerDown, Warned
from acagent_nb.messages import Done, Event, Message, Request, Text, ToolCall, ToolResult
from acagent_nb.replies import Reply
from acagent_nb.rounds import answering
from acagent_nb.shapes import Shape
from acagent_nb.tools import Tools, schema
from acagent_nb.wire import Flow, Run, Wait

from .replay import Answer, Replay, recorded, replaying, said

MODEL = "local_tiny:skills"


def get_weather(city: str) -> str:
    """Get the present weather in a city."""
    return f"21 degrees and sunny in {city}"


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


async def get_time(city: str) -> str:
    """Get the present time in a city."""
    await asyncio.sleep(0)
    return "12:30"


def get_population(country: str) -> int:
    """Get the number of people who live in a country."""
    return len(country) * 1_000_000


def convert_currency(amount: float, source: str, target: str) -> float:
    """Convert an amount of money from one currency to another."""
    return amount * 2


SIX = [get_weather, add, multiply, get_time, get_population, convert_currency]
TOOL = recorded("tool_call_stream")  # get_weather(city="Rome")
TWO = recorded("thinking_then_two_tool_calls_stream")  # for Rome and for Oslo
ANSWER = recorded("tool_result_answer")  # It is 21 degrees in Rome.


class Person(BaseModel):
    name: str
    age: int


GOOD, BAD = '{"name": "Anna", "age": 31}', '{"name": "Anna", "age": "old"}'


def blocking(url: str, prompt: Any = "hi", **how: Any) -> Reply:
    with Client(url) as client:
        return client.chat(MODEL, prompt, **how)


def asynchronous(url: str, prompt: Any = "hi", **how: Any) -> Reply:
    async def main() -> Reply:
        async with AsyncClient(url) as client:
            return await client.chat(MODEL, prompt, **how)

    return asyncio.run(main())


Chat = Callable[..., Reply]


@pytest.fixture(params=[blocking, asynchronous], ids=lambda way: way.__name__)
def chat(request: pytest.FixtureRequest) -> Chat:
    way: Chat = request.param
    return way


def bodies(replay: Replay) -> list[dict[str, Any]]:
    return [body for _, path, body in replay.requests if path == "/api/chat"]


def cut(text: str) -> Answer:
    """An answer that had no more room."""
    lines = said(text).lines
    return Answer((*lines[:-1], lines[-1].replace('"stop"', '"length"')))


def test_a_function_is_called_and_the_model_answers(chat: Chat) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        reply = chat(replay.url, "Weather in Rome?", tools=[get_weather])
    call = ToolCall("get_weather", {"city": "Rome"}, "call_dscq0nna")
    assert reply.text == "It is 21 degrees in Rome."
    assert reply.tool_calls == (call,)
    assert reply.tool_results == (ToolResult(call, "21 degrees and sunny in Rome"),)
    assert reply.stats.eval_count == 11 + 7
    first, second = bodies(replay)
    assert first["tools"] == second["tools"] == [schema(get_weather)]
    assert [turn["role"] for turn in second["messages"]] == ["user", "assistant", "tool"]
    told = second["messages"][-1]
    assert (told["tool_name"], told["tool_call_id"]) == ("get_weather", "call_dscq0nna")
    assert told["content"] == "21 degrees and sunny in Rome"
    assert [turn.role for turn in reply.messages] == ["user", "assistant", "tool", "assistant"]


def test_several_calls_run_in_their_order_and_the_thinking_is_kept(chat: Chat) -> None:
    seen: list[str] = []

    def get_weather(city: str) -> str:
        seen.append(city)
        return city.upper()

    with replaying(chat=[TWO, ANSWER]) as replay:
        reply = chat(replay.url, tools=[get_weather])
    assert seen == ["Rome", "Oslo"]
    assert [result.content for result in reply.tool_results] == ["ROME", "OSLO"]
    _, asked, *told = bodies(replay)[1]["messages"]
    assert asked["thinking"] == "I need the weather."
    assert [call["function"]["arguments"] for call in asked["tool_calls"]] == [{"city": "Rome"}, {"city": "Oslo"}]
    assert [turn["tool_call_id"] for turn in told] == ["call_fs74zm90", "call_jrfy2nt6"]


def test_an_async_function_is_awaited() -> None:
    async def get_weather(city: str) -> str:
        await asyncio.sleep(0)
        return "warm"

    with replaying(chat=[TOOL, ANSWER]) as replay:
        assert asynchronous(replay.url, tools=[get_weather]).tool_results[0].content == "warm"


def broken(city: str) -> str:
    raise ConnectionError("the station is asleep")


broken.__name__ = "get_weather"


def wants_more(city: str, day: int) -> str:
    raise AssertionError("it is not called")


wants_more.__name__ = "get_weather"


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (broken, "ConnectionError: the station is asleep"),
        (wants_more, "TypeError: These arguments do not fit: day: Field required"),
        (add, "LookupError: There is no function 'get_weather'. There are: add."),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(chat: Chat, function: Any, told: str) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        reply = chat(replay.url, tools=[function])
    (result,) = reply.tool_results
    assert result.failed
    assert result.content == told
    assert bodies(replay)[1]["messages"][-1]["content"] == told
    assert reply.text == "It is 21 degrees in Rome."


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_who_stops_a_function_stops_the_answer(end: type[BaseException]) -> None:
    def get_weather(city: str) -> str:
        raise end

    with replaying(chat=[TOOL, ANSWER]) as replay:
        with pytest.raises(end):
            blocking(replay.url, tools=[get_weather])
        assert len(bodies(replay)) == 1


def test_the_bound_on_rounds_ends_in_an_answer(chat: Chat) -> None:
    with replaying(chat=[TOOL, TOOL, TOOL, ANSWER]) as replay, pytest.warns(Warned, match="more than 2 times"):
        reply = chat(replay.url, tools=[get_weather], rounds=2)
    assert reply.text == "It is 21 degrees in Rome."
    assert [result.failed for result in reply.tool_results] == [False, False, True]
    assert ["tools" in body for body in bodies(replay)] == [True, True, True, False]
    assert "enough calls" in bodies(replay)[-1]["messages"][-1]["content"]


def test_within_the_bound_nothing_is_said_of_it(chat: Chat) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        assert chat(replay.url, tools=[get_weather], rounds=1).notes == ()


def test_a_model_that_never_stops_asking_is_left_after_the_bound() -> None:
    with replaying(chat=TOOL) as replay, pytest.warns(Warned):
        reply = blocking(replay.url, tools=[get_weather], rounds=3)
    assert len(bodies(replay)) == 3 + 2
    assert (len(reply.tool_calls), len(reply.tool_results)) == (5, 4)


@pytest.mark.parametrize("tools", [[get_weather], [schema(get_weather)]], ids=["no rounds", "a ready schema"])
def test_calls_can_be_left_to_the_caller(chat: Chat, tools: Any) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        reply = chat(replay.url, tools=tools, rounds=0 if callable(tools[0]) else 8, format=Person)
        assert len(bodies(replay)) == 1
        assert [call.name for call in reply.tool_calls] == ["get_weather"]
        assert reply.tool_results == ()
        assert reply.value is None
        told = Message("tool", "cold", tool_name="get_weather", tool_call_id=reply.tool_calls[0].id)
        assert chat(replay.url, [*reply.messages, told], tools=tools).text == "It is 21 degrees in Rome."


def test_with_calls_of_both_kinds_ours_are_run_and_the_rest_is_left(chat: Chat) -> None:
    mixed = Answer(tuple(line.replace("get_weather", "find", 1) if "Oslo" in line else line for line in TWO.lines))
    find = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
    with replaying(chat=[mixed, ANSWER]) as replay:
        reply = chat(replay.url, tools=[get_weather, find])
    assert len(bodies(replay)) == 1
    assert [call.name for call in reply.tool_calls] == ["get_weather", "find"]
    assert [result.call.name for result in reply.tool_results] == ["get_weather"]


def test_a_wrong_answer_is_asked_for_once_more(chat: Chat) -> None:
    with replaying(chat=[said(BAD), said(GOOD)]) as replay, pytest.warns(Warned, match="once more"):
        reply = chat(replay.url, "Who?", format=Person)
    assert reply.value == Person(name="Anna", age=31)
    assert reply.text == GOOD
    first, second = bodies(replay)
    assert first["format"] == second["format"] == Shape.of(Person).wire
    who, wrong, wish = second["messages"]
    assert (who["content"], wrong["content"], wish["role"]) == ("Who?", BAD, "user")
    assert "age: Input should be a valid integer" in wish["content"]
    assert wish["content"].count("\n") == 0
    assert reply.stats.eval_count == 2


def test_the_second_wrong_answer_is_an_error_that_carries_it(chat: Chat) -> None:
    with replaying(chat=[said(BAD), said(BAD), said(GOOD)]) as replay:
        with pytest.raises(BadAnswer) as raised, pytest.warns(Warned):
            chat(replay.url, format=Person)
        assert len(bodies(replay)) == 2
    assert raised.value.reply is not None
    assert raised.value.reply.text == BAD
    assert "old" not in str(raised.value)


def test_an_answer_that_was_cut_off_is_not_asked_for_again(chat: Chat) -> None:
    with replaying(chat=[cut(BAD[:9]), said(GOOD)]) as replay:
        with pytest.raises(BadAnswer, match="num_predict"):
            chat(replay.url, format=Person)
        assert len(bodies(replay)) == 1


def test_a_local_model_hears_of_the_format_when_its_calls_are_done(chat: Chat) -> None:
    with replaying(chat=[TOOL, ANSWER, said(GOOD)]) as replay:
        reply = chat(replay.url, tools=[get_weather], format=Person)
    assert reply.value == Person(name="Anna", age=31)
    assert ["format" in body for body in bodies(replay)] == [False, False, True]
    assert ["tools" in body for body in bodies(replay)] == [True, True, False]
    assert len(reply.tool_results) == 1


def test_an_answer_that_fits_already_is_not_asked_for_again(chat: Chat) -> None:
    with replaying(chat=[TOOL, said(GOOD)]) as replay:
        assert chat(replay.url, tools=[get_weather], format=Person).value == Person(name="Anna", age=31)
        assert len(bodies(replay)) == 2


def test_the_events_come_in_the_order_of_what_happened() -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay, Client(replay.url) as client:
        events = list(client.stream(MODEL, "hi", tools=[get_weather]))
    kinds = [type(event) for event in events]
    assert kinds == [ToolCall, Done, ToolResult, *[Text] * 7, Done]


def test_errors_in_any_round_reach_the_caller(chat: Chat) -> None:
    with replaying(chat=[TOOL, said("half", done=False)]) as replay, pytest.raises(Incomplete):
        chat(replay.url, tools=[get_weather])
    with pytest.raises(ServerDown):
        chat(replay.url, tools=[get_weather])


def test_leaving_in_a_later_round_closes_the_connection() -> None:
    with replaying(chat=[TOOL, said("a", "b", pause=0.05, stall=30)]) as replay, Client(replay.url) as client:
        events = client.stream(MODEL, "hi", tools=[get_weather])
        assert any(isinstance(event, Text) for event in events)
        events.close()
        assert replay.gone.wait(10)


def test_an_error_that_is_thrown_in_is_the_inner_flows_to_catch() -> None:
    def patient(request: Request) -> Flow[Event]:
        try:
            yield Wait(1)
        except ServerDown:
            yield Text("nobody is there")
        yield Done("stop")

    flow = answering(patient, Request("m"), Tools.of([]), Shape.of(None))
    assert next(flow) == Wait(1)
    assert flow.throw(ServerDown("down")) == Text("nobody is there")
    assert next(flow) == Done("stop")
    assert list(flow) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_no_end_that_is_thrown_in_is_swallowed(end: type[BaseException]) -> None:
    def ask(request: Request) -> Flow[Event]:
        yield ToolCall("get_weather", {"city": "Rome"})
        yield Done("stop")

    tools = Tools.of([get_weather])
    flow = answering(ask, Request("m", tools=tools.schemas), tools, Shape.of(None))
    assert isinstance([next(flow), next(flow), next(flow)][-1], Run)
    with pytest.raises(end):
        flow.throw(end)


def test_closing_the_flow_closes_the_one_within() -> None:
    def ask(request: Request) -> Flow[Event]:
        yield Text("a")

    inner = ask(Request("m"))
    flow = answering(lambda request: inner, Request("m"), Tools(), Shape())
    assert next(flow) == Text("a")
    flow.close()
    assert inspect.getgeneratorstate(inner) == inspect.GEN_CLOSED


def test_a_cloud_model_is_told_tools_and_format_together() -> None:
    asked: list[Request] = []

    def ask(request: Request) -> Flow[Event]:
        asked.append(request)
        if len(asked) == 1:
            yield ToolCall("get_weather", {"city": "Rome"}, "1")
        else:
            yield Text(GOOD)
        yield Done("stop")

    tools, shape = Tools.of([get_weather]), Shape.of(Person)
    request = Request("gpt", format=shape.wire, tools=tools.schemas, provider="openai")
    steps = answering(ask, request, tools, shape)
    assert [next(steps), next(steps)] == [ToolCall("get_weather", {"city": "Rome"}, "1"), Done("stop")]
    run = next(steps)
    assert isinstance(run, Run)
    assert steps.send(run.work()) == ToolResult(ToolCall("get_weather", {"city": "Rome"}, "1"), get_weather("Rome"))
    assert [type(event) for event in steps] == [Text, Done]
    assert [each.format for each in asked] == [shape.wire] * 2
    assert [each.tools for each in asked] == [tools.schemas] * 2


@pytest.mark.parametrize("think", [True, False])
@pytest.mark.parametrize(
    ("question", "name", "arguments", "result", "answer"),
    [
        ("What is the weather in Rome?", "get_weather", {"city": "Rome"}, get_weather("Rome"), "21 degrees"),
        ("What is 12 plus 75?", "add", {"a": 12, "b": 75}, "87", "87"),
    ],
)
def test_the_engines_own_model_calls_and_answers(
    api: httpx.Client, think: bool, question: str, name: str, arguments: Any, result: str, answer: str
) -> None:
    reply = blocking(str(api.base_url), question, tools=SIX, think=think, temperature=0)
    ((call,), (told,)) = reply.tool_calls, reply.tool_results
    assert (call.name, call.arguments) == (name, arguments)
    assert (told.content, told.failed) == (result, False)
    assert answer in reply.text
    assert bool(reply.messages[1].thinking) is think


def test_the_engines_own_model_with_an_async_function(api: httpx.Client) -> None:
    reply = asynchronous(str(api.base_url), "What time is it in Oslo?", tools=SIX, think=False, temperature=0)
    assert reply.tool_results[0].content == "12:30"
    assert "12:30" in reply.text


class Warmth(BaseModel):
    warm: bool


def test_the_engines_own_model_with_tools_and_a_format(api: httpx.Client) -> None:
    question = "What is the weather in Rome?"
    reply = blocking(str(api.base_url), question, tools=SIX, format=Warmth, think=False, temperature=0)
    assert isinstance(reply.value, Warmth)
    assert [result.call.name for result in reply.tool_results] == ["get_weather"]


def test_the_engines_own_model_fills_a_class(api: httpx.Client) -> None:
    with Client(str(api.base_url)) as client:
        reply = client.chat(
            "local_tiny", "Extract name and age as JSON: Anna is 31 years old.", format=Person, temperature=0
        )
    assert reply.value == Person(name="Anna", age=31)
    assert json.loads(reply.text) == {"name": "Anna", "age": 31}
