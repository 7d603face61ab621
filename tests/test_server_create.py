"""Models made by `/api/create` out of others and of uploaded files, and the blobs they are made of."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import psutil
import pytest

from acagent_nb import hosts
from acagent_nb.server import gguf, tiny

from . import ggufs
from .serving import SKY, Server, soon

GREEDY = {"temperature": 0, "num_predict": 12}
TINY = ggufs.digest(tiny.PATH.read_bytes())
SHOUT = "{%- for message in messages %}{{ message.content | upper }}{%- endfor %}"


def upload(server: Server, data: bytes) -> str:
    digest = ggufs.digest(data)
    assert server.client.post(f"/api/blobs/{digest}", content=data).status_code in (200, 201)
    return digest


def create(server: Server, name: str, **fields: Any) -> list[str]:
    """Make a model; the progress lines."""
    answer = server.client.post("/api/create", json={"model": name, **fields})
    assert answer.status_code == 200, answer.text
    lines = [json.loads(line) for line in answer.iter_lines()]
    assert lines[-1] == {"status": "success"}, lines
    return [line["status"] for line in lines]


def refused(server: Server, **fields: Any) -> tuple[int, str]:
    answer = server.client.post("/api/create", json={"model": "refused", "stream": False, **fields})
    assert server.client.post("/api/show", json={"model": "refused"}).status_code == 404
    return answer.status_code, str(answer.json().get("error"))


def shown(server: Server, name: str) -> Any:
    return server.client.post("/api/show", json={"model": name}).json()


def said(server: Server, name: str, **fields: Any) -> str:
    return str(server.chat(model=name, options=GREEDY, **fields)["message"]["content"])


def test_a_blob_is_kept_under_its_digest_only(own: Server) -> None:
    data = os.urandom(3 << 20)
    digest = ggufs.digest(data)
    path = f"/api/blobs/{digest}"
    assert own.client.head(path).status_code == 404
    wrong = own.client.post(path, content=b"other bytes")
    assert wrong.status_code == 400
    assert wrong.json()["error"] == (f'digest mismatch, expected "{digest}", got "{ggufs.digest(b"other bytes")}"')
    assert own.client.head(path).status_code == 404
    assert [own.client.post(path, content=data).status_code for _ in range(2)] == [201, 200]
    assert own.client.head(path.replace(":", "-")).status_code == 200
    bad = own.client.post("/api/blobs/sha256:zz", content=b"")
    assert (bad.status_code, bad.json()) == (400, {"error": "invalid digest format"})


def test_a_large_blob_takes_no_memory_and_half_a_one_no_disk(tmp_path: Path) -> None:
    size, piece = 300 << 20, bytes(1 << 20)
    with hosts.private(tmp_path) as private, httpx.Client(base_url=private.url, trust_env=False, timeout=60) as client:
        process = psutil.Process(private.pid)
        client.get("/api/tags")
        before, peak = process.memory_info().rss, 0

        def pieces(count: int) -> Iterator[bytes]:
            nonlocal peak
            for _ in range(count):
                yield piece
                peak = max(peak, process.memory_info().rss)

        told = client.post(f"/api/blobs/sha256:{'0' * 64}", content=pieces(size >> 20))
        assert told.status_code == 400
        assert "digest mismatch" in told.text
        assert peak - before < 30 << 20

        def broken() -> Iterator[bytes]:
            yield piece
            soon(lambda: any(tmp_path.glob(".writing-*")))
            raise KeyError  # the connection is closed in the middle

        with pytest.raises(KeyError):
            client.post(f"/api/blobs/sha256:{'1' * 64}", content=broken(), headers={"content-length": str(size)})
        soon(lambda: not any(tmp_path.glob(".writing-*")))
        assert list((tmp_path / "blobs").iterdir()) == []


def test_a_model_from_another_has_its_own_words(own: Server) -> None:
    lines = create(
        own,
        "brief",
        **{"from": "tiny"},
        system="You are brief.",
        parameters={"num_predict": 3, "temperature": 0, "stop": ["###"]},
        messages=[{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Hi!"}],
        license=["MIT", "and more"],
    )
    assert lines[0] == f"using existing layer {TINY}"
    assert sum(line.startswith("creating new layer sha256:") for line in lines) == 5
    told = shown(own, "brief")
    assert (told["system"], told["license"]) == ("You are brief.", "MIT\nand more")
    assert told["details"]["parent_model"] == "tiny:latest"
    assert told["messages"][1] == {"role": "assistant", "content": "Hi!"}
    assert "num_predict                    3" in told["parameters"].splitlines()
    answer = own.chat(model="brief")
    assert (answer["eval_count"], answer["done_reason"]) == (3, "length")
    assert answer["prompt_eval_count"] > own.chat(options=GREEDY)["prompt_eval_count"] + 10  # system and messages
    create(own, "briefer", **{"from": "brief"}, parameters={"num_predict": 1})
    child = own.chat(model="briefer")
    assert child["eval_count"] == 1
    assert shown(own, "briefer")["system"] == "You are brief."


def test_what_is_shown_of_values_is_gos(own: Server) -> None:
    create(own, "weird", **{"from": "tiny"}, parameters={"weird": None, "use_mmap": True, "num_predict": 2.0})
    told = shown(own, "weird")
    assert sorted(line.split()[1] for line in told["parameters"].splitlines()) == ["2", "<nil>", "true"]
    assert "None" not in told["modelfile"]
    assert own.chat(model="weird")["eval_count"] == 2


def test_a_system_message_is_tried_on(own: Server) -> None:
    create(own, "systematic", **{"from": "tiny"}, system="Be kind.")
    told = own.client.post("/api/show", json={"model": "systematic", "system": "Be rude."}).json()
    assert told["system"] == "Be rude."
    assert "SYSTEM Be rude." in told["modelfile"]
    assert shown(own, "systematic")["system"] == "Be kind."


def test_a_new_version_of_a_model_answers_at_once_and_leaves_nothing_of_the_old(own: Server) -> None:
    blobs = Path(shown(own, "tiny")["modelfile"].split("\nFROM ")[1].splitlines()[0]).parent
    create(own, "versions", **{"from": "tiny"}, parameters={"num_predict": 2})
    assert own.chat(model="versions")["eval_count"] == 2
    before = {path.name for path in blobs.iterdir()}
    create(own, "Versions", **{"from": "tiny"}, parameters={"num_predict": 4})
    assert own.chat(model="versions")["eval_count"] == 4
    soon(lambda: own.loaded().count("versions:latest") == 1)
    assert len({path.name for path in blobs.iterdir()} - before) == len(
        before - {path.name for path in blobs.iterdir()}
    )
    names = [model["name"] for model in own.client.get("/api/tags").json()["models"]]
    assert names.count("versions:latest") == 1


def test_a_model_from_a_file(own: Server) -> None:
    digest = upload(own, ggufs.with_more(tiny.PATH, {"general.description2": "another file"}))
    whole = own.client.post("/api/create", json={"model": "filed", "files": {"a.gguf": digest}, "stream": False})
    assert whole.json() == {"status": "success"}
    assert said(own, "filed") == said(own, "tiny")
    (tag,) = [model for model in own.client.get("/api/tags").json()["models"] if model["name"] == "filed:latest"]
    assert tag["details"]["quantization_level"] == "Q8_0"


def test_a_jinja_template_is_used(own: Server) -> None:
    create(own, "shouts", **{"from": "tiny"}, template=SHOUT)
    assert shown(own, "shouts")["template"] == SHOUT
    raw = {"model": "tiny", "raw": True, "stream": False, "options": GREEDY}
    shouted = own.client.post("/api/generate", json=raw | {"prompt": SKY[0]["content"].upper()}).json()
    assert said(own, "shouts") == shouted["response"]


def test_a_go_template_is_kept_and_said_to_be(own: Server) -> None:
    go = "{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}"
    lines = create(own, "gone", **{"from": "tiny"}, template=go)
    assert [line for line in lines if "Go's" in line] == [
        "the template is Go's: it is kept for Ollama, while this server writes prompts with the model file's own"
    ]
    told = shown(own, "gone")
    assert told["ollama_template"] == go
    assert told["template"] == shown(own, "tiny")["template"]
    assert said(own, "gone") == said(own, "tiny")
    skilled = create(own, "gone", **{"from": "tiny:skills"}, template=go)
    assert any(line.endswith("this server writes prompts with the one that the model had before") for line in skilled)
    assert shown(own, "gone")["capabilities"] == ["completion", "tools", "thinking"]


def test_a_lora_adapter_changes_the_answers(own: Server) -> None:
    query = next(tensor for tensor in gguf.read(tiny.PATH).tensors if tensor.name == "blk.0.attn_q.weight")
    arrays = {
        "blk.0.attn_q.weight.lora_a": ggufs.noise(query.shape[0], 4, scale=1.0),
        "blk.0.attn_q.weight.lora_b": ggufs.noise(4, query.shape[1], scale=1.0),
    }
    values = {
        "general.type": "adapter",
        "general.architecture": "llama",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
    }
    digest = upload(own, ggufs.written(values, arrays))
    lines = create(own, "adapted", **{"from": "tiny"}, adapters={"lora.gguf": digest})
    assert f"using existing layer {digest}" in lines
    assert said(own, "adapted") != said(own, "tiny")


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "neither 'from' or 'files' was specified"),
        ({"files": {}}, 400, "no files provided to convert"),
        ({"from": "a b//c"}, 400, "invalid model name"),
        ({"files": {"a.gguf": "sha256:zz"}}, 400, "invalid digest format"),
        ({"files": {"../a.gguf": TINY}}, 400, "file path must be relative"),
        ({"files": {"/a.gguf": TINY}}, 400, "file path must be relative"),
        ({"from": "tiny", "adapters": {"b/./a.gguf": TINY}}, 400, "file path must be relative"),
        ({"from": "tiny", "license": 3}, 400, "a license is a text, or a list of texts"),
        ({"from": "tiny", "template": "{% if %}"}, 400, "template error: "),
        ({"from": "tiny", "quantize": "q4_K_M"}, 501, "does not quantize"),
        ({"from": "tiny", "parser": "qwen3"}, 501, "parsers are not part"),
        ({"files": {"a.safetensors": TINY}}, 501, "does not convert safetensors"),
        ({"from": "tiny", "adapters": {"a.gguf": TINY}}, 400, "something else"),
        ({"files": {"a.gguf": TINY, "b.gguf": TINY}}, 400, "exactly one of the files must be a model"),
        ({"files": ["a"]}, 400, "json: cannot unmarshal array into Go struct field CreateRequest.files of type map"),
    ],
)
def test_what_makes_no_model_is_refused(own: Server, fields: dict[str, Any], status: int, words: str) -> None:
    found, told = refused(own, **fields)
    assert found == status
    assert words in told


def test_a_file_that_is_no_model_is_refused(own: Server) -> None:
    for data, status, words in (
        (b"<html>", 400, "supplied file was not in GGUF format"),
        (tiny.PATH.read_bytes()[:5000], 500, "is damaged or incomplete"),
        (tiny.PATH.read_bytes()[:-100_000], 500, "is damaged or incomplete"),
        (ggufs.with_more(tiny.PATH, {"split.count": 3}), 501, "whole GGUF files only"),
    ):
        found, told = refused(own, files={"a.gguf": upload(own, data)})
        assert found == status, told
        assert words in told


def test_a_missing_model_is_pulled_first(own: Server) -> None:
    own.client.request("DELETE", "/api/delete", json={"model": "tiny:skills"})
    lines = create(own, "skilled", **{"from": "tiny:skills"}, system="Think.")
    assert lines[0] == "pulling manifest"
    assert lines.count("success") == 1
    assert shown(own, "skilled")["capabilities"] == ["completion", "tools", "thinking"]


def test_two_creations_at_once_make_one_model(own: Server) -> None:
    def make(tokens: int) -> None:
        create(own, "raced", **{"from": "tiny"}, parameters={"num_predict": tokens})

    threads = [threading.Thread(target=make, args=(tokens,)) for tokens in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert own.chat(model="raced")["eval_count"] in (1, 2, 3, 4)


def test_ollamas_own_client_makes_models_too(own: Server) -> None:
    with ollama.Client(host=own.url, trust_env=False) as client:
        digest = client.create_blob(tiny.PATH)
        assert digest == TINY
        made = client.create("uploaded", files={"tiny.gguf": digest}, system="be brief", parameters={"num_predict": 2})
        assert made.status == "success"
        progress = list(client.create("derived", from_="uploaded", license="MIT", stream=True))
        assert progress[-1].status == "success"
        told = client.show("derived")
        assert (told.license, told.details.parent_model if told.details else "") == ("MIT", "uploaded:latest")
        assert client.chat("derived", SKY).eval_count == 2
        assert len(client.embeddings("derived", "hello").embedding) > 10
        with pytest.raises(ollama.ResponseError, match="does not push") as refusal:
            client.push("derived")
        assert refusal.value.status_code == 501
