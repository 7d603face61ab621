"""A model's place at a registry: its manifest, its blobs, who may read them, and what goes wrong in Ollama's words.

The protocol is Docker's (distribution's HTTP API, version 2): `GET /v2/<namespace>/<model>/manifests/<tag>`,
`GET .../blobs/<digest>`. A registry that wants a token is asked for an anonymous one.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import NamedTuple

import httpx

from ..errors import ServerError
from ..names import Name
from .manifest import Layer

_ACCEPT = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
_TENSOR = "application/vnd.ollama.image.tensor"
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_CALLED = re.compile(r"Connect call failed \('([^']*)', (\d+)")  # asyncio's words, the only place of the address
_LARGEST = 4 << 20  # bytes of a manifest that docker-registry takes; an error's body is cut there too
_MOST = 256  # layers: each needs a lock, an open file and a look at the folder; real models have a dozen
_REDIRECTS = 10  # Go's client follows as many
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


class Manifest(NamedTuple):
    """What a model consists of, and the bytes that said so."""

    raw: bytes
    layers: list[Layer]  # in the order in which they are pulled: the config is the last one


class Broken(Exception):
    """An answer that did not come, or not whole; its text is Go's. Worth another try."""


class Registry:
    """One model's repository.

    Parameters
    ----------
    name
        The model; its host is the registry.
    insecure
        Speak http instead of https.
    """

    def __init__(self, name: Name, insecure: bool = False) -> None:
        self.host = name.host
        self.url = f"{'http' if insecure else 'https'}://{name.host}/v2/{name.namespace}/{name.model}"
        self._tag = name.tag
        self._token = ""

    @asynccontextmanager
    async def connected(self, *, connect: float = 30.0, stall: float = 30.0) -> AsyncIterator[httpx.AsyncClient]:
        """A client with the environment's proxies, though never one for this machine, as in Go.

        Parameters
        ----------
        connect, stall
            Seconds to wait for a connection, and for the next byte. All of an answer may take for ever.
        """
        own = self.host.partition(":")[0]
        hosts = {*_LOOPBACK, own} if own.startswith("127.") else _LOOPBACK
        try:
            client = httpx.AsyncClient(
                verify=_certificates(),
                mounts=dict.fromkeys(f"all://{host}" for host in hosts),
                timeout=httpx.Timeout(stall, connect=connect, pool=None),
                limits=httpx.Limits(max_connections=None),
                follow_redirects=True,  # httpx drops the Authorization header on the way to another host or port
                max_redirects=_REDIRECTS,
                headers={"User-Agent": "acagent-nb", "Accept-Encoding": "identity"},
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:  # a proxy in the environment that can't be used
            raise ServerError(f"pull model manifest: {error}") from None
        async with client:
            yield client

    async def manifest(self, client: httpx.AsyncClient) -> Manifest:
        """What the model consists of.

        Raises
        ------
        ServerError
            "pull model manifest: ...": it can't be read, or is not for us.
        """
        try:
            async with self.asked(client, f"manifests/{self._tag}", {"Accept": _ACCEPT}) as response:
                raw = await _body(response)
            return Manifest(raw, _layers(raw))
        except (Broken, ServerError) as error:
            raise ServerError(f"pull model manifest: {error}") from None

    @asynccontextmanager
    async def asked(
        self, client: httpx.AsyncClient, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """GET something of the repository, with a token if the registry wants one; the body is not read yet.

        Raises
        ------
        ServerError
            The answer is no, and it would be no again.
        Broken
            It may be another one next time.
        """
        url = f"{self.url}/{path}"
        with _Go(url) as go:
            for last in (False, True):
                bearer = {"Authorization": f"Bearer {self._token}"} if self._token else {}
                async with client.stream("GET", url, headers={**headers, **bearer}) as response:
                    if response.status_code == 401 and not last:
                        self._token = await self._new_token(client, response.headers.get("WWW-Authenticate", ""))
                        continue
                    await _refuse(response, url)
                    go.answered = True
                    yield response
                    return

    async def _new_token(self, client: httpx.AsyncClient, challenge: str) -> str:
        """An anonymous token from where the challenge says, which must be the registry's own host."""
        told = dict(_CHALLENGE.findall(challenge))
        realm = httpx.URL(told.get("realm", ""))
        there = realm.netloc.decode()
        if there != self.host.lower():  # else a registry could have its tokens fetched from anywhere
            raise ServerError(f'realm host "{there}" does not match original host "{self.host}"')
        asks = [("service", told.get("service", "")), *(("scope", scope) for scope in told.get("scope", "").split())]
        asks += [("ts", str(int(time.time()))), ("nonce", secrets.token_urlsafe(16))]
        async with client.stream("GET", realm.copy_merge_params(asks)) as response:
            raw = await _body(response)
        if response.status_code >= 400:
            raise ServerError(f"on code {response.status_code}: {raw.decode('utf-8', 'replace')}".removesuffix(": "))
        try:
            said = json.loads(raw)
            return str(said.get("token") or said.get("access_token") or "")
        except (ValueError, AttributeError, RecursionError):
            raise ServerError("unauthorized: access denied") from None


async def _refuse(response: httpx.Response, url: str) -> None:
    """Raise what a status means, if it means no."""
    status = response.status_code
    if status < 300:
        return
    if status < 400:
        raise ServerError(f'Get "{url}": {status} response missing Location header')
    if status == 401:
        raise ServerError("unauthorized: access denied")
    if status == 404:
        raise ServerError("file does not exist")
    said = f"{status}: {(await _body(response)).decode('utf-8', 'replace')}"
    if status in (408, 425, 429) or status >= 500:
        raise Broken(said)
    raise ServerError(said)


async def _body(response: httpx.Response) -> bytes:
    """A small body, cut where it is too large to be one."""
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _LARGEST:
            break
    return body[:_LARGEST]


def _layers(raw: bytes) -> list[Layer]:
    """All blobs of a manifest; nothing of it is trusted, as digests become file names."""
    try:
        told = json.loads(raw)
        if len(told["layers"]) > _MOST:
            raise ServerError(f"the manifest names {len(told['layers'])} layers, and no model has more than {_MOST}")
        layers = [Layer.read(each) for each in (*told["layers"], told["config"])]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ServerError("the registry's answer is not the manifest of a model") from None
    if any(layer.media == _TENSOR for layer in layers):
        raise ServerError("this model requires MLX support, but the MLX runtime is not available")
    return layers


class _Go:
    """Turns httpx's errors into what Go would have said of the same."""

    def __init__(self, url: str) -> None:
        self._get = f'Get "{url}": '
        self.answered = False

    def __enter__(self) -> _Go:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.TooManyRedirects):
            raise ServerError(f"{self._get}stopped after {_REDIRECTS} redirects") from None
        if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol)):
            raise ServerError(f"{self._get}{error}") from None
        if isinstance(error, httpx.HTTPError):
            raise Broken(_said(error) if self.answered else self._get + _said(error)) from None


def _said(error: httpx.HTTPError) -> str:
    """Go's words for why a request failed: those of the cause of all causes."""
    deepest: BaseException = error
    url = error.request.url if isinstance(error, httpx.RequestError) else httpx.URL()
    host, port = url.host, url.port or (443 if url.scheme == "https" else 80)
    while cause := deepest.__cause__ or deepest.__context__:
        deepest = cause
    called = _CALLED.search(str(deepest))  # uvloop does not tell which address refused
    name, number = called.groups() if called else (host, port)
    where = f"dial tcp {f'[{name}]' if ':' in name else name}:{number}"
    if isinstance(deepest, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(deepest, ConnectionRefusedError):
        return f"{where}: connect: connection refused"
    if isinstance(deepest, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {deepest.verify_message}"
    if isinstance(deepest, ssl.SSLError) and "WRONG_VERSION" in str(deepest):
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, httpx.ConnectTimeout):
        return f"dial tcp: {host}: i/o timeout"
    if isinstance(error, httpx.TimeoutException):
        return "part stalled"
    if isinstance(deepest, ConnectionResetError):
        return "read: connection reset by peer"
    if isinstance(error, httpx.RemoteProtocolError):
        return "unexpected EOF"
    return str(deepest) or type(deepest).__name__


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than all the rest of a small pull."""
    return httpx.create_ssl_context()
