"""A conversation as the text that the model sees: the bytes that the two Jinja templates give, and which to learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

START, END = "<|im_start|>", "<|im_end|>"
# The first two are control tokens, silent in an answer; llama.cpp's chat parser must see the text of the others.
CONTROL = (START, END)
MARKS = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")


@dataclass(frozen=True)
class Turn:
    """What the user says and what the model answers; with a call, the tool's result stands between the two."""

    user: str
    say: str
    think: str = ""
    call: str = ""
    result: str = ""
    think_result: str = ""
    # False: stop after the call (only in a last turn).
    answered: bool = True


@dataclass(frozen=True)
class Conversation:
    """Turns under a system prompt and with tools; ``thinking`` shows the last thought, as the server's prompt does."""

    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[str, ...] = ()
    thinking: bool = False


def pieces(conversation: Conversation) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether the model learns to write it.

    A piece never ends inside a token: pieces meet beside a control token, or where a line begins with a word.
    """
    system = conversation.system
    if conversation.tools:
        system += ("\n\n" if system else "") + "Tools: " + ", ".join(conversation.tools)
    yield (f"{START}system\n{system}{END}\n" if system else ""), False
    for number, turn in enumerate(conversation.turns):
        thinking = conversation.thinking and number == len(conversation.turns) - 1
        yield f"{START}user\n{turn.user}{END}\n", False
        if turn.call:
            yield from _answer(
                f"<tool_call>\n{turn.call}\n</tool_call>", turn.think if thinking and not turn.answered else ""
            )
            if not turn.answered:
                return
            yield f"{START}user\n<tool_response>\n{turn.result}\n</tool_response>{END}\n", False
            yield from _answer(turn.say, turn.think_result if thinking else "")
        else:
            yield from _answer(turn.say, turn.think if thinking else "")


def _answer(text: str, think: str) -> Iterator[tuple[str, bool]]:
    if think:
        yield f"{START}assistant\n<think>\n", False
        yield f"{think}\n</think>\n\n{text}{END}", True
    else:
        yield f"{START}assistant\n", False
        yield f"{text}{END}", True
    yield "\n", False
