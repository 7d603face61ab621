"""What both drivers of flows (`blocking.py`, `awaiting.py`) need: where to, how long, and what went wrong."""

from __future__ import annotations

import math
import numbers
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.request import getproxies

import httpx

from . import hosts, keys, sdk
from .addresses import is_loopback, without_secrets
from .errors import BadOption, LLMError, ServerDown, TimedOut
from .params import Params
from .wire import Call, Run

T = TypeVar("T")

CONNECT_SECONDS = 5.0
_FOREVER = 1e8  # seconds, three years


class Settings(NamedTuple):
    """Where questions go, and with what.

    Attributes
    ----------
    host
        Ollama's address as the caller gave it, or `None` to look for one.
    headers
        Sent with every request to the Ollama server, and to nobody else.
    api_key, base_url
        The cloud's, where the caller gave them.
    params
        Its endpoints.
    """

    host: str | None
    headers: Mapping[str, str]
    api_key: str | None
    base_url: str | None
    params: Params

    def cloud(self, provider: str) -> keys.Cloud:
        """Where a cloud provider is, and the key for it."""
        if provider == "openai":
            return keys.cloud(self.base_url, self.api_key)
        return keys.cloud(endpoint=self.params.endpoints[provider])


class Deadline:
    """When a call has to be over; `None` seconds for never. Raises `BadOption` for what is no number."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = None if seconds is None else _bounded(seconds)
        self._end = None if self.seconds is None else time.monotonic() + self.seconds

    @property
    def left(self) -> float | None:
        """Seconds, at least a moment: an httpx time-out of 0 would mean that nothing may be waited for."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.001)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self._end is not None and time.monotonic() >= self._end

    def check(self) -> None:
        """Raise `TimedOut` if the time is up."""
        if self.over:
            raise self.error()

    def kept(self, pieces: Iterable[T]) -> Generator[T, None, None]:
        """The same pieces, as long as there is time."""
        for piece in pieces:
            self.check()
            yield piece

    def error(self) -> TimedOut:
        """What to raise then."""
        return TimedOut(
            f"The call took longer than its timeout of {self.seconds:g} seconds.",
            "Give it more time; a model that is loaded for the first time can take minutes.",
        )

    def wait(self, seconds: float) -> float:
        """The same seconds, if there is time for them; raises `TimedOut` if not."""
        if self.left is not None and seconds > self.left:
            raise self.error()
        return seconds

    def timeouts(self, seconds: float | None = None) -> httpx.Timeout:
        """For httpx: a model may take minutes to load or to think, so only connecting is always bounded."""
        silent = min((each for each in (seconds, self.left) if each is not None), default=None)
        return httpx.Timeout(silent, connect=CONNECT_SECONDS if silent is None else min(CONNECT_SECONDS, silent))


def _bounded(seconds: Any) -> float | None:
    """A caller's timeout; `None` for more than a system's own clocks can hold, such as infinity."""
    if not isinstance(seconds, numbers.Real) or isinstance(seconds, bool) or math.isnan(seconds):
        raise BadOption(f"timeout takes a number of seconds, not {seconds!r:.60}.", "Leave it out for no bound.")
    return float(seconds) if seconds < _FOREVER else None


class Line:
    """A request's connection, as httpx tells of it: a new one, or one that was kept from an earlier request.

    A server may close a kept connection in the moment in which it is used again, and then it has not
    seen the request. So one that fails there before the first byte of an answer is sent once more, whatever
    it asks for. One that fails on a new connection is not: the server may have begun with it.

    Attributes
    ----------
    fresh
        Whether it is a new one.
    sent
        Bytes of a file that went over it.
    """

    BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)

    def __init__(self) -> None:
        self.fresh = False
        self.sent = 0
        self._stream: Any = None
        self._cut = False

    def hear(self, event: str, about: Mapping[str, Any]) -> None:
        """For a blocking client's `trace`."""
        self.fresh = self.fresh or event.startswith("connection.connect")
        if hasattr(about.get("return_value"), "get_extra_info"):  # connected, or now with TLS
            self._stream = about["return_value"]
            if self._cut:
                _shut(self._stream)

    async def ahear(self, event: str, about: Mapping[str, Any]) -> None:
        """The same for an asynchronous client."""
        self.hear(event, about)

    def went(self, sent: int) -> None:
        """Note how much of a file went; never less than before, even if it is sent once more."""
        self.sent = max(self.sent, sent)

    def cut(self) -> None:
        """End a new connection from outside, now or as soon as there is one."""
        self._cut = True
        if self._stream is not None:
            _shut(self._stream)


def shut(response: Any) -> None:
    """End an answer's connection from outside: whoever waits for its next bytes sees its end."""
    _shut(response.extensions["network_stream"])


def _shut(stream: Any) -> None:
    line = stream.get_extra_info("socket")
    if line is not None:
        with suppress(OSError):  # it is closed already
            line.shutdown(socket.SHUT_RDWR)


def headers_of(body: bytes | Path | None) -> dict[str, str]:
    """What a body needs said of it: JSON goes without saying, a file that is sent in pieces does not."""
    if not isinstance(body, Path):
        return {}
    return {"Content-Length": str(body.stat().st_size), "Content-Type": "application/octet-stream"}


def pool(url: str, headers: Mapping[str, str], plain: Callable[[], Any]) -> dict[str, Any]:
    """How both kinds of httpx client are set up for an Ollama server; `plain` is the way without TLS and proxy."""
    way: dict[str, Any] = {"trust_env": not is_loopback(url)}
    if _is_plain(url):
        way["transport"] = plain()
    elif url.startswith("http://"):
        way["verify"] = _no_certificates()
    return {
        **way,
        "base_url": url,
        # We read the bytes as they come, so they must not be compressed on the way.
        "headers": {**keys.headers(url, headers), "Accept-Encoding": "identity", "Content-Type": "application/json"},
    }


def _is_plain(url: str) -> bool:
    """Whether neither TLS nor a proxy lies on the way to a server."""
    return url.startswith("http://") and (is_loopback(url) or not getproxies())


@cache
def _no_certificates() -> ssl.SSLContext:
    """A context that trusts nobody: reading the certificates takes 40 ms, which http:// does not need."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def told(raised: Exception, step: Any, host: hosts.Host | None, deadline: Deadline) -> Exception:
    """The error of our tree for one of the line's; any other stays what it is."""
    if isinstance(raised, LLMError) or isinstance(step, Run):
        return raised
    if isinstance(step, Call):
        error: Exception = sdk.error_of(raised) if sdk.is_theirs(raised) else raised
    elif isinstance(raised, httpx.TransportError):
        error = deadline.error() if deadline.over else _broken(raised, host)
    else:
        error = raised
    if error is not raised:
        error.__cause__ = raised
    return error


_NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


def _broken(raised: httpx.TransportError, host: hosts.Host | None) -> LLMError:
    """What is wrong with the line to the Ollama server, and what to do."""
    url = without_secrets(host.url) if host else "its address"
    if isinstance(raised, _NOT_REACHED):
        late = isinstance(raised, httpx.ConnectTimeout)
        why = f"no connection within {CONNECT_SECONDS:g} seconds" if late else str(raised)
        hint = "Start it, or check the address."
        if host and host.how == hosts.EMBEDDED:  # the next call looks again
            hint = "Ask again: it is started anew."
        return ServerDown(f"No server answers at {url} ({why}).", hint)
    if isinstance(raised, httpx.TimeoutException):
        return TimedOut(f"The server at {url} said nothing for too long.", "See its log.")
    return ServerDown(
        f"The connection to {url} broke before the answer was complete.",
        "Ask again; if it happens again, see the server's log.",
    )
