"""A growing answer in a real kernel: what is sent, when, and what stays."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.kernels import Kernel, Ran, running_kernel
from tests.replay import Answer, Replay, replaying, said


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with running_kernel() as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        yield kernel


def ask(kernel: Kernel, server: Replay, line: str = "local_tiny", **how: object) -> Ran:
    """One question in a new session."""
    kernel.use(server.url)
    return kernel.run(f"%%llm {line}\nWhy?", **how)  # type: ignore[arg-type]


def lines(*chunks: dict[str, object]) -> tuple[str, ...]:
    return tuple(json.dumps(chunk) + "\n" for chunk in chunks)


def most_in_a_second(moments: list[float]) -> int:
    return max(sum(start <= moment < start + 1 for moment in moments) for start in moments)


def test_one_output_that_grows(kernel: Kernel) -> None:
    words = [f"word{number} " for number in range(300)]
    with replaying(chat=said(*words, pause=0.01)) as server:
        ran = ask(kernel, server)
    (_, first), *updates = ran.drawings
    assert len(ran.of("display_data")) == 1
    assert {update["transient"]["display_id"] for _, update in updates} == {first["transient"]["display_id"]}
    texts = [content["data"]["text/plain"] for _, content in ran.drawings]
    assert texts == sorted(texts, key=len)
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
    assert len(set(texts)) >= 10, "it grew in steps"
    assert texts[-1] == "".join(words), "the plain text is the answer alone"
    assert most_in_a_second([at for at, _ in ran.drawings]) <= 20
    assert ran.printed == ""


def test_a_flood_of_words_is_drawn_rarely(kernel: Kernel) -> None:
    words = [f"- **item** {number} `code`\n" for number in range(3000)]
    with replaying(chat=said(*words)) as server:
        ran = ask(kernel, server)
    assert ran.text == "".join(words)
    began, ended = ran.messages[0][0], ran.messages[-1][0]
    assert len(ran.drawings) <= 3 + 17 * (ended - began)
    assert len(ran.drawings) < 40


def test_the_last_words_are_not_held_back_by_a_stalled_server(kernel: Kernel) -> None:
    came: dict[str, float] = {}

    def watch(ran: Ran) -> None:
        if ran.drawings:
            came.setdefault(ran.text, ran.drawings[-1][0])
        if "Hello world" in came and "stop" not in came:
            came["stop"] = kernel.interrupt()

    with replaying(chat=said("Hello", " world", done=False, pause=0.4, stall=20)) as server:
        ask(kernel, server, then=watch)
    assert came["Hello world"] - came["Hello"] < 0.4 + 0.25


def test_a_stalled_answer_shows_the_time_that_passes(kernel: Kernel) -> None:
    seen: list[str] = []

    def watch(ran: Ran) -> None:
        if ran.drawings and ran.html not in seen:
            seen.append(ran.html)

    with replaying(chat=said("Hello", late=2.5)) as server:
        ask(kernel, server, then=watch)
    assert any("waiting for the model… 1 s" in html for html in seen)
    assert any("waiting for the model… 2 s" in html for html in seen)
    assert "waiting" not in seen[-1]


def test_the_footer(kernel: Kernel) -> None:
    running = {"models": [{"name": "tiny:latest", "size": 100, "size_vram": 40}]}
    version = {"version": "0.32.1"}
    with replaying(chat=said("Hi"), ps=Answer(lines(running)), version=Answer(lines(version))) as server:
        ran = ask(kernel, server, "local_tiny --temperature 0.5 --stop a --stop 'b c'")
        again = kernel.run("%%llm local_tiny\nWhy?")
    assert ">local_tiny</span> · 1 token · 1.0 tokens/s · " in ran.html
    assert " s · 40% GPU · temperature 0.5 · stop &#x27;a&#x27;, &#x27;b c&#x27;<br>" in ran.html
    assert f"Ollama 0.32.1 at {server.url} (OLLAMA_HOST)" in ran.html
    assert server.url not in again.html, "only the first answer of a session says which server"


def test_many_settings_are_folded(kernel: Kernel) -> None:
    flags = "--temperature 0.5 --top-k 40 --top-p 0.9 --min-p 0.05 --repeat-penalty 1.1 --num-predict 100 --seed 1"
    with replaying(chat=said("Hi")) as server:
        ran = ask(kernel, server, f"local_tiny {flags}")
    footer = ran.html[ran.html.index("acagent-nb-footer") :]
    assert "7 settings sent</summary>seed 1 · " in footer
    assert "temperature" not in footer[: footer.index("<details")]


def test_a_pull_shows_a_bar(kernel: Kernel) -> None:
    layer = {"status": "pulling fd79c97ebcca", "digest": "sha256:fd79c97ebcca", "total": 2_000_000}
    steps = lines({"status": "pulling manifest"}, {**layer, "completed": 500_000}, {"status": "success"})
    missing = Answer(lines({"error": "model 'tiny' not found"}), 404, "application/json")
    with replaying(chat=[missing, said("Hi")], pull=Answer(steps, pause=0.3)) as server:
        ran = ask(kernel, server)
    pages = [content["data"]["text/html"] for _, content in ran.drawings]
    assert any('<progress aria-label="Pulling tiny" style' in page for page in pages), "nothing is known at first"
    assert any('<progress aria-label="Pulling tiny" max="2000000" value="500000"' in page for page in pages)
    assert any("tiny · pulling fd79c97ebcca · 0.5 of 2.0 MB · 25%" in page for page in pages)
    assert "<progress" not in ran.html
    assert ran.text == "Hi"


def chunk(done: str = "", **message: object) -> dict[str, object]:
    """A line of a chat's stream."""
    return {"message": {"role": "assistant", "content": "", **message}, "done": bool(done), "done_reason": done}


def test_thinking_is_shown_while_it_lasts_and_folded_in_the_end(kernel: Kernel) -> None:
    thought, more, answer, end = (
        chunk(thinking="Hm, *well* <b>"),
        chunk(thinking=", yes."),
        chunk(content="Four."),
        chunk("stop"),
    )
    with replaying(chat=Answer(lines(thought, more, answer, end), pause=0.3)) as server:
        ran = ask(kernel, server)
    pages = [content["data"]["text/html"] for _, content in ran.drawings]
    assert any("Hm, <em>well</em> &lt;b&gt;" in page and "Four" not in page for page in pages)
    growing = [page for page in pages if 'role="status"' in page]
    assert len(growing) >= 3
    assert not any("<details" in page for page in growing), "a drawing would fold again what a reader has opened"
    assert any("Four." in page and "▸ Thoughts · 4 words" in page and "Hm" not in page for page in growing)
    assert "Thoughts · 4 words</summary>" in ran.html
    assert "Hm, <em>well</em> &lt;b&gt;, yes." in ran.html
    assert " open" not in ran.html
    assert ran.text == "Four."


TOOLS = """
def add(a: int, b: int) -> int:
    'Add two numbers.'
    time.sleep(0.3)
    return a + b if a < 5 else 1 / 0
"""


def call(a: int) -> dict[str, object]:
    return {"function": {"name": "add", "arguments": {"a": a, "b": 2}}}


def test_calls_and_their_results_are_folded(kernel: Kernel) -> None:
    asks = Answer(lines(chunk(content="Let me see. "), chunk(tool_calls=[call(1), call(7)]), chunk("stop")))
    with replaying(chat=[asks, said("It is ", "3.", pause=0.2)]) as server:
        assert kernel.run(f"import time{TOOLS}").status == "ok"
        ran = ask(kernel, server, "local_tiny --tool add --yes")
    pages = [content["data"]["text/html"] for _, content in ran.drawings]
    assert any("▸ <code>add(&quot;a" in page or "▸ <code>add(a=1, b=2)</code> …" in page for page in pages)
    assert any("calling add…" in page for page in pages)
    first, second = (part.split("</details>")[0] for part in ran.html.split('<details class="acagent-nb-call"')[1:])
    assert "<code>add(a=1, b=2)</code> → 3</summary>" in first
    assert "&quot;a&quot;: 1" in first
    assert "failed: ZeroDivisionError" in second
    assert "Let me see." in ran.html
    assert ran.text == "It is 3.", "the plain text is the last round's"
    assert ran.output["metadata"]["acagent_nb"]["tools"] == ["add"]


def test_stopping_does_not_wait_for_a_function(kernel: Kernel) -> None:
    asks = Answer(lines(chunk(tool_calls=[call(1)]), chunk("stop")))
    with replaying(chat=[asks, said("3.")]) as server:
        assert kernel.run(f"import time{TOOLS.replace('0.3', '5')}").status == "ok"
        pressed: list[float] = []

        def press(ran: Ran) -> None:
            if not pressed and ran.drawings and "calling add" in ran.html:
                pressed.append(kernel.interrupt())

        ran = ask(kernel, server, "local_tiny --tool add --yes", then=press)
    assert ran.error["ename"] == "Interrupted"
    assert ran.messages[-1][0] - pressed[0] < 3
    assert ">stopped before an answer came</span>" in ran.html


def test_json_is_shown_as_code(kernel: Kernel) -> None:
    with replaying(chat=said('{"name": ', '"An*na*"}')) as server:
        ran = ask(kernel, server, "local_tiny --json")
    assert '<code class="language-json"' in ran.html
    assert "&quot;An*na*&quot;" in ran.html or '"An*na*"' in ran.html
    assert "format JSON" in ran.html


def test_a_reply_shows_itself(kernel: Kernel) -> None:
    with replaying(chat=said("It is *so* <script>.")) as server:
        ask(kernel, server, "local_tiny --seed 3")
    shown = kernel.run("_llm").of("execute_result")[0][1]["data"]
    assert "It is <em>so</em> &lt;script&gt;." in shown["text/html"]
    assert "seed 3" in shown["text/html"]
    assert shown["text/plain"] == "It is *so* <script>."


def test_what_a_server_says_is_escaped(kernel: Kernel) -> None:
    bad = "<script>alert(1)</script>"
    missing = Answer(lines({"error": "model 'tiny' not found"}), 404, "application/json")
    steps = lines({"status": bad}, {"status": "success"})
    running = {"models": [{"name": "tiny", "size": 1, "size_vram": 0}]}
    facts = {"ps": Answer(lines(running)), "version": Answer(lines({"version": bad}))}
    with replaying(chat=[missing, said(bad)], pull=Answer(steps, pause=0.2), **facts) as server:
        ran = ask(kernel, server, f"local_tiny --stop '{bad}'")
    pages = "".join(content["data"]["text/html"] for _, content in ran.drawings)
    assert pages.count("&lt;script&gt;") >= 4
    assert "<script" not in pages


def test_an_answer_that_breaks_off_stays_marked(kernel: Kernel) -> None:
    with replaying(chat=said("Hel", done=False)) as server:
        ran = ask(kernel, server)
    assert ran.text == "Hel"
    assert ">broke off</span>" in ran.html
    assert ran.error["ename"] == "Incomplete"
    assert kernel.value("_llm.text, _llm.complete") == "('Hel', False)"


def test_an_answer_cut_off_by_its_bound_is_marked(kernel: Kernel) -> None:
    end = {"message": {"role": "assistant", "content": "Hel"}, "done": True, "done_reason": "length"}
    with replaying(chat=Answer(lines(end))) as server:
        ran = ask(kernel, server)
    assert ran.status == "ok"
    assert ">cut off</span>" in ran.html


@pytest.mark.parametrize("busy", [False, True], ids=["waiting", "rendering"])
def test_an_interrupt_closes_the_connection_and_keeps_the_text(kernel: Kernel, busy: bool) -> None:
    block = "| a | b |\n|---|---|\n" + "| **x** `y` | [z](https://a.example) |\n" * 60 + "\n"
    pieces = [block] * 200 if busy else ["Hello"]
    took = []
    for _ in range(3):
        pressed: list[float] = []

        def press(ran: Ran, pressed: list[float] = pressed) -> None:
            if not pressed and ran.drawings and len(ran.text) >= len(pieces[0]) * min(len(pieces), 20):
                time.sleep(0.1)  # in the middle of a pause, or of rendering
                pressed.append(kernel.interrupt())

        with replaying(chat=said(*pieces, done=False, pause=0.02 if busy else 0.0, stall=30)) as server:
            ran = ask(kernel, server, then=press)
            assert server.gone.wait(5)
            took.append(server.left[0] - pressed[0])
        assert ran.status == "error"
        assert ran.text.startswith(pieces[0])
        assert ">stopped</span>" in ran.html
        assert ran.error["ename"] == "Interrupted"
        assert len(ran.error["traceback"]) == 1
        assert kernel.value("_llm.text.startswith('Hello') or len(_llm.text) > 1000, _llm.complete") == "(True, False)"
    print("closed after", took)
    assert min(took) < 0.05
    assert max(took) < 1


def test_after_an_interrupt_the_next_cell_works(kernel: Kernel) -> None:
    with replaying(chat=[said("Hel", done=False, stall=30), said("Hello")]) as server:
        pressed: list[float] = []
        ask(
            kernel,
            server,
            then=lambda ran: ran.drawings and ran.text and not pressed and pressed.append(kernel.interrupt()),
        )
        ran = kernel.run("%%llm local_tiny\nWhy?")
    assert (ran.status, ran.text) == ("ok", "Hello")


def test_an_interrupt_before_anything_came(kernel: Kernel) -> None:
    with replaying(chat=said("Hello", late=30)) as server:
        pressed: list[float] = []
        ran = ask(kernel, server, then=lambda ran: ran.drawings and not pressed and pressed.append(kernel.interrupt()))
    assert ran.error["ename"] == "Interrupted"
    assert "stopped before an answer came" in ran.html
    assert ran.text == ""


def test_the_embedded_engine(kernel: Kernel, server: str) -> None:
    kernel.use(server)
    ran = kernel.run("%%llm local_tiny --temperature 0\nWhat is 2 + 2?", seconds=60)
    assert ran.status == "ok"
    assert ran.text
    assert " · CPU · temperature 0<br>" in ran.html
    assert f"embedded server at {server} (OLLAMA_HOST)" in ran.html
    assert ran.output["metadata"]["acagent_nb"]["server"] == "embedded"


TERMINAL = """
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
shell.run_line_magic("load_ext", "acagent_nb")
shell.run_cell("%%llm local_tiny\\nWhy?")
"""


def terminal(server: Replay, *, tty: bool) -> str:
    """What an IPython without a page prints, to a terminal or to a file."""
    environment = os.environ | {"OLLAMA_HOST": server.url}
    command = [sys.executable, "-c", TERMINAL]
    if not tty:
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, env=environment)
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            said += (piece := os.read(ours, 65536))
        except OSError:  # how Linux tells that the other end is closed
            break
        if not piece:
            break
    os.close(ours)
    assert process.wait(30) == 0
    return said.decode().replace("\r\n", "\n")


@pytest.fixture
def pulling() -> Iterator[Replay]:
    missing = Answer(lines({"error": "model 'tiny' not found"}), 404, "application/json")
    steps = Answer(lines({"status": "pulling manifest"}, {"status": "success"}), pause=0.2)
    with replaying(chat=[missing, said("Hello", " \x1b[2Jyou\n", "there", pause=0.1)], pull=steps) as server:
        yield server


def test_a_file_gets_the_text_and_the_footer(pulling: Replay) -> None:
    answer, footer, where = terminal(pulling, tty=False).rstrip().rsplit("\n", 2)
    assert answer == "Hello �[2Jyou\nthere\n"
    assert footer.startswith("local_tiny · 3 tokens · 3.0 tokens/s · ")
    assert where == f"Ollama 0.0.0 at {pulling.url} (OLLAMA_HOST)"


def test_a_terminal_gets_progress_on_one_line(pulling: Replay) -> None:
    printed = terminal(pulling, tty=True)
    progress, _, answer = printed.rpartition("\r\x1b[K")
    assert "\r\x1b[Klocal_tiny · tiny · pulling manifest" in progress
    assert "\n" not in progress
    assert answer.startswith("Hello �[2Jyou\nthere\n\nlocal_tiny · 3 tokens")
