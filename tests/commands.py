"""`acagent-nb` as a process of its own: on a pipe with nobody to answer it, and on a terminal."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .replay import recorded

TAGS = recorded("tags_after_copy")
COMMAND = [sys.executable, "-m", "acagent_nb"]


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
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    from fcntl import ioctl  # both are where `pty` is
    from termios import TIOCSWINSZ

    screen, inside = pty.openpty()
    ioctl(inside, TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
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
