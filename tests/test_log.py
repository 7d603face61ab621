"""The debug log tells what went over the wire, and nothing that is anybody's secret."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from acagent_nb import Client, ServerDown, log
from acagent_nb.errors import LLMError

from . import clients
from .openai_like import openai_like, piece, refusal, stream
from .replay import Answer, replaying, said

SECRETS = ("sesame", "marzipan", "hush", "sk-cloud")  # a prompt, an answer, keys


class Kept(logging.Handler):
    """All that is logged, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """What is logged at the level DEBUG."""
    handler, level = Kept(), log.LOG.level
    log.LOG.addHandler(handler)
    log.LOG.setLevel(logging.DEBUG)
    yield handler
    log.LOG.removeHandler(handler)
    log.LOG.setLevel(level)


def quiet(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


def test_a_chat_is_told_without_its_secrets(do: clients.Do, kept: Kept) -> None:
    with replaying(chat=said("marzipan ", "again")) as server:
        client = {"headers": {"X-Api-Key": "hush-1"}}
        reply = do(_with_a_key(server.url), "chat", "local_tiny", "sesame", system="sesame", client=client)
        assert reply.text == "marzipan again"
        told = next(line for line in kept.lines if "/api/chat" in line)
        assert re.fullmatch(
            rf"POST {re.escape(server.url)}/api/chat: 200 after \d+ ms, \d[\d,]* bytes in \d+ ms", told
        ), told
        size = sum(len(line.encode()) for line in said("marzipan ", "again").lines)
        assert f" {size:,} bytes" in told
    assert quiet(kept.text)


def test_a_cloud_models_refusal_its_pause_and_its_answer(do: clients.Do, kept: Kept) -> None:
    busy = refusal(429, "hush hush", retry_after="0.01")
    with openai_like(busy, stream(piece(content="marzipan"), piece("stop"))) as server:
        client = {"api_key": "sk-cloud", "base_url": _with_a_key(server.url)}
        assert do(None, "chat", "gpt-4o", "sesame", client=client).text == "marzipan"
        where = re.escape(f"POST {server.url}/chat/completions")
    refused, pause, answered = kept.lines
    assert re.match(rf"{where}: 429 after ", refused)
    assert pause == "a pause of 0.01 s"
    assert re.match(rf"{where}: 200 after ", answered)
    assert quiet(kept.text)


def test_an_error_is_told_by_its_class(do: clients.Do, kept: Kept) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(ServerDown):
        do(_with_a_key(url), "version")
    assert kept.lines == [f"GET {url}/api/version: ServerDown of ConnectError"]
    assert quiet(kept.text)


def test_a_kept_connection_that_had_ended(kept: Kept) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def answer() -> None:
            body = b'{"version":"1.0.0"}'
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            line, _ = server.accept()
            line.recv(1 << 16)
            line.sendall(head + body)
            line.recv(1 << 16)  # the second request, on the same connection, gets no answer
            line.close()
            line, _ = server.accept()
            line.recv(1 << 16)
            line.sendall(head + body)
            line.close()

        thread = Thread(target=answer)
        thread.start()
        with Client(f"http://127.0.0.1:{server.getsockname()[1]}") as client:
            assert client.version().version == client.version().version == "1.0.0"
        thread.join()
    assert len(kept.lines) == 3
    assert re.fullmatch(r"GET /api/version: sent again after \w+", kept.lines[1])


def test_nothing_is_told_unless_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with replaying(chat=said("Hi.")) as server, Client(server.url) as client:
        client.chat("local_tiny", "Hello")
    assert "".join(capfd.readouterr()) == ""
    assert any(isinstance(handler, logging.NullHandler) for handler in log.LOG.handlers)


CHAT = """
import sys
from acagent_nb import Client
with Client(sys.argv[1], headers={"X-Api-Key": "hush-1"}) as client:
    print(client.chat("local_tiny", "sesame").text)
"""


def chatted(where: str, url: str) -> subprocess.CompletedProcess[str]:
    environment = {"ACAGENT_NB_LOG": where, "PATH": "", "HOME": str(Path.home())}
    command = [sys.executable, "-c", CHAT, _with_a_key(url)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=60)


def test_to_the_terminal(tmp_path: Path) -> None:
    with replaying(chat=said("marzipan")) as server:
        ran = chatted("debug", server.url)
    assert ran.stdout == "marzipan\n"
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{3} POST http://127\.0\.0\.1:\d+/api/chat: 200 after", ran.stderr, re.M)
    assert quiet(ran.stderr)


def test_to_a_file(tmp_path: Path) -> None:
    with replaying(chat=said("marzipan")) as server:
        for _ in range(2):
            assert chatted(str(tmp_path / "wire.log"), server.url).stderr == ""
    told = (tmp_path / "wire.log").read_text()
    assert told.count("/api/chat: 200") == 2
    assert quiet(told)


@pytest.mark.parametrize("where", ["0", ""])
def test_switched_off(where: str) -> None:
    with replaying(chat=said("marzipan")) as server:
        assert chatted(where, server.url).stderr == ""


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with replaying(chat=said("marzipan")) as server:
        ran = chatted(str(tmp_path / "nowhere" / "wire.log"), server.url)
    assert "the file in ACAGENT_NB_LOG can't be written (FileNotFoundError)" in ran.stderr
    assert "/api/chat: 200" in ran.stderr


def test_a_servers_own_words_stay_out(do: clients.Do, kept: Kept) -> None:
    told = Answer(('{"error":"marzipan"}\n',), 500, "application/json")
    with replaying(chat=told) as server, pytest.raises(LLMError):
        do(server.url, "chat", "local_tiny", "sesame")
    assert ": 500 after" in kept.text
    assert quiet(kept.text)


def _with_a_key(url: str) -> str:
    return url.replace("://", "://me:hush@")
