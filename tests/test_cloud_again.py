"""A cloud model's server that is busy, goes away, or wants it otherwise: when it is asked again, and when not."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client
from acagent_nb.errors import Busy, Incomplete, MissingExtra, ServerDown, ServerError, TimedOut
from acagent_nb.messages import Done, Text

from .clouds import KEY, LIMIT, OK, QUOTA, Ask, asked, blocking, notes
from .openai_like import Told, document, openai_like, piece, refusal, stream


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_server_is_asked_again_as_soon_as_it_says(ask: Ask, status: int) -> None:
    with openai_like(refusal(status, "wait", retry_after="0"), refusal(status, "wait", retry_after="0"), OK) as server:
        assert ask(server.url) == [Text("ok"), Done("stop")]
        assert len(server.requests) == 3


def test_nobody_is_asked_for_ever() -> None:
    with openai_like(refusal(429, LIMIT, "rate_limit_exceeded", retry_after="0")) as server:
        with pytest.raises(Busy):
            blocking(server.url)
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "told",
    [refusal(401, "no"), refusal(429, QUOTA, "insufficient_quota"), refusal(429, LIMIT, retry_after="3600")],
    ids=["key", "quota", "an hour"],
)
def test_what_waiting_does_not_help_is_asked_once(told: Told) -> None:
    with openai_like(told) as server:
        with pytest.raises(ServerError):
            blocking(server.url)
        assert len(server.requests) == 1


def test_nothing_is_asked_again_after_the_first_token(ask: Ask) -> None:
    error = {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
    for told, kind in (
        (stream(piece(content="a"), end=b""), Incomplete),
        (stream(piece(content="a"), end=b"", breaks=True), ServerDown),
        (stream(piece(content="a"), error), ServerError),
        (stream(piece(content="a"), {"error": "something broke"}), ServerError),
        (stream(piece(content="a"), {"error": {"message": "slow down", "code": 429}}), Busy),
        (stream(piece(content="a"), b"data: {nonsense\n\n"), ServerError),
    ):
        with openai_like(told) as server:
            with pytest.raises(kind) as raised:
                ask(server.url)
            assert type(raised.value) is kind
            assert len(server.requests) == 1


@pytest.mark.parametrize(
    "told",
    [
        Told(b"<!DOCTYPE html>\n<html></html>", headers=(("Content-Type", "text/html"),)),
        document({"models": []}),
        document({"choices": "none"}),
        stream(b'data: {"choices": [{"delta": {"content": "\xff"}}]}\n\n'),
    ],
    ids=["page", "no choices", "a text", "no UTF-8"],
)
def test_what_is_not_openais_protocol_is_no_answer(told: Told) -> None:
    with openai_like(told) as server, pytest.raises(ServerError, match="/v1"):
        blocking(server.url)


def test_fields_that_a_server_does_not_take_are_changed_once() -> None:
    unknown = refusal(400, "Unknown parameter: 'stream_options'.", "unknown_parameter", "stream_options")
    renamed = refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", "unsupported")
    with openai_like(unknown, renamed, OK) as server:
        assert blocking(server.url, provider="lab", options={"num_predict": 5}) == [Text("ok"), Done("stop")]
        first, second, third = (body for _, _, body in server.requests)
    assert ("stream_options" in first, "stream_options" in second) == (True, False)
    assert third == {
        **{name: value for name, value in second.items() if name != "max_tokens"},
        "max_completion_tokens": 5,
    }
    with openai_like(unknown) as server:
        with pytest.raises(ServerError, match="stream_options"):
            blocking(server.url)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("think", "offered", "taken"),
    [
        (False, "'minimal', 'low', 'medium', and 'high'", "minimal"),
        ("max", "'none', 'low', 'medium', 'high', and 'xhigh'", "xhigh"),
        (True, "'high'", "high"),
    ],
)
def test_the_nearest_effort_that_a_model_takes(think: Any, offered: str, taken: str) -> None:
    words = (
        f"Unsupported value: 'reasoning_effort' does not support it with this model. Supported values are: {offered}."
    )
    with openai_like(refusal(400, words, "unsupported_value", "reasoning_effort"), OK) as server:
        events = blocking(server.url, think=think)
        assert [body["reasoning_effort"] for _, _, body in server.requests][-1] == taken
    (note,) = notes(events)
    assert taken in note


def test_closing_an_answer_closes_its_connection() -> None:
    with openai_like(stream(piece(content="a"), end=b"", stall=30)) as server:
        with Client(base_url=server.url, api_key=KEY) as client:
            began = time.monotonic()
            events = client.events(asked())
            assert next(events) == Text("a")
            events.close()
            assert server.left.wait(10)
        assert time.monotonic() - began < 20

    async def leave(url: str) -> None:
        async with AsyncClient(base_url=url, api_key=KEY) as client, aclosing(client.events(asked())) as events:
            assert await anext(events) == Text("a")

    with openai_like(stream(piece(content="a"), end=b"", stall=30)) as server:
        asyncio.run(leave(server.url))
        assert server.left.wait(10)


@pytest.mark.parametrize(
    "told", [stream(piece(content="a"), end=b"", stall=30), stream(late=30), refusal(429, LIMIT, retry_after="30")]
)
def test_a_timeout_holds_for_the_whole_call(ask: Ask, told: Told) -> None:
    began = time.monotonic()
    with openai_like(told) as server, pytest.raises(TimedOut):
        ask(server.url, timeout=0.5)
    assert time.monotonic() - began < 20


def test_nobody_there(ask: Ask) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(ServerDown, match=r"127\.0\.0\.1 can't be reached \(.*(refused|failed)"):
            ask(url)


def test_a_server_that_hangs_up_is_asked_again() -> None:
    with openai_like(stream(end=b"", breaks=True)) as server, pytest.raises(ServerDown, match="broke"):
        blocking(server.url)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(20)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        with ThreadPoolExecutor() as pool:
            events = pool.submit(blocking, url)
            listening.accept()[0].close()
            connection = listening.accept()[0]
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(OK.body), OK.body))
            connection.close()
            assert events.result(20) == [Text("ok"), Done("stop")]


def test_no_proxy_and_no_surprise_from_the_environment(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Mine: secret\nAuthorization: Bearer other")
    with openai_like(OK) as server:
        ask(server.url)
        (headers,) = server.headers
        assert headers["authorization"] == f"Bearer {KEY}"
        assert not {"openai-organization", "openai-project", "x-mine"} & set(headers)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        with Client() as client:
            list(client.events(asked()))
        headers = server.headers[-1]
        assert headers["authorization"] == f"Bearer {KEY}"
        assert headers["openai-organization"] == "org-mine"
        assert headers["x-mine"] == "secret"


def test_without_the_openai_package() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from acagent_nb.errors import MissingExtra\nfrom tests.clouds import blocking\n"
        "try: blocking('http://127.0.0.1:9/v1')\n"
        "except MissingExtra as error: print(error.hint)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "acagent-nb[cloud]" in ran.stdout
    assert issubclass(MissingExtra, ImportError)
