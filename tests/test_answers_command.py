"""`acagent-nb answers list|prune|diff`, on files as recordings leave them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy
import pytest
from msgspec.structs import replace

from acagent_nb.cli import main
from acagent_nb.errors import ModelMissing
from acagent_nb.keyed import Question, asked
from acagent_nb.messages import Done, Message, Note, Request, Stats, Text, Thinking, ToolCall
from acagent_nb.models import Version
from acagent_nb.options import Options
from acagent_nb.packing import pack
from acagent_nb.pruning import prune
from acagent_nb.recordings import Line, append, encoded, numbered
from acagent_nb.reviewing import answer, marked
from tests.tutorials import QUICK, on_path

from .commands import on_terminal
from .kept import begin, read, writer

AIR = "Because air scatters blue light more than red light, and so more of it reaches the eye from all over the sky."


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and a state of the test's own; nothing is coloured by what the machine says."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


def line(question: Question, *events: Any, n: int = 1, digest: str = "2ab1c3d4e5f6a7b8") -> Line:
    rows = pack((0.01 * at, event) for at, event in enumerate(events))
    told = {"digest": digest, "request": question.request, "events": rows, "recorded": "2026-11-22T18:05:00Z"}
    return Line(question.key, n, question.kind, question.model, **told)


def chat(text: str, *answers: str, n: int = 1, digest: str = "2ab1c3d4e5f6a7b8", **how: Any) -> Line:
    options = Options.of(how.pop("options", {}))
    question = asked("chat", Request("tiny", (Message("user", text),), options, **how))
    events = [*map(Text, answers or ("Yes.",)), Done("stop", Stats(eval_count=23), digest)]
    return line(question, *events, n=n, digest=digest)


def file(name: str, *lines: Line) -> Path:
    for each in lines:
        append(name, each)
    return Path(name)


def ran(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What a command prints that ends with this status."""
    assert main(["answers", *arguments]) == status
    out, err = capsys.readouterr()
    assert bool(err) == (status > 1) or status == 1
    return out + err


def test_list_is_a_table_of_what_was_asked_and_how(capsys: pytest.CaptureFixture[str]) -> None:
    tools = ({"type": "function", "function": {"name": "add"}},)
    long = "Why is the sky blue,\nand why is the sea blue, and is a blueberry blue?"
    turns = (Message("user", "Add 1 and 2."), Message("assistant", tool_calls=(ToolCall("add", {"a": 1}),)))
    file(
        "a.jsonl",
        chat(long, options={"temperature": 0.2, "seed": 7}, format="json", think="low", tools=tools),
        chat("Old?"),
        line(asked("chat", Request("lab", (*turns, Message("tool", "3")), provider="box")), Text("3")),
        line(asked("generate", Request("tiny"), prompt="Once upon", suffix="end")),
        line(asked("embed", Request("tiny"), texts=["one", "two"]), numpy.ones((2, 3), numpy.float32)),
        line(Question("models", "", {}), []),
        chat("Old?"),
    )
    head, *rows = ran(capsys, "list", "a.jsonl").splitlines()
    assert head.split() == ["LINE", "KIND", "MODEL", "ASKED", "N", "TOKENS", "OPTIONS", "RECORDED"]
    asks, opts = head.index("ASKED"), head.index("OPTIONS")
    assert rows[0][asks:].startswith("Why is the sky blue, and why is the sea blue, a…   1   23 ")
    assert rows[0][opts:].split("   ") == ["seed=7 temperature=0.2 json think=low 1 tool", "2026-11-22 18:05"]
    assert [row.split()[:3] for row in rows[1:5]] == [
        ["3", "chat", "box/lab"],
        ["4", "generate", "local_tiny"],
        ["5", "embed", "local_tiny"],
        ["6", "models", "1"],
    ]
    assert [row[asks:].split("  ")[0] for row in rows[1:4]] == ["Add 1 and 2.", "Once upon", "one"]
    assert "2 texts" in rows[3]
    assert rows[5].split()[0] == "7"
    assert rows[-1] == "1 line replaced by later ones; `acagent-nb answers prune` drops them."


def test_list_is_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    file("a.jsonl", chat("Où? 😀", "Là", ".", options={"seed": 1}))
    file("b.jsonl", chat("Why?"))
    out = ran(capsys, "list", "--json", "a.jsonl", "b.jsonl")
    assert "Où? 😀" in out
    first, second = json.loads(out)
    assert first == {
        "file": "a.jsonl",
        "line": 1,
        "key": chat("Où? 😀", options={"seed": 1}).key,
        "n": 1,
        "kind": "chat",
        "model": "local_tiny",
        "digest": "2ab1c3d4e5f6a7b8",
        "asked": "Où? 😀",
        "answer": "Là.",
        "tokens": 23,
        "options": {"seed": 1},
        "server": "",
        "recorded": "2026-11-22T18:05:00Z",
    }
    assert second["file"] == "b.jsonl"


def test_several_files_are_listed_by_name_and_an_empty_one_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.jsonl").touch()
    file("b.jsonl", chat("Why?"))
    assert [each.split()[0] for each in ran(capsys, "list", "a.jsonl", "b.jsonl").splitlines() if each] == [
        "a.jsonl",
        "There",
        "b.jsonl",
        "LINE",
        "1",
    ]


def test_what_steers_a_terminal_is_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    file("a.jsonl", chat("Clear \x1b[2J", "A"))
    file("b.jsonl", chat("Clear \x1b[2J", "B\x1b]0;owned\x07\x9b\u202e"), chat("\x1b[31mRed"))
    for arguments in (("list", "a.jsonl"), ("diff", "a.jsonl", "b.jsonl")):
        assert not set("\x1b\x07\x9b\u202e") & set(ran(capsys, *arguments, status=int(arguments[0] == "diff")))


@pytest.mark.parametrize("command", [["list"], ["prune"], ["diff", "none.jsonl"]])
def test_a_file_that_is_not_there_is_told_in_two_lines(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    told = ran(capsys, *command, "none.jsonl", status=2 if command[0] == "diff" else 1)
    assert len(told.splitlines()) == 2
    assert "There is no recording" in told


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("folder", "folder is a folder.\nName a file of recorded answers in it.\n"),
        ("a.ipynb", "a.ipynb is a notebook.\nName the file that its answers were recorded in.\n"),
        ("anwsers.jsonl", "There is no recording anwsers.jsonl.\nDid you mean answers.jsonl?\n"),
    ],
)
def test_what_can_be_no_recording_is_told(capsys: pytest.CaptureFixture[str], path: str, told: str) -> None:
    file("answers.jsonl", chat("Why?"))
    Path("folder").mkdir()
    Path("a.ipynb").touch()
    for command, status in (("list", 1), ("prune", 1), ("diff", 2)):
        others = ["answers.jsonl"] if command == "diff" else []
        assert ran(capsys, command, *others, path, status=status).endswith(told)


def test_prune_runs_no_notebooks_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    file("answers.jsonl", chat("Why?"))
    told = ran(capsys, "prune", "answers.jsonl", "--notebooks", "nowhere.ipynb", status=1)
    assert told == "There is no notebook nowhere.ipynb.\nCheck the path; notebooks end in .ipynb.\n"


def test_a_damaged_file_is_told_with_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    file("a.jsonl", chat("Why?"))
    Path("a.jsonl").write_bytes(b"{}\n" + Path("a.jsonl").read_bytes())
    assert "Line 1 of a.jsonl" in ran(capsys, "list", "a.jsonl", status=1)
    assert "Line 1 of a.jsonl" in ran(capsys, "diff", "a.jsonl", "a.jsonl", status=2)


def test_prune_drops_what_later_lines_replace_and_leaves_all_other_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    path = file("a.jsonl", chat("Why?", "Old"), chat("How?"), chat("Why?", "New"))
    path.chmod(0o640)
    stay = b"".join(path.read_bytes().splitlines(keepends=True)[1:]).replace(b'"kind"', b'"later":[1],"kind"', 1)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0] + stay)
    told = ran(capsys, "prune", "a.jsonl", "--dry-run")
    assert told.splitlines()[-1] == "1 line would be dropped, 2 left in a.jsonl."
    assert len(numbered(path)) == 3
    head, row, _, last = ran(capsys, "prune", "a.jsonl").splitlines()
    assert (head.split()[:2], row.split("   ")) == (
        ["LINE", "WHY"],
        ["1", "", "replaced by line 3", "chat", "local_tiny", "Why?"],
    )
    assert last == "1 line dropped, 2 left in a.jsonl."
    assert path.read_bytes() == stay
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat().st_ino
    assert ran(capsys, "prune", "a.jsonl") == "0 lines dropped, 2 left in a.jsonl.\n"
    assert path.stat().st_ino == before
    assert {each.name for each in Path().iterdir()} == {"a.jsonl", "state"}


def test_prune_drops_what_was_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    one, two, three = chat("a", n=1), chat("a", n=2), chat("b")
    path = file("a.jsonl", one, two, three, two)
    Path("used").write_text(f"{two.key} 2\n{two.key} 2\n{'0' * 16} 1\n", encoding="ascii")
    told = ran(capsys, "prune", "a.jsonl", "--used", "used")
    assert [row.split("   ")[2].strip() for row in told.splitlines()[1:4]] == [
        "not used",
        "replaced by line 4",
        "not used",
    ]
    assert read(path) == [two]


@pytest.mark.parametrize(
    ("used", "told"),
    [("", "Not one answer of a.jsonl was used"), ("Why?\n", "Line 1 of used is no use"), (None, "can't be read")],
)
def test_prune_empties_no_file_by_mistake(capsys: pytest.CaptureFixture[str], used: str | None, told: str) -> None:
    path = file("a.jsonl", chat("a"))
    if used is not None:
        Path("used").write_text(used, encoding="ascii")
    assert told in ran(capsys, "prune", "a.jsonl", "--used", "used", status=1)
    assert len(read(path)) == 1


def test_prune_drops_half_a_line_and_follows_a_link(capsys: pytest.CaptureFixture[str]) -> None:
    path = file("a.jsonl", chat("a"))
    with path.open("ab") as half:
        half.write(encoded(chat("b"))[:50])
    Path("link.jsonl").symlink_to(path)
    assert "cut off" in ran(capsys, "prune", "link.jsonl")
    assert Path("link.jsonl").is_symlink()
    assert read(path) == [chat("a")]


NOTEBOOK = """
from acagent_nb import Client
client = Client()
assert client.chat("local_tiny", "Why?", seed=1).text == "Because."
assert client.chat("local_tiny", "How?").text == "It is."
"""


def test_prune_drops_what_no_notebook_asks_for(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", on_path(QUICK))
    why, how = chat("Why?", "Because.", options={"seed": 1}), chat("How?", "It is.")
    path = file("a.jsonl", why, chat("Else?"), how, chat("How?", n=2))
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(NOTEBOOK)]), "one.ipynb")
    told = ran(capfd, "prune", "a.jsonl", "--notebooks", "one.ipynb")
    assert "one.ipynb: ok" in told
    assert told.splitlines()[-1] == "2 lines dropped, 2 left in a.jsonl."
    assert read(path) == [why, how]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), "two.ipynb")
    told = ran(capfd, "prune", "a.jsonl", "--notebooks", "two.ipynb", status=1)
    assert "ZeroDivisionError" in told
    assert "Not all notebooks ran to their end, so nothing was dropped." in told
    assert read(path) == [why, how]


def test_what_is_recorded_meanwhile_survives_a_prune() -> None:
    path = file("a.jsonl", chat("Why?"))
    process = writer(path, "a", 200)
    begin(process)
    pruned = 0
    while process.poll() is None:
        append(path, chat("Why?"))
        pruned += len(prune(path)[0])
    process.communicate()
    assert pruned
    assert [each.n for each in read(path) if not each.request] == list(range(1, 201))


def test_a_prune_that_is_killed_leaves_the_file_whole() -> None:
    path = file("a.jsonl", *(chat("a", "word " * 5000) for _ in range(100)))
    before = path.read_bytes()
    command = [sys.executable, "-m", "acagent_nb", "answers", "prune", "a.jsonl"]
    for number, pause in enumerate((0.1, 0.2, 0.3, 0.4)):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL if number % 2 else signal.SIGINT)
        process.wait(30)
        assert path.read_bytes() in (before, before.splitlines(keepends=True)[-1])


def test_diff_tells_what_is_new_gone_and_different(capsys: pytest.CaptureFixture[str]) -> None:
    now = AIR.replace("scatters", "bends").replace(" all over", "")
    file("old.jsonl", chat("Gone?", "Yes.", options={"seed": 1}), chat("Why?", AIR), chat("Same?", "Yes", "."))
    others = (chat("What is it now?", "New.\n" * 90, n=2), chat("Gone?", "No.", options={"seed": 2}))
    file("new.jsonl", chat("Same?", "Ye", "s."), chat("Why?", now, digest="77cd01"), *others)
    assert ran(capsys, "diff", "old.jsonl", "new.jsonl", status=1).splitlines() == [
        "local_tiny is another version: 2ab1c3d4e5f6, now 2ab1c3d4e5f6, 77cd01",
        "- line 1: chat  local_tiny  seed=1  Gone?",
        "+ line 3: chat  local_tiny  (2)  What is it now?",
        f"    {'New. ' * 38}N…",
        "+ line 4: chat  local_tiny  seed=2  Gone?",
        "    as line 1, but seed is 2, recorded 1",
        "    No.",
        "! line 2, now 2: chat  local_tiny  Why?",
        "    Because air [-scatters-]{+bends+} blue light more than red light … of it reaches the eye from "
        "[-all over -]the sky.",
        "2 new, 1 gone, 1 answered differently.",
    ]


def test_diff_of_the_same_answers_is_silent_about_times_and_figures(capsys: pytest.CaptureFixture[str]) -> None:
    one = chat("Why?", "Because.")
    other = replace(one, events=[["text", "Because.", [[900, 8]]], ["done", {"eval_count": 5}, 7]], recorded="2027")
    file("old.jsonl", one)
    file("new.jsonl", chat("Why?", "An answer that was replaced"), other)
    assert ran(capsys, "diff", "old.jsonl", "new.jsonl") == "The answers are the same.\n"


def test_diff_is_json_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    file("old.jsonl", chat("Gone?"), chat("Why?", "Old."))
    file("new.jsonl", chat("Why?", "New.", digest="77cd01"))
    told = json.loads(ran(capsys, "diff", "--json", "old.jsonl", "new.jsonl", status=1))
    assert told["digests"] == {"local_tiny": {"old": ["2ab1c3d4e5f6a7b8"], "new": ["77cd01"]}}
    assert (told["new"], [each["asked"] for each in told["gone"]]) == ([], ["Gone?"])
    (pair,) = told["different"]
    assert [pair[side]["answer"] for side in ("old", "new")] == ["Old.", "New."]


def test_on_a_terminal_what_changed_is_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    file("old.jsonl", chat("Gone?"), chat("Why?", "It is old."))
    file("new.jsonl", chat("Why?", "It is new."))
    with on_terminal("", "answers", "diff", "old.jsonl", "new.jsonl") as terminal:
        assert terminal.end() == 1
    assert "\x1b[31m- line 1: chat  local_tiny  Gone?\x1b[0m" in terminal.shown
    assert "It is \x1b[31mold\x1b[0m\x1b[32mnew\x1b[0m." in terminal.shown
    monkeypatch.setenv("NO_COLOR", "1")
    with on_terminal("", "answers", "diff", "old.jsonl", "new.jsonl") as terminal:
        assert terminal.end() == 1
    assert "It is [-old-]{+new+}." in terminal.shown


def test_an_answer_is_told_whatever_it_is() -> None:
    events = [Thinking("Add."), Note("No seed."), ToolCall("add", {"a": 1, "b": "é"}), Done("length")]
    question = asked("chat", Request("tiny", (Message("user", "1+2?"),)))
    assert answer(line(question, *events)) == '(thinking) Add.\n(note) No seed.\nadd(a=1, b="é")\n(ended: length)'
    assert answer(line(question, ModelMissing("It is not there.", "Pull it."))) == "ModelMissing: It is not there."
    assert json.loads(answer(line(Question("version", "", {}), Version("0.32.15")))) == {
        "version": {"version": "0.32.15"}
    }
    vectors = [answer(line(question, numpy.full((2, 3), value, numpy.float32))) for value in (1, 2)]
    assert all(text.startswith("2 vectors of 3 numbers, sha256 ") for text in vectors)
    assert vectors[0] != vectors[1]
    damaged = replace(line(question), events=[["text"], ["error", "x", 1], ["text", "a", []]])
    assert answer(damaged) == "(a error that can't be read)\na"


def test_words_that_both_have_far_from_a_change_are_left_out() -> None:
    words = " ".join(f"w{at}" for at in range(40))
    (first, old, new, last) = marked(f"{words} a {words}", f"{words} b {words}")
    assert (old, new) == (("-", "a"), ("+", "b"))
    assert first == (" ", " … w34 w35 w36 w37 w38 w39 ")
    assert last == (" ", " w0 w1 w2 w3 w4 w5 … ")
    assert list(marked("a", "a")) == [(" ", "a")]


def test_help_shows_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["list"], ["prune"], ["diff"]):
        with pytest.raises(SystemExit) as ended:
            main(["answers", *command, "--help"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert f"acagent-nb answers {' '.join(command)}".rstrip() in told.partition("examples:")[2]
