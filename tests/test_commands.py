"""`acagent-nb pull|list|show|rm|cp|ps|serve --status`, each a process of its own, on a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from fcntl import ioctl
from pathlib import Path
from typing import Any

import httpx
import pytest

from acagent_nb import hosts, terminal

from .replay import Answer, recorded, recordings, replaying

COMMAND = [sys.executable, "-m", "acagent_nb"]
TAGS, PULL = recorded("tags_after_copy"), recorded("pull_slow_with_progress")


def environment(url: str = "", **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("OLLAMA_HOST", "COLUMNS")}
    return kept | ({"OLLAMA_HOST": url} if url else {}) | more


def call(url: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command with its output on a pipe, and nobody to answer it."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(url, **more),
        timeout=60,
    )


def lines(url: str, *arguments: str) -> list[str]:
    """What a command that succeeds prints."""
    ran = call(url, *arguments)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def fails(url: str, *arguments: str) -> str:
    """What a command that fails says, in two lines, and nothing on its output but progress."""
    ran = call(url, *arguments)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 2, ran.stderr
    return ran.stderr


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.process = process
        self._screen = screen
        self.shown = ""

    def until(self, words: str, seconds: float = 20) -> str:
        """Read until these words are shown, or the command has ended if there are none."""
        deadline = time.monotonic() + seconds
        while not words or words not in self.shown:
            ready, _, _ = select.select([self._screen], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"not shown in time: {words!r} in {self.shown!r}"
            try:
                data = os.read(self._screen, 4096)
            except OSError:  # so Linux tells the end of a terminal
                data = b""
            if not data:
                assert not words, f"never shown: {words!r} in {self.shown!r}"
                break
            self.shown += data.decode(errors="replace")
        return self.shown

    def type(self, text: str) -> None:
        os.write(self._screen, text.encode())

    def end(self) -> int:
        self.until("")
        return self.process.wait(10)


@contextmanager
def on_terminal(url: str, *arguments: str) -> Iterator[Terminal]:
    screen, inside = pty.openpty()
    ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=inside, stdout=inside, stderr=inside, env=environment(url), start_new_session=True
    )
    os.close(inside)
    try:
        yield Terminal(process, screen)
    finally:
        process.kill()
        process.wait()
        os.close(screen)


def final(shown: str) -> list[str]:
    """The lines that stay on the screen: what a carriage return and "erase" took away is gone."""
    return [line.split("\r\x1b[K")[-1] for line in shown.replace("\r\n", "\n").split("\n") if line]


def test_list_is_a_table_with_sizes_and_ages() -> None:
    with replaying(tags=TAGS) as replay:
        head, copy, tiny = lines(replay.url, "list")
    assert head.split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert copy.split()[:4] == ["tiny-copy:latest", "463242c2247b", "1.1", "MB"]
    assert [tiny.index("463242c2247b"), tiny.index("1.1 MB")] == [head.index("ID"), head.index("SIZE")]


def test_list_is_json_for_scripts() -> None:
    with replaying(tags=TAGS) as replay:
        told = json.loads("\n".join(lines(replay.url, "list", "--json")))
    assert [model["name"] for model in told] == ["tiny-copy:latest", "tiny:latest"]
    assert told[0]["size"] == 1079555
    assert told[0]["details"]["quantization_level"] == "Q8_0"


def test_an_empty_server_says_how_to_get_a_model() -> None:
    with replaying(tags=Answer(('{"models":[]}',))) as replay:
        assert "acagent-nb pull tiny" in lines(replay.url, "list")[0]
        assert lines(replay.url, "list", "--json") == ["[]"]


@pytest.mark.parametrize("name", ["made2", "local_made2"])
def test_show_tells_what_matters(name: str) -> None:
    with replaying(show=recorded("show_made2")) as replay:
        told = lines(replay.url, "show", name)
    assert replay.requests[-1][2] == {"model": "made2"}
    facts = {line.split()[0]: line.split()[1:] for line in told if line.startswith("  ")}
    assert facts["context"] == ["512", "tokens"]
    assert facts["quantization"] == ["Q8_0"]
    assert facts["num_ctx"] == ["1024"]
    assert "  You are brief." in told
    assert "  {{- range .Messages }}<|im_start|>{{ .Role }}" in told


def test_show_is_json_for_scripts() -> None:
    with replaying(show=recorded("show_skills")) as replay:
        told = json.loads("\n".join(lines(replay.url, "show", "skills", "--json")))
    assert told["capabilities"] == ["completion", "tools", "thinking"]
    assert told["model_info"]["llama.context_length"] == 512


def test_ps_tells_where_a_model_runs_and_for_how_long() -> None:
    with replaying(ps=recorded("ps_forever")) as replay:
        head, tiny = lines(replay.url, "ps")
        told = json.loads("\n".join(lines(replay.url, "ps", "--json")))
    assert re.split(r"\s{2,}", head) == ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNLOADED"]
    assert re.split(r"\s{2,}", tiny)[2:] == ["6.3 MB", "CPU", "512", "for ever"]
    assert told[0]["context_length"] == 512
    with replaying(ps=Answer(('{"models":[]}',))) as replay:
        assert lines(replay.url, "ps") == ["No model is loaded."]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("show", "tinny"), "Did you mean tiny:latest?"),
        (("rm", "--yes", "tiny", "local_tiny-cpoy"), "tiny-copy:latest?"),
    ],
)
def test_a_name_that_is_nearly_right_is_told(arguments: tuple[str, ...], near: str) -> None:
    missing = recorded("show_missing")
    with replaying(tags=TAGS, show=missing, delete=recorded("delete")) as replay:
        assert near in fails(replay.url, *arguments)
    assert "DELETE" not in [method for method, _, _ in replay.requests]


def test_a_name_that_is_far_off_gets_the_list() -> None:
    with replaying(tags=TAGS, copy=recorded("copy_missing")) as replay:
        assert "It has: tiny-copy:latest, tiny:latest." in fails(replay.url, "cp", "nothing-like-it", "x")


def test_rm_without_anybody_to_ask_refuses() -> None:
    with replaying(tags=TAGS, delete=recorded("delete")) as replay:
        assert "--yes" in fails(replay.url, "rm", "tiny")
        assert "DELETE" not in [method for method, _, _ in replay.requests]
        assert lines(replay.url, "rm", "--yes", "TINY", "local_tiny-copy") == [
            "Removed tiny:latest.",
            "Removed tiny-copy:latest.",
        ]
    assert [body for method, _, body in replay.requests if method == "DELETE"] == [
        {"model": "tiny:latest"},
        {"model": "tiny-copy:latest"},
    ]


@pytest.mark.parametrize(("answer", "removed"), [("y\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_rm_asks(answer: str, removed: bool) -> None:
    with replaying(tags=TAGS, delete=recorded("delete")) as replay, on_terminal(replay.url, "rm", "tiny") as screen:
        screen.until("Remove tiny:latest (1.1 MB)? [y/N] ")
        screen.type(answer)
        assert screen.end() == 0
        assert ("DELETE" in [method for method, _, _ in replay.requests]) is removed
        assert final(screen.shown)[-1] == ("Removed tiny:latest." if removed else "Nothing was removed.")


def test_cp_leaves_a_name_that_is_taken_alone() -> None:
    with replaying(tags=TAGS, copy=recorded("copy")) as replay:
        assert lines(replay.url, "cp", "tiny", "local_other") == ["tiny is other:latest too."]
        assert replay.requests[-1] == ("POST", "/api/copy", {"source": "tiny", "destination": "other"})
        assert "is there already" in fails(replay.url, "cp", "tiny", "Tiny-Copy")
    assert [path for _, path, _ in replay.requests].count("/api/copy") == 1


def test_a_pull_on_a_pipe_is_a_few_plain_lines() -> None:
    with replaying(pull=PULL) as replay:
        told = lines(replay.url, "pull", "slow")
    *steps, end = told
    assert len(recordings("head-2026-08-21")["pull_slow_with_progress"]["lines"]) > 2 * len(told)
    assert steps[0] == "slow: pulling manifest"
    assert [step for step in steps if "12.6 MB" in step] == [f"slow: 12.6 MB, {part} %" for part in (0, 25, 50, 75)]
    assert steps[-1] == "slow: success"
    assert re.fullmatch(r"slow is there: 12\.6 MB in \d+\.\d s", end)
    assert "\x1b" not in "".join(told)


def test_a_pull_on_a_terminal_is_one_line() -> None:
    with replaying(pull=Answer(PULL.lines, pause=0.05)) as replay, on_terminal(replay.url, "pull", "slow") as screen:
        screen.until(" of 12.6 MB")
        screen.until("left")
        assert screen.end() == 0
    drawn = re.split(r"\r\x1b\[K|\r\n", screen.shown)
    bars = [line for line in drawn if "█" in line]
    assert len(bars) > 5
    assert max(map(len, drawn)) < 80
    assert re.match(r"slow  █+░+  \d", bars[len(bars) // 2])
    (stays,) = final(screen.shown)
    assert stays.startswith("slow is there: 12.6 MB in ")


def test_ctrl_c_leaves_one_line_that_says_how_to_go_on() -> None:
    stalled = Answer(PULL.lines[:20], stall=60)
    with replaying(pull=stalled) as replay, on_terminal(replay.url, "pull", "slow") as screen:
        screen.until(" of 12.6 MB")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
        assert replay.gone.wait(5)
    (stays,) = final(screen.shown)
    assert re.fullmatch(r"Stopped at \d+ %; what has come is kept, and `acagent-nb pull slow` resumes it\.", stays)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("pull_missing", "There is no model m to pull"),
        ("pull_no_dns", "no such host"),
        ("pull_needs_newer_server", "requires a newer version"),  # many lines in the server's own words
    ],
)
def test_a_pull_that_fails_says_why_in_two_lines(case: str, words: str) -> None:
    with replaying(pull=recorded(case), tags=TAGS) as replay:
        assert words in fails(replay.url, "pull", "m")


def test_a_pull_of_what_is_nearly_a_built_in_model() -> None:
    with replaying(pull=recorded("pull_missing"), tags=TAGS) as replay:
        assert "Did you mean tiny:skills?" in fails(replay.url, "pull", "tiny:skill")


def test_a_built_in_model_that_is_uploaded_says_so() -> None:
    with replaying(
        pull=recorded("pull_no_dns"),
        version=recorded("version"),
        show=recorded("show_missing"),
        blobs=[recorded("blob_check_absent"), recorded("blob_upload")],
        create=recorded("create_from_gguf", "v0.24.0"),
    ) as replay:
        told = lines(replay.url, "pull", "tiny")
    assert told[:3] == ["tiny: pulling manifest", "tiny: uploading tiny.gguf", "tiny: parsing GGUF"]
    assert re.fullmatch(r"tiny is there: \d+\.\d MB in \d+\.\d s", told[-1])


@pytest.mark.parametrize("arguments", [("list",), ("pull", "tiny"), ("ps", "--json"), ("serve", "--status")])
def test_nobody_there_is_two_lines(arguments: tuple[str, ...]) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        assert "No server answers" in fails(f"127.0.0.1:{taken.getsockname()[1]}", *arguments)


def test_a_name_that_is_none_is_two_lines() -> None:
    with replaying() as replay:
        assert "is not a model's name" in fails(replay.url, "show", "a b")
    assert replay.requests == []


def test_status_tells_which_server_that_is() -> None:
    with replaying(version=recorded("version"), ps=recorded("ps_loaded")) as replay:
        told = {line[:10].strip(): line[10:] for line in lines(replay.url, "serve", "--status")}
        as_json = json.loads("\n".join(lines(replay.url, "serve", "--status", "--json")))
    assert told == {
        "address": replay.url,
        "found as": "OLLAMA_HOST",
        "version": "Ollama 0.0.0",
        "loaded": "tiny:latest (CPU)",
    }
    assert as_json["running"] is True
    assert (as_json["url"], as_json["how"], as_json["engine"]) == (replay.url, "OLLAMA_HOST", None)
    assert [model["name"] for model in as_json["models"]] == ["tiny:latest"]


def test_status_starts_nothing(tmp_path: Path) -> None:
    if hosts.present(os.environ.get("OLLAMA_HOST")):
        pytest.skip("a server runs here already")
    ran = call("", "serve", "--status", XDG_STATE_HOME=str(tmp_path), HOME=str(tmp_path))
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[0] == "No server is running."
    assert list(tmp_path.iterdir()) == []
    told = call("", "serve", "--status", "--json", XDG_STATE_HOME=str(tmp_path), HOME=str(tmp_path))
    assert json.loads(told.stdout) == {"running": False}


def test_the_embedded_server_under_all_commands(server: str, api: httpx.Client) -> None:
    assert lines(server, "pull", "local_tiny")[-1].startswith("local_tiny is there: ")
    assert {"tiny:latest", "tiny:skills"} <= {line.split()[0] for line in lines(server, "list")}
    assert any(line.split()[:2] == ["context", "2048"] for line in lines(server, "show", "tiny"))
    lines(server, "cp", "tiny", "commands-copy")
    lines(server, "rm", "--yes", "commands-copy")
    assert "commands-copy:latest" not in call(server, "list").stdout
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    assert api.post("/api/chat", json=chat).status_code == 200
    loaded = json.loads(call(server, "ps", "--json").stdout)
    assert "tiny:latest" in [model["name"] for model in loaded]
    told = {line[:10].strip(): line[10:] for line in lines(server, "serve", "--status")}
    assert told["engine"].startswith("xllamacpp ")
    assert "tiny:latest (CPU)" in told["loaded"]


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    end, start = os.pipe()
    os.close(end)
    with replaying(tags=TAGS) as replay, os.fdopen(start, "wb") as out:
        command = [*COMMAND, "list"]
        ran = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment(replay.url), timeout=60)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_json_without_status_is_two_lines() -> None:
    assert "--status" in fails("", "serve", "--json")


def test_every_command_has_a_help_with_examples() -> None:
    for command in ("pull", "list", "show", "rm", "cp", "ps"):
        told = lines("", command, "--help")
        assert f"  acagent-nb {command}" in "\n".join(told[told.index("examples:") :])
        assert max(map(len, told)) <= 80


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_001_024, "2.0 MB"), (3.4e9, "3.4 GB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_for_people(count: float, text: str) -> None:
    assert terminal.size(count) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-22T11:59:57.690000001Z", "3 seconds ago"),
        ("2026-11-22T12:01:30+00:00", "in 1 minute"),
        ("2026-11-22T07:00:00-02:00", "3 hours ago"),
        ("2026-11-20T11:00:00.5Z", "2 days ago"),
        ("2026-09-01T00:00:00Z", "2 months ago"),
        ("2024-11-01T00:00:00Z", "2 years ago"),
        ("2319-03-04T11:13:05.33732706Z", "for ever"),
        ("0001-01-01T00:00:00Z", ""),
        ("9999-99-99T00:00:00Z", ""),
        ("soon", ""),
    ],
)
def test_times_are_told_from_now(text: str, told: str) -> None:
    assert terminal.when(text, datetime(2026, 11, 22, 12, tzinfo=timezone.utc)) == told


def test_what_a_server_says_can_not_steer_the_terminal() -> None:
    evil: dict[str, Any] = {"name": "a\x1b[2Jb", "size": 1, "digest": "c\nd"}
    with replaying(tags=Answer((json.dumps({"models": [evil]}),))) as replay:
        told = lines(replay.url, "list")
    assert len(told) == 2
    assert "\x1b" not in told[1]
