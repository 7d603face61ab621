"""Texts made vectors while their model answers: by a second child if there is room for one, else after the answer."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from threading import Event
from typing import Any

import httpx
import psutil
import pytest
from msgspec.structs import replace

from acagent_nb.server import gguf, memory, tiny
from acagent_nb.server.settings import layered, load

from .serving import ENDLESS, Server, babbling, gone, serving, soon
from .test_server_embeds import EXACT, TEXTS, apart, embed, older, openai

LONG = "the soup was cold and the machine sang " * 90  # more tokens than a batch
MANY = TEXTS * 20


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def own(shared: Server) -> Server:
    """A server that has `tiny` loaded, once."""
    unload(shared)
    shared.chat(messages=[], keep_alive="5m")
    assert len(shared.children) == 1
    return shared


def unload(server: Server) -> None:
    server.chat(messages=[], keep_alive=0)
    soon(lambda: server.children == [])


@contextmanager
def answering(server: Server) -> Iterator[list[dict[str, Any]]]:
    """The lines of an answer that would not end by itself, read while they come."""
    told: list[dict[str, Any]] = []
    enough = Event()

    def read(lines: Iterator[dict[str, Any]]) -> None:
        for line in lines:
            told.append(line)
            if enough.is_set():
                return

    with babbling(server.client) as lines, ThreadPoolExecutor(1) as pool:
        pool.submit(read, lines)
        try:
            yield told
        finally:
            enough.set()


def goes_on(server: Server, lines: list[dict[str, Any]]) -> bool:
    """Whether the first child still works on an answer: lines alone may come late, from buffers."""
    first = min(server.children, key=lambda child: child.create_time())

    def worked() -> float:
        return float(sum(first.cpu_times()[:2]))

    before = worked()
    soon(lambda: worked() > before + 0.3, 20)
    return not lines[-1]["done"]


def once(server: Server, texts: list[str]) -> Any:
    """Vectors over a connection of their own, with a keep_alive that /api/ps shows."""
    body = {"model": "tiny", "input": texts, "keep_alive": "1h"}
    return httpx.post(f"{server.url}/api/embed", json=body, timeout=60, trust_env=False).json()["embeddings"]


def minutes(server: Server) -> float:
    """How long `tiny` is to stay."""
    expires = datetime.fromisoformat(server.client.get("/api/ps").json()["models"][0]["expires_at"][:26] + "+00:00")
    return (expires - datetime.now(timezone.utc)).total_seconds() / 60


@pytest.mark.parametrize("route", [embed, openai, older])
def test_texts_need_not_wait_for_an_answer_and_have_the_same_vectors(
    own: Server, route: Callable[[Server, list[str]], Any]
) -> None:
    texts = [*TEXTS[:5], LONG]
    expected = route(own, texts)
    with answering(own) as lines:
        assert apart(route(own, texts), expected) < EXACT
        assert goes_on(own, lines)
        assert len(own.children) == 2
    assert apart(route(own, texts), expected) < EXACT


def test_the_model_is_listed_once_with_all_that_it_takes(own: Server) -> None:
    with answering(own):
        embed(own, [LONG])
        (told,) = own.client.get("/api/ps").json()["models"]
        first, second = (child.memory_info() for child in own.children)
        assert first.rss < told["size"] < first.rss + second.rss
        assert told["context_length"] == 2048
        wanted = load(layered({}), str(tiny.PATH), 2048, embeds=False, alias="tiny")
        second_load = replace(wanted, slots=1, beside=True, longest=2048)
        assert second.rss <= memory.need(gguf.read(tiny.PATH), second_load)
    short = replace(second_load, longest=0)
    assert memory.need(gguf.read(tiny.PATH), short) < memory.need(gguf.read(tiny.PATH), second_load)


def test_without_an_answer_there_is_no_second_child(own: Server) -> None:
    with ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda first: embed(own, TEXTS[first::4]), range(4)))
    assert len(own.children) == 1
    unload(own)
    with ThreadPoolExecutor(4) as clients:  # the one is being loaded
        list(clients.map(lambda first: embed(own, TEXTS[first::4]), range(4)))
    assert len(own.children) == 1


def test_texts_leave_a_child_that_begins_to_answer(own: Server) -> None:
    expected = embed(own, TEXTS)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(once, own, MANY)
        soon(lambda: minutes(own) > 30)  # it has begun
        assert not asked.done()
        with answering(own) as lines:
            vectors = asked.result()
            assert goes_on(own, lines)
            assert len(own.children) == 2
    assert apart(vectors[: len(TEXTS)], expected) < EXACT
    assert apart(vectors[-len(TEXTS) :], expected) < EXACT


def test_keep_alive_is_the_models(own: Server) -> None:
    with answering(own) as lines:
        once(own, TEXTS[:1])
        assert 50 < minutes(own) < 70
        own.client.post("/api/embed", json={"model": "tiny", "input": "hello", "keep_alive": "200ms"})
        soon(lambda: len(own.children) == 1)  # the second has nothing to do, the first has
        assert goes_on(own, lines)
    soon(lambda: own.children == [])


@pytest.mark.parametrize("killed", [0, 1])
def test_one_that_is_killed_leaves_the_other_alone(own: Server, killed: int) -> None:
    expected = embed(own, TEXTS[:5])
    with answering(own) as lines:
        embed(own, TEXTS[:5])
        children = sorted(own.children, key=lambda child: child.create_time())
        children[killed].kill()
        assert apart(embed(own, TEXTS[:5]), expected) < EXACT
        if killed == 0:
            soon(lambda: "unexpected EOF" in lines[-1].get("error", ""))
            assert not gone(children[1])
        else:
            assert goes_on(own, lines)
    assert own.chat()["done"] is True


def test_both_go_with_their_model(own: Server) -> None:
    own.client.post("/api/copy", json={"source": "tiny", "destination": "other"})
    for way in ({"keep_alive": 0}, None):
        with answering(own) as lines:
            embed(own, TEXTS[:1])
            assert len(own.children) == 2
            if way:
                own.chat(messages=[], **way)
            else:
                for name in ("tiny", "other"):
                    own.client.request("DELETE", "/api/delete", json={"model": name}).raise_for_status()
            soon(lambda: len(own.children) == 1)
            assert goes_on(own, lines)
        soon(lambda: own.children == [])
        assert own.loaded() == []
    own.client.post("/api/pull", json={"model": "tiny", "stream": False}).raise_for_status()


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_neither_outlives_the_server(way: signal.Signals) -> None:
    with serving() as server, answering(server):
        embed(server, TEXTS[:1])
        children = server.children
        assert len(children) == 2
        server.process.send_signal(way)
        soon(lambda: all(map(gone, [server.process, *children])))


def waits(server: Server) -> list[psutil.Process]:
    """Check that texts wait for the end of an answer; the children that were there meanwhile."""
    expected = embed(server, TEXTS[:3])
    # an answer is at least so long that its end is not the first thing that happens
    body = {"model": "tiny", "prompt": "Once", "raw": True, "format": ENDLESS, "options": {"num_predict": 1000}}
    with ThreadPoolExecutor(1) as pool, server.client.stream("POST", "/api/generate", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        asked = pool.submit(once, server, TEXTS[:3])
        soon(lambda: minutes(server) > 30)  # its request has come
        children = server.children
        told = [json.loads(line) for line in lines]
        assert told[-1]["eval_count"] == 1000
        assert apart(asked.result(), expected) < EXACT
    assert [child.pid for child in server.children] == [child.pid for child in children]
    return children


@pytest.mark.parametrize(("most", "memory"), [("1", "1000"), ("3", "120")])  # of which each child needs 60 at least
def test_without_room_for_two_texts_wait(monkeypatch: pytest.MonkeyPatch, most: str, memory: str) -> None:
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", most)
    with serving("--memory", memory) as server:
        assert len(waits(server)) == 1


def test_no_model_is_unloaded_for_texts_but_their_child_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", "2")
    with serving() as server:
        server.client.post("/api/pull", json={"model": "tiny:skills", "stream": False}).raise_for_status()
        server.chat(model="tiny:skills")
        assert len(waits(server)) == 2
        assert sorted(server.loaded()) == ["tiny:latest", "tiny:skills"]
        server.chat(model="tiny:skills", messages=[], keep_alive=0)
        soon(lambda: len(server.children) == 1)
        expected = embed(server, TEXTS)
        with ThreadPoolExecutor(1) as pool:
            with answering(server) as lines:
                asked = pool.submit(once, server, MANY)
                soon(lambda: len(server.children) == 2, 20)
                soon(lambda: minutes(server) > 30)
                assert server.chat(model="tiny:skills", options={"num_predict": 2})["done"] is True
                assert goes_on(server, lines)
                assert sorted(server.loaded()) == ["tiny:latest", "tiny:skills"]
                assert len(server.children) == 2
            assert apart(asked.result()[: len(TEXTS)], expected) < EXACT
