"""The contract with Ollama: every recorded request, answered as one of two real servers answered it.

What is compared: status, content type, the keys in their order and the types of each kind of line,
`done_reason`, the words of progress and of errors, and plain texts. Never: what a model says, counts,
times, vectors. What differs on purpose stands in `DIFFERENCES`, and has to differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acagent_nb.server import absent

from .played import Answer, cases, played, theirs
from .serving import Server, serving

_NO_LOOP_DETECTOR = (
    "an answer that repeats itself goes on to its end, where Ollama breaks off without `done`",
    "Ollama, too, does not look for loops where a model file brings its own template, as all do here",
)
_NO_PARAMETERS = ("no `parameters`", "the built-in models need none; a model that has some shows them (show_made2)")

# case -> (what is different here, the reason). This is the whole list; contract.md tells it to people.
DIFFERENCES = {
    "version": ("an `engine` beside the version", "so that a bug report names the llama.cpp that answered"),
    "chat_format_bad": ("the content type names its charset", "as in all other refusals, Ollama's own included"),
    "chat_format_json": _NO_LOOP_DETECTOR,
    "loop_detector_ends_without_done": _NO_LOOP_DETECTOR,
    "loop_detector_nonstream": _NO_LOOP_DETECTOR,
    "show": _NO_PARAMETERS,
    "show_skills": _NO_PARAMETERS,
    "create_from_gguf": (
        "one more progress line: the Go template is kept for Ollama, and which template is used here",
        "llama.cpp runs Jinja templates only, and whoever gave another one should know",
    ),
}

_OPEN = ("model_info", "projector_info", "tensors")  # what is in them depends on the model's file


@pytest.fixture(scope="module")
def ours() -> Iterator[dict[str, Answer]]:
    """All answers of the embedded server."""
    with serving() as server:
        _with_skills(server)
        yield played(server)


def _with_skills(server: Server) -> None:
    for path, body in (
        ("/api/pull", {"model": "tiny:skills", "stream": False}),
        ("/api/copy", {"source": "tiny:skills", "destination": "skills"}),
    ):
        server.client.post(path, json=body).raise_for_status()
    server.client.request("DELETE", "/api/delete", json={"model": "tiny:skills"}).raise_for_status()
    server.chat(messages=[])  # it was loaded when the recording began


@pytest.mark.parametrize("name", cases())
def test_it_answers_as_ollama_does(ours: dict[str, Answer], name: str) -> None:
    found = _essence(ours[name])
    real = [_essence(answer) for answer in theirs(name)]
    if name in DIFFERENCES:
        assert found not in real, f"{name} does not differ any more: take it out of the table"
        return
    assert found in real


def test_the_table_names_cases_that_are_asked() -> None:
    assert DIFFERENCES.keys() <= cases().keys()


def test_the_page_for_people_is_the_table() -> None:
    page = (Path(__file__).parent / "contract.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {what} | {why} |" for name, (what, why) in DIFFERENCES.items()]
    assert "\n".join(rows) + "\n\n" in page
    missing = [f"- `{method} {path}`: {said}" for (method, path), said in absent.ROUTES.items()]
    assert "\n".join(missing) + "\n\n" in page


def _essence(answer: Answer) -> dict[str, Any]:
    """What of an answer the contract is about."""
    lines = [_line(line) for line in answer.lines if line]
    kinds = sorted({json.dumps(kind) for kind, _ in lines})
    words = [word for _, word in lines if word]
    return {
        "status": answer.status,
        "content_type": answer.content_type,
        "kinds": kinds,
        "words": list(dict.fromkeys(words)),
    }


def _line(line: str) -> tuple[Any, str]:
    """One line's kind, and those of its words that are the server's own."""
    text = line.removeprefix("data: ")
    if not text.startswith("{"):
        return "text", line
    told = json.loads(text)
    if "error" in told:
        said = json.dumps(told["error"])
        return _shape(told), re.sub(r"\d+", "<n>", said) if "exceed_context_size" in said else said
    said = told.get("status") or told.get("done_reason") or ""
    return _shape(told), re.sub(r"[0-9a-f]{64}", "<digest>", str(said))


def _shape(value: Any, key: str = "") -> Any:
    """Keys in their order, and types; a list is the kinds of its items."""
    if isinstance(value, dict):
        return "..." if key in _OPEN else {name: _shape(value[name], name) for name in value}
    if isinstance(value, list):
        return "..." if key in _OPEN else sorted({json.dumps(_shape(item)) for item in value})
    return "number" if type(value) in (int, float) else type(value).__name__
