"""Texts into vectors, by both clients."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy
import pytest

from acagent_nb.errors import BadOption, BadPrompt, ContextTooLong, ModelMissing, ServerError, Warned

from .clients import Do
from .replay import SERVERS, Answer, recorded, replaying


def vectors(*rows: list[float]) -> Answer:
    return Answer((json.dumps({"model": "m", "embeddings": rows}),), content_type="application/json")


@pytest.mark.parametrize("server", SERVERS)
def test_one_text_is_one_row_and_several_are_several(do: Do, server: str) -> None:
    with replaying(embed=[recorded("embed_one", server), recorded("embed_many", server)]) as replay:
        one = do(replay.url, "embed", "local_tiny", "a")
        many = do(replay.url, "embed", "local_tiny", ["a", "b"])
    assert one.dtype == many.dtype == numpy.float32
    assert one.shape == (1, many.shape[1])
    assert many.shape[0] == 2
    assert numpy.linalg.norm(one, axis=1) == pytest.approx(1, abs=1e-3)
    assert replay.requests[0][2] == {"model": "tiny", "input": ["a"], "truncate": False}


def test_what_was_said_is_sent(do: Do) -> None:
    with replaying(embed=vectors([1.0, 0.0])) as replay:
        do(replay.url, "embed", "local_m", ["a"], dimensions=2, truncate=True, keep_alive="1m", num_ctx=64)
    assert replay.requests[0][2] == {
        "model": "m",
        "input": ["a"],
        "truncate": True,
        "dimensions": 2,
        "keep_alive": "1m",
        "options": {"num_ctx": 64},
    }


def test_an_array_of_texts_is_several(do: Do) -> None:
    with replaying(embed=vectors([1.0, 0.0], [0.0, 1.0])) as replay:
        assert do(replay.url, "embed", "local_m", numpy.array(["a", "b"])).shape == (2, 2)
    assert replay.requests[0][2]["input"] == ["a", "b"]


def test_no_text_asks_nothing(do: Do) -> None:
    with replaying() as replay:
        assert do(replay.url, "embed", "local_m", []).shape == (0, 0)
    assert replay.requests == []


@pytest.mark.parametrize(
    ("texts", "how", "error"),
    [
        ([1], {}, BadPrompt),
        (["a"], {"dimension": 2}, BadOption),
        ([b"a"], {}, BadPrompt),
        (None, {}, BadPrompt),
        (5, {}, BadPrompt),
        ({"a": "b"}, {}, BadPrompt),
        (["\ud800"], {}, BadPrompt),
    ],
)
def test_a_mistake_is_refused_before_anything_is_sent(do: Do, texts: Any, how: Any, error: type[Exception]) -> None:
    with replaying() as replay, pytest.raises(error):
        do(replay.url, "embed", "local_m", texts, **how)
    assert replay.requests == []


@pytest.mark.parametrize("rows", [[[1.0]], [[1.0], [1.0, 2.0]], []])
def test_vectors_that_do_not_fit_the_texts(do: Do, rows: Any) -> None:
    with replaying(embed=vectors(*rows)) as replay, pytest.raises(ServerError, match="for 2 texts"):
        do(replay.url, "embed", "local_m", ["a", "b"])


def test_a_text_that_is_too_long_is_refused(do: Do) -> None:
    told = Answer(('{"error":"the input length exceeds the context length"}',), 400, "application/json")
    with replaying(embed=told) as replay, pytest.raises(ContextTooLong):
        do(replay.url, "embed", "local_m", "a")


def test_a_missing_model_is_pulled(do: Do) -> None:
    missing = recorded("embed_missing_model")
    pulled = recorded("pull_slow_with_progress")
    with replaying(embed=[missing, recorded("embed_one")], pull=pulled) as replay:
        assert do(replay.url, "embed", "local_m", "a").shape[0] == 1
    with replaying(embed=missing) as replay, pytest.raises(ModelMissing):
        do(replay.url, "embed", "local_m", "a", pull=False)


def test_the_embedded_server(do: Do, server: str, api: httpx.Client) -> None:
    one, many = do(server, "embed", "local_tiny", "a"), do(server, "embed", "local_tiny", iter(["a", "b", "c"]))
    assert one.shape == (1, many.shape[1])
    assert many.shape[0] == 3
    assert numpy.allclose(one[0], many[0], atol=1e-3)
    assert numpy.allclose(numpy.linalg.norm(many, axis=1), 1, atol=1e-3)
    with pytest.raises(ContextTooLong):
        do(server, "embed", "local_tiny", "word " * 3000)
    assert do(server, "embed", "local_tiny", "word " * 3000, truncate=True).shape == one.shape


def test_what_a_cloud_server_has_no_word_for_is_told(do: Do, server: str, api: httpx.Client) -> None:
    lab = {"params": {"endpoints": {"lab": {"base_url": f"{server}/v1"}}}}
    with pytest.warns(Warned, match="keep_alive and num_ctx did nothing: lab has no such setting"):
        vectors = do(None, "embed", "lab/tiny", ["a", "b"], keep_alive="5m", num_ctx=64, client=lab)
    assert vectors.shape[0] == 2
    assert do(None, "embed", "lab/tiny", "a", client=lab).shape[0] == 1
