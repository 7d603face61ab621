"""Who may ask: the Host and Origin checks that keep web pages away from a server on loopback.

A page can make a browser send requests to this machine. Its own name then stands in `Origin`, or,
after DNS rebinding, in `Host`. Source: `allowedHostsMiddleware` and the CORS settings in Ollama's
`server/routes.go` and `envconfig`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOCAL = ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")  # noqa: S104  # Ollama's own list; nothing binds here
_SCHEMES = ("app", "file", "tauri", "vscode-webview", "vscode-file")


class Guard:
    """Lets a request pass, or answers 403 with an empty body.

    Parameters
    ----------
    app
        Who answers what passes.
    loopback
        Whether the server listens on loopback only; `Host` is checked only then.
    """

    def __init__(self, app: ASGIApp, *, loopback: bool) -> None:
        self.app = app
        self.loopback = loopback
        self.more = [origin.strip() for origin in os.environ.get("OLLAMA_ORIGINS", "").split(",") if origin.strip()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin", "")
        foreign = bool(origin) and not _same(origin, host) and not origin_allowed(origin, self.more)
        if foreign or (self.loopback and not host_allowed(host)):
            await _plain(send, 403)
        elif origin and not _same(origin, host):
            await self._for_origin(origin, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _for_origin(self, origin: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the browser that this page may read the answer."""
        told = {"access-control-allow-origin": origin, "vary": "Origin"}
        asked = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in asked:
            told["access-control-allow-methods"] = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
            told["access-control-allow-headers"] = asked.get("access-control-request-headers", "content-type")
            await _plain(send, 204, told)
            return

        async def allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(told)
            await send(message)

        await self.app(scope, receive, allowed)


@lru_cache(maxsize=64)  # every request of a client has the same one
def host_allowed(host: str) -> bool:
    """Whether a `Host` header names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # half an IPv6 address
        return False
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        own = socket.gethostname().lower()
        return name in ("", "localhost", own) or name.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_unspecified


def origin_allowed(origin: str, more: list[str]) -> bool:
    """Whether a page from there may ask: loopback at any port, desktop applications, and `OLLAMA_ORIGINS`."""
    scheme, _, rest = origin.lower().partition("://")
    if scheme in _SCHEMES:
        return True
    place = rest if rest.endswith("]") else rest.rpartition(":")[0] or rest
    if scheme in ("http", "https") and place in _LOCAL:
        return True
    return any(fnmatchcase(origin.lower(), pattern.lower()) for pattern in more)


def _same(origin: str, host: str) -> bool:
    return origin in (f"http://{host}", f"https://{host}")


async def _plain(send: Send, status: int, headers: dict[str, str] | None = None) -> None:
    """An answer with no body."""
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": [*raw, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
