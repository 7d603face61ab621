"""`acagent-nb run`: real notebooks, real kernels, one of them or many."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from acagent_nb import cli
from acagent_nb.runnable.run import _value
from tests.test_demo import environment, left
from tests.tutorials import QUICK, on_path

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:papermill"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:nbconvert"),
]

Run = Callable[..., tuple[int, str, str]]
LOAD = "%load_ext acagent_nb"
TOOL = "def add(a: int, b: int) -> int:\n    'Add two numbers.'\n    return a + b"


@pytest.fixture
def run(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, in a folder of its own with a server: its status, and what it printed and complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_HOST", server)
    monkeypatch.delenv("ACAGENT_NB_ANSWERS", raising=False)
    monkeypatch.setenv("PYTHONPATH", on_path(QUICK))

    def once(*words: str) -> tuple[int, str, str]:
        try:
            status = cli.main(["run", *words])
        except SystemExit as left:  # argparse's way
            status = int(left.code or 0)
        return status, *capsys.readouterr()

    return once


def write(path: str, *cells: str, prose: str = "# A page\n\nIt says *something*. And more.", **metadata: Any) -> Path:
    """A notebook: some prose, then these code cells; one that begins with `# TAG: x` gets this tag."""
    made = [new_code_cell(cell) for cell in cells]
    for cell in made:
        if cell.source.startswith("# TAG: "):
            cell.metadata.tags = [cell.source.splitlines()[0].removeprefix("# TAG: ")]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_markdown_cell(prose), *made], metadata=metadata), path)
    return Path(path)


def read(path: str | Path) -> Any:
    return nbformat.read(path, as_version=4)


def texts(notebook: Any) -> str:
    """All that its cells printed and showed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_one_notebook_with_parameters_a_conversation_and_a_tool(run: Run) -> None:
    write(
        "nb/story.ipynb",
        '# TAG: parameters\nmodel = "local_nobody_has_this"\nruns = 1\ndeep = False',
        LOAD,
        "import os, pathlib\nprint(repr(model), repr(runs), repr(deep), pathlib.Path.cwd().name)",
        "%%llm local_tiny --chat me --temperature 0\nMy name is Anna.",
        "%%llm local_tiny --chat me --temperature 0\nWhat is my name?",
        TOOL,
        "%%llm local_tiny:skills --tool add --yes --temperature 0\nWhat is 2 + 3?",
        "# TAG: raises-exception\n1 / 0",
    )
    words = ("-p", "model", "local_tiny", "-p", "runs", "3", "-p", "deep", "true")
    status, out, complaint = run("nb/story.ipynb", *words, "-o", "out/done.ipynb", "--html", "page.html")
    assert (status, complaint.replace("tiny:skills", "")) == (0, complaint.replace("tiny:skills", ""))
    assert "OLLAMA_HOST" in out
    done = read("out/done.ipynb")
    assert "'local_tiny' 3 True nb" in texts(done)
    assert "Anna" in texts(done)
    assert done.metadata["acagent_nb"]["totals"]["answers"] == 3
    assert done.metadata.papermill.input_path == "nb/story.ipynb"
    table = out.rstrip().splitlines()[-2:]
    assert table[0].split() == ["NOTEBOOK", "CELLS", "SECONDS", *["ANSWERS", "SHOWN", "TOKENS", "IN", "OUT", "RESULT"]]
    assert table[1].split()[:2] == ["story.ipynb", "9"]
    assert table[1].endswith("ok")
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<title>A page</title>" in page
    assert not Path("index.html").exists()


def test_a_tool_that_nobody_can_be_asked_about_fails_in_two_lines(run: Run) -> None:
    write("ask.ipynb", LOAD, TOOL, "%%llm local_tiny:skills --tool add\nWhat is 2 + 3?")
    status, out, _ = run("ask.ipynb")
    assert status == 1
    assert "  Cell [3] failed: BadOption: Nobody is there who could be asked before a function is called.\n" in out
    assert "  Write --yes if the model may call these functions without asking.\n" in out
    assert out.rstrip().endswith("cell [3]: BadOption")
    assert [path.name for path in Path().iterdir() if path.suffix == ".ipynb"] == ["ask.ipynb"]
    assert not read("ask.ipynb").cells[1].outputs


def test_an_answer_that_failed_or_was_stopped_is_none(run: Run, tmp_path: Path) -> None:
    write(
        "half.ipynb",
        LOAD,
        "%%llm local_tiny --num-predict 3\nWhy is the sky blue?",
        "# TAG: raises-exception\nget_ipython().run_cell_magic('llm', 'local_nobody_has_this --no-pull', 'Why?')",
        "# TAG: raises-exception\n"
        "get_ipython().run_cell_magic('llm', 'local_tiny --timeout 0.000001', 'Write a haiku about the sea.')",
    )
    status, out, complaint = run("half.ipynb", "-o", "out.ipynb")
    assert (status, complaint) == (0, "")
    name, cells, _, *answers = out.rstrip().splitlines()[-1].split()
    assert (name, cells, *answers[:3]) == ("half.ipynb", "4", "1", "(2", "unfinished)")
    totals = read("out.ipynb").metadata["acagent_nb"]["totals"]
    assert (totals["answers"], totals["unfinished"], totals["tokens_out"]) == (1, 2, 3)


def test_many_side_by_side_where_one_fails(run: Run, tmp_path: Path) -> None:
    write(
        "nb/1_first.ipynb",
        "import os\nprint(os.environ['ACAGENT_NB_ANSWERS'])",
        prose="Its prose.",
        title="The <first>",
    )
    write("nb/sub/2_wrong.ipynb", "print('so far')", "assert False, 'not so'", "print('never')")
    write("nb/.ipynb_checkpoints/1_first-checkpoint.ipynb", "1 / 0")
    words = ("--jobs", "2", "-o", "out", "--html", "site", "--answers", "replay:a/{notebook}.jsonl")
    status, out, complaint = run("nb", *words)
    assert (status, complaint) == (1, "")
    assert "  Cell [2] failed: AssertionError: not so\n" in out
    results = {line.split()[0]: line.split("   ")[-1].strip() for line in out.splitlines() if "   " in line}
    assert results == {
        "NOTEBOOK": "RESULT",
        "1_first.ipynb": "ok",
        "2_wrong.ipynb": "cell [2]: AssertionError",
    }
    assert f"replay:{tmp_path}/a/1_first.jsonl" in texts(read("out/1_first.ipynb"))
    wrong = texts(read("out/2_wrong.ipynb"))
    assert "so far" in wrong
    assert "never" not in wrong
    index = Path("site/index.html").read_text(encoding="utf-8")
    assert index.index("The &lt;first&gt;") < index.index('<a href="2_wrong.html">A page')
    assert "<p>It says something.</p>" in index
    page = Path("site/2_wrong.html").read_text(encoding="utf-8")
    assert "← The &lt;first&gt;" in page
    assert "AssertionError" in page


def test_in_a_terminal_one_line_tells_the_cell(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no pseudo-terminals")
    write("one.ipynb", "1", "print('two')")
    ours, theirs = pty.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert run("one.ipynb")[0] == 0
    shown = ""
    with contextlib.suppress(OSError):  # Linux's way to say that all is read
        while more := os.read(ours, 100_000):
            shown += more.decode()
    os.close(ours)
    assert "\r\x1b[Kone [1/2] 1\r\x1b[Kone [2/2] print('two')\r\x1b[Kone.ipynb: ok in" in shown


def test_a_cell_that_takes_too_long_is_stopped(run: Run) -> None:
    write("slow.ipynb", "print('begun')", "import time\nprint('here', flush=True)\ntime.sleep(600)")
    status, out, _ = run("slow.ipynb", "--timeout", "1", "--in-place")
    assert status == 1
    assert "  Cell [2] took longer than 1 s.\n  Give more with --timeout.\n" in out
    assert texts(read("slow.ipynb")).startswith("begun\n\nhere\n")


def test_what_can_not_run_leaves_the_notebook_as_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("asks.ipynb", LOAD, "%%llm local_tiny\nWhy is the sky blue?")
    before = path.read_bytes()
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    status, out, _ = run("asks.ipynb", "--in-place")
    assert status == 1
    assert "  No server answers at http://127.0.0.1:9" in out
    assert "not run: ServerDown" in out
    other = write("other.ipynb", "1", kernelspec={"name": "nobody-has-this", "display_name": "x", "language": "python"})
    status, out, _ = run("other.ipynb", "--in-place")
    assert "  Its kernel 'nobody-has-this' is not installed here.\n  --kernel python3 runs it" in out
    assert path.read_bytes() == before
    assert "outputs" in json.loads(other.read_text(encoding="utf-8"))["cells"][1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_keeps_what_was_executed(tmp_path: Path, server: str, jobs: str) -> None:
    mark = "import pathlib\nprint('so far')\n(pathlib.Path.cwd() / f'ran{number}').touch()"
    for number in (1, 2):
        write(str(tmp_path / f"{number}.ipynb"), f"number = {number}", mark, "import time\ntime.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "acagent_nb", "run", "1.ipynb", "2.ipynb", "--jobs", jobs, "-o", "out"],
        cwd=tmp_path,
        env=environment(tmp_path, OLLAMA_HOST=server, PYTHONPATH=on_path(QUICK)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not all((tmp_path / f"ran{number}").exists() for number in range(1, int(jobs) + 1)):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)  # until the kernel's word of the mark has come
    process.send_signal(signal.SIGINT)
    out, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (130, "Stopped. What was executed is kept.\n")
    assert out.count("interrupted") == int(jobs)
    assert "so far" in texts(read(tmp_path / "out" / "1.ipynb"))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("none.ipynb",), "There is no notebook none.ipynb.", "Check the path; notebooks end in .ipynb."),
        (("frist.ipynb",), "There is no notebook frist.ipynb.", "Did you mean first.ipynb?"),
        (("*.nosuch",), "No notebook matches *.nosuch.", "Notebooks end in .ipynb."),
        (("text.txt",), "text.txt is no notebook.", "Notebooks end in .ipynb."),
        (("first.ipynb", "-p", "modle", "x"), "first.ipynb has no parameter modle.", "Did you mean model?"),
        (("first.ipynb", "-p", "xyz", "x"), "first.ipynb has no parameter xyz.", "It has: model, runs."),
        (
            ("[fs]*.ipynb", "-p", "model", "x"),
            "second.ipynb has no parameter model.",
            "Give a cell of assignments the tag",
        ),
        (("*.ipynb", "-o", "o.ipynb"), "Several notebooks would go to o.ipynb.", "Give a folder: -o out/"),
        (("first.ipynb", "-o", "first.ipynb"), "-o first.ipynb is the notebook itself.", "--in-place is the flag"),
        (("first.ipynb", "--answers", "a.jsonl"), "'a.jsonl' does not say what to do", "Write record:FILE,"),
        (
            ("asks.ipynb", "--answers", "replay:a.jsonl"),
            "The answers of asks.ipynb are to be",
            "--answers record:a.jsonl",
        ),
        (("first.ipynb", "--jobs", "0"), "--jobs takes a number of at least 1, not 0.", "For example --jobs 2"),
        (("first.ipynb", "--timeout", "0"), "--timeout takes seconds, at least 1, not 0.", "For example"),
        (("first.ipynb", "-o", "x", "--in-place"), "usage:", "not allowed with argument"),
    ],
)
def test_arguments_that_can_not_be_meant(run: Run, words: tuple[str, ...], message: str, hint: str) -> None:
    write("first.ipynb", '# TAG: parameters\nmodel = "local_tiny"\nruns: int = 1')
    write("second.ipynb", "1")
    write("asks.ipynb", "%load_ext acagent_nb", "%%llm local_tiny\nWhy?")
    Path("text.txt").write_text("no notebook", encoding="utf-8")
    status, out, complaint = run(*words)
    assert (status, out) == (2, "")
    assert complaint.startswith(message)
    assert hint in complaint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("true", True), ("False", False), ("none", None), ("3", 3), ("-2", -2), ("0.5", 0.5), ("1e3", 1000.0)),
        *(("local_tiny", "local_tiny"), ("", ""), ("3 apples", "3 apples")),
    ],
)
def test_a_parameter_is_of_the_kind_that_it_looks_like(text: str, value: object) -> None:
    assert _value(text) == value
    assert type(_value(text)) is type(value)


def test_what_can_not_be_written_is_told(run: Run, tmp_path: Path) -> None:
    write("one.ipynb", "1 + 1")
    (tmp_path / "file").touch()
    (tmp_path / "page.html").mkdir()
    status, said, _ = run("one.ipynb", "-o", "out.ipynb", "--html", "page.html")
    assert status == 1
    assert "page.html can't be written: Is a directory.\n  Name another place for it." in said
    assert texts(read("out.ipynb")) == "2", "what was executed is kept"
