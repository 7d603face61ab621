"""The openai package as it is used here: the address, the key, the headers and the connection are its own.

It would build Python objects for each chunk of a stream, which takes far longer than to read the bytes; so
bytes are what comes back. When to ask again is decided by the flow (`cloud.py`), which can be stopped while
it waits. Works with openai 2, which stands on httpx, and with 3, which stands on httpx2.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from .addresses import is_loopback
from .errors import LLMError, MissingExtra, ServerDown, TimedOut
from .keys import NO_KEY, Cloud
from .wire import Call

if TYPE_CHECKING:
    import openai

CONNECT_SECONDS = 5.0
_SECRET = 8  # letters of a key from which on it may be one: servers without keys are given "x" or "none"

# Asks the package for an answer whose body is not read yet, as its own `with_streaming_response` does.
_UNREAD = {"X-Stainless-Raw-Response": "stream"}


class Answer(Struct, frozen=True):
    """An answer that has begun; one that refuses, too.

    Attributes
    ----------
    status_code, headers, extensions
        As httpx has them; `extensions["network_stream"]` is the connection.
    iter_raw
        Gives the body's bytes as they come.
    """

    status_code: int
    headers: Mapping[str, str]
    extensions: Mapping[str, Any]
    iter_raw: Callable[[], Iterator[bytes]]


class AsyncAnswer(Struct, frozen=True):
    """The same for asynchronous code."""

    status_code: int
    headers: Mapping[str, str]
    extensions: Mapping[str, Any]
    aiter_raw: Callable[[], AsyncIterator[bytes]]


def client(cloud: Cloud) -> openai.OpenAI:
    """A client of the openai package; raises `MissingExtra` if that is not there."""
    package = _package()
    return package.OpenAI(**settings(cloud), http_client=package.DefaultHttpxClient(**_pool(cloud)))  # type: ignore[no-any-return]


def async_client(cloud: Cloud) -> openai.AsyncOpenAI:
    """The same for asynchronous code."""
    package = _package()
    return package.AsyncOpenAI(**settings(cloud), http_client=package.DefaultAsyncHttpxClient(**_pool(cloud)))  # type: ignore[no-any-return]


def settings(cloud: Cloud) -> dict[str, Any]:
    """What both kinds of client are made with.

    The headers that the environment names for OpenAI's own server are kept from every other one.
    """
    package = _package()
    headers: dict[str, Any] = {"Authorization": f"Bearer {cloud.api_key}"}  # or OPENAI_CUSTOM_HEADERS could change it
    if not cloud.openai_env:
        custom = [line.partition(":")[0].strip() for line in os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")]
        names = ["OpenAI-Organization", "OpenAI-Project", *custom]
        headers = {name: package.Omit() for name in names if name and name.lower() != "authorization"} | headers
    return {
        "base_url": cloud.base_url,
        "api_key": cloud.api_key,
        "default_headers": headers,
        "timeout": package.Timeout(None, connect=CONNECT_SECONDS),
        "max_retries": 0,
    }


@contextmanager
def sent(client: openai.OpenAI, call: Call, seconds: float | None = None) -> Generator[Answer, None, None]:
    """Send a request; leaving the block closes the connection at once, also in the middle of the answer.

    Parameters
    ----------
    seconds
        How long it may take until the last byte; `None` for no end.

    Raises
    ------
    ServerDown, TimedOut
        When it is sent, and from `iter_raw`.
    """
    limit = _Limit(client, seconds)
    with limit.translated():
        try:
            http = _asking(client, call, limit).http_response
        except _package().APIStatusError as refusal:  # it has been read
            http = refusal.response
    with closing(http):
        yield Answer(http.status_code, http.headers, http.extensions, lambda: _pieces(http, limit))


@asynccontextmanager
async def async_sent(
    client: openai.AsyncOpenAI, call: Call, seconds: float | None = None
) -> AsyncGenerator[AsyncAnswer, None]:
    """The same for asynchronous code."""
    limit = _Limit(client, seconds)
    with limit.translated():
        try:
            http = (await _asking(client, call, limit)).http_response
        except _package().APIStatusError as refusal:
            http = refusal.response
    try:
        yield AsyncAnswer(http.status_code, http.headers, http.extensions, lambda: _apieces(http, limit))
    finally:
        await http.aclose()


def is_theirs(error: BaseException) -> bool:
    """Whether an error comes from the openai package, or from the one that it connects with."""
    return type(error).__module__.partition(".")[0] in ("openai", "httpx", "httpx2")


def error_of(error: BaseException, host: str = "the server", late: bool = False) -> LLMError:
    """The error of our tree for one of theirs that is about the connection; `late` is whether the time was up."""
    cause = error.__cause__ or error
    kind = type(cause).__name__
    if late or kind in ("ReadTimeout", "WriteTimeout"):  # which are only set for a call that has to be over in time
        return TimedOut("The call took longer than its timeout.", "Give it more time.")
    if kind in ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"):
        why = str(cause) or f"it took longer than {CONNECT_SECONDS:g} seconds"
        return ServerDown(f"{host} can't be reached ({why}).", "Check the network, and the address.")
    return ServerDown(f"The connection to {host} broke before the answer was complete.", "Ask again.")


class _Limit:
    """When a call has to be over, whose server makes it late, and the key that this server must not tell anybody."""

    def __init__(self, client: openai.OpenAI | openai.AsyncOpenAI, seconds: float | None) -> None:
        self.host = urlsplit(str(client.base_url)).hostname or "the server"
        self.key = client.api_key.encode()
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @contextmanager
    def translated(self) -> Generator[None, None, None]:
        """Errors of ours instead of theirs; any other stays what it is."""
        try:
            yield
        except Exception as error:
            if not is_theirs(error):
                raise
            late = self._end is not None and time.monotonic() >= self._end
            raise error_of(error, self.host, late) from error


def _package() -> Any:
    try:
        import openai
    except ImportError:
        raise MissingExtra(
            "Cloud models need the package openai.", 'Install it: pip install "acagent-nb[cloud]"'
        ) from None
    return openai


def _pool(cloud: Cloud) -> dict[str, Any]:
    """What is on this machine is never asked through a proxy, and over plain http needs no certificates."""
    if not is_loopback(cloud.base_url):
        return {}
    plain = cloud.base_url.startswith("http://")  # to read the certificates takes 40 ms
    return {"trust_env": False, "verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if plain else True}


def _asking(client: Any, call: Call, limit: _Limit) -> Any:
    """The package's answer, or its awaitable."""
    options: dict[str, Any] = {"headers": _UNREAD}
    if (left := limit.seconds) is not None:
        options["timeout"] = _package().Timeout(left, connect=min(CONNECT_SECONDS, left))
    if call.body is None:
        return client.get(call.path, cast_to=object, options=options)
    return client.post(call.path, cast_to=object, body=call.body, options=options)


def _pieces(http: Any, limit: _Limit) -> Iterator[bytes]:
    with limit.translated():
        if http.is_closed:
            yield _refusal(http, limit)
        else:
            yield from http.iter_bytes()


async def _apieces(http: Any, limit: _Limit) -> AsyncGenerator[bytes, None]:
    if http.is_closed:
        yield _refusal(http, limit)
        return
    async with aclosing(http.aiter_bytes()) as pieces:
        with limit.translated():
            async for piece in pieces:
                yield piece


def _refusal(http: Any, limit: _Limit) -> bytes:
    """A refusal's body, which the package has read; some servers repeat the whole key in it."""
    data: bytes = http.content
    secret = len(limit.key) >= _SECRET and limit.key != NO_KEY.encode()
    return data.replace(limit.key, b"***") if secret else data
