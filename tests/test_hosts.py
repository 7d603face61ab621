"""Where Ollama answers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acagent_nb import Client, hosts
from acagent_nb.errors import BadName, ServerDown

from .replay import Answer, recorded, replaying


def test_a_given_address_is_used_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:2")
    assert hosts.find("127.0.0.1:1").url == "http://127.0.0.1:1"
    assert hosts.find() == hosts.Host("http://127.0.0.1:2", "OLLAMA_HOST")


def test_a_variable_that_is_no_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "ftp://me:secret@lab")
    with pytest.raises(BadName, match=r"OLLAMA_HOST: 'ftp://lab' is not a server's address") as caught:
        hosts.find()
    assert "http://" in caught.value.hint
    monkeypatch.setenv("OLLAMA_HOST", "'lab'")
    assert hosts.find() == hosts.Host("http://lab:11434", "OLLAMA_HOST")


def test_at_an_address_that_is_none_nobody_answers() -> None:
    for url in ("http://[::1", "http://lab:abc", "", "http://a b"):
        assert not hosts.answers(url)


def test_only_what_speaks_like_ollama_answers() -> None:
    with replaying(version=recorded("version")) as replay:
        assert hosts.answers(replay.url)
    with replaying(version=Answer(("404 page not found",), 404, "text/plain")) as replay:
        assert not hosts.answers(replay.url)
    assert not hosts.answers(replay.url)  # it is gone now


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State and models of an embedded server that is this test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a test give a user folders of its own")
def test_one_embedded_server_is_shared_and_stopped(own_state: Path) -> None:
    code = "from acagent_nb import hosts; print(hosts.embedded())"
    starts = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    urls = {start.communicate(timeout=60)[0].strip() for start in starts}
    try:
        assert len(urls) == 1
        assert hosts.embedded_running() in urls
        assert hosts.embedded() in urls
    finally:
        assert hosts.stop()
    assert hosts.embedded_running() is None
    assert not hosts.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a test give a user folders of its own")
def test_a_killed_server_is_replaced(own_state: Path) -> None:
    first = hosts.embedded()
    _, pid = hosts._read(hosts.state_file()) or ("", 0)
    os.kill(pid, signal.SIGKILL)
    try:
        second = hosts.embedded()
        assert hosts.answers(second)
        assert not hosts.answers(first) or first == second
    finally:
        hosts.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only there can a test give a user folders of its own")
def test_a_client_outlives_its_embedded_server(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    if hosts.present() is not None:
        pytest.skip("a server answers at Ollama's usual address: the embedded one would not be asked")
    with Client() as client:
        try:
            assert client.chat("local_tiny", "What is 3 + 4?", temperature=0).text == "3 + 4 = 7."
            assert hosts.stop()
            assert client.chat("local_tiny", "What is 3 + 4?", temperature=0).text == "3 + 4 = 7."
            _, pid = hosts._read(hosts.state_file()) or ("", 0)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(ServerDown) as caught:
                client.version()
            assert caught.value.hint.startswith("Ask again")  # there is nothing that the user could start
            assert client.chat("local_tiny", "What is 3 + 4?", temperature=0).text == "3 + 4 = 7."
        finally:
            hosts.stop()


def test_a_private_server_ends_with_its_block_and_with_its_owner() -> None:
    with hosts.private() as server:
        assert hosts.answers(server.url)
    assert not hosts.answers(server.url)
    code = "from acagent_nb import hosts\nwith hosts.private() as s: print(s.url, flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert owner.stdout is not None
    url = owner.stdout.readline().strip()
    assert hosts.answers(url)
    owner.kill()
    owner.communicate()
    deadline = time.monotonic() + 5
    while hosts.answers(url) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not hosts.answers(url)


def test_a_server_that_does_not_start_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(ServerDown, match="did not start") as caught, hosts.private(None, "--port", port):
            pytest.fail("it can't have started")
    assert "--port" in str(caught.value)


@pytest.mark.parametrize("module", ["click", "psutil", "starlette"])  # uvicorn's own, and the extra's
def test_a_server_that_is_installed_by_halves_says_how_to_install_it(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None\nfrom acagent_nb.cli import main\nsys.exit(main(['serve']))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == ["The embedded server is not installed.", f"Install it: {hosts.INSTALL}"]
