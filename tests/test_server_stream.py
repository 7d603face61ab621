"""How an answer's lines reach clients that are not like others: in a hurry, polite, or slow."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from acagent_nb.server.http import Outlet

from .serving import ENDLESS, SKY, Server, serving

HEAD = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{more}\r\n"


def request(body: dict[str, object], more: str = "") -> tuple[bytes, bytes]:
    """A request's head and its body."""
    data = json.dumps({"model": "tiny", "messages": SKY, "options": {"temperature": 0}, **body}).encode()
    return HEAD.format(length=len(data), more=more).encode(), data


@contextmanager
def connected(server: Server, buffer: int = 0) -> Iterator[socket.socket]:
    """A connection; with room for few bytes on this side if a buffer is given."""
    address = urlsplit(server.url)
    with socket.socket() as line:
        line.settimeout(30)
        if buffer:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        line.connect((address.hostname, address.port))
        yield line


def to_the_end(line: socket.socket) -> bytes:
    """All that comes until the server closes."""
    return b"".join(iter(lambda: line.recv(1 << 16), b""))


def unchunked(answer: bytes) -> tuple[bytes, bytes]:
    """The body of one answer in chunks, and what comes after it."""
    rest, body = answer.partition(b"\r\n\r\n")[2], b""
    while True:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length, 16)
        body, rest = body + rest[:size], rest[size + 2 :]
        if not size:
            return body, rest


def told(body: bytes) -> str:
    """The text of a stream's lines, which must all be there."""
    lines = [json.loads(line) for line in body.splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    return "".join(line["message"]["content"] for line in lines)


def test_two_questions_at_a_time_are_answered_one_after_the_other(own: Server) -> None:
    first, second = request({}), request({"options": {"temperature": 0, "num_predict": 3}}, "Connection: close\r\n")
    with connected(own) as line:
        line.sendall(b"".join(first + second))
        body, rest = unchunked(to_the_end(line))
    whole = own.chat(options={"temperature": 0})["message"]["content"]
    shorter = told(unchunked(rest)[0])
    assert told(body) == whole
    assert whole.startswith(shorter)
    assert len(shorter) < len(whole)


def test_a_client_that_asks_before_it_sends(own: Server) -> None:
    head, data = request({}, "Expect: 100-continue\r\nConnection: close\r\n")
    with connected(own) as line:
        line.sendall(head)
        assert re.match(rb"HTTP/1.1 100 ", line.recv(1 << 16))
        line.sendall(data)
        body, rest = unchunked(to_the_end(line))
    assert told(body) == own.chat(options={"temperature": 0})["message"]["content"]
    assert rest == b""


def test_lines_in_quick_succession_go_together_and_what_ends_them_takes_them_along() -> None:
    async def written() -> list[bytes]:
        ours, theirs = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        outlet = Outlet(transport, joins=True)
        outlet.write(b"head ")
        outlet.write(b"first ")
        outlet.more(b"a\n")
        outlet.more(b"b\n")
        told = [await reader.read(100), await reader.read(100)]
        for line in (b"c\n", b"d\n", b"e\n"):
            outlet.more(line)
        outlet.write(b"last")
        transport.close()
        told.append(await reader.read())
        writer.close()
        return told

    together, *rest = asyncio.run(written())
    assert together == b"head first "
    assert rest[0] == b"4\r\na\nb\n\r\n"
    chunks, _, last = rest[1].rpartition(b"\r\n")
    assert (b"".join(re.findall(rb"\w\n", chunks)), last) == (b"c\nd\ne\n", b"last")


def test_who_does_not_read_keeps_nobody_waiting_and_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "1")
    with serving() as own:
        own.chat(options={"num_predict": 1})
        tokens, window = 2400, {"num_ctx": 2048}
        options = {"temperature": 0, "num_predict": tokens, **window}
        body = {"format": ENDLESS, "options": options, "logprobs": True, "top_logprobs": 20}
        with connected(own, buffer=2048) as line:
            line.sendall(b"".join(request(body, "Connection: close\r\n")))
            begun = line.recv(16)
            assert own.chat(options={"num_predict": 1, **window})["done"] is True  # there is one slot only
            answer, _ = unchunked(begun + to_the_end(line))
    assert len(answer) > 3 << 20  # more than lies in the sockets between us: Linux holds 2.3 MB
    lines = [json.loads(line) for line in answer.splitlines()]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("length", tokens)
    assert sum(len(line["logprobs"]) for line in lines[:-1]) == tokens
