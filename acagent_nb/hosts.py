"""Where Ollama answers: the address that was given, or else the first of three that is alive.

    argument or OLLAMA_HOST ─► that one, and nothing else
    neither                 ─► http://localhost:11434
                            ─► http://ollama:11434, inside a container only
                            ─► the embedded server, started when needed

There is one embedded server per user. Its address lies in a state file behind a lock, so that
every kernel finds it again; it ends by itself after half an hour without a request.

How addresses are read is in `addresses.py`, what opens a server's door in `keys.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

from .addresses import base_url as base_url
from .addresses import from_environment
from .addresses import is_loopback as is_loopback
from .addresses import without_secrets as without_secrets
from .errors import ServerDown

IDLE_MINUTES = 30
INSTALL = 'pip install "acagent-nb[embedded]", or in a clone: pip install -e ".[embedded]"'
EMBEDDED = "embedded server"
_START_SECONDS = 30  # a loaded machine needs a few to import the server; far more means it hangs


class Host(NamedTuple):
    """A server's address, and how it was found.

    Attributes
    ----------
    url
        Without a slash at its end.
    how
        A few words for the user: "OLLAMA_HOST", "this machine", "embedded server" ...
    """

    url: str
    how: str


def find(host: str | None = None) -> Host:
    """The server to talk to; starts the embedded one if there is no other.

    Parameters
    ----------
    host
        An address as `OLLAMA_HOST` takes it. It, or else that variable, is used as it is: whether
        it answers is not tried.

    Raises
    ------
    BadName
        The address is none.
    ServerDown
        No server answers and the embedded one is not installed, or does not start.
    """
    if there := present(host):
        return there
    if find_spec("xllamacpp") is None:
        raise ServerDown(
            "No Ollama server answers at http://localhost:11434.",
            f"Start Ollama (or set OLLAMA_HOST), or install the embedded server: {INSTALL}",
        )
    return Host(embedded(), EMBEDDED)


def present(host: str | None = None) -> Host | None:
    """The server that `find` would take without starting one, or `None` if it would have to."""
    if host:
        return Host(base_url(host), "the given address")
    if told := from_environment("OLLAMA_HOST", base_url):
        return Host(told, "OLLAMA_HOST")
    if answers("http://localhost:11434"):
        return Host("http://localhost:11434", "Ollama's usual address")
    if _in_container() and answers("http://ollama:11434"):
        return Host("http://ollama:11434", "the container named ollama")
    return None


def running() -> Host | None:
    """The server that a question would go to now, an embedded one that runs included; `None` if one had to be started.

    Raises
    ------
    BadName
        The address in OLLAMA_HOST is none.
    """
    if there := present():
        return there
    url = embedded_running()
    return Host(url, EMBEDDED) if url else None


def ended(host: Host) -> bool:
    """Whether this was the embedded server that this user's programs share, and it has ended by itself or by `stop`."""
    return host.how == EMBEDDED and not state_file().exists()


def answers(url: str, timeout: float = 1.0) -> bool:
    """Whether an Ollama server, or one that speaks like it, is at this http address now."""
    try:
        parts = urlsplit(url)
        with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)) as connection:  # uses no proxy
            connection.request("GET", f"{parts.path}/api/version")
            return "version" in json.load(connection.getresponse())
    except (OSError, HTTPException, ValueError):
        return False


def embedded() -> str:
    """The address of this user's embedded server, which is started if it does not run.

    Raises
    ------
    ServerDown
        It does not start; the message holds its last words.
    """
    from filelock import FileLock

    state = state_file()
    state.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(state.with_suffix(".lock")):
        if url := embedded_running():
            return url
        state.unlink(missing_ok=True)
        log = state.with_suffix(".log")
        with log.open("wb") as out:
            process = _serve(state, "--idle", str(IDLE_MINUTES), stdin=subprocess.DEVNULL, out=out.fileno())
        url, _ = _ready(process, state, log)
    Thread(target=process.wait, name="acagent_nb server", daemon=True).start()  # so that its end leaves no zombie
    return url


def embedded_running() -> str | None:
    """The address of this user's embedded server if it runs, else `None`."""
    told = _read(state_file())
    return told[0] if told and answers(told[0]) else None


def stop() -> bool:
    """End this user's embedded server; False if there was none.

    Raises
    ------
    ServerDown
        It is still there after ten seconds.
    """
    import signal

    told = _read(state_file())
    if told is None or not answers(told[0]):
        return False
    url, pid = told
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while answers(url):
        if time.monotonic() > deadline:
            raise ServerDown(f"The embedded server (process {pid}) does not end.", f"End it by hand: kill -9 {pid}")
        time.sleep(0.05)
    return True


class Private(NamedTuple):
    """A server that belongs to the one who started it."""

    url: str
    pid: int


@contextmanager
def private(models: str | Path | None = None, *arguments: str) -> Iterator[Private]:
    """An embedded server of one's own, gone at the end of the block, or when this process dies.

    Parameters
    ----------
    models
        The folder of its models; a temporary one if left out.
    arguments
        Further flags of `acagent-nb serve`.
    """
    with tempfile.TemporaryDirectory(prefix="acagent_nb-", ignore_cleanup_errors=True) as folder:
        state, log = Path(folder, "server.json"), Path(folder, "server.log")
        place = ("--models", str(models or Path(folder, "models")))
        with log.open("wb") as out:
            process = _serve(state, *place, "--follow-stdin", *arguments, stdin=subprocess.PIPE, out=out.fileno())
        try:
            yield Private(*_ready(process, state, log))
        finally:
            assert process.stdin is not None
            process.stdin.close()  # which ends it
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def state_file() -> Path:
    """Where the embedded server's address is kept."""
    from platformdirs import user_state_path

    return user_state_path("acagent_nb") / "server.json"


def _serve(state: Path, *arguments: str, stdin: int, out: int) -> subprocess.Popen[bytes]:
    """Start `acagent-nb serve` in a session of its own, so that an interrupt here misses it."""
    command = [sys.executable, "-m", "acagent_nb", "serve", "--port", "0", "--state", str(state), *arguments]
    return subprocess.Popen(command, stdin=stdin, stdout=out, stderr=out, start_new_session=True)


def _ready(process: subprocess.Popen[bytes], state: Path, log: Path) -> tuple[str, int]:
    """Wait until a started server has written its state."""
    deadline = time.monotonic() + _START_SECONDS
    while (told := _read(state)) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            said = log.read_text(errors="replace").split("\n")
            last = " ".join(line for line in said if line)[-500:] or "it said nothing"
            raise ServerDown("The embedded server did not start.", last)
        time.sleep(0.02)
    return told


def _read(state: Path) -> tuple[str, int] | None:
    """The address and process number in a state file, if it is there and whole."""
    try:
        told = json.loads(state.read_bytes())
        return str(told["url"]), int(told["pid"])
    except (OSError, ValueError, KeyError):
        return None


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
