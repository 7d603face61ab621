"""Rounds as a flow, with no client: what is thrown in, closing, and what each round is asked."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from acagent_nb.errors import ServerDown
from acagent_nb.messages import Done, Event, Request, Text, ToolCall, ToolResult
from acagent_nb.rounds import answering
from acagent_nb.shapes import Shape
from acagent_nb.tools import Tools
from acagent_nb.wire import Flow, Run, Wait

from .skills import GOOD, Person, get_weather


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
