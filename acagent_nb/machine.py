"""`%llm disk` and `%llm logs`: what can be told on the machine of the server, as text.

What needs a program that is not there, or may not be used, is said in a sentence with its one remedy.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from . import answers, disk, hosts, terminal
from .addresses import is_loopback, without_secrets
from .client import Client
from .errors import LLMError

if TYPE_CHECKING:
    from .params import Params

CONTAINER = "ollama_server"
FOLLOW = "docker compose logs -f ollama"
_IMAGE = re.compile(r"(^|/)ollama/ollama([:@]|$)")  # from whichever registry, by tag or digest
_SECONDS = 20  # `docker system df` measures every volume
_ADDRESS_SECRET = re.compile(r"(?<=://)[^\s/@\"']+@")
_KEY = re.compile(
    r"(?i)((?:authorization|api[_-]?key|token|secret|password)\"?[:=]\s?(?:bearer\s+)?|bearer\s+)"
    r"[^\s\"',\]]+"
)
_PROMPT = re.compile(r'\b(prompt|content|system|messages|input)=("(?:[^"\\]|\\.)*"|\[.*\]|\{.*\}|\S+)')


def disk_text(host: hosts.Host, params: Params | None = None) -> str:
    """What the models of a server use, what is free, and what docker says of its own.

    Raises
    ------
    LLMError
        The server does not answer.
    """
    with Client(host.url, params=params) as client:
        models = client.models()
    facts = []
    folder = disk.folder(host.url, models)
    count = f"{len(models)} model{'s' * (len(models) != 1)}"
    if folder is None:
        facts += [("models", f"{terminal.size(sum(each.size for each in models))} in {count}, as the server counts")]
        facts += [("free", f"not known: the server's models lie {disk.unseen(host.url)}")]
    else:
        used = disk.usage(folder)
        facts += [("models", f"{terminal.size(used.models)} in {count}; what they share counts once")]
        if used.unfinished:
            facts += [("unfinished", f"{terminal.size(used.unfinished)}; pulling the model again goes on there")]
        facts += [("free", f"{terminal.size(used.free)} of {terminal.size(used.size)}"), ("folder", str(folder))]
    try:
        docker = run("docker", "system", "df")
    except LLMError as error:
        docker = f"{error.message}\n{error.hint}"
    told = "\n".join(f"{name:12}{terminal.printable(value)}" for name, value in facts)
    return f"{told}\n\ndocker system df\n{_indented(docker)}"


def logs_text(count: int = 40) -> str:
    """The last lines of the log of the server in use; prompts and keys in them are blotted out.

    Raises
    ------
    LLMError
        It has none that can be read from here; says where it is.
    """
    host, own = hosts.present(), hosts.state_file().with_suffix(".log")
    if (host is None and own.exists()) or (host is not None and host.url == hosts.embedded_running()):
        return _tail(own, count)
    if host is None:  # one that has crashed left its last words somewhere
        return _ollamas(count)
    if not is_loopback(host.url):
        raise LLMError(
            f"The server at {without_secrets(host.url)} is not on this machine, nor is its log.",
            f"Type there: docker logs --tail {count} {CONTAINER} (or without docker: journalctl -u ollama -n {count})",
        )
    if _is_embedded(host):
        if name := _serving(host.url):
            return _of_container(name, count)
        raise LLMError(
            f"The embedded server at {without_secrets(host.url)} was started by hand.",
            "Its log is in the terminal where `acagent-nb serve` was typed.",
        )
    return _ollamas(count, host.url)


def run(*command: str, seconds: float = _SECONDS) -> str:
    """What a program prints, both of its streams.

    Raises
    ------
    LLMError
        It is not there, takes too long, or fails; with what to do.
    """
    line = " ".join(command)
    try:
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise LLMError(f"There is no {command[0]} here.", f"Type it where the server runs: {line}") from None
    except PermissionError:
        raise LLMError(f"This user may not run {command[0]}.", f"Type as one who may: {line}") from None
    except subprocess.TimeoutExpired:
        raise LLMError(f"`{line}` did not end in {seconds:g} seconds.", f"Type it in a terminal: {line}") from None
    if ran.returncode:
        raise _failed(line, ran.stdout)
    return ran.stdout.rstrip("\n")


def _failed(line: str, said: str) -> LLMError:
    """Why a program failed, by its own words."""
    last = terminal.printable((said.strip().splitlines() or ["it said nothing"])[0])[:200]
    if "permission denied" in said.lower():
        return LLMError(
            "Docker does not let this user in: permission denied.",
            f"Join its group (sudo usermod -aG docker $USER) and log in anew, or type: sudo {line}",
        )
    if "cannot connect" in said.lower() or "daemon running" in said.lower():
        return LLMError(
            "Docker is installed, but its daemon does not answer.",
            "Start Docker Desktop, or on Linux: sudo systemctl start docker",
        )
    return LLMError(f"`{line}` failed: {last}", f"Type it in a terminal to see more: {line}")


def _ollamas(count: int, url: str | None = None) -> str:
    """The log of an Ollama on this machine: of its container, its service or its app."""
    told: LLMError | None = None
    try:
        if found := _containers():
            return _of_container(_at(url, found) or found[0][0], count)
    except LLMError as error:
        told = error
    for path in _app_logs():
        if path.is_file():
            return _tail(path, count)
    if sys.platform == "linux":
        try:
            said = run("journalctl", "-u", "ollama", "-n", str(count), "--no-pager", "-o", "short-iso")
            if said and "-- No entries --" not in said:
                return f"{_clean(said)}\n(journalctl -u ollama -n {count})"
        except LLMError as error:
            told = told or error
    raise LLMError(
        f"No log of an Ollama was found on this machine. {told.message if told else ''}".strip(),
        f"If it runs in a container: docker ps, then docker logs --tail {count} NAME; else see where it was started.",
    )


def _of_container(name: str, count: int) -> str:
    """The last lines of a container's log, and how to get them."""
    return f"{_clean(run('docker', 'logs', '--tail', str(count), name))}\n(docker logs --tail {count} {name})"


def _serving(url: str) -> str | None:
    """The container behind an address on this machine, if docker is here and knows one."""
    try:
        return _at(url, _containers())
    except LLMError:
        return None


def _at(url: str | None, containers: Sequence[tuple[str, str]]) -> str | None:
    """The one of these containers that has published the port of an address."""
    door = f":{urlsplit(url).port}->" if url else None
    return next((name for name, ports in containers if door and door in ports), None)


def _containers() -> list[tuple[str, str]]:
    """The names and published ports of Ollama's containers, stopped ones too; the specification's comes first."""
    listed = run("docker", "ps", "-a", "--format", "{{.Names}}\t{{.Image}}\t{{.Ports}}").splitlines()
    rows = [line.split("\t") for line in listed]
    found = [(name, ports) for name, image, ports in rows if name == CONTAINER or _IMAGE.search(image)]
    return sorted(found, key=lambda each: each[0] != CONTAINER)


def _app_logs() -> list[Path]:
    """Where Ollama's desktop apps write: macOS and Windows."""
    windows = os.environ.get("LOCALAPPDATA")
    return [Path.home() / ".ollama/logs/server.log", *([Path(windows, "Ollama", "server.log")] if windows else [])]


def _tail(path: Path, count: int) -> str:
    """The last lines of a file, and which one it is."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 1000 * count))  # lines are short; a huge file is not read whole
            lines = file.read().decode(errors="replace").splitlines()[-count:]
    except OSError:
        raise LLMError(
            f"The log {path} can't be read by this user.", f"Type as one who may: tail -n {count} {path}"
        ) from None
    return f"{_clean(chr(10).join(lines)) or 'It is empty.'}\n({path})"


def _clean(text: str) -> str:
    """A log as it may be shown: no control characters, no prompts (Ollama writes some when it debugs), no keys."""
    text = _PROMPT.sub(r"\1=(not shown)", text)
    text = _KEY.sub(r"\1(not shown)", _ADDRESS_SECRET.sub("(not shown)@", text))
    return terminal.printable(text, lines=True)


def _is_embedded(host: hosts.Host) -> bool:
    """Whether ours answers there; a server that is down is an Ollama's."""
    with answers.beside(), Client(host.url, timeout=2) as client:
        try:
            return client.version().engine is not None
        except LLMError:
            return False


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in terminal.printable(text, lines=True).splitlines())
