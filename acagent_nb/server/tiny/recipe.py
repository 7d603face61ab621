"""What the model sees while it learns: conversations drawn from the corpus, in set shares, from one seed.

Most hold several turns, some a system prompt that changes nothing. A quarter and more of the turns must be refused:
half of those are a known question with one strange word in it.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import chain
from string import Template

from . import FALLBACK
from .corpus import Call, Corpus, Pattern, Question, Row, filled, plain
from .render import Conversation, Turn
from .scenes import LOST, OTHER_TOOLS, idle_system, thought
from .sums import every_sum, too_hard
from .vary import estranged, invented, pseudo, shape, vary

# What these tools do, the model can do itself when the numbers are small.
_SUM_TOOLS = ("add", "multiply")


class Recipe:
    """Draws conversations without end.

    Parameters
    ----------
    corpus
        What to draw from.
    seed
        The same seed gives the same conversations.
    """

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self.corpus = corpus
        self.rng = random.Random(seed)  # noqa: S311 - draws examples, no secrets
        self.open = [pattern for pattern in corpus.patterns if pattern.slots or pattern.held_rows]
        fixed = [q for p in corpus.patterns if not (p.slots or p.held_rows) for q in p.questions()]
        self.creative = [q for q in fixed if len(q.say) > 1]
        self.known = [q for q in fixed if len(q.say) == 1]
        self.sums = every_sum()
        self.by_phrasing = {text: q for q in [*fixed, *self.sums] for text in q.ask}
        questions = [*fixed, *(q for p in self.open for q in p.questions())]
        thoughts = [q for p in corpus.thoughts for q in p.questions()]
        texts = chain.from_iterable(q.held for q in [*questions, *thoughts])
        self.held_rows = [plain(value) for p in corpus.patterns for row in p.held_rows for value in row.values()]
        self.held_rows = [text for text in self.held_rows if " " in text]
        # Never trained on: no variation may hit upon a phrasing that the test asks.
        self.held = {plain(text) for text in chain(texts, corpus.unknown_held)}
        self.asked = {plain(text) for q in questions for text in q.ask}
        seen = [{word for text in q.ask for word in plain(text).split()} for q in questions]
        self.frequency = dict(Counter(chain.from_iterable(seen)))
        self.strange = tuple(word for word in corpus.strange if word.lower() not in self.frequency)

    def conversation(self) -> Conversation:
        """The next conversation."""
        rng = self.rng
        kind, thinking = rng.random(), rng.random() < 0.4
        if self.corpus.calls and kind < 0.16:
            return self._with_tools()
        if self.corpus.styles and kind < 0.34:
            return self._styled()
        if kind > 0.9:
            return self._drill()
        count = rng.choice((1, 1, 2, 2) if thinking else (1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10))
        turns = [self._turn() for _ in range(count)]
        if thinking and rng.random() < 0.7:
            thought = self.corpus.thoughts and rng.random() < 0.5
            turns[-1] = self._asked(self._fill(self._thought()) if thought else rng.choice(self.known))
        system = idle_system(rng) if rng.random() < 0.25 else ""
        if self.corpus.chats and kind < 0.44:
            own, chat = self._chat()
            system, at = own or system, rng.randint(0, min(2, count))
            # What nobody told the model in this chat is a question of its own; here something was told.
            after = [turn for turn in turns[at : at + 2] if not turn.say.startswith("You have not told me")]
            turns = turns[:at] + chat + (after if rng.random() < 0.4 else [])
        return Conversation(tuple(turns), system, thinking=thinking)

    def _turn(self, sums: bool = True) -> Turn:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.27:
            return Turn(self._unknown(sums), FALLBACK, LOST)
        if kind < 0.37 and sums:
            return self._asked(rng.choice(self.sums))
        if kind < 0.41 and self.creative:
            return self._asked(rng.choice(self.creative))
        if kind < 0.56 and self.open:
            return self._asked(self._fill(self._open()))
        if kind < 0.60 and self.corpus.thoughts:
            return self._asked(self._fill(self._thought()))
        return self._asked(rng.choice(self.known))

    def _drill(self) -> Conversation:
        """Many short turns: the sums, of which there are most, and what copies from the question."""
        turns = [
            self._asked(self.rng.choice(self.sums) if self.rng.random() < 0.7 else self._fill(self._open()))
            for _ in range(self.rng.randint(5, 10))
        ]
        return Conversation(tuple(turns))

    def _fill(self, pattern: Pattern) -> Question:
        row = pattern.draw_row(self.rng)
        if pattern.slots:
            row = self._invent(row, " ".join(pattern.say))
        return pattern.fill(row)

    def _invent(self, row: Row, answers: str) -> Row:
        """Invented values, now and then, for what the answers copy: so the model learns to copy, and not the lists."""
        if self.rng.random() < 0.6:
            return row
        return {
            name: invented(value, self.rng, self.strange) if f"${name}" in answers else value
            for name, value in row.items()
        }

    def _open(self) -> Pattern:
        """An open pattern of either topic; one with many rows comes more often than one with slots."""
        topics = sorted({pattern.topic.split("_")[0] for pattern in self.open})
        topic = self.rng.choice(topics)
        patterns = [pattern for pattern in self.open if pattern.topic.startswith(topic)]
        return self.rng.choices(patterns, [len(pattern.rows) or 10 for pattern in patterns])[0]

    def _thought(self) -> Pattern:
        patterns = self.corpus.thoughts
        return self.rng.choices(patterns, [max(len(pattern.rows), 5) for pattern in patterns])[0]

    def _asked(self, question: Question) -> Turn:
        text = self._phrase(question.ask, exact=question.copies or bool(question.think))
        return Turn(text, self.rng.choice(question.say), thought(question))

    def _phrase(self, ask: tuple[str, ...], exact: bool = False) -> str:
        for _ in range(5):
            text = self.rng.choice(ask)
            if not exact:
                text = vary(text, self.rng)
            simple = plain(text)
            if simple not in self.held and not (exact and any(row in simple for row in self.held_rows)):
                return text
        return ask[0]

    def _unknown(self, sums: bool) -> str:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.08 and sums:
            return too_hard(rng)
        if kind < 0.11:
            return " ".join(pseudo(rng) for _ in range(rng.randint(1, 5)))
        if kind < 0.52 or not self.strange:
            return self._phrase(self.corpus.unknown)
        while True:
            base = self._phrase(rng.choice(rng.choice((self.known, self.known, self.creative))).ask)
            word = rng.choice(self.strange) if rng.random() < 0.75 else pseudo(rng)
            text = estranged(base, self.frequency, word, rng)
            if text and plain(text) not in self.asked | self.held:
                return text

    def _chat(self) -> tuple[str, list[Turn]]:
        chat = self.rng.choice(self.corpus.chats)
        if chat.slots and self.rng.random() < 0.3:
            values = {name: (invented(self.rng.choice(v), self.rng, self.strange),) for name, v in chat.slots.items()}
            chat = replace(chat, slots=values)
        system, turns = chat.draw(self.rng)
        return system, [
            Turn(shape(user, self.rng), say, LOST if say == FALLBACK else "I look at what the user told me.")
            for user, say in turns
        ]

    def _styled(self) -> Conversation:
        style = self.rng.choice(self.corpus.styles)
        turns = []
        for _ in range(self.rng.choice((1, 1, 2, 3, 4))):
            if style.answers and self.rng.random() < 0.75:
                first = self.rng.choice(list(style.answers))
                turn = replace(self._asked(self.by_phrasing[first]), say=style.answers[first])
            else:
                turn = self._asked(self.rng.choice(self.known)) if self.rng.random() < 0.6 else self._turn()
                if style.say and not style.answers:
                    turn = replace(turn, say=Template(style.say).substitute(answer=turn.say))
            turns.append(turn)
        return Conversation(
            tuple(turns), shape(self.rng.choice(style.system), self.rng), thinking=self.rng.random() < 0.2
        )

    def _with_tools(self) -> Conversation:
        rng = self.rng
        call = rng.choice(self.corpus.calls)
        own = [tool.line for tool in self.corpus.tools if tool.name == call.tool]
        rest = [tool.line for tool in self.corpus.tools if tool.name != call.tool]
        offered = rng.sample(rest, rng.randint(0, len(rest))) + rng.sample(OTHER_TOOLS, rng.choice((0, 0, 0, 1, 2)))
        # No sums here: whether a tool should do them depends on the tools.
        before = [self._turn(sums=False) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
        after: list[Turn] = []
        kind = rng.random()
        if kind < 0.7:
            offered += own
            turn = self._call(call, answered=rng.random() < 0.4)
            if before and rng.random() < 0.3:
                before[-1] = self._call(call)
            if turn.answered and rng.random() < 0.3:
                after = [self._turn(sums=False)]
        elif kind < 0.8 and call.tool not in _SUM_TOOLS:
            # The tool is not there: the model neither calls it nor knows the answer.
            offered = offered if rng.random() < 0.7 else []
            turn = replace(self._call(call), call="", say=FALLBACK, think=LOST)
        else:
            offered += own
            turn = self._turn(sums=False)
        rng.shuffle(offered)
        system = idle_system(rng) if rng.random() < 0.25 else ""
        return Conversation((*before, turn, *after), system, tuple(offered), thinking=rng.random() < 0.5)

    def _call(self, call: Call, answered: bool = True) -> Turn:
        row = self._invent(call.pattern.draw_row(self.rng), f"{call.arguments} {call.pattern.say[0]}")
        question = call.pattern.fill(row)
        return Turn(
            self._phrase(question.ask, exact=True),
            self.rng.choice(question.say),
            question.think or f"I need the tool {call.tool}.",
            f'{{"name": "{call.tool}", "arguments": {filled(call.arguments, row)}}}',
            filled(call.result, row),
            "The tool gave me the answer. I say it in a sentence.",
            answered,
        )
