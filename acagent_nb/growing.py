"""An answer while it grows: what has come so far, how far it is, and what is known of its making.

No drawing here: `page.py` makes HTML of it, `display.py` shows it, a terminal prints it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from . import __version__
from .hosts import EMBEDDED, Host, without_secrets
from .messages import Done, Event, Pulling, Reply, Request, Text, Thinking, Version


class Growing:
    """One answer, from the moment it is asked for.

    Parameters
    ----------
    name
        The model's name as the user wrote it.
    request
        What is asked.

    Attributes
    ----------
    doing
        What is done until the request goes out, such as "starting the embedded server".
    host, version, processor
        The server, what it says it is, and where the model runs; as far as known.
    tell_host
        Whether the footer says which server answered.
    pulling
        How far the download is; `None` if there is none, or it is over.
    mark
        Why the answer is not whole: "stopped", "broke off", "cut off" by a bound on its length.
    done, ended
        Whether the model has said it is done, and whether nothing more will come, for any reason.
    """

    def __init__(self, name: str, request: Request) -> None:
        self.name = name
        self.request = request
        self.doing = "looking for a server"
        self.host: Host | None = None
        self.version: Version | None = None
        self.processor = ""
        self.tell_host = False
        self.pulling: Pulling | None = None
        self.mark = ""
        self.done = False
        self.ended = False
        self._events: list[Event] = []
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._began = time.monotonic()
        self._took: float | None = None

    def feed(self, events: Iterable[Event]) -> None:
        """Take what has come."""
        for event in events:
            self.pulling = event if isinstance(event, Pulling) and event.status != "success" else None
            if not isinstance(event, Pulling):
                self._events.append(event)
            match event:
                case Text(piece):
                    self._text.append(piece)
                case Thinking(piece):
                    self._thinking.append(piece)
                case Done(reason):
                    self._took = self.seconds
                    self.done = True
                    self.mark = "cut off" if reason == "length" else ""

    def end(self, mark: str = "") -> None:
        """Nothing more will come; `mark` says why, if the model was not done."""
        if not self.ended:
            self.ended = True
            if not self.done:
                self._took, self.mark = self.seconds, mark

    @property
    def text(self) -> str:
        """The answer so far."""
        return _joined(self._text)

    @property
    def thinking(self) -> str:
        """What the model thought so far."""
        return _joined(self._thinking)

    @property
    def seconds(self) -> float:
        """How long it took until now, or until its end."""
        return time.monotonic() - self._began if self._took is None else self._took

    @property
    def place(self) -> str:
        """The server in words, without the name and password that an address may hold."""
        if self.host is None:
            return ""
        where = without_secrets(self.host.url)
        if self.host.how == EMBEDDED:
            return f"{EMBEDDED} at {where}"
        who = "server" if not self.version else EMBEDDED if self.version.engine else f"Ollama {self.version.version}"
        return f"{who} at {where} ({self.host.how})"

    @property
    def status(self) -> str:
        """What is going on, in a few words, while it grows."""
        if self.host is None:
            return self.doing
        if self.text:
            return "answering"
        return "thinking" if self._thinking else "waiting for the model"

    def reply(self) -> Reply:
        """What has come, as a value."""
        return Reply.of(self.request, self._events)

    def facts(self) -> list[str]:
        """The footer's parts: model, cost, place, options sent, and what was not as it should be."""
        stats = self.reply().stats
        speed = stats.tokens_per_second
        parts = [self.name]
        if self.mark:
            parts.append(self.mark if self.text else f"{self.mark} before an answer came")
        if stats.eval_count is not None:
            parts.append(f"{stats.eval_count:,} token{'s' * (stats.eval_count != 1)}")
        if speed is not None:
            parts.append(f"{_brief(speed)} tokens/s")
        parts += [f"{_brief(self.seconds)} s", self.processor]
        parts += [f"{name} {_shown(value)}" for name, value in self.request.options.sent().items()]
        return [part for part in parts if part]

    def provenance(self) -> dict[str, Any]:
        """What is saved with the output: how the answer was made, never what was asked or any secret."""
        reply = self.reply()
        stats = reply.stats
        known = {
            "model": self.name,
            "server": None if self.version is None else "embedded" if self.version.engine else "ollama",
            "server_version": self.version and self.version.version,
            "options": self.request.options.sent(),
            **{name: getattr(stats, name) for name in stats.__struct_fields__},
            "done_reason": reply.done_reason,
            "acagent_nb": __version__,
        }
        return {name: value for name, value in known.items() if value is not None}


def _joined(pieces: list[str]) -> str:
    """All pieces as one text, put together once: it is asked for more often than it grows."""
    if len(pieces) > 1:
        pieces[:] = ["".join(pieces)]
    return pieces[0] if pieces else ""


def _brief(number: float) -> str:
    """Three digits at most where that is exact enough for a reader: 0.34, 5.1, 412."""
    return f"{number:.2f}" if number < 1 else f"{number:.1f}" if number < 10 else f"{number:,.0f}"


def _shown(value: object) -> str:
    """An option's value as a flag would take it."""
    if isinstance(value, list):
        return ", ".join(repr(item) for item in value)
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
