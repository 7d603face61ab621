"""`acagent-nb demo`: the first notebook, for real, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import psutil
import pytest

from tests.replay import Answer, replaying, said

COMMAND = [sys.executable, "-m", "acagent_nb", "demo"]


MARK = "ACAGENT_NB_TEST"  # told to a demo's process, and so to all that it starts


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """This one without an OLLAMA_HOST, and with a mark."""
    return {name: value for name, value in os.environ.items() if name != "OLLAMA_HOST"} | {MARK: str(tmp_path)} | more


def left(tmp_path: Path, seconds: float = 5) -> list[str]:
    """What still runs of what bears the mark; a process gets some time to end."""
    deadline = time.monotonic() + seconds
    while (found := _marked(str(tmp_path))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _marked(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it ended just now, or is another user's
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
    return found


def demo(tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demo in a folder of its own; nothing of it may be left."""
    ran = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(tmp_path, **variables),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert left(tmp_path) == []
    return ran


class _Page(HTMLParser):
    """What a page would run or fetch, and its words."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "srcset", "srcdoc")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_it_runs_prints_and_leaves_nothing_behind(tmp_path: Path, server: str) -> None:
    ran = demo(tmp_path, OLLAMA_HOST=server)
    assert (ran.returncode, ran.stderr) == (0, "")
    executed = tmp_path / "acagent-nb-demo" / "01_first_cell.ipynb"
    page = executed.with_suffix(".html")
    notebook = nbformat.read(executed, as_version=4)
    cell = next(cell for cell in notebook.cells if cell.source.startswith("%%llm"))
    answer = cell.outputs[0].data["text/plain"]
    assert f"Running 01_first_cell.ipynb against {server} (OLLAMA_HOST)" in ran.stdout
    assert "%%llm local_tiny" in ran.stdout
    assert f"\n{answer}\n" in ran.stdout
    assert str(executed.relative_to(tmp_path)) in ran.stdout
    assert str(page.relative_to(tmp_path)) in ran.stdout
    seen = _Page(page)
    assert seen.fetched == []
    assert seen.tags.isdisjoint({"script", "iframe", "img", "link", "form", "object", "embed"})
    assert answer.splitlines()[0] in seen.words
    assert "<p>" not in seen.words, "its tags are tags, not text"


def test_without_a_server_it_has_one_of_its_own(tmp_path: Path) -> None:
    if _ollama_is_here():
        pytest.skip("an Ollama server answers here, and the demo would use it")
    ran = demo(tmp_path, "--out", "here")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "(an embedded server of its own)" in ran.stdout
    assert (tmp_path / "here" / "01_first_cell.html").exists()


def test_a_server_without_the_model_is_not_asked(tmp_path: Path) -> None:
    told = Answer(('{"version":"0.32.1"}',))
    with replaying(version=told, tags=Answer(('{"models":[{"name":"llama3.2:1b"}]}',))) as other:
        ran = demo(tmp_path, OLLAMA_HOST=other.url)
        assert "/api/chat" not in [path for _, path, _ in other.requests]
    assert (ran.returncode, ran.stderr) == (0, "")
    assert f"The server at {other.url} has no model tiny" in ran.stdout


def test_a_failing_cell_is_told_in_two_lines(tmp_path: Path) -> None:
    version, tags = Answer(('{"version":"0.32.1"}',)), Answer(('{"models":[{"name":"tiny:latest"}]}',))
    with replaying(version=version, tags=tags, chat=said("Bec", done=False)) as broken:
        ran = demo(tmp_path, OLLAMA_HOST=broken.url)
    assert ran.returncode == 1
    said_last = ran.stderr.splitlines()
    assert said_last[0].startswith("Cell [3] failed: Incomplete: The answer broke off")
    assert said_last[1] == f"See {Path('acagent-nb-demo', '01_first_cell.ipynb')}"
    assert len(said_last) == 2


def test_a_server_that_is_gone_is_told_in_two_lines(tmp_path: Path) -> None:
    with replaying() as gone:
        pass
    ran = demo(tmp_path, OLLAMA_HOST=gone.url)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0].startswith(f"No server answers at {gone.url}")
    assert len(ran.stderr.splitlines()) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_an_interrupt_ends_it_in_one_line(tmp_path: Path) -> None:
    version, tags = Answer(('{"version":"0.32.1"}',)), Answer(('{"models":[{"name":"tiny:latest"}]}',))
    with replaying(version=version, tags=tags, chat=said("Bec", done=False, stall=60)) as slow:
        process = subprocess.Popen(
            COMMAND,
            cwd=tmp_path,
            env=environment(tmp_path, OLLAMA_HOST=slow.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not any(path == "/api/chat" for _, path, _ in slow.requests):
            assert process.poll() is None
            time.sleep(0.05)
        assert len(_marked(str(tmp_path))) > 1, "the kernel runs"
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=30)
        assert slow.gone.wait(5)
    assert (process.returncode, complaint) == (130, "Interrupted.\n")
    assert left(tmp_path) == []


def _ollama_is_here() -> bool:
    from acagent_nb import hosts

    return hosts.answers("http://localhost:11434") or hosts.answers("http://ollama:11434")
