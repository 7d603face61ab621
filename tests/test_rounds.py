"""Rounds of tools and second tries through both clients, played back over a real socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acagent_nb import Client
from acagent_nb.errors import BadAnswer, Incomplete, ServerDown, Warned
from acagent_nb.messages import Done, Message, Text, ToolCall, ToolResult
from acagent_nb.shapes import Shape
from acagent_nb.tools import schema

from .clients import Do, asynchronous, blocking
from .replay import Answer, Replay, recorded, replaying, said
from .skills import GOOD, MODEL, Person, add, get_weather

TOOL = recorded("tool_call_stream")  # get_weather(city="Rome")
TWO = recorded("thinking_then_two_tool_calls_stream")  # for Rome and for Oslo
ANSWER = recorded("tool_result_answer")  # It is 21 degrees in Rome.
BAD = '{"name": "Anna", "age": "old"}'


def bodies(replay: Replay) -> list[dict[str, Any]]:
    return [body for _, path, body in replay.requests if path == "/api/chat"]


def cut(text: str) -> Answer:
    """An answer that had no more room."""
    lines = said(text).lines
    return Answer((*lines[:-1], lines[-1].replace('"stop"', '"length"')))


def test_a_function_is_called_and_the_model_answers(do: Do) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        reply = do(replay.url, "chat", MODEL, "Weather in Rome?", tools=[get_weather])
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


def test_several_calls_run_in_their_order_and_the_thinking_is_kept(do: Do) -> None:
    seen: list[str] = []

    def get_weather(city: str) -> str:
        seen.append(city)
        return city.upper()

    with replaying(chat=[TWO, ANSWER]) as replay:
        reply = do(replay.url, "chat", MODEL, "hi", tools=[get_weather])
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
        assert asynchronous(replay.url, "chat", MODEL, "hi", tools=[get_weather]).tool_results[0].content == "warm"


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
def test_what_goes_wrong_is_told_to_the_model(do: Do, function: Any, told: str) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        reply = do(replay.url, "chat", MODEL, "hi", tools=[function])
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
            blocking(replay.url, "chat", MODEL, "hi", tools=[get_weather])
        assert len(bodies(replay)) == 1


def test_the_bound_on_rounds_ends_in_an_answer(do: Do) -> None:
    with replaying(chat=[TOOL, TOOL, TOOL, ANSWER]) as replay, pytest.warns(Warned, match="more than 2 times"):
        reply = do(replay.url, "chat", MODEL, "hi", tools=[get_weather], rounds=2)
    assert reply.text == "It is 21 degrees in Rome."
    assert [result.failed for result in reply.tool_results] == [False, False, True]
    assert ["tools" in body for body in bodies(replay)] == [True, True, True, False]
    assert "enough calls" in bodies(replay)[-1]["messages"][-1]["content"]


def test_within_the_bound_nothing_is_said_of_it(do: Do) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        assert do(replay.url, "chat", MODEL, "hi", tools=[get_weather], rounds=1).notes == ()


def test_a_model_that_never_stops_asking_is_left_after_the_bound() -> None:
    with replaying(chat=TOOL) as replay, pytest.warns(Warned):
        reply = blocking(replay.url, "chat", MODEL, "hi", tools=[get_weather], rounds=3)
    assert len(bodies(replay)) == 3 + 2
    assert (len(reply.tool_calls), len(reply.tool_results)) == (5, 4)


@pytest.mark.parametrize("tools", [[get_weather], [schema(get_weather)]], ids=["no rounds", "a ready schema"])
def test_calls_can_be_left_to_the_caller(do: Do, tools: Any) -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay:
        reply = do(replay.url, "chat", MODEL, "hi", tools=tools, rounds=0 if callable(tools[0]) else 8, format=Person)
        assert len(bodies(replay)) == 1
        assert [call.name for call in reply.tool_calls] == ["get_weather"]
        assert reply.tool_results == ()
        assert reply.value is None
        told = Message("tool", "cold", tool_name="get_weather", tool_call_id=reply.tool_calls[0].id)
        assert do(replay.url, "chat", MODEL, [*reply.messages, told], tools=tools).text == "It is 21 degrees in Rome."


def test_with_calls_of_both_kinds_ours_are_run_and_the_rest_is_left(do: Do) -> None:
    mixed = Answer(tuple(line.replace("get_weather", "find", 1) if "Oslo" in line else line for line in TWO.lines))
    find = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
    with replaying(chat=[mixed, ANSWER]) as replay:
        reply = do(replay.url, "chat", MODEL, "hi", tools=[get_weather, find])
    assert len(bodies(replay)) == 1
    assert [call.name for call in reply.tool_calls] == ["get_weather", "find"]
    assert [result.call.name for result in reply.tool_results] == ["get_weather"]


def test_a_wrong_answer_is_asked_for_once_more(do: Do) -> None:
    with replaying(chat=[said(BAD), said(GOOD)]) as replay, pytest.warns(Warned, match="once more"):
        reply = do(replay.url, "chat", MODEL, "Who?", format=Person)
    assert reply.value == Person(name="Anna", age=31)
    assert reply.text == GOOD
    first, second = bodies(replay)
    assert first["format"] == second["format"] == Shape.of(Person).wire
    who, wrong, wish = second["messages"]
    assert (who["content"], wrong["content"], wish["role"]) == ("Who?", BAD, "user")
    assert "age: Input should be a valid integer" in wish["content"]
    assert wish["content"].count("\n") == 0
    assert reply.stats.eval_count == 2


def test_the_second_wrong_answer_is_an_error_that_carries_it(do: Do) -> None:
    with replaying(chat=[said(BAD), said(BAD), said(GOOD)]) as replay:
        with pytest.raises(BadAnswer) as raised, pytest.warns(Warned):
            do(replay.url, "chat", MODEL, "hi", format=Person)
        assert len(bodies(replay)) == 2
    assert raised.value.reply is not None
    assert raised.value.reply.text == BAD
    assert "old" not in str(raised.value)


def test_an_answer_that_was_cut_off_is_not_asked_for_again(do: Do) -> None:
    with replaying(chat=[cut(BAD[:9]), said(GOOD)]) as replay:
        with pytest.raises(BadAnswer, match="num_predict"):
            do(replay.url, "chat", MODEL, "hi", format=Person)
        assert len(bodies(replay)) == 1


def test_a_local_model_hears_of_the_format_when_its_calls_are_done(do: Do) -> None:
    with replaying(chat=[TOOL, ANSWER, said(GOOD)]) as replay:
        reply = do(replay.url, "chat", MODEL, "hi", tools=[get_weather], format=Person)
    assert reply.value == Person(name="Anna", age=31)
    assert ["format" in body for body in bodies(replay)] == [False, False, True]
    assert ["tools" in body for body in bodies(replay)] == [True, True, False]
    assert len(reply.tool_results) == 1


def test_an_answer_that_fits_already_is_not_asked_for_again(do: Do) -> None:
    with replaying(chat=[TOOL, said(GOOD)]) as replay:
        assert do(replay.url, "chat", MODEL, "hi", tools=[get_weather], format=Person).value == Person(
            name="Anna", age=31
        )
        assert len(bodies(replay)) == 2


def test_the_events_come_in_the_order_of_what_happened() -> None:
    with replaying(chat=[TOOL, ANSWER]) as replay, Client(replay.url) as client:
        events = list(client.stream(MODEL, "hi", tools=[get_weather]))
    kinds = [type(event) for event in events]
    assert kinds == [ToolCall, Done, ToolResult, *[Text] * 7, Done]


def test_errors_in_any_round_reach_the_caller(do: Do) -> None:
    with replaying(chat=[TOOL, said("half", done=False)]) as replay, pytest.raises(Incomplete):
        do(replay.url, "chat", MODEL, "hi", tools=[get_weather])
    with pytest.raises(ServerDown):
        do(replay.url, "chat", MODEL, "hi", tools=[get_weather])


def test_leaving_in_a_later_round_closes_the_connection() -> None:
    with replaying(chat=[TOOL, said("a", "b", pause=0.05, stall=30)]) as replay, Client(replay.url) as client:
        events = client.stream(MODEL, "hi", tools=[get_weather])
        assert any(isinstance(event, Text) for event in events)
        events.close()
        assert replay.gone.wait(10)
