"""A whole answer, put together from its events: what stays of a question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from .messages import Done, Event, Message, Note, Pulling, Request, Stats, Text, Thinking, ToolCall, ToolResult
from .options import Options


class Reply(Struct, frozen=True):
    """A whole answer.

    Attributes
    ----------
    text, thinking
        All pieces put together; with tools, those of the last round.
    tool_calls
        The calls the model asked for, in order; with functions that were called, all of them.
    tool_results
        What those functions gave back, in order.
    model, digest
        Who answered, by the name the server knows, and the digest of its manifest if that is known.
    options
        What was sent.
    done_reason, truncated
        See `Done`; `done_reason` is `None` if the answer never came to its end.
    stats
        What it cost; with tools, all rounds together.
    value
        The answer as Python data: what a `format` of "json", a schema or a class asked for.
    notes
        What the user should know, such as an option that does nothing on this server.
    replayed
        Whether all of it comes from a recording; see `answers`.
    messages
        The conversation with this answer at its end: give it to `chat` with a turn more to go on.
    """

    text: str
    model: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    options: Options = field(default_factory=Options)
    done_reason: str | None = None
    stats: Stats = Stats()
    digest: str = ""
    truncated: bool | None = None
    value: Any = None
    tool_results: tuple[ToolResult, ...] = ()
    notes: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    replayed: bool = False

    @property
    def complete(self) -> bool:
        """False for what is left of an answer that was stopped or broke off."""
        return self.done_reason is not None

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, request: Request, events: Iterable[Event]) -> Reply:
        """Put the `events` of an answer to a `request` together, however far it came."""
        rounds = [_Round()]
        notes = []
        for event in events:
            if isinstance(event, Note):
                notes.append(event.text)
            elif not isinstance(event, Pulling):
                if rounds[-1].ended and not isinstance(event, ToolResult):
                    rounds.append(_Round())
                rounds[-1].take(event)
        last = rounds[-1]
        ends = [each.done for each in rounds if each.done]
        done = last.done or Done()
        return cls(
            last.text,
            request.model,
            last.thinking,
            tuple(call for each in rounds for call in each.calls),
            request.options,
            last.done.done_reason if last.done else None,
            Stats.sum([each.stats for each in ends]),
            done.digest,
            done.truncated,
            None,
            tuple(result for each in rounds for result in each.results),
            tuple(notes),
            # A try that had to be corrected is no part of the conversation.
            (*request.messages, *(turn for each in rounds if each.calls or each is last for turn in each.turns())),
            bool(ends) and all(each.replayed for each in ends),
        )


class _Round:
    """One answer of the model, and what the functions gave back that it asked for."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._thinking: list[str] = []
        self.calls: list[ToolCall] = []
        self.results: list[ToolResult] = []
        self.done: Done | None = None

    @property
    def ended(self) -> bool:
        return self.done is not None

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        return "".join(self._thinking)

    def take(self, event: Event) -> None:
        match event:
            case Text(piece):
                self._text.append(piece)
            case Thinking(piece):
                self._thinking.append(piece)
            case ToolCall():
                self.calls.append(event)
            case ToolResult():
                self.results.append(event)
            case Done():
                self.done = event

    def turns(self) -> Iterator[Message]:
        """What the conversation grows by."""
        if self.text or self.calls or self.ended:
            yield Message("assistant", self.text, self.thinking, tool_calls=tuple(self.calls))
        for result in self.results:
            yield Message("tool", result.content, tool_name=result.call.name, tool_call_id=result.call.id)
