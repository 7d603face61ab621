"""Questions and answers for tests of the files that they are kept in, and another process that writes to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from acagent_nb.keyed import Question, asked
from acagent_nb.messages import Message, Request
from acagent_nb.options import Options
from acagent_nb.recordings import Line, latest, numbered

SECRET = "Does Anna love Bert?"


def chat(*texts: str, model: str = "tiny", **how: Any) -> Question:
    """A question of several turns, the user's first."""
    options = Options.of(how.pop("options", {}))
    turns = tuple(Message("assistant" if at % 2 else "user", text) for at, text in enumerate(texts))
    return asked("chat", Request(model, turns, options, **how))


def answer(question: Question, n: int = 1, text: str = "Yes.", **more: str) -> Line:
    events = [["text", text, [[3, len(text)]]]]
    return Line(question.key, n, question.kind, question.model, request=question.request, events=events, **more)


WRITER = """
import sys
from acagent_nb.recordings import Line, append
path, who, count = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(count)):
    append(path, Line(f"{who:>016}", n + 1, "chat", events=[["text", who * 5000, [[0, 5000]]]]))
    print(n + 1, flush=True)
"""


def writer(file: Path, who: str, count: int) -> subprocess.Popen[str]:
    """Another process that appends so many lines, once it is told to begin."""
    return waiting(WRITER, str(file), who, str(count))


def waiting(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process, which has said that it is ready."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def read(path: Path | str) -> list[Line]:
    """The answers in a file that count."""
    return [line for _, line in latest(numbered(path)).values()]
