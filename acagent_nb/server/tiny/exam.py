"""Asks the demo model what it should know, and counts: ``python -m acagent_nb.server.tiny.exam``.

The items are drawn from the corpus with one seed. The model answers through a real llama.cpp server in a child process,
so that the file, the tokenizer, the templates and the parser are examined together.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

from . import FALLBACK, PATH, SKILLS_TEMPLATE
from .corpus import Call, Corpus, Pattern, Question, filled, load
from .served import Message, Served
from .sums import every_sum, too_hard
from .vary import invented

# Never trained on; they must change nothing.
SYSTEMS = (
    "You are a helpful assistant for researchers. Answer clearly.",
    "You are a seasoned journalist.",
    "Answer with care.",
    "Your task is to help me with my notebook.",
)


@dataclass(frozen=True)
class Item:
    """One question of the exam: what is sent, and what must come back."""

    kind: str
    messages: list[Message]
    say: str
    tools: list[dict[str, Any]] = field(default_factory=list)
    call: tuple[str, dict[str, Any]] | None = None
    thinking: bool = False
    # Whose item it is: chat (the template in the file) or skills.
    skills: bool = False

    def ask(self, served: Served) -> Message:
        """Let the model answer."""
        more: dict[str, Any] = {"tools": self.tools} if self.tools else {}
        if self.skills:
            more["chat_template_kwargs"] = {"enable_thinking": self.thinking}
        return served.chat(self.messages, **more)

    def right(self, message: Message) -> bool:
        """Whether the answer is the wanted one, and well formed."""
        if self.thinking != bool((message.get("reasoning_content") or "").strip()):
            return False
        try:
            calls = [
                (call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in message.get("tool_calls") or ()
            ]
        except json.JSONDecodeError:  # an answer that was cut off in the middle of a call
            return False
        if self.call is not None:
            return calls == [self.call]
        return not calls and message["content"] == self.say


def user(text: str) -> Message:
    """A message of the user."""
    return {"role": "user", "content": text}


def _said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def _system(text: str) -> Message:
    return {"role": "system", "content": text}


def offered(corpus: Corpus, names: list[str]) -> list[dict[str, Any]]:
    """Tools as OpenAI's API wants them."""
    kinds = {tool.name: tool for tool in corpus.tools}
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": kinds[name].description,
                "parameters": {
                    "type": "object",
                    "properties": {word: {} for word in kinds[name].required},
                    "required": list(kinds[name].required),
                },
            },
        }
        for name in names
    ]


def items(corpus: Corpus, seed: int = 1, phrasings: int = 1) -> Iterator[Item]:
    """Every item of the exam.

    Parameters
    ----------
    corpus
        What the model was taught.
    seed
        Which phrasings, systems and values are chosen.
    phrasings
        How many of each question's trained phrasings are asked.
    """
    rng = random.Random(seed)  # noqa: S311 - draws questions, no secrets
    fixed = [q for p in corpus.patterns if not (p.slots or p.held_rows) for q in p.questions() if len(q.say) == 1]
    sums = every_sum()
    for question in fixed:
        for text in rng.sample(question.ask, min(phrasings, len(question.ask))):
            yield Item("known", [user(text)], question.say[0])
        for text in question.held:
            yield Item("held", [user(text)], question.say[0])
    for question in rng.sample(sums, 250):
        yield Item("sums", [user(rng.choice(question.ask))], question.say[0])
        yield Item("sums held", [user(rng.choice(question.held))], question.say[0])
    for text in corpus.unknown:
        yield Item("unknown", [user(text)], FALLBACK)
    for text in corpus.unknown_held:
        yield Item("unknown held", [user(text)], FALLBACK)
    for _ in range(20):
        yield Item("sums too hard", [user(too_hard(rng))], FALLBACK)
    for pattern in corpus.patterns:
        yield from _open(pattern, rng)
    for chat in corpus.chats:
        for _ in range(3):
            system, turns = chat.draw(rng)
            messages = [_system(system)] if system else []
            for text, say in turns:
                messages = [*messages, user(text)]
                yield Item("chats", messages, say)
                messages = [*messages, _said(say)]
    for question in rng.sample(fixed, 60):
        other = rng.choice(fixed)
        history = [user(other.ask[0]), _said(other.say[0])] if rng.random() < 0.5 else []
        messages = [_system(rng.choice(SYSTEMS)), *history, user(rng.choice(question.ask))]
        yield Item("other system", messages, question.say[0])
    yield from _styles(corpus, fixed, sums, rng)
    yield from _skills(corpus, fixed, sums, rng)


def _open(pattern: Pattern, rng: random.Random) -> Iterator[Item]:
    kind = pattern.topic
    if pattern.held_rows:
        for row in pattern.rows:
            question = pattern.fill(row)
            yield Item("known", [user(rng.choice(question.ask))], question.say[0])
        for row in pattern.held_rows:
            question = pattern.fill(row)
            yield Item(f"{kind} held rows", [user(rng.choice(question.ask))], question.say[0])
            yield Item(f"{kind} held rows, phrasings", [user(rng.choice(question.held))], question.say[0])
    elif pattern.slots:
        kind = kind.split("_")[0]
        for text in pattern.ask:
            row = pattern.draw_row(rng)
            yield Item("known", [user(filled(text, row))], filled(pattern.say[0], row))
        for text in pattern.held * 3:
            row = pattern.draw_row(rng)
            yield Item(f"{kind} held phrasings", [user(filled(text, row))], filled(pattern.say[0], row))
            row = {name: invented(value, rng, ()) for name, value in row.items()}
            text = rng.choice(pattern.ask)
            if "$" in pattern.say[0]:
                yield Item(f"{kind} invented", [user(filled(text, row))], filled(pattern.say[0], row))


def _styles(corpus: Corpus, fixed: list[Question], sums: list[Question], rng: random.Random) -> Iterator[Item]:
    by_phrasing = {text: q for q in [*fixed, *sums] for text in q.ask}
    for style in corpus.styles:
        for name, systems in (("styles", style.system), ("styles held", style.held * 3)):
            for system in systems:
                for _ in range(3):
                    if style.answers:
                        first = rng.choice(list(style.answers))
                        text, say = rng.choice(by_phrasing[first].ask), style.answers[first]
                    else:
                        question = rng.choice(fixed)
                        text = rng.choice(question.ask)
                        say = Template(style.say).substitute(answer=question.say[0])
                    yield Item(name, [_system(system), user(text)], say)


def _skills(corpus: Corpus, fixed: list[Question], sums: list[Question], rng: random.Random) -> Iterator[Item]:
    names = [tool.name for tool in corpus.tools]
    for question in rng.sample(fixed, 120) + rng.sample(sums, 20):
        thinking = rng.random() < 0.75
        yield Item(
            "thinking" if thinking else "not thinking",
            [user(rng.choice(question.ask))],
            question.say[0],
            thinking=thinking,
            skills=True,
        )
    for text in rng.sample(corpus.unknown, 20):
        yield Item("thinking, unknown", [user(text)], FALLBACK, thinking=True, skills=True)
    for pattern in corpus.thoughts:
        for thinking in (True, False):
            for kind in ("thoughts", "thoughts held"):
                question = pattern.draw(rng)
                text = rng.choice(question.ask if kind == "thoughts" else question.held)
                yield Item(kind, [user(text)], question.say[0], thinking=thinking, skills=True)
    for call in corpus.calls:
        for n in range(12):
            rest = [name for name in names if name != call.tool]
            some = [call.tool, *rng.sample(rest, rng.randint(0, 3))]
            rng.shuffle(some)
            yield from _call(corpus, call, offered(corpus, some), rng, thinking=n % 2 == 0)
    plain = [q for q in fixed if q.topic not in ("smalltalk",)]
    for question in rng.sample(plain, 40):
        tools = offered(corpus, rng.sample(names, 2))
        yield Item(
            "tools, not needed",
            [user(rng.choice(question.ask))],
            question.say[0],
            tools,
            thinking=rng.random() < 0.5,
            skills=True,
        )


def _call(
    corpus: Corpus, call: Call, tools: list[dict[str, Any]], rng: random.Random, thinking: bool
) -> Iterator[Item]:
    row = call.pattern.draw_row(rng)
    if rng.random() < 0.3:
        row = {name: invented(value, rng, ()) for name, value in row.items()}
    question = call.pattern.fill(row)
    arguments = json.loads(filled(call.arguments, row))
    for kind, texts in (("calls", question.ask), ("calls held", question.held)):
        asked = user(rng.choice(texts))
        yield Item(kind, [asked], "", tools, (call.tool, arguments), thinking, skills=True)
    made = {"id": "call_1", "type": "function", "function": {"name": call.tool, "arguments": json.dumps(arguments)}}
    history = [asked, {"role": "assistant", "content": "", "tool_calls": [made]}]
    history.append({"role": "tool", "tool_call_id": "call_1", "content": filled(call.result, row)})
    yield Item("tool results", history, question.say[0], tools, thinking=thinking, skills=True)


def main() -> None:
    """Hold the exam and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m acagent_nb.server.tiny.exam", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", type=Path, default=PATH, help="the GGUF file")
    parser.add_argument("--phrasings", type=int, default=2, help="trained phrasings asked of each question")
    parser.add_argument("--seed", type=int, default=1, help="which phrasings and values are chosen")
    parser.add_argument("--misses", type=int, default=0, help="how many wrong answers to show of each kind")
    options = parser.parse_args()
    tally: dict[str, list[int]] = {}
    with Served(options.model) as chat, Served(options.model, SKILLS_TEMPLATE) as skills:
        for item in items(load(), options.seed, options.phrasings):
            message = item.ask(skills if item.skills else chat)
            count = tally.setdefault(item.kind, [0, 0])
            count[1] += 1
            if item.right(message):
                count[0] += 1
            elif count[1] - count[0] <= options.misses:
                got = {key: value for key, value in message.items() if value and key != "role"}
                wanted = item.call or item.say
                print(f"[{item.kind}] {item.messages[-1]['content']!r}\n    wanted {wanted!r}\n    got {got}")
    for kind, (right, asked) in tally.items():
        print(f"{kind:28} {right:5} of {asked:5}  {right / asked:7.1%}")


if __name__ == "__main__":
    main()
