"""The protocol's flows by themselves: no client, no socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acagent_nb.delivery import pulling
from acagent_nb.errors import ContextTooLong, Incomplete, ModelMissing, ServerError
from acagent_nb.library import ps, tags, version
from acagent_nb.messages import Done, Message, Pulling, Request, Stats, Text, Thinking, ToolCall
from acagent_nb.models import Version
from acagent_nb.ollama import chat
from acagent_nb.options import Options
from acagent_nb.wire import READ, Flow, Header, Open

from .replay import SERVERS, Answer, recorded, said

ASK = Request("tiny", (Message("user", "why is the sky blue?"),), Options(temperature=0.0))


def run(flow: Flow[Any], *answers: Answer, seen: list[Any] | None = None) -> tuple[list[Any], list[Open]]:
    """All that a flow yields, and what it asked for, if it is given these answers in order.

    What it asks about an answer that has come is not counted: nothing is loaded, and no version is told.
    """
    seen = [] if seen is None else seen
    asked, queue = [], list(answers)
    lines: list[bytes] = []
    answer: Any = None
    try:
        while True:
            step = flow.send(answer)
            answer = None
            if isinstance(step, Open) and step.seconds is not None:
                lines, answer = [b"404 page not found"], 404
            elif isinstance(step, Open):
                asked.append(step)
                now = queue.pop(0)
                lines = "".join(now.lines).encode().split(b"\n")
                answer = now.status
            elif isinstance(step, Header):
                answer = None
            elif step is READ:
                answer = lines.pop(0) if lines else None
            else:
                seen.append(step)
    except StopIteration:
        return seen, asked


@pytest.mark.parametrize("server", SERVERS)
def test_a_stream_gives_text_and_its_end(server: str) -> None:
    events, (asked,) = run(chat(ASK), recorded("chat_stream", server))
    *texts, done = events
    assert all(isinstance(event, Text) for event in texts)
    assert "blue light" in "".join(text.text for text in texts)
    assert isinstance(done, Done)
    assert done.done_reason == "stop"
    assert done.stats.eval_count
    assert done.stats.tokens_per_second
    assert asked.path == "/api/chat"
    assert json.loads(asked.body or b"") == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "why is the sky blue?"}],
        "options": {"temperature": 0.0},
        "truncate": False,
    }


def test_only_what_was_set_is_sent() -> None:
    _, (asked,) = run(chat(Request("m", (), think=False, keep_alive=0)), recorded("chat_unload"))
    assert json.loads(asked.body or b"") == {
        "model": "m",
        "messages": [],
        "think": False,
        "keep_alive": 0,
        "truncate": False,
    }


def test_thinking_and_tool_calls_are_events_of_their_own() -> None:
    events, _ = run(chat(ASK), recorded("thinking_then_two_tool_calls_stream"))
    kinds = [type(event) for event in events]
    assert kinds[0] is Thinking
    assert kinds[-1] is Done
    calls = [event for event in events if isinstance(event, ToolCall)]
    assert len(calls) == 2
    assert all(call.name and call.id and isinstance(call.arguments, dict) for call in calls)


@pytest.mark.parametrize("server", SERVERS)
def test_a_missing_model_is_pulled_and_asked_again_once(server: str) -> None:
    missing = recorded("chat_missing_model", server)
    events, asked = run(
        chat(ASK), missing, recorded("pull_slow_with_progress", server), recorded("chat_stream", server)
    )
    assert [step.path for step in asked] == ["/api/chat", "/api/pull", "/api/chat"]
    pulls = [event for event in events if isinstance(event, Pulling)]
    assert pulls[0].status == "pulling manifest"
    assert pulls[-1].status == "success"
    assert all(0 <= pull.completed <= pull.total for pull in pulls)
    assert isinstance(events[-1], Done)
    with pytest.raises(ModelMissing):
        run(chat(ASK), missing, recorded("pull_slow_with_progress", server), missing)


def test_a_pull_can_be_refused() -> None:
    with pytest.raises(ModelMissing, match="does not have the model tiny"):
        run(chat(ASK, pull=False), recorded("chat_missing_model"))


def test_a_pull_adds_its_layers_up() -> None:
    lines = [
        '{"status":"pulling manifest"}',
        '{"status":"pulling aaaa","digest":"sha256:aaaa","total":100}',
        '{"status":"pulling aaaa","digest":"sha256:aaaa","total":100,"completed":130}',
        '{"status":"pulling bbbb","digest":"sha256:bbbb","total":50,"completed":20}',
        '{"status":"success"}',
    ]
    events, _ = run(pulling("m"), Answer(tuple(f"{line}\n" for line in lines)))
    assert [(event.completed, event.total) for event in events] == [
        (0, 0),
        (0, 100),
        (100, 100),
        (120, 150),
        (120, 150),
    ]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("pull_missing", ModelMissing, "no model m to pull"),
        ("pull_private", ModelMissing, "does not let us"),
        ("pull_registry_down", ServerError, "connection refused"),
        ("pull_no_dns", ServerError, "no such host"),
        ("pull_needs_newer_server", ServerError, "newer version"),
        ("pull_corrupt_blob", ServerError, "digest mismatch"),
    ],
)
def test_a_pull_that_fails_says_what_to_do(server: str, case: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        run(pulling("m"), recorded(case, server))
    assert caught.value.hint  # type: ignore[attr-defined]  # all of ours have one


@pytest.mark.parametrize("server", SERVERS)
def test_a_server_that_refuses_is_quoted(server: str) -> None:
    with pytest.raises(ServerError, match='option "temperature" must be of type float32') as caught:
        run(chat(ASK), recorded("chat_option_wrong_type", server))
    assert caught.value.status == 500


def test_a_prompt_that_does_not_fit_has_its_own_error() -> None:
    for server in SERVERS:
        with pytest.raises(ContextTooLong):
            run(chat(ASK), recorded("chat_overflow_truncate_false", server))


def test_an_error_in_the_middle_is_raised_after_what_came_before() -> None:
    seen: list[Any] = []
    lines = (*said("The ", done=False).lines, '{"error":"an error was encountered while running the model: EOF"}\n')
    with pytest.raises(ServerError, match="encountered"):
        run(chat(ASK), Answer(lines), seen=seen)
    assert seen == [Text("The ")]


@pytest.mark.parametrize("lines", [(), said("The ", done=False).lines, ("\n", "\n")])
def test_an_end_without_done_never_looks_complete(lines: tuple[str, ...]) -> None:
    with pytest.raises(Incomplete):
        run(chat(ASK), Answer(lines))


def test_blank_lines_and_unknown_fields_do_no_harm() -> None:
    lines = ("\n", '{"message":{"content":"a","new":[1]},"newer":{},"done":false}\n', "\r\n", '{"done":true}\n')
    events, _ = run(chat(ASK), Answer(lines))
    assert events == [Text("a"), Done("", Stats())]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(("404 page not found",), 404, "text/plain"), "404 page not found"),
        (Answer(("<html>\n<h1>Bad Gateway</h1>",), 502, "text/html"), "502: no reason given"),
        (Answer((), 403, "text/plain"), "403: no reason given"),
        (Answer(("<html></html>\n",)), "not Ollama's protocol"),
    ],
)
def test_what_is_no_ollama_answer_gives_one_clear_sentence(answer: Answer, words: str) -> None:
    with pytest.raises(ServerError, match=words) as caught:
        run(chat(ASK), answer)
    assert caught.value.hint


def test_the_lists_are_read() -> None:
    ((models,), _), ((loaded,), _) = run(tags(), recorded("tags")), run(ps(), recorded("ps_forever"))
    assert models[0].name == "tiny:latest"
    assert models[0].details.parameter_size == "984K"
    assert loaded[0].expires_at.startswith("2319")
    assert loaded[0].processor == "CPU"
    assert run(version(), recorded("version"))[0] == [Version("0.0.0")]
