"""Other ways to write a question: case, politeness, word order, small typos; a strange word makes it another one.

Few phrasings a question would teach the model to know only those; these variations, used alike on known and on unknown
questions, teach it that they do not matter.
"""

from __future__ import annotations

import random
import re

_BEFORE = (
    "Please ", "please ", "Hey, ", "So, ", "Ok, ", "Quick question: ", "Question: ", "I wonder: ", "Tell me: ",
    "Actually, ", "Hi! ", "Sorry, ", "Well, ", "Now ", "And ", "Just curious: ", "Can you help me? ", "One more: ",
)  # fmt: skip
_AFTER = (
    " please", ", please", ", please?", " Thanks!", " thanks", " Thank you.", " I am curious.", " in short", " ok?",
    " exactly", " now", " again", " for me", " briefly",
)  # fmt: skip
# Direct questions, and the same asked politely. Each pattern is tried on the whole text.
_TURNED: tuple[tuple[str, str], ...] = (
    (
        r"what(?: is|'s|s) (?P<x>.+?)\??",
        "can you tell me what {x} is?|do you know what {x} is?|tell me what {x} is|I want to know what {x} is."
        "|please explain what {x} is|explain {x}|could you say what {x} is?|{x}|{x}?|what would {x} be?",
    ),
    (
        r"what does (?P<x>.+) (?P<v>do|mean)\??",
        "can you tell me what {x} {v}s?|explain what {x} {v}s|I want to know what {x} {v}s|tell me what {x} {v}s"
        "|do you know what {x} {v}s?|what is it that {x} {v}s?",
    ),
    (
        r"how (?:do|can|must|should) I (?P<x>.+?)\??",
        "can you tell me how to {x}?|how to {x}|show me how to {x}|what is the way to {x}?|I want to {x}"
        "|tell me how I {x}|how could I {x}?|is there a way to {x}?|I would like to {x}|how do you {x}?",
    ),
    (
        r"why (?P<b>is|are) (?P<a>the \w+|a \w+|\w+) (?P<x>.+?)\??",
        "can you tell me why {a} {b} {x}?|explain why {a} {b} {x}|tell me why {a} {b} {x}|how come {a} {b} {x}?"
        "|what is the reason that {a} {b} {x}?|what makes {a} {x}?|{a} {b} {x}, why?",
    ),
    (
        r"why (?:do|does) (?P<x>.+?)\??",
        "can you tell me why {x}?|explain why {x}|how come {x}?|tell me why {x}|what is the reason {x}?",
    ),
    (
        r"(?P<x>(?:who|which|when|where|what|how) \w+ .+?)\??",
        "can you tell me {x}?|do you know {x}?|please tell me {x}|I want to know {x}|could you say {x}?",
    ),
    (
        r"(?:please )?explain (?P<x>.+?)(?:, please)?[.?!]?",
        "can you explain {x}?|describe {x}|I don't understand {x}|could you explain {x} to me?|an explanation of {x}"
        "|give me an explanation of {x}|I need {x} explained|please describe {x}",
    ),
    (
        r"(?:please )?(?:tell|show|give) me (?P<x>.+?)(?:, please)?[.?!]?",
        "can you give me {x}?|I would like {x}|could I have {x}?|I want {x}|let me have {x}|may I have {x}?",
    ),
    (
        r"(?:please )?(?:write|compose|make) (?:me )?(?P<x>an? .+?)(?:, please)?[.?!]?",
        "can you write {x}?|I would like {x}|could I have {x}?|I want {x}|give me {x}|I'd love {x}",
    ),
)
_WORDS = (
    ("tell me", "say"), ("explain", "describe"), ("describe", "explain"), ("begin", "start"), ("start", "begin"),
    ("called", "named"), ("big", "large"), ("biggest", "largest"), ("largest", "biggest"), ("show me", "give me"),
    ("use", "work with"), ("cause", "reason"), ("how come", "why"), ("what makes", "what causes"),
    ("mean", "stand for"), ("colour", "color"), ("color", "colour"), ("quick", "fast"), ("i am", "I'm"),
    ("what is", "what's"), ("need", "want"), ("write", "create"), ("make", "create"), ("see", "find"),
    ("list", "show"), ("happens", "occurs"), ("kind", "type"),
)  # fmt: skip
_SMALL = {"the", "a", "an", "of", "is", "please", "me", "do", "does", "to", "so", "in"}
# Words that carry a question's form and not its matter; a strange word never takes their place.
FORM = {
    *_SMALL, "what", "why", "who", "which", "when", "where", "how", "can", "could", "would", "you", "i", "it", "my",
    "are", "was", "were", "be", "been", "tell", "explain", "give", "say", "name", "know", "write", "show", "for",
    "on", "at", "by", "with", "and", "or", "if", "not", "from", "that", "this", "these", "those", "there", "has",
    "have", "had", "did", "will", "should", "must", "may", "some", "any", "make", "makes", "made", "come", "about",
    "describe", "want", "like", "mean", "means", "meaning", "use", "used", "your", "we", "they", "their", "its",
    "his", "her", "as", "called", "reason", "short", "more", "many", "much", "long", "old", "one", "don't", "i'm",
    "what's", "help", "compose",
}  # fmt: skip


def vary(text: str, rng: random.Random) -> str:
    """The same question, written in another way; often unchanged."""
    if rng.random() < 0.3:
        return text
    if rng.random() < 0.3:
        text = _turn(text, rng)
    if rng.random() < 0.12:
        text = _word(text, rng)
    if rng.random() < 0.08:
        words = text.split()
        small = [n for n, word in enumerate(words) if word.lower() in _SMALL]
        if small and len(words) > 3:
            del words[rng.choice(small)]
            text = " ".join(words)
    if rng.random() < 0.1:
        text = _typo(text, rng)
    if rng.random() < 0.12:
        text = rng.choice(_BEFORE) + (text[:1].lower() + text[1:] if rng.random() < 0.5 else text)
    elif rng.random() < 0.12:
        text = text.rstrip("?.! ") + rng.choice(_AFTER)
    return shape(text, rng)


def shape(text: str, rng: random.Random) -> str:
    """Another case or end of the sentence; the words stay."""
    chance = rng.random()
    if chance < 0.25:
        text = text.lower()
    elif chance < 0.45:
        text = text[:1].upper() + text[1:]
    chance = rng.random()
    if chance < 0.2:
        text = text.rstrip("?.! ")
    elif chance < 0.4:
        text = text.rstrip("?.! ") + rng.choice("??.!")
    return text


def _turn(text: str, rng: random.Random) -> str:
    for pattern, forms in _TURNED:
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match:
            return rng.choice(forms.split("|")).format(**match.groupdict())
    return text


def _word(text: str, rng: random.Random) -> str:
    there = [(old, new) for old, new in _WORDS if re.search(rf"\b{old}\b", text, re.IGNORECASE)]
    if not there:
        return text
    old, new = rng.choice(there)
    return re.sub(rf"\b{old}\b", new, text, count=1, flags=re.IGNORECASE)


def _typo(text: str, rng: random.Random) -> str:
    words = [match.span() for match in re.finditer(r"(?<![\w_'\"])[A-Za-z]{5,}(?![\w_'\"])", text)]
    if not words:
        return text
    start, end = rng.choice(words)
    spot = rng.randrange(start + 1, end - 1)
    chance = rng.random()
    if chance < 0.4:
        return text[:spot] + text[spot + 1] + text[spot] + text[spot + 2 :]
    if chance < 0.7:
        return text[:spot] + text[spot + 1 :]
    return text[:spot] + text[spot] + text[spot:]


def pseudo(rng: random.Random) -> str:
    """An invented word."""
    onsets = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "gl", "kr", "st", "sh")
    codas = ("", "", "n", "r", "l", "s", "x")
    return "".join(rng.choice(onsets) + rng.choice("aeiou") + rng.choice(codas) for _ in range(rng.randint(2, 3)))


def invented(value: str, rng: random.Random, words: tuple[str, ...]) -> str:
    """Another value for an open slot, of the same kind: digits for digits, words for words."""
    if value.isdigit():
        size = rng.randint(1, max(3, len(value)))
        return str(rng.randint(10 ** (size - 1), 10**size - 1))
    if not re.fullmatch(r"[A-Za-z ]+", value):
        return value
    new = [rng.choice(words) if words and rng.random() < 0.3 else pseudo(rng) for _ in value.split()]
    return " ".join(
        word.capitalize() if old[0].isupper() else word for old, word in zip(value.split(), new, strict=True)
    )


def estranged(text: str, frequency: dict[str, int], strange: str, rng: random.Random) -> str:
    """The question with the word that matters most (one of the two rarest) replaced; empty when it has none."""
    words = {word: word.strip("?.!,:;'\"").lower() for word in text.split()}
    matter = sorted((frequency.get(word, 0), given) for given, word in words.items() if word and word not in FORM)
    if not matter:
        return ""
    given = rng.choice(matter[:2])[1]
    bare = given.strip("?.!,:;'\"")
    new = strange.capitalize() if bare[:1].isupper() and not text.startswith(bare) else strange
    return text.replace(bare, new, 1)
