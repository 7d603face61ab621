"""Random requests that change a folder of models, and a registry to pull from."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator

import httpx

from acagent_nb.server import tiny

from ..registries import Made, push

_OWN = re.compile(r"127\.0\.0\.1:\d+/(v2/)?library/\w+|tiny(:skills)?|[0-9a-f]{12,}")  # what differs from deed to deed
_CONFIG = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "file_type": "Q8_0"}


def fill(host: str) -> list[str]:
    """Push models that really answer; their names.

    Some share their weights, as a model's tags do; other weights have bytes after their end, which
    the engine does not read.
    """
    weights = tiny.PATH.read_bytes()
    names = []
    for number, more in enumerate((0, 0, 1 << 20, 12 << 20)):
        license = f"Licence {number}\n".encode() * 1000
        config = json.dumps({**_CONFIG, "rootfs": {"number": number}}).encode()
        own = random.Random(number).randbytes(more)
        made = Made((weights + own, b"{{ .Prompt }}", b'{"temperature":0.5}', license, config))
        push(host, made, f"library/m{number}")
        names.append(f"{host}/library/m{number}")
    return names


class Deeds:
    """What clients do to a server.

    Parameters
    ----------
    pulled
        Names to pull, from a registry on loopback.
    """

    def __init__(self, pulled: list[str]) -> None:
        self.pulled = pulled
        # on loopback too: a source that another client has just deleted is looked for at its registry
        self._made = [name.replace("/m", "/made") for name in pulled]
        self._all = [*pulled, *self._made, "tiny", "tiny:skills"]
        self._files = [tiny.PATH.read_bytes() + bytes(64 * number) for number in range(3)]
        self._deeds: list[Callable[[httpx.Client, random.Random], str]] = [
            self.pull,
            self.pull,
            self.create,
            self.upload,
            self.copy,
            self.delete,
            self.delete,
        ]

    def any_of(self, client: httpx.Client, url: str, choose: random.Random) -> str:
        """Do one of them; in a few words, what was done and how it was answered."""
        client.base_url = httpx.URL(url)
        deed = choose.choice(self._deeds)
        return f"{deed.__name__}: {_OWN.sub('...', deed(client, choose))}"

    def pull(self, client: httpx.Client, choose: random.Random) -> str:
        name = choose.choice([*self.pulled, "tiny", "tiny:skills"])
        return _streamed(client, "/api/pull", {"model": name, "insecure": True}, choose)

    def create(self, client: httpx.Client, choose: random.Random) -> str:
        body = {"model": choose.choice(self._made), "from": choose.choice(["tiny", "tiny:skills", *self._made])}
        return _streamed(client, "/api/create", {**body, "system": f"Be brief, {choose.randrange(3)}."}, choose)

    def upload(self, client: httpx.Client, choose: random.Random) -> str:
        """A model of an uploaded file; now and then the upload is broken off."""
        data = choose.choice(self._files)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if choose.random() < 0.2:
            try:
                client.post(f"/api/blobs/{digest}", content=_broken_off(data))
            except _Left:
                return "left in the middle"
        sent = client.post(f"/api/blobs/{digest}", content=data)
        if sent.status_code not in (200, 201):
            return f"blob {sent.status_code} {sent.text}"
        body: dict[str, object] = {
            "model": choose.choice(self._made),
            "files": {"m.gguf": digest},
            "parameters": {"top_k": 7},
        }
        return _streamed(client, "/api/create", body, choose)

    def copy(self, client: httpx.Client, choose: random.Random) -> str:
        body = {"source": choose.choice(self._all), "destination": choose.choice(self._made)}
        return _short(client.post("/api/copy", json=body))

    def delete(self, client: httpx.Client, choose: random.Random) -> str:
        return _short(client.request("DELETE", "/api/delete", json={"model": choose.choice(self._all)}))


class _Left(Exception):
    """The client has enough."""


def _broken_off(data: bytes) -> Iterator[bytes]:
    yield data[: len(data) // 2]
    raise _Left


def _streamed(client: httpx.Client, path: str, body: dict[str, object], choose: random.Random) -> str:
    """The last word of an answer, or of half of it if the client leaves."""
    if choose.random() < 0.3:
        return _short(client.post(path, json={**body, "stream": False}))
    leaves = choose.random() < 0.2
    lines: list[str] = []
    with client.stream("POST", path, json=body) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if leaves and len(lines) == 3:
                return "left in the middle"
    told = json.loads(lines[-1])
    return str(told.get("error") or told.get("status"))


def _short(answer: httpx.Response) -> str:
    if answer.status_code == 200:
        return "done"
    return f"{answer.status_code} {answer.json()['error']}"
