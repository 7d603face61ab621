"""`ACAGENT_NB_LOG=debug`, or the path of a file: what went over the wire, without prompts, answers or keys.

    12:00:01.204 POST http://localhost:11434/api/chat: 200 after 35 ms, 5,120 bytes in 812 ms
    12:00:02.016 POST https://api.openai.com/v1/chat/completions: 429 after 90 ms, 312 bytes in 91 ms
    12:00:02.017 a pause of 0.5 s

A request is told by its method, address and path, an answer by its status, size and times, an error by its class:
nothing else is ever given to the logger. It is Python's own, named "acagent_nb", with one line a request at the
level DEBUG, so that a program can send it wherever it likes. When it is off, it costs one question a request.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .addresses import without_secrets
from .wire import Call, Open

LOG = logging.getLogger("acagent_nb")
VARIABLE = "ACAGENT_NB_LOG"
_OFF = ("", "0", "off", "false", "no")


def on() -> bool:
    """Whether anybody listens."""
    return LOG.isEnabledFor(logging.DEBUG)


class Exchange:
    """A request and its answer; told in one line when its connection is given back."""

    def __init__(self, step: Open | Call) -> None:
        self._step = step
        self._began = time.perf_counter()
        self._status = self._bytes = 0
        self._first = 0.0
        self._place = ""

    def answered(self, status: int, url: str) -> None:
        """The head of the answer has come, from this address."""
        self._first = self._took()
        self._status, self._place = status, _place(url)

    def heard(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces, counted."""
        for piece in pieces:
            self._bytes += len(piece)
            yield piece

    async def aheard(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The same for asynchronous code."""
        async for piece in pieces:
            self._bytes += len(piece)
            yield piece

    def end(self) -> None:
        """Nothing more is read of it."""
        told = (_request(self._step, self._place), self._status, self._first, self._bytes, self._took())
        LOG.debug("%s: %d after %.0f ms, %s bytes in %.0f ms", *told[:3], f"{told[3]:,}", told[4])

    def _took(self) -> float:
        return (time.perf_counter() - self._began) * 1000


def again(step: Open, raised: Exception) -> None:
    """Tell of a request that is sent a second time, as its kept connection had ended."""
    LOG.debug("%s: sent again after %s", _request(step, ""), type(raised).__name__)


def pause(seconds: float) -> None:
    """Tell that nothing is asked for a while."""
    LOG.debug("a pause of %g s", seconds)


def failed(step: Any, url: str, raised: Exception, error: Exception) -> None:
    """Tell what went wrong on the way, by its classes: messages may hold what a server said."""
    cause = "" if type(error) is type(raised) else f" of {type(raised).__name__}"
    what = _request(step, _place(url)) if isinstance(step, (Open, Call)) else type(step).__name__.lower()
    LOG.debug("%s: %s%s", what, type(error).__name__, cause)


def url(step: Any, host: Any, clouds: Mapping[str, Any]) -> str:
    """Where a request goes, as far as its driver knows: its Ollama server and its cloud clients."""
    if isinstance(step, Call):
        return str(clouds[step.provider].base_url) if step.provider in clouds else ""
    return host.url if host is not None else ""


def _request(step: Open | Call, place: str) -> str:
    method = step.method if isinstance(step, Open) else "POST" if step.body is not None else "GET"
    return f"{method} {place}{step.path}"


def _place(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(without_secrets(url))
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}" if parts.netloc else ""


def _listen(where: str) -> None:
    """Write to the place that the environment names."""
    if where.strip().lower() in _OFF:
        return
    trouble = ""
    handler: logging.Handler = logging.StreamHandler()
    if where.strip().lower() not in ("debug", "1", "true", "on", "yes"):
        try:
            handler = logging.FileHandler(os.path.expanduser(where), encoding="utf-8")
        except OSError as error:
            trouble = type(error).__name__
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%H:%M:%S"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    if trouble:
        LOG.debug("the file in %s can't be written (%s), so this is the log", VARIABLE, trouble)


LOG.addHandler(logging.NullHandler())
_listen(os.environ.get(VARIABLE, ""))
