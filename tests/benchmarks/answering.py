"""A server that answers at once with bytes made beforehand: what it costs to ask it is its client's.

It speaks as much of Ollama's API, and of OpenAI's, as `client.py` beside it asks for. A model's name says what
it answers: "answer:500" has five hundred tokens, sent at once, and "paced:500" sends one each millisecond.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

WIDTH = 768
_SECONDS_A_TOKEN = 0.001
_WHEN = "2026-11-22T15:00:00.123456789Z"
_END = {"done": True, "done_reason": "stop", "total_duration": 10**9, "prompt_eval_count": 26, "eval_duration": 10**9}


@contextmanager
def answering() -> Iterator[str]:
    """The address of such a server, which is a process of its own and gone at the end of the block."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None  # it is a pipe,
        assert server.stdout is not None  # and so is this
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()  # which ends it


class _Connection(asyncio.Protocol):
    """Reads requests just well enough, and writes what is ready."""

    asked: ClassVar[set[str]] = set()  # the models that count as loaded

    def __init__(self) -> None:
        self._got = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while b"\r\n\r\n" in self._got:
            head, _, rest = self._got.partition(b"\r\n\r\n")
            told = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            length = int(told[1]) if told else 0
            if len(rest) < length:
                return
            self._got = rest[length:]
            self._answer(head.split(b" ", 2)[1].decode(), rest[:length])

    def _answer(self, path: str, body: bytes) -> None:
        model, tokens = "", 0
        if named := re.search(rb'"model": ?"((\w+):(\d+))"', body):
            model, tokens = named[1].decode(), int(named[3])
            self.asked.add(model)
        if path in ("/api/chat", "/v1/chat/completions"):
            streams = re.search(rb'"stream": ?false', body) is None if path == "/api/chat" else b'"stream"' in body
            pieces = _stream(path, tokens) if streams else _whole(_said(path, tokens))
            if model.startswith("paced"):
                self._pace(iter(pieces))
            else:
                self._transport.write(b"".join(pieces))
        elif path in ("/api/embed", "/v1/embeddings"):
            texts = json.loads(body)["input"]
            self._transport.writelines(_vectors(path, len(texts)))
        elif path == "/api/ps":
            self._transport.writelines(_whole({"models": [_loaded(name) for name in sorted(self.asked)]}))
        else:
            self._transport.writelines(_whole({"version": "0.24.0"}))

    def _pace(self, pieces: Iterator[bytes]) -> None:
        if (piece := next(pieces, None)) is not None:
            self._transport.write(piece)
            asyncio.get_running_loop().call_later(_SECONDS_A_TOKEN, self._pace, pieces)


def _whole(data: Any) -> list[bytes]:
    body = json.dumps(data, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    return [head.encode(), body]


@cache
def _stream(path: str, tokens: int) -> list[bytes]:
    """An answer in HTTP's chunks, a token each, as Ollama sends it."""
    kind = "application/x-ndjson" if path == "/api/chat" else "text/event-stream"
    pieces = [f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()]
    line, end = (
        ('{{"model":"answer","created_at":"{}","message":{{"role":"assistant","content":"{}"}},"done":false}}\n', "")
        if path == "/api/chat"
        else (
            'data: {{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1790000000,"model":"answer",'
            '"system_fingerprint":"fp","choices":[{{"index":0,"delta":{{"role":"assistant","content":"{1}"}},'
            '"finish_reason":null}}]}}\n\n',
            "data: [DONE]\n\n",
        )
    )
    texts = [line.format(_WHEN, f" word{number % 100}") for number in range(tokens)]
    last = end or json.dumps(_said(path, 0) | _END | {"eval_count": tokens}) + "\n"
    return [*pieces, *(b"%x\r\n%s\r\n" % (len(text), text.encode()) for text in (*texts, last)), b"0\r\n\r\n"]


def _said(path: str, tokens: int) -> dict[str, Any]:
    """An answer that does not stream."""
    message = {"role": "assistant", "content": "".join(f" word{number % 100}" for number in range(tokens))}
    if path == "/api/chat":
        return {"model": "answer", "created_at": _WHEN, "message": message} | _END | {"eval_count": tokens}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "answer", "choices": [choice]}


@cache
def _vectors(path: str, count: int) -> list[bytes]:
    """Vectors with as many digits as Ollama sends; OpenAI's package asks for base64."""
    rolled = random.Random(1)
    rows = [[round(rolled.gauss(0, 0.036), 9) for _ in range(WIDTH)] for _ in range(count)]
    if path == "/api/embed":
        return _whole({"model": "answer", "embeddings": rows, "total_duration": 10**9, "prompt_eval_count": count})
    packed = [base64.b64encode(struct.pack(f"<{WIDTH}f", *row)).decode() for row in rows]
    data = [{"object": "embedding", "index": place, "embedding": row} for place, row in enumerate(packed)]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _whole({"object": "list", "data": data, "model": "answer", "usage": usage})


def _loaded(name: str) -> dict[str, Any]:
    sizes = {"size": 10**9, "size_vram": 0, "context_length": 4096}
    return {"name": name, "model": name, "digest": "0" * 64, "expires_at": _WHEN, **sizes}


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # until who started it closes the pipe, or dies
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
