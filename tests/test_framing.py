"""An answer's bytes are read alike however they are cut, and what is no answer is refused."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acagent_nb.framing import Answer, head

OK = b"HTTP/1.1 200 OK\r\n"


def read(data: bytes, cuts: tuple[int, ...] | list[int] = (), method: str = "POST") -> tuple[Answer, bytes]:
    """The answer in these bytes, cut at these places, and its body."""
    answer, body, start = Answer(method), b"", 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        if end > start:
            body += answer.feed(data[start:end])
        start = end
    return answer, body


@settings(max_examples=200)
@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.lists(st.integers(0, 1000), max_size=12),
    st.sampled_from([b"", b";name=value", b" "]),
    st.sampled_from([b"", b"Trailer: 1\r\n", b"One: 1\r\nTwo: 2\r\n"]),
)
def test_chunks_that_are_cut_anywhere(chunks: list[bytes], cuts: list[int], after: bytes, trailers: bytes) -> None:
    sent = b"".join(b"%X%b\r\n%b\r\n" % (len(chunk), after, chunk) for chunk in chunks)
    data = OK + b"Transfer-Encoding: Chunked\r\n\r\n" + sent + b"0\r\n" + trailers + b"\r\n"
    answer, body = read(data, cuts)
    assert body == b"".join(chunks)
    assert answer.keeps


@given(st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=8), st.integers(0, 2))
def test_a_body_of_a_known_length(sent: bytes, cuts: list[int], interims: int) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    data = interim * interims + OK + b"Content-Type:text/plain \r\ncontent-length: %d\r\n\r\n" % len(sent) + sent
    answer, body = read(data, cuts)
    assert (answer.status, body, answer.keeps) == (200, sent, True)
    assert answer.headers == [(b"Content-Type", b"text/plain"), (b"content-length", b"%d" % len(sent))]


def test_a_body_without_a_length_ends_with_its_connection() -> None:
    answer, body = read(b"HTTP/1.1 200\r\n\r\nall of")
    assert not answer.complete
    assert body + answer.feed(b" it") + answer.feed(b"") == b"all of it"
    assert answer.complete
    assert not answer.keeps


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (OK + b"Content-Length: 5\r\n\r\n", "HEAD"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", "HEAD"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "GET"),
    ],
)
def test_some_answers_have_no_body(data: bytes, method: str) -> None:
    for cut in range(len(data)):
        answer, body = read(data, [cut], method)
        assert (answer.complete, answer.keeps, body) == (True, True, b"")
    for surplus in (b"5", b"four", b"4\r\nfour", b"HTTP/1.1"):
        answer, body = read(data + surplus, method=method)
        assert (answer.complete, answer.keeps, body) == (True, False, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Connection: Close\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Content-Length: 2\r\n\r\nok and more",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1",
    ],
    ids=["HTTP/1.0", "close", "more than its length", "more than its chunks"],
)
def test_a_connection_that_is_not_used_again(data: bytes) -> None:
    answer, body = read(data)
    assert (answer.complete, body, answer.keeps) == (True, b"ok", False)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b" folded: 1\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 1, 1\r\n\r\nx",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfour\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok and more\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 " + b"x" * 70_000,
    ],
    ids=repr,
)
def test_what_is_no_answer(data: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=r"no HTTP/1\.1"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK,
        OK + b"Content-Length: 5\r\n\r\nfour",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfour",
        OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n",
    ],
)
def test_a_connection_that_ends_too_early(data: bytes) -> None:
    answer, _ = read(data)
    with pytest.raises(httpx.RemoteProtocolError, match="closed the connection"):
        answer.feed(b"")


def test_the_head_of_a_request() -> None:
    request = httpx.Request("POST", "http://host:1/a%20path?b=c", headers={"X-One": "1"}, content=b"body")
    first, *fields = head(request).split(b"\r\n")
    assert first == b"POST /a%20path?b=c HTTP/1.1"
    assert set(fields) == {b"Host: host:1", b"X-One: 1", b"Content-Length: 4", b""}
