"""What happens when something ends too early: the child, the server, the client, the model file."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from acagent_nb import hosts
from acagent_nb.server import tiny

from .serving import ENDLESS, SKY, Server, babbling, gone, serving, soon

DIED = {"error": "an error was encountered while running the model: unexpected EOF"}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that answers one request at a time."""
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "1")
    with serving() as server:
        yield server


def test_a_child_killed_in_an_answer_gives_an_error_line_and_a_new_one_answers(own: Server) -> None:
    with babbling(own.client) as lines:
        own.children[0].kill()
        assert list(lines)[-1] == DIED
    assert own.chat()["done"] is True


def test_a_child_killed_between_answers_is_not_noticed(own: Server) -> None:
    own.chat()
    for _ in range(3):
        own.children[0].kill()
        assert own.chat()["done"] is True


def test_a_child_that_dies_before_the_first_piece_is_a_500(own: Server) -> None:
    own.chat()
    own.children[0].suspend()  # so that it can't answer before it is killed
    threading.Timer(0.3, own.children[0].kill).start()
    answer = own.client.post("/api/chat", json={"model": "tiny", "messages": SKY})
    assert (answer.status_code, answer.json()) == (500, DIED)


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_child_outlives_the_server(own: Server, way: signal.Signals) -> None:
    with babbling(own.client) as lines:
        (child,) = own.children
        own.process.send_signal(way)
        assert soon(lambda: gone(own.process)) < 2
        assert soon(lambda: gone(child)) < 1
        with contextlib.suppress(httpx.RemoteProtocolError):  # an ordered end may be a whole answer, or an error line
            assert not [line for line in lines if line.get("done")]


def test_an_interrupt_in_the_terminal_misses_the_child(own: Server) -> None:
    own.chat()
    (child,) = own.children
    assert os.getpgid(child.pid) != os.getpgid(own.process.pid)


@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("large", [0, 100_000])
def test_a_client_that_leaves_frees_the_slot(own: Server, path: str, stream: bool, large: int) -> None:
    own.chat()
    body: dict[str, object] = {"model": "tiny", "prompt": "Once", "stream": stream, "unknown": "x" * large}
    if path == "/api/generate":
        body |= {"raw": True, "format": ENDLESS}
    else:
        body |= {"max_tokens": 20_000, "json_schema": ENDLESS}
    client = httpx.Client(base_url=own.url, trust_env=False, timeout=httpx.Timeout(30, read=None if stream else 0.3))
    with client:
        if stream:
            with client.stream("POST", path, json=body) as answer:
                next(answer.iter_lines())
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(path, json=body)
    began = time.monotonic()
    told = own.chat(options={"num_predict": 1})
    assert told["done"] is True
    # The only slot was free again, and the first token came, by then.
    assert time.monotonic() - began < 0.1


def cut(share: float) -> bytes:
    """The first part of the model file."""
    return tiny.PATH.read_bytes()[: int(tiny.PATH.stat().st_size * share)]


def with_zero(key: bytes) -> bytes:
    """The model file with a number in its header set to 0."""
    whole = tiny.PATH.read_bytes()
    at = whole.index(key) + len(key) + 4  # after the number's type
    return whole[:at] + bytes(4) + whole[at + 4 :]


DAMAGED = {
    "empty": cut(0),
    "ends in the header": cut(0.001),
    "ends in the weights": cut(0.3),
    "lacks its end": cut(0.99),
    "is something else": b"<html>not found</html>" * 1000,
    "aborts the engine": with_zero(b"llama.block_count"),
    "has no context": with_zero(b"llama.context_length"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_with_a_sentence(tmp_path: Path, damage: str) -> None:
    with hosts.private(tmp_path) as private, httpx.Client(base_url=private.url, trust_env=False, timeout=30) as client:
        client.post("/api/pull", json={"model": "tiny", "stream": False})
        blob = max((tmp_path / "blobs").iterdir(), key=lambda path: path.stat().st_size)
        blob.write_bytes(DAMAGED[damage])
        answer = client.post("/api/chat", json={"model": "tiny", "messages": SKY})
        assert answer.status_code == 500
        assert answer.json()["error"].startswith("unable to load model: ")
        assert "Traceback" not in answer.text
        assert client.get("/api/tags").status_code == 200
        blob.write_bytes(tiny.PATH.read_bytes())
        assert client.post("/api/chat", json={"model": "tiny", "messages": SKY, "stream": False}).json()["done"] is True
        assert len(psutil.Process(private.pid).children()) == 1  # the failed one is gone, and reaped
