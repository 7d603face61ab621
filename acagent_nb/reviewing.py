"""Recorded answers for people: what was asked and answered in short, and what differs between two recordings.

Prompts and answers are shown here: whoever calls has asked to see them. Texts are as they came, and have
to be made harmless before a terminal gets them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import Any, NamedTuple

from . import differing, recordings
from .chats import shown
from .messages import ToolCall
from .recordings import Line, Placed

_WORD = re.compile(r"\w+|[^\w\s]|\s+")
_AROUND = 12  # words and blanks that are shown before and after a change
_KIN = 2.0  # how far questions may be from each other of which one has taken the other's place
_USUAL_ENDS = ("", "stop", "load", "unload")


class Pair(NamedTuple):
    """The same question in two recordings."""

    old: Placed
    new: Placed


class Changes(NamedTuple):
    """What a recording has otherwise than an older one.

    Attributes
    ----------
    new, gone
        Questions that only one of them has.
    different
        Those that both have, with other answers.
    digests
        The models that answered in other versions: their digests then and now.
    """

    new: list[Placed]
    gone: list[Placed]
    different: list[Pair]
    digests: dict[str, tuple[list[str], list[str]]]


def prompt(line: Line) -> str:
    """What the user asked last: of a chat the last user's turn, of vectors the first text; may be empty."""
    request = line.request
    for turn in reversed(request.get("messages") or ()):
        if turn.get("role") == "user":
            return str(turn.get("content", ""))
    return str(request.get("prompt") or (request.get("texts") or [""])[0])


def how(line: Line) -> str:
    """Options and what else belongs to a question, in short: "temperature=0.2 json 2 tools"."""
    request = line.request
    told = [f"{name}={_value(value)}" for name, value in request.get("options", {}).items()]
    if form := request.get("format"):
        told.append(form if isinstance(form, str) else "schema")
    if "think" in request:
        told.append(f"think={_value(request['think'])}")
    if tools := request.get("tools"):
        told.append(f"{len(tools)} tool{'s' * (len(tools) > 1)}")
    if len(texts := request.get("texts", ())) > 1:
        told.append(f"{len(texts)} texts")
    return " ".join(told)


def tokens(line: Line) -> int | None:
    """Tokens of the answer, if they were told."""
    ends = [what for kind, what in _rows(line) if kind == "done" and isinstance(what, dict)]
    return ends[-1].get("eval_count") if ends else None


def answer(line: Line) -> str:
    """All that was answered, without its times and figures."""
    parts: list[str] = []
    for kind, what in _rows(line):
        try:
            parts += _parts(kind, what)
        except (TypeError, ValueError, KeyError):  # somebody has edited it
            parts.append(f"(a {kind} that can't be read)")
    return "\n".join(parts)


def changes(old: Iterable[Placed], new: Iterable[Placed]) -> Changes:
    """Compare two recordings; of the lines of one question and number the last counts."""
    before, after = map(recordings.latest, (old, new))
    both = [Pair(before[each], after[each]) for each in after if each in before]
    digests = {}
    for model in {line.model: None for _, line in after.values() if line.digest}:
        then, now = (_digests(each.values(), model) for each in (before, after))
        if then and then != now:
            digests[model] = then, now
    return Changes(
        [place for each, place in after.items() if each not in before],
        [place for each, place in before.items() if each not in after],
        [pair for pair in both if answer(pair.old[1]) != answer(pair.new[1])],
        digests,
    )


def kin(new: Line, gone: Sequence[Placed]) -> tuple[int, list[str]] | None:
    """The question among those that are gone whose place a new one may have taken: its line, and what differs."""
    near = [(differing.distance(new.question, line.question), number, line) for number, line in gone]
    apart, number, line = min(near, key=lambda each: each[:2], default=(inf, 0, new))
    return (number, differing.words(new.question, line.question)) if apart < _KIN else None


def marked(old: str, new: str) -> Iterator[tuple[str, str]]:
    """The words of two texts in runs, with "-" or "+" or, for those that both have, " "; shortened far from changes."""
    ours, theirs = _WORD.findall(old), _WORD.findall(new)
    steps = difflib.SequenceMatcher(str.isspace, ours, theirs).get_opcodes()
    for at, (step, start, end, first, last) in enumerate(steps):
        if step == "equal":
            yield " ", _brief(ours[start:end], at == 0, at == len(steps) - 1)
        else:
            yield from (
                (sign, "".join(run)) for sign, run in (("-", ours[start:end]), ("+", theirs[first:last])) if run
            )


def _rows(line: Line) -> Iterator[tuple[str, Any]]:
    """Each row's kind and what it holds."""
    for row in line.events:
        if len(row) == 3 and isinstance(row[0], str):
            yield row[0], row[1]


def _parts(kind: str, what: Any) -> Iterator[str]:
    """What one row says to people."""
    if kind == "text":
        yield str(what)
    elif kind in ("thinking", "note"):
        yield f"({kind}) {what}"
    elif kind == "call":
        yield shown(ToolCall(what["name"], what["arguments"]))
    elif kind == "error":
        yield f"{what['type']}: {what['message']}"
    elif kind == "done" and (reason := what.get("done_reason", "")) not in _USUAL_ENDS:
        yield f"(ended: {reason})"
    elif kind == "value" and what and "vectors" in what:
        count, width = what["vectors"]["shape"]
        digest = hashlib.sha256(what["vectors"]["float32"].encode()).hexdigest()
        yield f"{count} vector{'s' * (count != 1)} of {width} numbers, sha256 {digest[:12]}"
    elif kind == "value":
        yield json.dumps(what, ensure_ascii=False, indent=1, sort_keys=True)


def _digests(placed: Iterable[Placed], model: str) -> list[str]:
    return sorted({line.digest for _, line in placed if line.model == model and line.digest})


def _brief(words: Sequence[str], first: bool, last: bool) -> str:
    """Words between two changes, the middle of many left out; at the beginning or end only those near the change."""
    head, tail = 0 if first else _AROUND, 0 if last else _AROUND
    if len(words) <= head + tail + 3:
        return "".join(words)
    return f"{''.join(words[:head])} … {''.join(words[len(words) - tail :])}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
