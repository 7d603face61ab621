"""Gaps filled, images, long texts as vectors, what shortens a prompt, and what is not there at all."""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from typing import Any

import pytest

from acagent_nb.server import absent, ask, gguf, tiny
from acagent_nb.server.store import Store

from . import ggufs
from .serving import ENDLESS, SKY, Server
from .test_server_create import create, shown, upload

GAP = {
    "tokenizer.ggml.fim_pre_token_id": 10,
    "tokenizer.ggml.fim_suf_token_id": 11,
    "tokenizer.ggml.fim_mid_token_id": 12,
}
TINY = ggufs.digest(tiny.PATH.read_bytes())


@pytest.fixture(scope="module")
def filler(own: Server) -> str:
    """A model whose file has the tokens for a gap; what it puts there is nonsense."""
    create(own, "filler", files={"a.gguf": upload(own, ggufs.with_more(tiny.PATH, GAP))})
    return "filler"


def generate(server: Server, **fields: Any) -> Any:
    body = {"stream": False, "options": {"temperature": 0, "num_predict": 5}, **fields}
    answer = server.client.post("/api/generate", json=body)
    return answer.json() if not fields.get("stream") else [json.loads(line) for line in answer.iter_lines()]


def test_a_gap_is_filled_by_a_model_that_can(own: Server, filler: str) -> None:
    assert shown(own, filler)["capabilities"] == ["completion", "insert"]
    whole = generate(own, model=filler, prompt="why is", suffix="blue?", logprobs=True, top_logprobs=2)
    assert (whole["done"], whole["eval_count"]) == (True, len(whole["logprobs"]))
    assert all(len(token["top_logprobs"]) == 2 for token in whole["logprobs"])
    lines = generate(own, model=filler, prompt="why is", suffix="blue?", stream=True)
    assert "".join(line["response"] for line in lines) == whole["response"]
    # the text behind the gap reaches the engine, and counts
    other = generate(own, model=filler, prompt="why is", suffix="blue? " * 5)
    assert other["prompt_eval_count"] > whole["prompt_eval_count"]


def test_raw_does_not_fill_what_the_model_can_not(own: Server) -> None:
    for raw in (False, True):
        told = generate(own, model="tiny", prompt="a", suffix="b", raw=raw)
        assert told == {"error": "registry.ollama.ai/library/tiny:latest does not support insert"}


@pytest.mark.parametrize("think", [True, "low", "medium", "high", "max"])
def test_thinking_is_refused_in_each_of_its_forms(own: Server, think: Any) -> None:
    refusal = {"error": '"tiny" does not support thinking'}
    assert own.chat(think=think) == refusal
    assert generate(own, model="tiny", prompt="x", think=think) == refusal
    assert generate(own, model="tiny", prompt="x", think=think, raw=True) == refusal


@pytest.mark.parametrize("think", [False, None])
def test_not_thinking_is_for_all(own: Server, think: Any) -> None:
    assert own.chat(think=think)["done"] is True


def seeing(side: int = 28) -> bytes:
    """A projector that nobody trained, of the LLaVA kind: a token for each 14 by 14 of a side's pixels."""
    hidden, inner, out = 32, 64, int(gguf.read(tiny.PATH).of("embedding_length"))
    values = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "clip.has_vision_encoder": True,
        "clip.projector_type": "mlp",
        "clip.use_gelu": True,
        "clip.vision.image_size": side,
        "clip.vision.patch_size": 14,
        "clip.vision.embedding_length": hidden,
        "clip.vision.feed_forward_length": inner,
        "clip.vision.projection_dim": out,
        "clip.vision.block_count": 1,
        "clip.vision.attention.head_count": 2,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": [0.5, 0.5, 0.5],
        "clip.vision.image_std": [0.5, 0.5, 0.5],
    }
    arrays = {
        "v.class_embd": ggufs.noise(hidden),
        "v.patch_embd.weight": ggufs.noise(14, 14, 3, hidden),
        "v.position_embd.weight": ggufs.noise(hidden, 1 + (side // 14) ** 2),
        "v.pre_ln.weight": ggufs.constant(hidden, 1.0),
        "v.pre_ln.bias": ggufs.constant(hidden, 0.0),
    }
    for block in ("v.blk.0", "v.blk.1"):
        shapes = {f"attn_{part}": (hidden, hidden) for part in ("q", "k", "v", "out")}
        for name, shape in (shapes | {"ffn_up": (hidden, inner), "ffn_down": (inner, hidden)}).items():
            arrays[f"{block}.{name}.weight"] = ggufs.noise(*shape)
            arrays[f"{block}.{name}.bias"] = ggufs.constant(shape[1], 0.0)
        for name in ("ln1", "ln2"):
            arrays[f"{block}.{name}.weight"] = ggufs.constant(hidden, 1.0)
            arrays[f"{block}.{name}.bias"] = ggufs.constant(hidden, 0.0)
    for name, shape in (("mm.0", (hidden, out)), ("mm.2", (out, out))):
        arrays[f"{name}.weight"] = ggufs.noise(*shape)
        arrays[f"{name}.bias"] = ggufs.constant(out, 0.0)
    return ggufs.written(values, arrays)


def picture() -> str:
    """A red PNG of 28 by 28 pixels in base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes([255, 0, 0]) * 28) * 28
    head = struct.pack(">IIBBBBB", 28, 28, 8, 2, 0, 0, 0)
    whole = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + whole).decode()


def test_an_image_becomes_tokens_of_a_model_with_a_projector(own: Server) -> None:
    create(own, "seer", files={"a.gguf": TINY, "b.gguf": upload(own, seeing())})
    told = shown(own, "seer")
    assert told["capabilities"] == ["completion", "vision"]
    assert told["projector_info"]["clip.projector_type"] == "mlp"
    blind = own.chat(model="seer", options={"num_predict": 2})
    message = SKY[0] | {"images": [picture()]}
    saw = own.chat(model="seer", messages=[message], options={"num_predict": 2})
    assert saw["prompt_eval_count"] == blind["prompt_eval_count"] + 4
    asked = generate(own, model="seer", prompt=SKY[0]["content"], images=[picture()])
    assert asked["prompt_eval_count"] == saw["prompt_eval_count"]
    broken = base64.b64encode(b"no picture at all").decode()
    assert "error" in own.chat(model="seer", messages=[SKY[0] | {"images": [broken]}])
    assert own.chat(model="seer", options={"num_predict": 2})["done"] is True
    raw = own.client.post("/api/generate", json={"model": "seer", "prompt": "x", "raw": True, "images": [picture()]})
    assert raw.status_code == 501


def test_images_and_projector_travel_as_the_engine_wants_them(own: Server) -> None:
    create(own, "seer", files={"a.gguf": TINY, "b.gguf": upload(own, seeing())})
    folder = shown(own, "seer")["modelfile"].split("\nFROM ")[1].split("/blobs/")[0]
    model = Store(folder).find("seer")
    assert model is not None
    asked = ask.chat(model, {"model": "seer", "messages": [{"role": "user", "content": "what?", "images": ["aGk="]}]})
    assert asked.load.projector == str(model.projector)
    assert asked.body["messages"][0]["content"] == [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]


def test_a_model_for_vectors_only_gives_nothing_else(own: Server) -> None:
    file = ggufs.with_more(tiny.PATH, {"llama.pooling_type": 1})
    create(own, "vectors", files={"a.gguf": upload(own, file)})
    assert shown(own, "vectors")["capabilities"] == ["embedding"]
    assert own.chat(model="vectors") == {"error": '"vectors" does not support chat'}
    for raw in (False, True):
        assert generate(own, model="vectors", prompt="x", raw=raw) == {"error": '"vectors" does not support generate'}
    chat = own.client.post("/v1/chat/completions", json={"model": "vectors", "messages": SKY})
    assert (chat.status_code, chat.json()["error"]["message"]) == (400, '"vectors" does not support chat')
    assert len(own.client.post("/api/embed", json={"model": "vectors", "input": "x"}).json()["embeddings"]) == 1


def length(vector: list[float]) -> float:
    return math.sqrt(sum(number * number for number in vector))


def test_the_older_embeddings_keep_their_length(own: Server) -> None:
    old = own.client.post("/api/embeddings", json={"model": "tiny", "prompt": "hello"}).json()["embedding"]
    new = own.client.post("/api/embed", json={"model": "tiny", "input": "hello"}).json()["embeddings"][0]
    assert length(old) > 2
    assert all(abs(a / length(old) - b) < 1e-4 for a, b in zip(old, new, strict=True))
    assert own.client.post("/api/embeddings", json={"model": "tiny"}).json() == {"embedding": []}
    missing = own.client.post("/api/embeddings", json={"model": "nope", "prompt": "x"})
    assert (missing.status_code, missing.json()["error"]) == (404, 'model "nope" not found, try pulling it first')


def embed(server: Server, **fields: Any) -> Any:
    return server.client.post("/api/embed", json={"model": "tiny", **fields}).json()


def test_a_text_longer_than_the_batch_is_embedded_whole(own: Server) -> None:
    text = "word " * 300 + "the end is what matters "
    short, long = embed(own, input=text, options={"num_batch": 16}), embed(own, input=text, options={"num_batch": 1024})
    assert short["prompt_eval_count"] == long["prompt_eval_count"] > 300
    assert all(abs(a - b) < 1e-3 for a, b in zip(short["embeddings"][0], long["embeddings"][0], strict=True))


def test_a_long_text_does_not_make_chats_load_anew(own: Server) -> None:
    own.chat()
    embed(own, input="word " * 700)
    children = own.children
    own.chat()
    embed(own, input=["short", "word " * 900])
    assert own.children == children


def test_a_text_longer_than_the_context_is_cut_there(own: Server) -> None:
    for num_ctx in (256, 300):  # the engine rounds the second one up
        options = {"num_ctx": num_ctx}
        assert embed(own, input="word " * 900, options=options)["prompt_eval_count"] == num_ctx
        told = embed(own, input="word " * 900, options=options, truncate=False)
        assert told == {"error": "the input length exceeds the context length"}


def test_each_text_of_a_list_has_its_vector(own: Server) -> None:
    assert len(embed(own, input=["a", "b", "a"])["embeddings"]) == 3


def test_what_may_be_shortened(own: Server) -> None:
    long = [{"role": "user", "content": "word " * 400}]
    for num_ctx in (256, 300):  # the engine rounds the second one up
        options = {"num_ctx": num_ctx, "num_predict": 2}
        assert own.chat(messages=long, options=options)["prompt_eval_count"] < num_ctx
        told = json.loads(own.chat(messages=long, options=options, truncate=False)["error"])["error"]
        assert told["n_prompt_tokens"] > 400
        assert told["n_ctx"] == num_ctx
        whole = own.chat(messages=long, options=options, shift=False)
        assert whole["error"].startswith("the prompt is longer than the context length currently available")
        dropped = own.chat(messages=[*long, *long[:0], *SKY], options=options, shift=False)
        assert dropped["prompt_eval_count"] < 60  # messages that are old may go, though


def test_an_answer_that_may_not_shift_ends_with_the_context(own: Server) -> None:
    options = {"num_ctx": 256, "temperature": 2.0, "seed": 1}
    body = {"model": "tiny", "prompt": "word", "raw": True, "format": ENDLESS}
    for shift in (False, True):
        told = generate(own, **body, shift=shift, options=options | {"num_predict": 600})
        assert told["done_reason"] == "length"
        assert told["eval_count"] == (600 if shift else 256 - told["prompt_eval_count"])


@pytest.mark.parametrize(("method", "path"), absent.ROUTES)
def test_what_is_not_there_says_so(own: Server, method: str, path: str) -> None:
    answer = own.client.request(method, path.replace("{key}", "a"), json={"model": "tiny"})
    assert answer.status_code == 501
    error = answer.json()["error"]
    said = error["message"] if path.startswith("/v1/") else error
    assert said.startswith("the embedded server ")
    assert "\n" not in said


def test_the_cloud_is_off(own: Server) -> None:
    assert own.client.get("/api/status").json()["cloud"]["disabled"] is True
