"""By what a question is known again."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from acagent_nb.keyed import Question, asked, named
from acagent_nb.messages import Message, Request, ToolCall
from acagent_nb.options import Options
from acagent_nb.recordings import append
from tests.kept import answer, chat, read

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "project" / "answers.jsonl"


def test_the_key_is_of_what_changes_the_answer_only() -> None:
    one = chat("Why?", options={"seed": 1, "temperature": 0.5})
    assert len(one.key) == 16
    assert one.key == chat("Why?", options={"temperature": 0.5, "seed": 1}, keep_alive="5m").key
    others = [
        chat("Why not?", options={"seed": 1, "temperature": 0.5}),
        chat("Why?", options={"seed": 1}),
        chat("Why?", options={"seed": 1, "temperature": 0.5}, format="json"),
        chat("Why?", options={"seed": 1, "temperature": 0.5}, think=False),
        chat("Why?", options={"seed": 1, "temperature": 0.5}, tools=({"type": "function"},)),
        chat("Why?", options={"seed": 1, "temperature": 0.5}, truncate=True),
        chat("Why?", options={"seed": 1, "temperature": 0.5}, model="other"),
        chat("Why?", options={"seed": 1, "temperature": 0.5}, provider="openai"),
    ]
    assert len({one.key, *(each.key for each in others)}) == 1 + len(others)


def test_the_key_is_the_same_in_every_version() -> None:
    assert chat("Why? 😀", options={"temperature": 1}).key == "bdf95d044c673ad9"


def test_a_question_is_found_again_by_what_stands_in_the_file(file: Path) -> None:
    call = ToolCall("add", {"a": 1, "b": [2.0, None]}, "call_x7")
    turns = (Message("user", "1+2?", images=("aGVsbG8=",)), Message("assistant", "", "Hm.", tool_calls=(call,)))
    turns += (Message("tool", "3", tool_name="add", tool_call_id="call_x7"),)
    tools = ({"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}},)
    schema = {"type": "object", "properties": {"é": {"type": "number"}}}
    question = asked("chat", Request("tiny", turns, Options(stop=["."], seed=1), schema, "low", tools=tools))
    append(file, answer(question))
    (line,) = read(file)
    assert line.question == question
    assert line.question.key == line.key


def test_the_ids_that_a_server_makes_up_change_nothing() -> None:
    def called(word: str) -> Question:
        calls = tuple(ToolCall("add", {"a": at}, f"{word}{at}") for at in range(2))
        results = (Message("tool", str(at), tool_name="add", tool_call_id=f"{word}{at}") for at in (1, 0))
        return asked("chat", Request("tiny", (Message("assistant", tool_calls=calls), *results)))

    assert called("a") == called("b")
    assert [turn["tool_call_id"] for turn in called("a").request["messages"][1:]] == ["call 2", "call 1"]


def test_a_picture_is_told_by_its_hash() -> None:
    def seen(data: bytes) -> Question:
        picture = base64.b64encode(data).decode()
        return asked("chat", Request("tiny", (Message("user", "What is it?", images=(picture,)),)))

    assert seen(b"hello").request["messages"][0]["images"] == [
        "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    ]
    assert seen(b"hello").key != seen(b"hello!").key
    drawn = asked("generate", Request("tiny"), prompt="It is", images=("aGVsbG8=",), raw=False, suffix=None)
    assert drawn.request == {"prompt": "It is", "images": seen(b"hello").request["messages"][0]["images"]}


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("ollama", "tiny", "local_tiny"),
        ("ollama", "Tiny:latest", "local_tiny"),
        ("ollama", "registry.ollama.ai/library/tiny", "local_tiny"),
        ("ollama", "tiny:skills", "local_tiny:skills"),
        ("ollama", "hf.co/user/model:Q4_K_M", "local_hf.co/user/model:q4_k_m"),
        ("ollama", "not a name", "local_not a name"),
        ("openai", "gpt-4o-mini", "gpt-4o-mini"),
        ("lab", "Qwen/Qwen3", "lab/Qwen/Qwen3"),
    ],
)
def test_a_model_has_one_name(provider: str, model: str, name: str) -> None:
    assert named(provider, model) == name
