"""Recordings that are made shorter: of several notebooks at once, and where one is recorded again and again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import acagent_nb
from acagent_nb import Client
from acagent_nb.cli import main
from acagent_nb.recordings import append, numbered
from tests.kept import answer, begin, chat, read, waiting, writer
from tests.replay import replaying, said
from tests.tutorials import QUICK, on_path, write

pytestmark = pytest.mark.usefixtures("unrecorded", "state")
ASKS = """from acagent_nb import Client
with Client() as client:
    print(client.chat("local_tiny", {!r}).text)"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", on_path(QUICK))


def keep(file: str, *texts: str) -> Path:
    """A recording with answers to these questions."""
    for text in texts:
        append(file, answer(chat(text), text=f"{text} Yes."))
    return Path(file)


def asked(file: Path | str) -> list[str]:
    """The prompts of all lines in a file."""
    return [line.request["messages"][0]["content"] for _, line in numbered(file)]


def ran(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["answers", "prune", *arguments]) == status
    return "".join(capsys.readouterr())


def test_each_notebook_is_run_on_its_own_recording(capfd: pytest.CaptureFixture[str]) -> None:
    one, two = (keep(f"answers/{name}.jsonl", "Why?", "How?", "Else?") for name in ("one", "two"))
    Path("notebooks").mkdir()
    write(Path("notebooks/one.ipynb"), ASKS.format("Why?"))
    write(Path("notebooks/two.ipynb"), ASKS.format("How?"))
    write(Path("notebooks/plain.ipynb"), "print(1)")
    told = ran(capfd, "answers/{notebook}.jsonl", "--notebooks", "notebooks")
    assert (asked(one), asked(two)) == (["Why?"], ["How?"]), "what only another notebook asks for goes, too"
    assert "plain.ipynb" not in told
    assert [line for line in told.splitlines() if " left in " in line] == [
        f"2 lines dropped, 1 left in {Path('answers', name)}." for name in ("one.jsonl", "two.jsonl")
    ]


def test_if_one_notebook_fails_all_recordings_stay(capfd: pytest.CaptureFixture[str]) -> None:
    one, two = (keep(f"{name}.jsonl", "Why?", "How?") for name in ("one", "two"))
    write(Path("one.ipynb"), ASKS.format("Why?"))
    write(Path("two.ipynb"), ASKS.format("Why?"), "1 / 0")
    told = ran(capfd, "{notebook}.jsonl", "--notebooks", "one.ipynb", "two.ipynb", status=1)
    assert "Not all notebooks ran to their end, so nothing was dropped." in told
    assert len(asked(one)) == len(asked(two)) == 2


def test_several_files_lose_what_was_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = keep("one.jsonl", "Why?", "Why?"), keep("two.jsonl", "How?")
    told = ran(capsys, "one.jsonl", "two.jsonl").splitlines()
    assert told[-2:] == ["1 line dropped, 1 left in one.jsonl.", "0 lines dropped, 1 left in two.jsonl."]
    assert (asked(one), asked(two)) == (["Why?"], ["How?"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["a.jsonl", "b.jsonl", "--notebooks", "story.ipynb"],
            "Which notebook goes with which recording?\nWrite {notebook} for its name: '{notebook}.jsonl'\n",
        ),
        (
            ["{notebook}.jsonl"],
            "{notebook}.jsonl stands for the recordings of several notebooks.\nName these: --notebooks notebooks/\n",
        ),
        (["{notebook}.jsonl", "--notebooks", "story.ipynb"], "There is no recording story.jsonl.\nCheck the path.\n"),
    ],
)
def test_what_can_not_be_meant(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    keep("a.jsonl", "Why?")
    keep("b.jsonl", "Why?")
    write(Path("story.ipynb"), ASKS.format("Why?"))
    assert ran(capsys, *arguments, status=1) == told


def record(url: str, file: Path, *texts: str, auto: bool = False) -> None:
    with acagent_nb.record(file, auto=auto), Client(url) as client:
        for text in texts:
            client.chat("local_m", text)


def rested(file: Path) -> Path:
    """The same, as if nobody had written to it for two minutes."""
    then = time.time() - 120
    os.utime(file, (then, then))
    return file


def test_a_file_that_is_recorded_again_and_again_does_not_grow_for_ever() -> None:
    file, sizes = Path("a.jsonl"), []
    keep("a.jsonl", "An older one?")
    with replaying(chat=[said(f"answer {at}") for at in range(18)]) as there:
        for _ in range(6):
            record(there.url, rested(file), "One?", "Two?", "Three?")
            sizes.append(len(numbered(file)))
    assert max(sizes) <= 3 * 4
    assert [line.events[0][1] for line in read(file)] == ["An older one? Yes.", "answer 15", "answer 16", "answer 17"]


def test_only_what_is_recorded_is_made_shorter() -> None:
    file = keep("a.jsonl", "One?", "One?", "One?", "Two?")
    before = file.read_bytes()
    with acagent_nb.replay(file):
        assert file.read_bytes() == before
    with acagent_nb.record(file, auto=True):
        assert file.read_bytes() == before, "somebody may still be writing"
    with acagent_nb.record(rested(file), auto=True):
        assert asked(file) == ["One?", "Two?"]
    keep("a.jsonl", "Two?")
    with acagent_nb.record(rested(file)):
        assert asked(file) == ["One?", "Two?", "Two?"], "a third is not worth it"


def test_where_no_lock_can_be_all_lines_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("no-folder").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("no-folder").absolute()))
    file = keep("a.jsonl", "One?", "One?", "One?")
    with acagent_nb.record(rested(file)):
        assert len(asked(file)) == 3
    assert main(["answers", "prune", "a.jsonl"]) == 0
    assert len(asked(file)) == 1, "whoever asks for it has it"


OPENS = """
import os
import sys
from pathlib import Path
import acagent_nb
from acagent_nb.recordings import Line, encoded, locked
path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(30):
    with locked(path), path.open("ab") as file:
        file.write((encoded(Line("again", 1, "chat")) + b"\\n") * 300)
    os.utime(path, (0, 0))  # as if all had rested
    acagent_nb.record(path).close()
"""


def test_what_others_record_meanwhile_is_never_lost() -> None:
    writers = [writer(Path("a.jsonl"), who, 300) for who in "ab"]
    processes = [*writers, *(waiting(OPENS, "a.jsonl") for _ in range(2))]
    for process in processes:
        begin(process)
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(numbered("a.jsonl")) < 4000, "of 18,000 that were replaced most are gone"
    kept = [(each.key[-1], each.n) for each in read(Path("a.jsonl")) if each.key != "again"]
    assert sorted(kept) == [(who, n) for who in "ab" for n in range(1, 301)]
