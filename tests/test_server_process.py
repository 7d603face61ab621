"""The server as a process: where it says it is, whom it lets in, and when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from .serving import babbling, gone, serving, soon


def start(state: Path, *flags: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "acagent_nb", "serve", "--port", "0", "--state", str(state), *flags]
    models = ("--models", str(state.parent / "models"))
    return subprocess.Popen([*command, *models], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def said(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.read().decode()


def test_the_state_file_lives_as_long_as_the_server(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state.json"
    process = start(state)
    soon(state.exists)
    told = json.loads(state.read_text())
    assert list(told) == ["url", "pid", "version"]
    assert told["pid"] == process.pid
    assert httpx.get(told["url"], trust_env=False).text == "Ollama is running"
    assert [path.name for path in state.parent.iterdir()] == ["state.json"]
    process.terminate()
    process.wait(2)
    assert not state.exists()
    assert said(process) == f"listening on {told['url']}\n"


def test_a_state_file_of_another_server_is_left_alone(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    process = start(state)
    soon(state.exists)
    state.write_text('{"url": "http://x", "pid": 1, "version": "0"}')
    process.terminate()
    process.wait(2)
    said(process)
    assert state.exists()


def test_it_ends_when_idle_but_not_while_it_answers(tmp_path: Path) -> None:
    with serving("--idle", str(0.8 / 60)) as server:
        with babbling(server.client) as lines:
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                next(lines)
        assert server.client.get("/api/version").status_code == 200
        assert 0.5 < soon(lambda: gone(server.process), 4) < 3


def test_it_ends_with_its_stdin(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    process = start(state, "--follow-stdin", stdin=subprocess.PIPE)
    soon(state.exists)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(2)
    said(process)
    assert not state.exists()


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="only Linux can be told so")
def test_it_and_its_engine_step_back_for_others() -> None:
    with serving() as own:
        own.chat(options={"num_predict": 1})
        assert {os.sched_getscheduler(each.pid) for each in (own.process, *own.children)} == {os.SCHED_BATCH}


def test_a_port_in_use_is_said_in_a_sentence(server: str) -> None:
    port = server.rpartition(":")[2]
    command = [sys.executable, "-m", "acagent_nb", "serve", "--port", port]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Port {port} of 127.0.0.1 is in use")
    assert "--port" in ended.stderr.splitlines()[1]


def test_more_than_loopback_is_warned_of(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    process = start(state, "--host", "0.0.0.0")
    soon(state.exists)
    process.terminate()
    process.wait(2)
    assert "warning: listening on 0.0.0.0" in said(process)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:1234"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "192.168.1.5:11434"}, 200),
        ({"host": "box.local"}, 200),
        ({"host": "app.localhost"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "8.8.8.8"}, 403),
        ({"origin": "http://localhost:8888"}, 200),
        ({"origin": "https://127.0.0.1:1"}, 200),
        ({"origin": "vscode-webview://abc"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost.evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_web_pages_from_elsewhere_are_kept_out(server: str, headers: dict[str, str], status: int) -> None:
    answer = httpx.get(f"{server}/api/version", headers=headers, trust_env=False)
    assert answer.status_code == status
    if status == 403:
        assert answer.content == b""
    else:
        assert answer.headers.get("access-control-allow-origin") == headers.get("origin")


def test_a_page_on_this_machine_may_ask_first(server: str) -> None:
    headers = {"origin": "http://localhost:8888", "access-control-request-method": "POST"}
    answer = httpx.options(f"{server}/api/chat", headers=headers, trust_env=False)
    assert answer.status_code == 204
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_the_command_says_its_version_and_its_flags() -> None:
    def run(*flags: str) -> str:
        command = [sys.executable, "-m", "acagent_nb", *flags]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout

    assert run("--version").startswith("acagent-nb ")
    assert all(flag in run("serve", "--help") for flag in ("--host", "--port", "--models", "--idle", "--state"))


def test_without_the_extra_it_says_what_installs_it() -> None:
    code = "import sys; sys.modules['xllamacpp'] = None; from acagent_nb.cli import main; sys.exit(main(['serve']))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert 'pip install "acagent-nb[embedded]"' in ended.stderr
