"""The corpus: TOML files with questions and answers, read into patterns that can be filled.

A pattern is one question with many phrasings. A family is a pattern over rows, each row a question of its own; slots
are open lists, of which any combination may be drawn. What the files may hold is shown by the files themselves; the
validation below says what they must hold.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import chain
from pathlib import Path
from string import Template
from typing import Any

# Before Python 3.11 the same parser is a package of its own.
_toml: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

FOLDER = Path(__file__).parent / "corpus"
FEWEST_QUESTIONS = 250
FEWEST_PHRASINGS = 6

Row = Mapping[str, str]


def plain(text: str) -> str:
    """The text without case and punctuation: two phrasings equal in this are the same phrasing."""
    return " ".join(re.sub(r"[?!.,;:'\"]", " ", text.lower()).split())


def filled(text: str, row: Row) -> str:
    """The text with its placeholders replaced; one that the row does not know is an error."""
    return Template(text).substitute(row) if row else text


@dataclass(frozen=True)
class Question:
    """One question: its phrasings, those held out of the training, and its answers (several only when creative)."""

    topic: str
    ask: tuple[str, ...]
    held: tuple[str, ...]
    say: tuple[str, ...]
    think: str = ""
    # True when the answer copies words of the question, so that a typo in one would be wrong in the other.
    copies: bool = False


@dataclass(frozen=True)
class Pattern:
    """A question with placeholders, and the rows or slots that fill them."""

    topic: str
    ask: tuple[str, ...]
    held: tuple[str, ...]
    say: tuple[str, ...]
    think: str = ""
    rows: tuple[Row, ...] = ()
    held_rows: tuple[Row, ...] = ()
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def fill(self, row: Row) -> Question:
        """The question of one row."""

        def every(texts: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(filled(text, row) for text in texts)

        return Question(
            self.topic,
            every(self.ask),
            every(self.held),
            every(self.say),
            filled(self.think, row),
            copies=bool(self.slots or self.held_rows),
        )

    def draw_row(self, rng: random.Random) -> Row:
        """A row, or one value for each slot."""
        if self.slots:
            return {name: rng.choice(values) for name, values in self.slots.items()}
        return rng.choice(self.rows) if self.rows else {}

    def draw(self, rng: random.Random) -> Question:
        """One question of this pattern."""
        return self.fill(self.draw_row(rng))

    def questions(self) -> Iterator[Question]:
        """Every question with fixed rows; for open slots one example, drawn with a fixed seed."""
        if self.slots:
            yield self.fill({name: values[0] for name, values in self.slots.items()})
            return
        for row in self.rows or ({},):
            yield self.fill(row)


@dataclass(frozen=True)
class Chat:
    """A conversation whose later turns need the earlier ones: a list of (phrasings, answer)."""

    system: tuple[str, ...]
    turns: tuple[tuple[tuple[str, ...], str], ...]
    rows: tuple[Row, ...] = ()
    slots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def draw(self, rng: random.Random) -> tuple[str, list[tuple[str, str]]]:
        """A system prompt (perhaps empty) and the turns, each as (user, assistant)."""
        row: Row = {name: rng.choice(values) for name, values in self.slots.items()}
        if self.rows:
            row = {**row, **rng.choice(self.rows)}
        system = filled(rng.choice(self.system), row) if self.system else ""
        return system, [(filled(rng.choice(ask), row), filled(say, row)) for ask, say in self.turns]


@dataclass(frozen=True)
class Style:
    """A system prompt that changes the answers: all of them by ``say``, or those listed in ``answers``."""

    system: tuple[str, ...]
    held: tuple[str, ...]
    say: str
    answers: Mapping[str, str]


@dataclass(frozen=True)
class Tool:
    """A function that may be offered to the model."""

    name: str
    required: tuple[str, ...]
    description: str

    @property
    def line(self) -> str:
        """How the prompt shows it."""
        return f"{self.name}({', '.join(self.required)})"


@dataclass(frozen=True)
class Call:
    """A question that is answered by calling a tool, then by using its result."""

    tool: str
    pattern: Pattern
    arguments: str
    result: str

    def draw(self, rng: random.Random) -> tuple[Question, str, str]:
        """The question, the call's JSON arguments, and the tool's result."""
        row = self.pattern.draw_row(rng)
        return self.pattern.fill(row), filled(self.arguments, row), filled(self.result, row)


@dataclass(frozen=True)
class Corpus:
    """All that the files hold."""

    patterns: tuple[Pattern, ...]
    chats: tuple[Chat, ...]
    styles: tuple[Style, ...]
    tools: tuple[Tool, ...]
    calls: tuple[Call, ...]
    thoughts: tuple[Pattern, ...]
    unknown: tuple[str, ...]
    unknown_held: tuple[str, ...]
    # Words put into a known question to make an unknown one.
    strange: tuple[str, ...]

    def questions(self) -> list[Question]:
        """Every distinct question; a pattern with open slots counts once."""
        return [question for pattern in self.patterns for question in pattern.questions()]

    def faults(self, made: Iterable[Question] = ()) -> list[str]:
        """What breaks the rules of the corpus, in words; empty when all is well. ``made``: questions made in code."""
        found: list[str] = []
        questions = self.questions()
        if len(questions) < FEWEST_QUESTIONS:
            found.append(f"only {len(questions)} questions, at least {FEWEST_QUESTIONS} wanted")
        asked: dict[str, str] = {}
        for question in questions:
            name = question.ask[0]
            phrasings = {plain(text) for text in question.ask}
            if len(phrasings) < len(question.ask):
                found.append(f"a phrasing twice: {name}")
            if len(phrasings) < FEWEST_PHRASINGS:
                found.append(f"only {len(phrasings)} phrasings: {name}")
            found += [f"asked twice: {text!r} by {asked[text]!r} and {name!r}" for text in phrasings if text in asked]
            asked |= dict.fromkeys(phrasings, name)
        found += [f"unknown, yet known: {text!r}" for text in self.unknown if plain(text) in asked]
        trained = asked.keys() | {plain(text) for text in self.unknown}
        held = chain(self.unknown_held, *(question.held for question in questions))
        found += [f"held out, yet trained on: {text!r}" for text in held if plain(text) in trained]
        first = {text for question in chain(questions, made) for text in question.ask}
        found += [
            f"style of no question: {text!r}" for style in self.styles for text in style.answers if text not in first
        ]
        named = {tool.name for tool in self.tools}
        found += [f"call of no tool: {call.tool}" for call in self.calls if call.tool not in named]
        return found


def _pattern(topic: str, table: Mapping[str, Any]) -> Pattern:
    return Pattern(
        topic,
        tuple(table["ask"]),
        tuple(table.get("held", ())),
        (table["say"],) if isinstance(table["say"], str) else tuple(table["say"]),
        table.get("think", ""),
        tuple(table.get("rows", ())),
        tuple(table.get("held_rows", ())),
        _slots(table),
    )


def _slots(table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in table.get("slots", {}).items()}


def load(folder: Path = FOLDER) -> Corpus:
    """Read every TOML file of a folder, in the order of their names.

    Parameters
    ----------
    folder
        Where the files lie; the package's own corpus when left out.

    Returns
    -------
    Corpus
        All of it, not yet checked: see `Corpus.faults`.
    """
    files = {path.stem: _toml.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.toml"))}

    def tables(kind: str) -> Iterator[tuple[str, Any]]:
        for topic, file in files.items():
            yield from ((topic, table) for table in file.get(kind, ()))

    unknown = [file["unknown"] for file in files.values() if "unknown" in file]
    return Corpus(
        patterns=tuple(_pattern(topic, table) for kind in ("question", "family") for topic, table in tables(kind)),
        chats=tuple(
            Chat(
                tuple(table.get("system", ())),
                tuple((tuple(turn["ask"]), turn["say"]) for turn in table["turns"]),
                tuple(table.get("rows", ())),
                _slots(table),
            )
            for _, table in tables("chat")
        ),
        styles=tuple(
            Style(tuple(table["system"]), tuple(table.get("held", ())), table.get("say", ""), table.get("answers", {}))
            for _, table in tables("style")
        ),
        tools=tuple(
            Tool(table["name"], tuple(table["required"]), table.get("description", "")) for _, table in tables("tool")
        ),
        calls=tuple(
            Call(table["tool"], _pattern(topic, table), table["arguments"], table["result"])
            for topic, table in tables("call")
        ),
        thoughts=tuple(_pattern(topic, table) for topic, table in tables("thought")),
        unknown=tuple(text for table in unknown for text in table.get("ask", ())),
        unknown_held=tuple(text for table in unknown for text in table.get("held", ())),
        strange=tuple(text for table in unknown for text in table.get("strange", ())),
    )
