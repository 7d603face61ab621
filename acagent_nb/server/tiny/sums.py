"""Sums, made in code: additions to 20 + 20, subtractions down to 0, and the multiplication tables to 10."""

from __future__ import annotations

import random

from .corpus import Question

# Each operation: its sign, its phrasings, and the phrasings held out of the training.
_PLUS = (
    (
        "What is $a + $b?", "$a+$b", "$a + $b", "add $a and $b", "what's $a plus $b", "Calculate $a + $b.",
        "$a plus $b", "How much is $a + $b?", "$a + $b =", "Please add $a and $b.", "what is the sum of $a and $b",
        "$a+$b=?", "What is $a plus $b?",
    ),
    ("How much is $a plus $b?", "Work out $a + $b."),
)  # fmt: skip
_MINUS = (
    (
        "What is $a - $b?", "$a-$b", "$a - $b", "subtract $b from $a", "what's $a minus $b", "Calculate $a - $b.",
        "$a minus $b", "How much is $a - $b?", "$a - $b =", "take $b away from $a", "What is $a minus $b?",
    ),
    ("How much is $a minus $b?", "Work out $a - $b."),
)  # fmt: skip
_TIMES = (
    (
        "What is $a * $b?", "$a*$b", "$a * $b", "$a x $b", "multiply $a by $b", "what's $a times $b", "$a times $b",
        "Calculate $a * $b.", "How much is $a * $b?", "$a * $b =", "Multiply $a and $b.", "What is $a times $b?",
    ),
    ("How much is $a times $b?", "Work out $a * $b."),
)  # fmt: skip


def _question(sign: str, phrasings: tuple[tuple[str, ...], tuple[str, ...]], a: int, b: int) -> Question:
    result = {"+": a + b, "-": a - b, "*": a * b}[sign]
    ask, held = (tuple(text.replace("$a", str(a)).replace("$b", str(b)) for text in texts) for texts in phrasings)
    answer = f"{a} {sign} {b} = {result}."
    return Question("sums", ask, held, (answer,), f"I calculate {a} {sign} {b}. That is {result}.", copies=True)


def every_sum() -> list[Question]:
    """All the sums that the model should know."""
    plus = [_question("+", _PLUS, a, b) for a in range(21) for b in range(21)]
    minus = [_question("-", _MINUS, a, b) for a in range(21) for b in range(a + 1)]
    times = [_question("*", _TIMES, a, b) for a in range(11) for b in range(11)]
    return plus + minus + times


def too_hard(rng: random.Random) -> str:
    """A sum that the model should refuse: the numbers are larger than those it was taught."""
    a, b = rng.randint(31, 9999), rng.randint(31, 9999)
    text = rng.choice((_PLUS, _MINUS, _TIMES))[0]
    return rng.choice(text).replace("$a", str(a)).replace("$b", str(b))
