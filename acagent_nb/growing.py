"""An answer while it grows: what has come so far, how far it is, and what is known of its making.

No drawing here: `page.py` makes HTML of it, `display.py` shows it, a terminal prints it.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from functools import cached_property
from typing import Any

from . import origins
from .addresses import without_secrets
from .answers import RECORDED
from .asking import Asked
from .errors import LLMError
from .hosts import EMBEDDED, Host
from .messages import Done, Event, Note, Pulling, Request, Text, Thinking, ToolCall, ToolResult
from .models import Running, Shown, Version
from .replies import Reply


class Words:
    """What comes without a break of one kind: of the answer, or of what the model thinks."""

    def __init__(self, kind: type[Text] | type[Thinking]) -> None:
        self.kind = kind
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """Take the next piece."""
        self._pieces.append(piece)

    @property
    def text(self) -> str:
        """All of it as one text, put together once: it is asked for more often than it grows."""
        if len(self._pieces) > 1:
            self._pieces[:] = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""


Part = Words | ToolCall | ToolResult | Note | Done


class Growing:
    """One answer, from the moment it is asked for.

    Parameters
    ----------
    name
        The model's name as the user wrote it.
    ask
        The question, whole.
    label
        What tells this answer from those beside it, such as "temperature 0.7 · seed 2"; the name, if left out.

    Attributes
    ----------
    request
        What is asked of the model.
    doing
        What is done until the request goes out, such as "starting the embedded server".
    host, version, running, processor, shown
        The server, what it says it is, how and where it has loaded the model ("CPU", "GPU", "40% GPU"), and
        what it knows of it; as far as known.
    known_hosts
        The addresses that the user knows of already; `None` to tell of none.
    pulling
        How far the download is; `None` if there is none, or it is over.
    parts
        All that has come but for the download, in order.
    mark
        Why the answer is not whole: "stopped", "broke off", "cut off" by a bound on its length.
    replayed
        Whether it was not asked for now, but is one that was kept.
    error
        What it failed with.
    began, first
        When it was asked for, in seconds since 1970, and how many seconds later its first word came.
    done, ended
        Whether the model has said it is done, and whether nothing more will come, for any reason.
    """

    def __init__(self, name: str, ask: Asked | Request, label: str = "") -> None:
        self.name = name
        self.label = label or name
        self.ask = ask
        self.request = ask if isinstance(ask, Request) else ask.request
        self.doing = "looking for a server"
        self.host: Host | None = None
        self.version: Version | None = None
        self.running: Running | None = None
        self.processor = ""
        self.shown: Shown | None = None
        self.known_hosts: Container[str] | None = None
        self.pulling: Pulling | None = None
        self.parts: list[Part] = []
        self.mark = ""
        self.replayed = False
        self.error: LLMError | None = None
        self.began = time.time()
        self.first: float | None = None
        self.ended = False
        self._round = 0  # where the last round of `parts` begins
        self._since = time.monotonic()
        self._took: float | None = None

    @classmethod
    def of(cls, reply: Reply) -> Growing:
        """An answer that is there already."""
        answer = cls(reply.model, Request(reply.model, options=reply.options))
        answer.feed([*reply.tool_calls, *reply.tool_results, *map(Note, reply.notes)])
        answer.feed([each for each in (Thinking(reply.thinking), Text(reply.text)) if each.text])
        if reply.done_reason is not None:
            answer.feed([Done(reply.done_reason, reply.stats, reply.digest, reply.truncated, reply.replayed)])
        answer.end("incomplete")
        answer._took = (reply.stats.total_duration or 0) / 1e9
        return answer

    def feed(self, events: Iterable[Event], first: float | None = None, done: float | None = None) -> None:
        """Take what has come; the first word and the last `Done` came just now, or when `time.monotonic` said so."""
        for event in events:
            self.pulling = event if isinstance(event, Pulling) and event.status != "success" else None
            if isinstance(event, Pulling):
                continue
            if self._took is not None and not isinstance(event, (ToolResult, Note)):
                self._round, self._took = len(self.parts), None  # the model goes on, with a function's result
            if isinstance(event, (Text, Thinking)):
                self._say(event, first)
            else:
                self.parts.append(event)
            if isinstance(event, Done):
                self._took = self.seconds if done is None else done - self._since
                self.mark = "cut off" if event.done_reason == "length" else ""
                self._remember([part for part in self.parts if isinstance(part, Done)])

    def end(self, mark: str = "") -> None:
        """Nothing more will come; `mark` says why, if the model was not done."""
        if not self.ended:
            if not self.done or (mark and self.calls):
                self.mark = mark
            self._took = self.seconds
            self.ended = True

    def _remember(self, ends: list[Done]) -> None:
        """Take from its recording how long a replayed answer took, and who gave it: reading it again tells neither."""
        self.replayed = all(end.replayed for end in ends)
        if self.replayed:
            self._took = sum(end.seconds or 0.0 for end in ends)
            self.first = ends[0].first_seconds
            version, _, ours = ends[0].server.partition(" ")
            self.version = Version(version, {"name": ours} if ours else None) if version else None

    def _say(self, event: Text | Thinking, first: float | None) -> None:
        last = self.parts[-1] if self.parts else None
        if not isinstance(last, Words) or last.kind is not type(event) or len(self.parts) == self._round:
            last = Words(type(event))
            self.parts.append(last)
        last.add(event.text)
        if self.first is None:
            self.first = self.seconds if first is None else first - self._since

    @property
    def done(self) -> bool:
        """Whether the model has said that it is done; it may go on when it has a function's result."""
        return self._took is not None and any(isinstance(part, Done) for part in self.parts[self._round :])

    @property
    def text(self) -> str:
        """The answer so far; of several rounds, the last one's."""
        return self._said(Text)

    @property
    def thinking(self) -> str:
        """What the model thought so far; of several rounds, in the last one."""
        return self._said(Thinking)

    def _said(self, kind: type[Text] | type[Thinking]) -> str:
        return "".join(part.text for part in self._words() if part.kind is kind)

    def _words(self) -> list[Words]:
        return [part for part in self.parts[self._round :] if isinstance(part, Words)]

    @property
    def calls(self) -> list[ToolCall]:
        """The calls of the last round that have no result yet."""
        now = self.parts[self._round :]
        return [part for part in now if isinstance(part, ToolCall)][sum(isinstance(part, ToolResult) for part in now) :]

    @property
    def notes(self) -> list[str]:
        """What the user should know though the answer comes."""
        return [part.text for part in self.parts if isinstance(part, Note)]

    @property
    def seconds(self) -> float:
        """How long it took until now, or until its end."""
        return time.monotonic() - self._since if self._took is None else self._took

    @property
    def tell_host(self) -> bool:
        """Whether the footer says which server answered."""
        return self.host is not None and self.known_hosts is not None and self.host.url not in self.known_hosts

    @property
    def place(self) -> str:
        """The server in words, without the name and password that an address may hold."""
        if self.host is None:
            return ""
        where = without_secrets(self.host.url)
        if self.host.how == RECORDED:
            return f"{RECORDED}: {where.partition(':')[2]}"
        if self.host.how == EMBEDDED:
            return f"{EMBEDDED} at {where}"
        who = "server" if not self.version else EMBEDDED if self.version.engine else f"Ollama {self.version.version}"
        return f"{who} at {where} ({self.host.how})"

    @property
    def status(self) -> str:
        """What is going on, in a few words, while it grows."""
        if self.host is None:
            return self.doing
        if self.done and self.calls:
            return f"calling {self.calls[0].name}"
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Words):
            return "answering" if last.kind is Text else "thinking"
        return "waiting for the model"

    def reply(self) -> Reply:
        """What has come, as a value."""
        events = (part.kind(part.text) if isinstance(part, Words) else part for part in self.parts)
        return Reply.of(self.request, events)

    @cached_property
    def asked(self) -> dict[str, Any]:
        """What is known of its making before it comes."""
        return origins.asked(self)

    def provenance(self) -> dict[str, Any]:
        """How it was made, see `origins.of`."""
        return origins.of(self)

    def marks(self) -> list[str]:
        """What was not as it should be, or not as one would think."""
        told = [self.mark if self.text or not self.mark else f"{self.mark} before an answer came"]
        if any(isinstance(part, Done) and part.truncated for part in self.parts):
            told.append("prompt truncated")
        return [mark for mark in (*told, "replayed" if self.replayed else "") if mark]

    def cost(self) -> list[str]:
        """Tokens, speed, time and place."""
        stats = self.reply().stats
        read, wrote, speed = stats.prompt_eval_count, stats.eval_count, stats.tokens_per_second
        parts = [f"{read:,} token{'s' * (read != 1)} in" if read is not None else ""]
        if wrote is not None:
            parts.append(f"{wrote:,} out" if parts[0] else f"{wrote:,} token{'s' * (wrote != 1)}")
        parts.append(f"{brief(speed)} tokens/s" if speed is not None else "")
        parts += [f"{brief(self.seconds)} s" if self.seconds else "", self.processor]
        return [part for part in parts if part]

    def sent(self) -> list[str]:
        """What was sent beside the messages, each with its value."""
        request = self.request
        told = {"think": request.think, "keep_alive": request.keep_alive, "truncate": request.truncate or None}
        words = [f"{name} {in_words(value)}" for name, value in request.options.sent().items()]
        words += [f"{name} {in_words(value)}" for name, value in told.items() if value is not None]
        if request.format is not None:
            words.append("format JSON" if request.format == "json" else "format by a schema")
        if request.tools:
            words.append(f"tools {', '.join(str(tool.get('function', tool).get('name')) for tool in request.tools)}")
        return words

    def facts(self) -> list[str]:
        """The footer's parts: model, what was not as it should be, cost, place, and what was sent."""
        return [self.name, *self.marks(), *self.cost(), *self.sent()]


def brief(number: float) -> str:
    """Three digits at most where that is exact enough for a reader: 0.34, 5.1, 412."""
    return f"{number:.2f}" if number < 1 else f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def in_words(value: object) -> str:
    """An option's value for a reader: 0.7, true, '###', 'END'."""
    if isinstance(value, list):
        return ", ".join(repr(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
