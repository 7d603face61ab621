"""A file of answers: what is found in it, what is kept, and what survives."""

from __future__ import annotations

import base64
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb import differing
from acagent_nb.errors import BadParams, Warned
from acagent_nb.keyed import Question, asked, named
from acagent_nb.messages import Message, Request, ToolCall
from acagent_nb.options import Options
from acagent_nb.recordings import Line, Recording, append, encoded, numbered, read

SECRET = "Does Anna love Bert?"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "project" / "answers.jsonl"


def chat(*texts: str, model: str = "tiny", **how: Any) -> Question:
    """A question of several turns, the user's first."""
    options = Options.of(how.pop("options", {}))
    turns = tuple(Message("assistant" if at % 2 else "user", text) for at, text in enumerate(texts))
    return asked("chat", Request(model, turns, options, **how))


def answer(question: Question, n: int = 1, text: str = "Yes.", **more: str) -> Line:
    events = [["text", text, [[3, len(text)]]]]
    return Line(question.key, n, question.kind, question.model, request=question.request, events=events, **more)


WRITER = """
import sys
from acagent_nb.recordings import Line, append
path, who, count = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(count)):
    append(path, Line(f"{who:>016}", n + 1, "chat", events=[["text", who * 5000, [[0, 5000]]]]))
    print(n + 1, flush=True)
"""


def writer(file: Path, who: str, count: int) -> subprocess.Popen[str]:
    """Another process that appends so many lines, once it is told to begin."""
    arguments = [sys.executable, "-c", WRITER, str(file), who, str(count)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def test_an_answer_that_was_kept_is_found(file: Path) -> None:
    recording, question = Recording(file), chat("Why?")
    assert recording.find(question, 1) is None
    recording.keep(line := answer(question, digest="2ab1", server="0.32.15 embedded", recorded="2026-11-22T18:00:00Z"))
    assert recording.find(question, 1) == Recording(file).find(question, 1) == line
    assert recording.find(question, 2) is None
    assert (recording.times(question), recording.times(chat("How?"))) == (1, 0)
    assert read(file) == [line]


def test_a_line_is_made_for_a_review(file: Path) -> None:
    question = chat("Où est\nl'été? 😀", options={"temperature": 0.2, "stop": ["."]}, keep_alive=5)
    append(file, answer(question, text="Là\x1b[31m\x9b\u202e"))
    assert file.read_text(encoding="utf-8") == (
        f'{{"key":"{question.key}","n":1,"kind":"chat","model":"local_tiny",'
        '"request":{"messages":[{"role":"user","content":"Où est\\nl\'été? 😀"}],'
        '"options":{"temperature":0.2,"stop":["."]}},'
        '"events":[["text","Là\\u001b[31m\\u009b\\u202e",[[3,9]]]]}\n'
    )
    assert read(file)[0].events == [["text", "Là\x1b[31m\x9b\u202e", [[3, 9]]]]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_every_text_comes_back_and_stays_on_its_line(text: str) -> None:
    data = encoded(Line("k", 1, "chat", request={"prompt": text}))
    assert len(data.decode().splitlines()) == 1
    assert msgspec.json.decode(data, type=Line).request["prompt"] == text


def test_half_a_character_and_a_very_long_number_can_be_kept(file: Path) -> None:
    append(file, Line("k", 1, "chat", request={"prompt": "a\ud83d", "number": 2**70}))
    (line,) = read(file)
    assert line.request["prompt"] == "a\N{REPLACEMENT CHARACTER}"
    assert float(line.request["number"]) == 2.0**70


def test_the_last_answer_to_the_same_question_counts(file: Path) -> None:
    question, other = chat("Why?"), chat("How?")
    for line in (answer(question, text="a"), answer(other, text="b"), answer(question, text="c")):
        append(file, line)
    assert [line.events[0][1] for line in read(file)] == ["c", "b"]
    assert [number for number, _ in numbered(file)] == [1, 2, 3]
    found = Recording(file).find(question, 1)
    assert found
    assert found.events[0][1] == "c"


@pytest.mark.parametrize(
    ("question", "again"),
    [
        (chat("Why?", options={"seed": 0}), True),
        (chat("Why?", options={"temperature": 0}), True),
        (asked("embed", Request("tiny"), texts=["a"]), True),
        (chat("Why?", options={"seed": -1}), False),
        (chat("Why?", options={"temperature": 0.5}), False),
        (chat("Why?"), False),
        (Question("models", "", {}), False),
    ],
)
def test_only_what_can_be_expected_again_is_given_again(file: Path, question: Question, again: bool) -> None:
    recording = Recording(file)
    for n in (1, 2):
        recording.keep(answer(question, n, text=str(n)))
    found = recording.find(question, 3)
    assert (found is not None) is again
    assert found is None or found.events[0][1] == "2"


def test_what_another_process_records_is_found(file: Path) -> None:
    one, other, question = Recording(file), Recording(file), chat("Why?")
    assert one.times(question) == 0
    other.keep(answer(question))
    assert one.find(question, 1)
    other.keep(answer(question, 2))
    assert one.times(question) == 2
    assert one.nearest(chat("Why not?")) == (1, ["message 1 (user) differs from character 4 on"])


def test_a_file_that_was_written_anew_or_is_gone_is_read_anew(file: Path) -> None:
    recording, question, other = Recording(file), chat("Why?"), chat("How?")
    for n in range(1, 4):
        recording.keep(answer(question, n))
    draft = file.with_suffix(".new")
    append(draft, answer(other))
    os.replace(draft, file)
    assert (recording.times(question), recording.times(other)) == (0, 1)
    file.write_bytes(encoded(answer(question)) + b"\n" + encoded(answer(question, 2)) + b"\n")  # as an editor may do
    assert (recording.times(question), recording.times(other)) == (2, 0)
    edited = file.read_bytes().replace(b"Yes.", b"No.!")
    file.write_bytes(edited)
    assert [each.events[0][1] for n in (1, 2) if (each := recording.find(question, n))] == ["No.!"] * 2
    file.unlink()
    assert recording.times(question) == 0
    recording.keep(answer(question))
    assert recording.times(question) == 1


def test_threads_share_a_recording(file: Path) -> None:
    recording = Recording(file)
    questions = [chat(f"Question {at}?") for at in range(4)]
    threads = [
        Thread(target=lambda each=each: [recording.keep(answer(each, n)) for n in range(1, 26)]) for each in questions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [recording.times(each) for each in questions] == [25] * 4
    assert len(read(file)) == 100


def test_four_processes_write_at_once_and_no_line_is_lost(file: Path) -> None:
    processes = [writer(file, who, 50) for who in "abcd"]
    for process in processes:
        begin(process)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert sorted((line.key[-1], line.n) for line in read(file)) == [(who, n) for who in "abcd" for n in range(1, 51)]


@pytest.mark.filterwarnings("ignore:Line .* is cut off:acagent_nb.errors.Warned")
def test_a_process_that_is_killed_half_way_loses_nothing_that_it_had_kept(file: Path) -> None:
    kept = 0
    for again in range(5):
        process = writer(file, str(again), 100_000)
        begin(process)
        assert process.stdout
        told = [process.stdout.readline() for _ in range(random.Random(again).randrange(1, 60))]
        process.send_signal(signal.SIGKILL)
        told += process.communicate()[0].splitlines()
        there = [line for line in read(file) if line.key[-1] == str(again)]
        assert [line.n for line in there] == list(range(1, len(there) + 1))
        assert len(there) >= len(told)
        kept += len(there)
    append(file, Line("k", 1, "chat"))
    assert len(read(file)) == kept + 1


@pytest.mark.parametrize("left", [1, 8, 9, 40, 150, -2])
def test_half_a_line_is_left_out_and_makes_room_for_the_next(file: Path, left: int) -> None:
    first, second, third = (answer(chat(text, options={"seed": 1}), text="Grün 😀") for text in "abc")
    append(file, first)
    with file.open("ab") as half:
        half.write(encoded(second)[:left])
    with pytest.warns(Warned, match=r"Line 2 of .*answers.jsonl is cut off"):
        assert read(file) == [first]
    with pytest.warns(Warned, match="Line 2"):
        recording = Recording(file)
    recording.keep(third)
    assert recording.find(third.question, 1) == third
    assert read(file) == [first, third]


def test_half_a_character_at_the_end_is_half_a_line(file: Path) -> None:
    append(file, answer(chat("a")))
    with file.open("ab") as half:
        half.write(b'{"key":"' + "😀".encode()[:2])
    with pytest.warns(Warned, match="Line 2"):
        assert len(read(file)) == 1


def test_a_last_line_that_only_lost_its_end_stays(file: Path) -> None:
    append(file, answer(chat("a")))
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    recording = Recording(file)
    assert recording.times(chat("a")) == 1
    recording.keep(answer(chat("b")))
    assert [line.question for line in read(file)] == [chat("a"), chat("b")]
    assert recording.nearest(chat("b")) == (2, [])


def test_blank_lines_and_the_line_ends_of_other_systems_do_no_harm(file: Path) -> None:
    append(file, answer(chat("a")))
    file.write_bytes(b"\n" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert [number for number, _ in numbered(file)] == [2]


@pytest.mark.parametrize("damage", [b"{}", b"[1]", b'{"key":"a","n":"x","kind":"chat"}', b'{"key":"' + SECRET.encode()])
def test_a_broken_line_is_refused_with_its_number(file: Path, damage: bytes) -> None:
    append(file, answer(chat("a")))
    file.write_bytes(file.read_bytes() + damage + b"\n" + encoded(answer(chat("b"))) + b"\n")
    for open_it in (read, numbered, Recording):
        with pytest.raises(BadParams, match=r"Line 2 of .*answers.jsonl is no recorded answer") as caught:
            open_it(file)
        assert SECRET not in str(caught.value)


def test_the_marks_of_a_merge_are_named(file: Path) -> None:
    line = encoded(answer(chat("a"))).decode()
    file.parent.mkdir()
    file.write_text(f"{line}\n<<<<<<< HEAD\n{line}\n=======\n{line}\n>>>>>>> other\n", encoding="utf-8")
    with pytest.raises(BadParams, match=r"Line 2 of .* mark of a merge conflict"):
        read(file)


def test_another_file_is_neither_read_nor_written(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("My notes", encoding="utf-8")
    for refused in (lambda: read(file), lambda: Recording(file), lambda: append(file, answer(chat("a")))):
        with pytest.raises(BadParams, match=r"is no recorded answer"):
            refused()
    assert file.read_text(encoding="utf-8") == "My notes"


def test_a_file_that_is_not_there_holds_nothing(file: Path) -> None:
    recording = Recording(file)
    assert (recording.times(chat("a")), recording.nearest(chat("a"))) == (0, None)
    with pytest.raises(BadParams, match="can't be read: No such file"):
        read(file)


def test_what_can_not_be_read_or_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadParams, match="can't be read: Is a directory"):
        Recording(tmp_path)
    with pytest.raises(BadParams, match=r"can't be kept in .*: Is a directory"):
        append(tmp_path, answer(chat("a")))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full here")
def test_a_full_disk_is_told() -> None:
    with pytest.raises(BadParams, match=r"can't be kept in /dev/full: No space left"):
        append("/dev/full", answer(chat("a")))


def test_no_lock_stays_beside_the_file(file: Path, home: Path) -> None:
    Recording(file).keep(answer(chat("a")))
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert all("answers" not in each.name for each in home.rglob("*"))


def test_answers_are_kept_where_no_lock_can_be(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no-folder"))
    append(file, answer(chat("a")))
    assert len(read(file)) == 1


def test_ten_thousand_lines_are_read_at_once(file: Path) -> None:
    file.parent.mkdir()
    lines = [encoded(answer(chat(f"Question {at}?"), text="word " * 40)) for at in range(10_000)]
    file.write_bytes(b"\n".join(lines) + b"\n")
    began = time.process_time()
    assert len(read(file)) == 10_000
    seconds = time.process_time() - began
    recording = Recording(file)
    began = time.process_time()
    assert recording.nearest(chat("Question 9999!")) == (10_000, ["message 1 (user) differs from character 14 on"])
    assert recording.find(chat("Question 5?"), 1)
    print(f"{seconds:.3f} s to read, {time.process_time() - began:.3f} s to find the nearest")


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
