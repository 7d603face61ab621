"""The recorded requests of two real Ollamas, asked of the embedded server once, in their order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from acagent_nb.server import tiny

from . import ggufs
from .serving import ENDLESS, Server

FOLDER = Path(__file__).parent / "wire"
HEAD, OLDER = "head-2026-08-21", "v0.24.0"


def words(text: str) -> list[str]:
    return text.split()


# Not asked here, and why.
LEFT_OUT = {
    "pull_no_dns": "reaches for the network",
    "create_from_missing_model_without_network": "reaches for the network",
    "tool_call_after_talk_stream": "the model here does not talk before it calls a tool",
    **dict.fromkeys(
        words(
            """
            pull_new pull_again pull_nonstream pull_slow_with_progress pull_missing pull_missing_nonstream pull_private
            pull_needs_newer_server pull_corrupt_blob pull_interrupted_by_client pull_resumed
            pull_same_model_twice_first pull_same_model_twice_second_half_a_second_later chat_pulled_model
            show_pulled_model
            """
        ),
        "needs the registry of the recording: test_fetch.py and test_registry.py have one",
    ),
}

# The recorded model for thinking and tools was a script that obeyed words such as THINK!; ours was trained on these.
_OURS = {
    "THINK!": "why is the sky blue?",
    "TOOL!": "What is the weather in Rome?",
    "BOTH!": "What is the weather in Rome?",
    "UTF8!": "why is the sky blue?",
    "LOOP!": "why is the sky blue?",
}
# Those whose `done_reason` would hang on how long the model talks; in the recording it was cut off.
_CUT_OFF = ("chat_seed_a", "chat_seed_again", "chat_format_json", "chat_format_schema", "chat_overflow_truncated")
_LOOP = {"format": {"type": "string", "pattern": "^a{100}$"}, "think": False, "options": {"temperature": 0}}
_UPLOADED = "sha256:283044f2390ac42c4003e748960e20d81f39b07cb7169de24d0b83b87f2506fc"


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    content_type: str | None
    lines: list[str]


@cache
def recorded(server: str) -> dict[str, dict[str, Any]]:
    """A recording's cases by name."""
    cases = map(json.loads, (FOLDER / f"{server}.jsonl").read_text(encoding="utf-8").splitlines())
    return {case["name"]: case for case in cases}


def theirs(name: str) -> list[Answer]:
    """What the real servers answered: one or two."""
    cases = [recorded(server)[name] for server in (HEAD, OLDER) if name in recorded(server)]
    return [Answer(case["status"], case["content_type"], [line for _, line in case["lines"]]) for case in cases]


def cases() -> dict[str, dict[str, Any]]:
    """All cases of both, in an order in which they can be asked."""
    found = dict(recorded(HEAD))
    for name, case in recorded(OLDER).items():
        if name not in found:  # only a creation from a file, which the other recording could not do
            found = _before(found, "create_from_model", name, case)
    return {name: case for name, case in found.items() if name not in LEFT_OUT}


def _before(found: dict[str, Any], place: str, name: str, case: Any) -> dict[str, Any]:
    at = list(found).index(place)
    items = list(found.items())
    return dict([*items[:at], (name, case), *items[at:]])


def played(server: Server) -> dict[str, Answer]:
    """Ask everything of a server that has `tiny` and `skills`."""
    return {name: _asked(server, name, case["request"]) for name, case in cases().items()}


def _asked(server: Server, name: str, request: dict[str, Any]) -> Answer:
    method, path, body = request["method"], request["path"], _adapted(name, request["body"])
    path = path.replace(_UPLOADED, ggufs.digest(_file()))
    content = body if isinstance(body, (str, bytes)) else "" if body is None else json.dumps(body)
    if name in ("generate_cancelled_by_client", "generate_runner_killed_midstream"):
        with _begun(server.client, path, content) as (answer, lines):
            first = [next(lines) for _ in range(5)]
            if name == "generate_runner_killed_midstream":
                server.children[0].kill()
                first += list(lines)
            return _answer(answer, first)
    answer = server.client.request(method, path, content=content)
    return _answer(answer, answer.text.splitlines())


@contextmanager
def _begun(client: httpx.Client, path: str, content: Any) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    with client.stream("POST", path, content=content) as answer:
        yield answer, answer.iter_lines()


def _answer(answer: httpx.Response, lines: list[str]) -> Answer:
    folder = re.compile(r"open \S*/blobs/")  # ours lies elsewhere
    lines = [folder.sub("open /root/.ollama/models/blobs/", line) for line in lines]
    return Answer(answer.status_code, answer.headers.get("content-type"), lines)


@cache
def _file() -> bytes:
    """A model file that is not in the store yet."""
    return ggufs.with_more(tiny.PATH, {"general.description": "uploaded"})


def _adapted(name: str, body: Any) -> Any:
    """A recorded body for our models and files; nothing that the contract is about changes."""
    if body == "<the bytes of a GGUF file>":
        return _file()
    if body == "<other bytes>":
        return "abc"
    if not isinstance(body, dict):
        return body
    if name in ("generate_cancelled_by_client", "generate_runner_killed_midstream"):
        return body | {"format": ENDLESS}  # so that it is certain to be still under way
    text = json.dumps(body).replace(_UPLOADED, ggufs.digest(_file()))
    for word, ours in _OURS.items():
        text = re.sub(rf'"{word}[^"]*"', json.dumps(ours), text)
    body = json.loads(text)
    if body.get("model") == "skills" and len(body) > 1:
        body["options"] = {"temperature": 0, "num_predict": 120}
    if name in _CUT_OFF:
        body["options"]["num_predict"] = 1
    return body | _LOOP if name.startswith("loop_detector") else body
