"""A file of answers: what is found in it, what is kept, and what survives."""

from __future__ import annotations

import os
import random
import signal
import time
import warnings
from pathlib import Path
from threading import Thread

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb.errors import BadParams, Warned
from acagent_nb.keyed import Question, asked
from acagent_nb.messages import Request
from acagent_nb.recordings import Line, Recording, append, encoded, numbered
from tests.kept import SECRET, answer, begin, chat, read, writer

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "project" / "answers.jsonl"


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


def test_half_a_line_is_told_once_for_a_file_as_it_is(file: Path) -> None:
    append(file, answer(chat("a")))
    half = encoded(answer(chat(SECRET)))[:-2]
    with file.open("ab") as cut:
        cut.write(half)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            assert Recording(file).times(chat("a")) == 1
        (warning,) = told
        assert (warning.filename, warning.lineno) == ("<answers.jsonl>", 2)
        shown = warnings.formatwarning(warning.message, warning.category, warning.filename, warning.lineno)
        assert shown.startswith("<answers.jsonl>:2: Warned: Line 2 of ")
        assert len(shown.splitlines()) == 1, "neither our own code nor the recording's text"
        other = Recording(file)
        other.keep(answer(chat("b")))  # makes room first
        with file.open("ab") as cut:
            cut.write(half)
        for recording in (other, Recording(file)):
            assert recording.times(chat("b")) == 1
    assert [each.lineno for each in told] == [2, 3]


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


def test_no_lock_stays_beside_the_file(file: Path, state: Path) -> None:
    Recording(file).keep(answer(chat("a")))
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert all("answers" not in each.name for each in state.rglob("*"))


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
