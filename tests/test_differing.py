"""The recorded question that is most like the one that is asked, and what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb import differing
from acagent_nb.keyed import Question, asked
from acagent_nb.messages import Message, Request, ToolCall
from acagent_nb.recordings import Recording, append
from tests.kept import SECRET, answer, chat

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "project" / "answers.jsonl"


FILE = "sha256:" + "0" * 63
SCHEMA = {"type": "object"}
ADD = {"type": "function", "function": {"name": "add", "description": "Adds."}}
SUM = {"type": "function", "function": {"name": "add", "description": SECRET}}
MULTIPLY = {"type": "function", "function": {"name": "multiply"}}
CALLED = asked("chat", Request("tiny", (Message("assistant", tool_calls=(ToolCall("f", {"a": SECRET}),)),)))
UNCALLED = asked("chat", Request("tiny", (Message("assistant", tool_calls=(ToolCall("f", {"a": 1}),)),)))
PICTURE = asked("chat", Request("tiny", (Message("user", "a", images=("aGVsbG8=",)),)))
SYSTEM = asked("chat", Request("tiny", (Message("system", "a"),)))


def generated(**more: Any) -> Question:
    return asked("generate", Request("tiny"), **more)


@pytest.mark.parametrize(
    ("question", "recorded", "words"),
    [
        (chat("a"), chat("a"), []),
        (chat("a", model="b"), chat("a", model="c"), ["model local_b, recorded local_c"]),
        (
            chat("a", options={"temperature": 0.7}),
            chat("a", options={"temperature": 0.9}),
            ["temperature is 0.7, recorded 0.9"],
        ),
        (chat("a", options={"seed": 1}), chat("a"), ["seed is 1, recorded none"]),
        (chat("a"), chat("a", options={"stop": ["."]}), ['has no stop, recorded ["."]']),
        (chat("a"), chat("a", format="json"), ["has no format"]),
        (chat("a", format="json"), chat("a"), ["has a format, recorded none"]),
        (chat("a", format="json"), chat("a", format=SCHEMA), ["has another format"]),
        (chat("a", think=True), chat("a", think="low"), ["think is true, recorded low"]),
        (chat("a", think=False), chat("a"), ["think is false, recorded none"]),
        (chat("a", truncate=True), chat("a"), ["truncate is true, recorded none"]),
        (chat("a", tools=(ADD, MULTIPLY)), chat("a", tools=(ADD,)), ["tools add, multiply, recorded add"]),
        (chat("a"), chat("a", tools=(ADD,)), ["tools none, recorded add"]),
        (chat("a", tools=(ADD,)), chat("a", tools=(SUM,)), ["the tool add is described otherwise"]),
        (chat(SECRET), chat(SECRET[:16] + "!"), ["message 1 (user) differs from character 17 on"]),
        (chat("a", "b", SECRET), chat("a", "b"), ["3 messages, recorded 2"]),
        (
            chat("a", SECRET),
            chat("a", "b", "c"),
            ["2 messages, recorded 3", "message 2 (assistant) differs from character 1 on"],
        ),
        (CALLED, UNCALLED, ["message 1 (assistant) has other calls"]),
        (PICTURE, chat("a"), ["message 1 (user) has other pictures"]),
        (chat("a"), SYSTEM, ["message 1 (user) is recorded as system"]),
        (generated(prompt=SECRET), generated(prompt="Do you?"), ["the prompt differs from character 3 on"]),
        (generated(prompt="a", suffix=SECRET), generated(prompt="a"), ["has a suffix, recorded none"]),
        (
            generated(prompt="a", images=["aGVsbG8="]),
            generated(prompt="a", images=["aGVsbA=="]),
            ["picture 1 is another"],
        ),
        (generated(prompt="a", raw=True), generated(prompt="a"), ["raw is true, recorded none"]),
        (
            asked("embed", Request("b"), texts=["a", SECRET]),
            asked("embed", Request("b"), texts=["a", "b"]),
            ["text 2 differs from character 1 on"],
        ),
        (
            asked("embed", Request("b"), texts=["a"], dimensions=2),
            asked("embed", Request("b"), texts=["a"]),
            ["dimensions is 2, recorded none"],
        ),
        (Question("show", "local_a", {}), Question("pull", "local_a", {}), ["kind show, recorded pull"]),
        (
            Question("create", "local_a", {"adapter": FILE + "a", "from_model": "b"}),
            Question("create", "local_a", {"adapter": FILE + "b", "from_model": "c"}),
            ["has another adapter", "from_model is b, recorded c"],
        ),
        (
            Question("create", "local_a", {"parameters": {"seed": 1}}),
            Question("create", "local_a", {"system": SECRET}),
            ["has no system", "seed is 1, recorded none"],
        ),
    ],
)
def test_the_nearest_is_told_in_places_and_names(
    file: Path, question: Question, recorded: Question, words: list[str]
) -> None:
    append(file, answer(Question("version", "", {})))
    append(file, answer(recorded, text=SECRET))
    assert Recording(file).nearest(question) == (2, words)


def test_the_nearest_is_of_the_same_kind_then_of_the_same_text_then_of_the_same_model(file: Path) -> None:
    for line in (
        generated(prompt="Why is the sky blue?"),
        chat("What is a token?"),
        chat("Why is the sky blue?", model="other"),
        chat("Why is the sky red?"),
        chat("Why is the sky red?", model="other"),
    ):
        append(file, answer(line))
    recording = Recording(file)
    places = {
        3: chat("Why is the sky blue?", model="third"),
        4: chat("Why is the sky bed?"),
        2: chat("What is a taken?"),
        5: chat("Why is the sky rad?", model="other"),
        1: generated(prompt="What is a token?"),
    }
    assert [(recording.nearest(question) or (0,))[0] for question in places.values()] == list(places)


PRIVATE = st.text("§¶¤", max_size=6)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool"])},
            optional={
                "content": PRIVATE,
                "thinking": PRIVATE,
                "images": st.lists(PRIVATE, max_size=2),
                "tool_calls": st.lists(st.fixed_dictionaries({"function": st.dictionaries(PRIVATE, PRIVATE)})),
            },
        ),
        max_size=3,
    ),
    "tools": st.lists(st.fixed_dictionaries({"function": st.fixed_dictionaries({"description": PRIVATE})}), max_size=2),
    "format": PRIVATE | st.dictionaries(PRIVATE, PRIVATE, max_size=2),
    "images": st.lists(PRIVATE, max_size=2),
    "texts": st.lists(PRIVATE, max_size=3),
    "license": st.lists(PRIVATE, max_size=2),
    "modelfile": st.dictionaries(st.just("system"), PRIVATE),
    "options": st.dictionaries(st.sampled_from(["seed", "temperature"]), st.integers(0, 3)),
    **dict.fromkeys(("prompt", "suffix", "system", "template", "adapter"), PRIVATE),
}
REQUESTS = st.fixed_dictionaries({}, optional=PARTS).map(
    lambda request: {name: value for name, value in request.items() if value}  # what is empty is never said
)


@given(REQUESTS, REQUESTS)
def test_no_prompt_is_told_whatever_differs(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    question, recorded = Question("chat", "local_tiny", ours), Question("chat", "local_tiny", theirs)
    told = differing.words(question, recorded)
    assert not set("§¶¤") & set("".join(told))
    assert bool(told) == (differing.distance(question, recorded) > 0)
    assert not differing.words(question, question)
    assert differing.distance(question, recorded) == pytest.approx(differing.distance(recorded, question))
