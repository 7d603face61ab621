"""The services of docker-compose.yml while they run, as the trial's steps use them."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PROFILES = ("nvidia", "amd", "test")
CONTAINER = "ollama_server"
_HEALTHY_SECONDS = 900  # a first start installs, a real one pulls images before


class Stack:
    """One project of compose, in a clone of its own.

    Parameters
    ----------
    clone
        The folder of docker-compose.yml.
    model
        What the profile `test` asks; `None` for the file's own.

    Raises
    ------
    SystemExit
        There is a container of Ollama's name already, which is somebody's.
    """

    def __init__(self, clone: Path, model: str | None) -> None:
        self.clone = clone
        self.environment = {"OLLAMA_PORT": _port(11434), "JUPYTER_PORT": _port(8888), **os.environ}
        self.environment["PYTHONUNBUFFERED"] = "1"  # Debian's docker-compose holds back what goes into a pipe
        for name in ("JUPYTER_TOKEN", "OLLAMA_HOST", "COMPOSE_PROFILES"):
            self.environment.pop(name, None)
        if model:
            self.environment["ACAGENT_NB_LIVE_MODEL"] = model
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        self._compose = [*(("docker", "compose") if plugin else ("docker-compose",)), "-p", "acagent-nb-try"]
        if CONTAINER in run("docker", "ps", "-a", "--format", "{{.Names}}").splitlines():
            raise SystemExit(f"There is a container {CONTAINER} already: end it first (docker compose down)")
        self.services: dict[str, Any] = YAML(typ="safe").load(clone / "docker-compose.yml")["services"]
        self.before = self.listed()
        self.ollama = f"http://localhost:{self.environment['OLLAMA_PORT']}"
        self.jupyter = f"http://localhost:{self.environment['JUPYTER_PORT']}"

    @property
    def model(self) -> str:
        """What the profile `test` asks, as the server names it."""
        told = self.services["test"]["environment"]["ACAGENT_NB_LIVE_MODEL"]
        default = told.removeprefix("${ACAGENT_NB_LIVE_MODEL:-").removesuffix("}")
        return self.environment.get("ACAGENT_NB_LIVE_MODEL", default).removeprefix("local_")

    def image(self, service: str) -> str:
        """The image that a service names."""
        return str(self.services[service]["image"])

    def words(self, *words: str, check: bool = True, seconds: float = 1200) -> str:
        """What compose prints when it is told so."""
        where = {"folder": self.clone, "environment": self.environment}
        return run(*self._compose, *words, **where, check=check, seconds=seconds)

    def started(self, *words: str) -> subprocess.Popen[str]:
        """Compose while it runs; for whoever ends it again."""
        return subprocess.Popen(
            [*self._compose, *words],
            cwd=self.clone,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def container(self, service: str) -> str:
        """The container of a service."""
        return self.words("ps", "-q", service).strip()

    def healthy(self, service: str) -> float:
        """Wait until a service is; how many seconds it took."""
        began = time.monotonic()
        while (health := self._health(service)) != "healthy":
            if time.monotonic() - began > _HEALTHY_SECONDS or health == "unhealthy":
                raise AssertionError(f"{service} is {health} after {time.monotonic() - began:.0f} s")
            time.sleep(0.5)
        return time.monotonic() - began

    def listed(self) -> set[Path]:
        """All that lies in the clone."""
        return {path.relative_to(self.clone) for path in self.clone.rglob("*")}

    def down(self) -> None:
        """Take all away, volumes too."""
        profiles = [word for name in PROFILES for word in ("--profile", name)]
        self.words(*profiles, "down", "--volumes", "--remove-orphans", check=False)

    def _health(self, service: str) -> str:
        return run("docker", "inspect", "--format", "{{.State.Health.Status}}", self.container(service)).strip()


def run(
    *command: str,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    check: bool = True,
    seconds: float = 300,
) -> str:
    """What a program prints, both of its streams; an `AssertionError` with it if the program fails."""
    ran = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert not (check and ran.returncode), f"{' '.join(command)}\n{ran.stdout}\nended with {ran.returncode}"
    return ran.stdout


def typed(command: list[str], lines: list[str], seconds: float = 300) -> str:
    """What a terminal shows in which a command is started, and lines are typed into it, each after the one before."""
    import pty  # a test reads a name from this file on systems that have none, too

    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    shown = b""
    for number, line in enumerate(lines):
        os.write(terminal, f"{line}; echo typed-$(({number})) $?.\n".encode())
        ended = re.compile(rb"typed-%d (\d+)\." % number)  # which the typed line itself does not match
        deadline = time.monotonic() + seconds
        while not (found := ended.search(shown)):
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{line} did not end in {seconds} seconds:\n{shown.decode(errors='replace')}"
            shown += os.read(terminal, 65536)
        assert found[1] == b"0", shown.decode(errors="replace")
    os.write(terminal, b"exit\n")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert status == 0, f"{' '.join(command)} ended with {status}:\n{shown.decode(errors='replace')}"
    return shown.decode(errors="replace")


def fetched(url: str, method: str = "GET", body: object = None) -> tuple[int, str]:
    """The status and text of an answer over HTTP, refusals too."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def _port(usual: int) -> str:
    """The usual port, or a free one where that is taken."""
    for port in (usual, 0):
        with socket.socket() as door:
            try:
                door.bind(("127.0.0.1", port))
            except OSError:
                continue
            return str(door.getsockname()[1])
    raise AssertionError("some port is free")
