"""Models: pulled, listed, shown, copied, deleted, loaded and let go."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from acagent_nb import hosts
from acagent_nb.errors import ServerError
from acagent_nb.server import pull
from acagent_nb.server.store import Store

from .serving import Server, serving, soon
from .test_server_recorded import recorded, shape


@pytest.fixture
def own() -> Iterator[Server]:
    with serving() as server:
        yield server


def test_a_pull_tells_how_far_it_is(tmp_path: Path) -> None:
    with hosts.private(tmp_path) as private, httpx.Client(base_url=private.url, trust_env=False) as client:
        lines = [json.loads(line) for line in client.post("/api/pull", json={"model": "tiny"}).iter_lines()]
        again = [json.loads(line) for line in client.post("/api/pull", json={"model": "tiny"}).iter_lines()]
    statuses = [line["status"] for line in lines]
    assert statuses[0] == "pulling manifest"
    assert statuses[-3:] == ["verifying sha256 digest", "writing manifest", "success"]
    weights = [line for line in lines if line.get("digest") == lines[1]["digest"]]
    assert 2 < len(weights) < 40
    assert [line["completed"] for line in weights] == sorted(line["completed"] for line in weights)
    assert weights[-1]["completed"] == weights[-1]["total"]
    assert weights[0]["status"] == f"pulling {weights[0]['digest'][7:19]}"
    assert [shape(line) for line in again] == [shape(json.loads(line)) for _, line in _pulled_with(len(again))]
    for blob in (tmp_path / "blobs").iterdir():
        assert blob.name == "sha256-" + hashlib.sha256(blob.read_bytes()).hexdigest()
    assert [path.parts[-4:] for path in (tmp_path / "manifests").glob("*/*/*/*")] == [
        ("registry.ollama.ai", "library", "tiny", "latest")
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".writing")] == []


def _pulled_with(lines: int) -> list[list[object]]:
    """The recorded second pull, with as many layers as ours has."""
    told = recorded()["pull_again"]["lines"]
    return [*told[: lines - 3], *told[-3:]]


@pytest.mark.parametrize("times", [1, 2])
def test_a_blob_that_goes_while_it_is_pulled_is_copied_once_more(tmp_path: Path, times: int) -> None:
    """Another model's end takes it: the name is written last, and until then nobody is known to need the blob."""
    store = Store(tmp_path)

    async def pulled() -> list[str]:
        statuses: list[str] = []
        async for line in pull.pull(store, "tiny"):
            statuses.append(line["status"])
            if line["status"] == "writing manifest" and statuses.count("writing manifest") <= times:
                for blob in store.blobs.iterdir():
                    blob.unlink()
        return statuses

    if times == 1:
        assert asyncio.run(pulled())[-1] == "success"
        assert store.find("tiny") is not None
    else:
        with pytest.raises(ServerError, match="must be downloaded again"):
            asyncio.run(pulled())
        assert store.models() == []


def test_what_can_not_be_pulled_is_said(api: httpx.Client) -> None:
    ask = {"model": "127.0.0.1:9/library/x", "insecure": True}  # where nobody is
    lines = [json.loads(line) for line in api.post("/api/pull", json=ask).iter_lines()]
    assert lines[0] == {"status": "pulling manifest"}
    assert lines[1]["error"].startswith(
        'pull model manifest: Get "http://127.0.0.1:9/v2/library/x/manifests/latest": dial tcp'
    )
    whole = api.post("/api/pull", json={**ask, "stream": False})
    assert (whole.status_code, whole.json()) == (500, lines[1])


def test_tags_and_show_have_the_recorded_shapes(api: httpx.Client) -> None:
    ours = {model["name"]: model for model in api.get("/api/tags").json()["models"]}
    theirs = json.loads(recorded()["tags"]["lines"][0][1])["models"][0]
    assert shape(ours["tiny:latest"]) == shape(theirs)
    shown = api.post("/api/show", json={"model": "tiny"}).json()
    recording = json.loads(recorded()["show"]["lines"][0][1])
    assert [key for key in recording if key != "parameters"] == list(shown)  # ours needs no PARAMETER
    assert shape(shown["details"]) == shape(recording["details"])
    assert shape(shown["tensors"]) == shape(recording["tensors"])
    common = shown["model_info"].keys() & recording["model_info"].keys()
    assert len(common) > 15
    assert all(type(shown["model_info"][key]) is type(recording["model_info"][key]) for key in common)


def test_show_keeps_the_vocabulary_when_asked(api: httpx.Client) -> None:
    for verbose in (False, True):
        info = api.post("/api/show", json={"model": "tiny", "verbose": verbose}).json()["model_info"]
        assert (info["tokenizer.ggml.tokens"] is not None) is verbose


def test_a_copy_answers_and_goes_without_hurting_the_first(own: Server) -> None:
    client = own.client
    assert client.post("/api/copy", json={"source": "tiny", "destination": "me/mine:v1"}).status_code == 200
    names = [model["name"] for model in client.get("/api/tags").json()["models"]]
    assert sorted(names) == ["me/mine:v1", "tiny:latest"]
    assert own.chat(model="ME/mine:V1")["model"] == "ME/mine:V1"  # in any case, and told as it was asked
    gone = client.request("DELETE", "/api/delete", json={"model": "me/mine:v1"})
    assert (gone.status_code, gone.content) == (200, b"")
    assert own.chat()["done"] is True
    client.request("DELETE", "/api/delete", json={"model": "tiny"})
    assert client.get("/api/tags").json() == {"models": []}
    soon(lambda: own.loaded() == [])
    assert own.chat() == {"error": "model 'tiny' not found"}


def test_keep_alive_runs_out(own: Server) -> None:
    own.chat(keep_alive="300ms")
    assert own.loaded() == ["tiny:latest"]
    assert soon(lambda: own.children == []) < 1.0
    assert own.loaded() == []
    own.chat(keep_alive=0)
    soon(lambda: own.children == [], 1.0)


def test_keep_alive_lasts_until_another_is_given(own: Server) -> None:
    own.chat(keep_alive=-1)
    own.chat()
    expires = own.client.get("/api/ps").json()["models"][0]["expires_at"]
    assert expires.startswith("23")  # in about 292 years, as Ollama says it
    told = own.chat(messages=[], keep_alive=0)
    assert told["done_reason"] == "unload"
    soon(lambda: own.children == [], 1.0)


def test_an_empty_request_loads(own: Server) -> None:
    assert own.chat(messages=[])["done_reason"] == "load"
    assert own.loaded() == ["tiny:latest"]
    began = time.monotonic()
    own.chat(options={"num_predict": 1})
    assert time.monotonic() - began < 1


def test_vectors_have_length_one(api: httpx.Client) -> None:
    body = {"model": "tiny", "input": ["hello", "word " * 3000], "dimensions": 16}
    told = api.post("/api/embed", json=body).json()
    assert [len(vector) for vector in told["embeddings"]] == [16, 16]
    assert all(abs(sum(number**2 for number in vector) - 1) < 1e-5 for vector in told["embeddings"])
    refused = api.post("/api/embed", json=body | {"truncate": False})
    assert (refused.status_code, refused.json()) == (400, {"error": "the input length exceeds the context length"})
    assert api.post("/api/embed", json={"model": "tiny"}).json() == {"model": "tiny", "embeddings": []}


def test_the_version_names_the_engine(api: httpx.Client) -> None:
    told = api.get("/api/version").json()
    assert list(told) == ["version", "engine"]
    assert told["engine"]["name"] == "xllamacpp"
    assert api.head("/").status_code == 200
