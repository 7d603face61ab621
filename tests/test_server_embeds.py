"""A text's vector is its own: whatever it is asked together with, by whomever, and whatever else the model does."""

from __future__ import annotations

import random
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any

import httpx
import numpy
import pytest

from acagent_nb.server import tiny

from . import ggufs
from .serving import ENDLESS, Server, serving
from .test_server_create import create, upload

WORDS = ["the", "soup", "was", "cold", "and", "hot", "while", "a", "large", "green", "machine", "in", "paris", "sang"]
_draw = random.Random(1)
TEXTS = [" ".join(_draw.choices(WORDS, k=_draw.randint(1, 20))) for _ in range(40)]
EXACT, BATCHED = 1e-5, 1e-3  # how far two vectors of one text may differ

Vectors = numpy.ndarray[Any, numpy.dtype[numpy.float32]]
Route = Callable[[Server, list[str]], Vectors]


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    with serving() as server:
        create(
            server, "vectors", files={"a.gguf": upload(server, ggufs.with_more(tiny.PATH, {"llama.pooling_type": 1}))}
        )
        create(server, "reader", files={"a.gguf": upload(server, reader())})
        yield server


def reader() -> bytes:
    """A model of the BERT family, which nobody trained."""
    width, inner, context = 32, 64, 512
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"\u2581{word}" for word in WORDS)]
    values = {
        "general.architecture": "bert",
        "bert.block_count": 1,
        "bert.context_length": context,
        "bert.embedding_length": width,
        "bert.feed_forward_length": inner,
        "bert.attention.head_count": 2,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 3,
        "tokenizer.ggml.seperator_token_id": 3,
    }
    shapes = {"token_embd": [width, len(tokens)], "token_types": [width, 2], "position_embd": [width, context]}
    layer = {"attn_q": [width, width], "attn_k": [width, width], "attn_v": [width, width]}
    layer |= {"attn_output": [width, width], "ffn_up": [width, inner], "ffn_down": [inner, width]}
    arrays = {f"{name}.weight": ggufs.noise(*shape, scale=0.3) for name, shape in shapes.items()}
    for name, shape in layer.items():
        arrays[f"blk.0.{name}.weight"] = ggufs.noise(*shape, scale=0.3)
        arrays[f"blk.0.{name}.bias"] = ggufs.constant(shape[1], 0.0)
    for name in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        arrays |= {f"{name}.weight": ggufs.constant(width, 1.0), f"{name}.bias": ggufs.constant(width, 0.0)}
    return ggufs.written(values, arrays)


def embed(server: Server, texts: list[str], model: str = "tiny") -> Vectors:
    told = server.client.post("/api/embed", json={"model": model, "input": texts}).json()
    return numpy.array(told["embeddings"], numpy.float32)


def openai(server: Server, texts: list[str]) -> Vectors:
    body = {"model": "tiny", "input": texts, "encoding_format": "base64"}
    data = server.client.post("/v1/embeddings", json=body).json()["data"]
    return numpy.stack([numpy.frombuffer(b64decode(each["embedding"]), numpy.float32) for each in data])


def older(server: Server, texts: list[str]) -> Vectors:
    asked = [server.client.post("/api/embeddings", json={"model": "tiny", "prompt": text}) for text in texts]
    vectors = numpy.array([each.json()["embedding"] for each in asked], numpy.float32)
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def alone(server: Server, model: str = "tiny") -> Vectors:
    """Each text's vector when nothing else is asked."""
    return numpy.concatenate([embed(server, [text], model) for text in TEXTS])


def apart(one: Vectors, other: Vectors) -> float:
    return float(numpy.abs(one - other).max())


@pytest.mark.parametrize(("model", "most"), [("tiny", EXACT), ("vectors", EXACT), ("reader", BATCHED)])
def test_texts_asked_together_have_the_vectors_that_they_have_alone(own: Server, model: str, most: float) -> None:
    expected = alone(own, model)
    assert apart(embed(own, TEXTS, model), expected) < most
    assert apart(expected[0], expected[1:]) > 100 * most  # and these are not all the same


def test_their_tokens_are_added_up(own: Server) -> None:
    def count(texts: list[str]) -> int:
        told = own.client.post("/api/embed", json={"model": "tiny", "input": texts}).json()
        return int(told["prompt_eval_count"])

    assert count(TEXTS[:3]) == sum(count([text]) for text in TEXTS[:3])
    told = own.client.post("/v1/embeddings", json={"model": "tiny", "input": TEXTS[:3]}).json()
    assert told["usage"]["prompt_tokens"] == told["usage"]["total_tokens"] == count(TEXTS[:3])


@pytest.mark.parametrize("route", [embed, openai, older])
def test_four_clients_at_once_get_the_same(own: Server, route: Route) -> None:
    expected = alone(own)
    with ThreadPoolExecutor(4) as clients:
        for _ in range(3):
            told = clients.map(lambda first: route(own, TEXTS[first::4]), range(4))
            assert max(apart(each, expected[first::4]) for first, each in enumerate(told)) < EXACT


def test_chats_meanwhile_change_nothing(own: Server) -> None:
    expected = alone(own)
    chat = own.chat(options={"seed": 4})["message"]
    enough = Event()

    def chats() -> list[Any]:
        told = []
        while not enough.is_set():
            told.append(own.chat(options={"seed": 4})["message"])
        return told

    with ThreadPoolExecutor(2) as others:
        running = [others.submit(chats) for _ in range(2)]
        try:
            assert max(apart(embed(own, TEXTS), expected) for _ in range(2)) < EXACT
        finally:
            enough.set()
        for each in running:
            assert each.result()
            assert all(message == chat for message in each.result())


@pytest.mark.parametrize("most", ["1", "3"])
def test_a_client_that_leaves_disturbs_nobody(monkeypatch: pytest.MonkeyPatch, most: str) -> None:
    """Without a second child what comes while the first one answers lies in its slots, and begins together."""
    monkeypatch.setenv("OLLAMA_MAX_LOADED_MODELS", most)
    with serving() as own:
        leaves(own, alone_in_memory=most == "1")


def leaves(own: Server, *, alone_in_memory: bool) -> None:
    expected = alone(own)
    body = {"model": "tiny", "prompt": "Once", "raw": True, "format": ENDLESS, "options": {"num_predict": 1500}}
    leaving, other = (httpx.Client(base_url=own.url, trust_env=False, timeout=seconds) for seconds in (0.1, 60))
    with leaving, other, ThreadPoolExecutor(1) as pool, other.stream("POST", "/api/generate", json=body) as answer:
        lines = answer.iter_lines()
        next(lines)
        with pytest.raises(httpx.ReadTimeout) if alone_in_memory else suppress(httpx.ReadTimeout):  # a second is quick
            leaving.post("/api/embed", json={"model": "tiny", "input": TEXTS[0]})
        asked = pool.submit(embed, own, TEXTS[1:])
        for _ in lines:
            pass
        assert apart(asked.result(), expected[1:]) < EXACT
