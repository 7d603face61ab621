"""How many models at once: within a number, within the memory, and what is refused at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from acagent_nb import hosts
from acagent_nb.server import gguf, memory, tiny
from acagent_nb.server.settings import layered, load

from .serving import ENDLESS, SKY, Server, babbling, serving, soon

TOO_BIG = "model requires more system memory ("


@pytest.fixture(scope="module")
def three() -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OLLAMA_MAX_LOADED_MODELS", "2")
        with serving() as server:
            _add(server, "tiny:skills")
            _add(server, "third", from_="tiny", num_predict=7)
            yield server


@pytest.fixture
def two(three: Server) -> Server:
    """A server that loads two models at most and has three, none of them loaded."""
    for name in ("tiny", "tiny:skills", "third"):
        three.chat(model=name, messages=[], keep_alive=0)
    soon(lambda: three.loaded() == [])
    return three


def _add(server: Server, name: str, from_: str = "", **parameters: Any) -> None:
    if from_:
        body = {"model": name, "from": from_, "parameters": parameters, "stream": False}
        server.client.post("/api/create", json=body).raise_for_status()
    else:
        server.client.post("/api/pull", json={"model": name, "stream": False}).raise_for_status()


def test_the_one_used_longest_ago_makes_room(two: Server) -> None:
    two.chat()
    two.chat(model="tiny:skills")
    two.chat()
    assert sorted(two.loaded()) == ["tiny:latest", "tiny:skills"]
    two.chat(model="third")
    assert sorted(two.loaded()) == ["third:latest", "tiny:latest"]
    assert len(two.children) == 2
    two.chat(model="tiny:skills")
    assert sorted(two.loaded()) == ["third:latest", "tiny:skills"]


def test_a_busy_one_is_not_ended_if_another_is_idle(two: Server) -> None:
    with babbling(two.client) as lines:
        two.chat(model="tiny:skills")
        two.chat(model="third")  # `tiny` was used before `tiny:skills` was
        assert sorted(two.loaded()) == ["third:latest", "tiny:latest"]
        assert next(lines)["done"] is False


@pytest.mark.parametrize(("limit", "loaded"), [(250, ["tiny:latest", "tiny:skills"]), (120, ["tiny:skills"])])
def test_the_memory_decides_too(limit: int, loaded: list[str]) -> None:
    with serving("--memory", str(limit)) as server:  # each needs about 85 MB
        _add(server, "tiny:skills")
        server.chat()
        assert server.chat(model="tiny:skills")["done"] is True
        assert sorted(server.loaded()) == loaded


def test_what_never_fits_is_refused_and_nothing_ends_for_it() -> None:
    with serving("--memory", "70") as server:
        assert server.chat(options={"num_ctx": 256})["done"] is True
        before = server.children
        refused = server.client.post("/api/chat", json={"model": "tiny", "messages": SKY})
        assert refused.status_code == 500
        assert refused.json()["error"].startswith(TOO_BIG)
        assert refused.json()["error"].endswith("MiB) than is available (70.0 MiB)")
        assert server.children == before
        assert server.loaded() == ["tiny:latest"]


def test_more_than_the_machine_has_is_refused(tmp_path: Path) -> None:
    whole = tiny.PATH.read_bytes()
    at = whole.index(b"llama.context_length") + len(b"llama.context_length") + 4  # after the number's type
    with hosts.private(tmp_path) as private:
        server = Server(private)
        with closing(server.client):
            blob = max((tmp_path / "blobs").iterdir(), key=lambda path: path.stat().st_size)
            blob.write_bytes(whole[:at] + (2**31 - 1).to_bytes(4, "little") + whole[at + 4 :])
            told = server.chat(options={"num_ctx": 2**31 - 1})
            assert told["error"].startswith(TOO_BIG)
            assert server.children == []
            assert server.chat()["done"] is True


@pytest.mark.parametrize("options", [{"num_ctx": 256, "num_batch": 32}, {}, {"num_batch": 2048}])
def test_the_estimate_is_near_what_a_child_takes(two: Server, options: dict[str, int]) -> None:
    """The formula is written down in memory.py; the process itself is the judge."""
    header = gguf.read(tiny.PATH)
    wanted = load(layered(options), str(tiny.PATH), 2048, embeds=False, alias="tiny")
    body = {"model": "tiny", "prompt": "word " * (wanted.num_ctx // 3), "options": options, "stream": False}
    two.client.post("/api/generate", json=body).raise_for_status()
    taken = two.children[0].memory_info().rss
    told = two.client.get("/api/ps").json()["models"][0]
    estimate = memory.need(header, wanted)
    assert taken <= estimate <= 1.5 * taken
    assert told["size"] == pytest.approx(taken, rel=0.1)
    assert told["context_length"] == wanted.num_ctx
    assert told["size_vram"] == 0


@pytest.mark.parametrize(
    ("size", "words"), [(5, "5 B"), (-1, "0 B"), (1536, "1.5 KiB"), (70 << 20, "70.0 MiB"), (3 << 29, "1.5 GiB")]
)
def test_sizes_are_told_as_go_tells_them(size: int, words: str) -> None:
    assert memory.human(size) == words


def test_the_longest_to_stay_is_listed_first(two: Server) -> None:
    two.chat(keep_alive="1h")
    two.chat(model="tiny:skills", keep_alive="1h30m")
    assert two.loaded() == ["tiny:skills", "tiny:latest"]
    two.chat(keep_alive=-1)
    assert two.loaded() == ["tiny:latest", "tiny:skills"]


def test_keep_alive_0_waits_for_a_running_answer(two: Server) -> None:
    body = {"model": "tiny", "prompt": "Once", "raw": True, "format": ENDLESS, "options": {"num_predict": 1000}}
    with two.client.stream("POST", "/api/generate", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        assert two.chat(messages=[], keep_alive=0)["done_reason"] == "unload"
        assert len(two.children) == 1
        last = [json.loads(line) for line in lines][-1]
    assert (last["done_reason"], last["eval_count"]) == ("length", 1000)
    soon(lambda: two.children == [], 1.0)
