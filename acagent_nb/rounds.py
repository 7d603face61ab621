"""The rounds of an answer, as a flow around the flow that asks (see `wire.py`): tools, and a second try.

ask ──► calls ──► each is run, its result told ──► ask again ──► ... ──► an answer without calls
                                               an answer of the wrong shape ──► ask once more
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from msgspec.structs import replace

from .errors import BadAnswer
from .messages import Event, Message, Note, Request, ToolCall, ToolResult
from .replies import Reply
from .shapes import Shape
from .tools import Tools, told
from .wire import Flow, Run

Ask = Callable[[Request], Flow[Event]]

_ENOUGH = "Not called: there were enough calls. Answer now, with what is known."


def answering(ask: Ask, request: Request, tools: Tools, shape: Shape, rounds: int = 8) -> Flow[Event]:
    """Ask, run the functions that the model asks for, and go on until it answers.

    Parameters
    ----------
    ask
        The flow that asks once.
    request
        With `tools.schemas` and `shape.wire` in it already.
    tools
        What the model may call. Calls of a ready schema are the caller's: the flow ends with them.
    shape
        What the answer must look like. One that does not is asked for once more, unless its length
        was the reason; whether the second one fits is for the reader to find out (`Shape.value`).
    rounds
        So many times the model's calls are run. One that still asks for more is told that it had
        enough, and asked once more, without tools: who sets a bound wants an answer within it, from
        what was found out so far. An error would throw that away, and calls left open make a
        conversation that OpenAI's servers refuse to go on with. A `Note` says that it happened.
        With 0 all calls are the caller's.

    Notes
    -----
    Ollama's server holds a model to a format from the first token, so that it can't call tools
    (ollama/ollama issues 8095 and 13750). A local model is therefore asked for the format only
    when it is done with its calls.
    """
    left = rounds
    format, now = request.format, opening(request, tools)
    while True:
        heard: list[Event] = []
        yield from _heard(ask(now), heard)
        calls = Reply.of(now, heard).tool_calls
        works = [tools.runs(call) for call in calls] if rounds and now.tools else []
        for call, work in zip(calls, works, strict=False):
            if work:
                result = (yield from _called(call, work)) if left else ToolResult(call, _ENOUGH, failed=True)
                heard.append(result)
                yield result
        reply = Reply.of(now, heard)
        if not works or not all(works):
            break
        now = replace(now, messages=reply.messages)
        if not left:
            now = replace(now, tools=(), format=format)
            yield Note(f"The model asked for functions more than {rounds} times, so it had to answer without more.")
        left -= 1
    if reply.done_reason == "length":
        return
    try:
        shape.value(reply)
    except BadAnswer as error:
        if now.format == format:
            yield Note("The first answer did not fit its format, so the model was asked once more.")
        wish = Message("user", f"{error.message} Answer again, with the JSON only.")
        yield from ask(replace(now, messages=(*reply.messages, wish), tools=(), format=format))


def opening(request: Request, tools: Tools) -> Request:
    """What is asked first."""
    return replace(request, format=None) if request.local and tools.schemas else request


def _called(call: ToolCall, work: Callable[[], Any]) -> Generator[Run, Any, ToolResult]:
    """Run a function of the user's.

    Whatever it raises is for the model to read, which may then try something else. Ctrl-C, exit
    and a cancelled task are no `Exception`, and end the answer.
    """
    try:
        return ToolResult(call, told((yield Run(work))))
    except Exception as error:
        return ToolResult(call, told(error), failed=True)


def _heard(flow: Flow[Event], heard: list[Event]) -> Flow[Event]:
    """A flow as it is, its events kept."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, Event):
                heard.append(step)
            try:
                answer = yield step
            except Exception as error:  # thrown in by whoever runs the flow: the inner one may know what to do
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration:
        return
    finally:
        flow.close()
