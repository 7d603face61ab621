"""What both clients are promised, kept by the embedded engine, and with `pytest -m live` by the server at OLLAMA_HOST.

There the model is the one that ACAGENT_NB_LIVE_MODEL names, such as `local_llama3.2:1b`; without it the tiny
model, which the client takes along. It should be small, and able to chat.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import uuid4

import numpy
import pytest

from acagent_nb import Client
from acagent_nb.errors import BadName, ContextTooLong, ModelMissing, ServerError, TimedOut
from acagent_nb.messages import Done, Message, Pulling, Text

from .clients import Do

ANSWER = {"temperature": 0, "seed": 1, "num_predict": 40}


class Place(NamedTuple):
    """A server, and a model that it has."""

    url: str
    model: str


@pytest.fixture(scope="module", params=["embedded", pytest.param("live", marks=pytest.mark.live)])
def place(request: pytest.FixtureRequest) -> Place:
    model = "local_tiny"
    if request.param == "embedded":
        url = request.getfixturevalue("server")  # only here: a live run starts none, and needs no engine
    else:
        if not (url := os.environ.get("OLLAMA_HOST", "")):
            pytest.skip("OLLAMA_HOST names no server")
        model = os.environ.get("ACAGENT_NB_LIVE_MODEL", model)
    with Client(url) as client:
        client.pull(model)
    return Place(url, model)


@pytest.fixture
def name(place: Place) -> Iterator[str]:
    """A name that no model has; one that gets it is removed."""
    name = f"local_contract-{uuid4().hex[:8]}"
    yield name
    with Client(place.url) as client:
        if f"{name[6:]}:latest" in [model.name for model in client.models()]:
            client.delete(name)


def bare(model: str) -> str:
    """As the server lists it."""
    name = model.removeprefix("local_")
    return name if ":" in name else f"{name}:latest"


def test_a_pull_of_what_is_there_says_so(do: Do, place: Place) -> None:
    steps = do(place.url, "pull", place.model)
    assert all(isinstance(step, Pulling) for step in steps)
    assert steps[-1].status == "success"
    assert bare(place.model) in [model.name for model in do(place.url, "models")]


def test_an_answer_is_the_same_again(do: Do, place: Place) -> None:
    first, second = (do(place.url, "chat", place.model, "Why is the sky blue?", **ANSWER) for _ in range(2))
    assert first.text == second.text != ""
    assert first.complete
    assert first.done_reason in ("stop", "length")
    assert first.truncated is False
    assert len(first.digest) == 64
    assert first.stats.prompt_eval_count > 0
    assert 0 < first.stats.eval_count <= 40
    assert first.stats.tokens_per_second > 0
    assert first.stats.total_duration > first.stats.eval_duration > 1000, "nanoseconds"
    assert first.options.sent() == {**ANSWER, "temperature": 0.0}


def test_a_stream_says_the_same_piece_by_piece(do: Do, place: Place) -> None:
    whole = do(place.url, "chat", place.model, "Why is the sky blue?", **ANSWER).text
    *pieces, done = do(place.url, "stream", place.model, "Why is the sky blue?", **ANSWER)
    texts = [piece for piece in pieces if isinstance(piece, Text)]
    assert "".join(piece.text for piece in texts) == whole
    assert len(texts) > 3
    assert isinstance(done, Done)


def test_an_answer_is_cut_off_where_it_should(do: Do, place: Place) -> None:
    reply = do(place.url, "chat", place.model, "Why is the sky blue?", temperature=0, num_predict=3)
    assert (reply.done_reason, reply.stats.eval_count) == ("length", 3)


def test_a_conversation_goes_on(do: Do, place: Place) -> None:
    first = do(place.url, "chat", place.model, "Hello", system="Be brief.", **ANSWER)
    assert [turn.role for turn in first.messages] == ["system", "user", "assistant"]
    second = do(place.url, "chat", place.model, [*first.messages, Message("user", "Why?")], **ANSWER)
    assert second.stats.prompt_eval_count > first.stats.prompt_eval_count


def test_a_format_gives_a_value(do: Do, place: Place) -> None:
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    reply = do(place.url, "chat", place.model, "Say yes as JSON.", format=schema, temperature=0)
    assert isinstance(reply.value["yes"], bool)


def test_a_text_is_gone_on_with(do: Do, place: Place) -> None:
    reply = do(place.url, "generate", place.model, "One two three", raw=True, temperature=0, num_predict=4)
    assert 1 <= reply.stats.eval_count <= 4


def test_texts_become_vectors(do: Do, place: Place) -> None:
    vectors = do(place.url, "embed", place.model, ["one", "two"])
    assert vectors.shape[0] == 2
    assert vectors.dtype == numpy.float32
    assert numpy.allclose(numpy.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_a_prompt_that_does_not_fit_is_refused(do: Do, place: Place) -> None:
    with pytest.raises(ContextTooLong) as caught:
        do(place.url, "chat", place.model, "word " * 3000, num_ctx=512)
    assert "num_ctx" in caught.value.hint
    assert caught.value.needed is None or caught.value.needed > 2999


def test_models_are_loaded_and_unloaded(do: Do, place: Place) -> None:
    do(place.url, "load", place.model, num_ctx=512)
    (loaded,) = [model for model in do(place.url, "running") if model.name == bare(place.model)]
    assert loaded.context_length == 512
    assert loaded.size > 0
    do(place.url, "unload", place.model)
    began = time.monotonic()
    while bare(place.model) in [model.name for model in do(place.url, "running")]:
        assert time.monotonic() - began < 10
        time.sleep(0.1)


def test_models_are_made_shown_copied_and_removed(do: Do, place: Place, name: str) -> None:
    told = {"system": "You are brief.", "parameters": {"temperature": 0.25, "stop": ["END"]}}
    steps = do(place.url, "create", name, from_model=place.model, **told)
    assert steps[-1].status == "success"
    shown = do(place.url, "show", name)
    assert shown.system == "You are brief."
    assert "0.25" in shown.parameters
    assert "END" in shown.parameters
    assert "completion" in shown.capabilities
    assert shown.context_length is not None
    do(place.url, "copy", name, f"{name}-2")
    names = [model.name for model in do(place.url, "models")]
    assert {f"{name[6:]}:latest", f"{name[6:]}-2:latest"} <= set(names)
    for each in (name, f"{name}-2"):
        do(place.url, "delete", each)
        with pytest.raises(ModelMissing):
            do(place.url, "show", each)


@pytest.mark.parametrize("method", ["chat", "generate", "embed"])
def test_a_missing_model_is_missing(do: Do, place: Place, name: str, method: str) -> None:
    with pytest.raises(ModelMissing):
        do(place.url, method, name, "hi", pull=False)


@pytest.mark.parametrize(("method", "arguments"), [("delete", ()), ("copy", ("local_x",)), ("unload", ())])
def test_so_it_is_for_everything_else(do: Do, place: Place, name: str, method: str, arguments: Any) -> None:
    with pytest.raises(ModelMissing):
        do(place.url, method, name, *arguments)


def test_a_bad_name_never_reaches_the_server(do: Do, place: Place) -> None:
    with pytest.raises(BadName):
        do(place.url, "chat", "local_a b", "hi")


def test_a_refusal_is_told(do: Do, place: Place) -> None:
    with pytest.raises(ServerError) as caught:
        do(place.url, "chat", place.model, "hi", keep_alive="soon")
    assert caught.value.status == 400


def test_a_timeout_bounds_a_call(do: Do, place: Place) -> None:
    endless = {"type": "array", "items": {"enum": ["again and again"]}, "minItems": 500}
    with pytest.raises(TimedOut):
        do(place.url, "chat", place.model, "Hi", format=endless, timeout=0.5)
    assert do(place.url, "chat", place.model, "Hello", num_predict=3).complete


def test_it_says_what_it_is(do: Do, place: Place) -> None:
    assert do(place.url, "ping") is True
    assert do(place.url, "version").version
