"""Several answers at once in a real kernel: side by side on a page, one after the other in a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from acagent_nb import columns
from acagent_nb.errors import ModelMissing
from acagent_nb.growing import Growing
from acagent_nb.messages import Done, Message, Request, Stats, Text
from acagent_nb.options import Options
from tests.kernels import Kernel, Ran, running_kernel
from tests.replay import Answer, replaying, said


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


def parts(html: str) -> list[str]:
    """The columns of a page."""
    return html.split('class="acagent-nb-column"')[1:]


def test_two_answers_side_by_side(kernel: Kernel) -> None:
    with replaying(chat=said(*["word "] * 30, pause=0.02)) as server:
        kernel.use(server.url)
        ran = kernel.run("%%llm local_one,local_two\nWhy?")
    assert ran.status == "ok"
    assert len(ran.of("display_data")) == 1, "one output, so that one is saved"
    one, two = parts(ran.html)
    for name, column in (("local_one", one), ("local_two", two)):
        assert f">{name}</div>" in column
        assert "30 tokens · 30 tokens/s" in column
    both = [content["data"]["text/html"] for _, content in ran.drawings]
    assert any(all("word" in each and "answering" in each for each in parts(page)) for page in both), "at once"
    table = ran.html[ran.html.index("acagent-nb-costs") :]
    assert ">first token after</th>" in table
    assert table.count("<tr>") == 3
    assert ran.text.startswith("local_one\n---------\nword word")
    told = ran.output["metadata"]["acagent_nb"]["answers"]
    assert [each["model"] for each in told] == ["local_one", "local_two"]


def test_one_that_fails_stands_in_its_column_and_fails_the_cell(kernel: Kernel, server: str) -> None:
    kernel.use(server)
    assert kernel.run("%%llm local_tiny\nHello", seconds=60).status == "ok", "now it is there"
    ran = kernel.run("%%llm local_nothere,local_tiny --no-pull\nWhy is the sky blue?", seconds=60)
    missing, answered = parts(ran.html)
    assert "ModelMissing</span>: " in missing
    assert "failed before an answer came" in missing
    assert "ModelMissing" not in answered.split("acagent-nb-costs")[0]
    assert "blue" in answered
    assert ran.error["ename"] == "ModelMissing"
    assert "blue" in ran.text


def test_stopping_stops_all(kernel: Kernel) -> None:
    def press(ran: Ran) -> None:
        if not pressed and ran.drawings and ran.html.count("Hello") >= 2:
            pressed.append(kernel.interrupt())

    pressed: list[float] = []
    with replaying(chat=said("Hello", done=False, stall=30)) as server:
        kernel.use(server.url)
        ran = kernel.run("%%llm local_one,local_two\nWhy?", then=press)
        assert server.gone.wait(5)
    assert ran.error["ename"] == "Interrupted"
    assert len(server.left) == 2
    assert max(server.left) - pressed[0] < 1
    assert ran.html.count(">stopped</span>") == 2


def test_a_sweep_is_a_grid(kernel: Kernel, server: str) -> None:
    kernel.use(server)
    ran = kernel.run("%%llm local_tiny --temperature 0,0.9 --seed 7,9\nWrite a haiku about the sea.", seconds=60)
    assert ran.status == "ok"
    assert len(parts(ran.html)) == 4
    assert "minmax(max(min(100%, 20em), calc((100% - 28px) / 2)), 1fr)" in ran.html, "one row for each temperature"


@pytest.mark.parametrize(
    ("values", "across"), [([(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)], 3), ([(0, 1), (0, 2)], 2)]
)
def test_a_row_of_the_grid_holds_the_innermost_sweep(values: list[tuple[int, int]], across: int) -> None:
    swept = [Growing("local_a", Request("a", (), Options(temperature=heat, seed=seed))) for heat, seed in values]
    assert f"/ {across})" in columns.Columns().html(swept)


def test_four_models_stand_two_and_two() -> None:
    assert "/ 2)" in columns.Columns().html([Growing(f"local_{name}", Request(name)) for name in "abcd"])


def answers() -> list[Growing]:
    """One that came and one that failed."""
    one = Growing("local_a", Request("a", (Message("user", "Why?"),), Options(seed=1)))
    one.feed([Text("So $x$ <b>"), Done("length", Stats(prompt_eval_count=3, eval_count=2000, eval_duration=10**9))])
    one.end()
    two = Growing("local_b", Request("b", (Message("user", "Why?"),), Options(temperature=0.5)), "temperature 0.5 <b>")
    two.error = ModelMissing("There is no <b>.", "Pull it.")
    two.end("failed")
    return [one, two]


def test_a_frame() -> None:
    table = pytest.importorskip("pandas", reason="the table is one of pandas") and columns.frame(answers())
    assert list(table.columns) == [
        *("model", "seed", "temperature", "text", "tokens_in", "tokens_out", "tokens_per_second"),
        *("seconds", "first", "mark", "error"),
    ]
    assert list(table["mark"]) == ["cut off", "failed"]
    assert table["tokens_per_second"][0] == 2000
    assert table["error"][1] == "There is no <b>."


def test_without_pandas_a_frame_is_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # which is how Python notes that it is not there
    assert [row["model"] for row in columns.frame(answers())] == ["local_a", "local_b"]


def test_names_and_errors_are_escaped() -> None:
    html = columns.Columns().html(answers())
    assert "<b>" not in html
    assert html.count("temperature 0.5 &lt;b&gt;") == 2
    assert columns.table(answers()).splitlines()[1].split()[:5] == ["local_a", "(cut", "off)", "2,000", "2,000"]


TERMINAL = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
shell.run_line_magic("load_ext", "acagent_nb")
shell.run_cell("%%llm local_one,local_two\\nWhy?")
"""


def test_a_terminal_gets_one_after_the_other(kernel: Kernel) -> None:
    with replaying(chat=[said("Hello", " you", pause=0.1), Answer((json.dumps({"error": "no"}),), 500)]) as server:
        kernel.use(server.url)
        ran = kernel.run(
            f"import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', {TERMINAL!r}], "
            "capture_output=True, text=True).stdout)"
        )
    printed = ran.printed
    assert "\n---------\n" in printed
    assert "Hello you\n" in printed
    assert "ServerError: " in printed
    assert "first token after" in printed
