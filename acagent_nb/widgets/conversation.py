"""The turns of a chat: what a model is told of them, and what a page without widgets shows of them."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from ..errors import BadPrompt
from ..messages import Message
from .turns import Turn


class Conversation:
    """Turns, oldest first; a value, made anew when a turn comes or goes."""

    def __init__(self, *turns: Turn) -> None:
        self._turns = turns

    def __iter__(self) -> Iterator[Turn]:
        return iter(self._turns)

    def __contains__(self, turn: object) -> bool:
        return turn in self._turns

    @property
    def last(self) -> Turn | None:
        """The newest turn."""
        return self._turns[-1] if self._turns else None

    @property
    def asked(self) -> bool:
        """Whether there is a question in it."""
        return any(turn.role == "user" for turn in self._turns)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was said; an answer without a word was not."""
        return tuple(said for turn in self._turns if (said := turn.message) is not None)

    @property
    def spoken(self) -> Conversation:
        """Without the answers that came to no word."""
        return Conversation(*(turn for turn in self._turns if turn.message is not None))

    @property
    def question(self) -> Conversation:
        """Up to the last question, which is the last turn then.

        Raises
        ------
        BadPrompt
            There is none.
        """
        places = [place for place, turn in enumerate(self._turns) if turn.role == "user"]
        if not places:
            raise BadPrompt("There is no question yet.", "Ask one first.")
        return Conversation(*self._turns[: places[-1] + 1])

    def html(self, system: str) -> str:
        """All of it below the system prompt, without a script and without anything that is fetched."""
        first = f"<p><i>System prompt:</i> {escape(system)}</p>" if system else ""
        return first + "".join(f'<div style="margin: 0 0 12px">{turn.html()}</div>' for turn in self._turns)

    def text(self, system: str) -> str:
        """All of it for a terminal."""
        first = [f"System prompt: {system}"] if system else []
        return "\n\n".join([*first, *(turn.text() for turn in self._turns)])

    def provenance(self) -> dict[str, Any]:
        """How the answers were made, never what was asked; see `Growing.provenance`."""
        return {"answers": [turn.answer.provenance() for turn in self._turns if turn.answer is not None]}
