"""Cloud models over real sockets and the real openai package: what of an answer comes here, vectors, and models."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy
import pytest

from acagent_nb import cloud
from acagent_nb.blocking import Sockets
from acagent_nb.driving import Settings
from acagent_nb.errors import Incomplete, LLMError, ModelMissing, ServerError
from acagent_nb.messages import Done, Stats, Text, Thinking, ToolCall
from acagent_nb.params import Params

from .clouds import KEY, OK, Ask, blocking, notes
from .openai_like import Told, document, openai_like, piece, refusal, stream

BUSY_STREAM: tuple[Any, ...] = (
    b": keep-alive\r\n\r\n",
    {"choices": [], "prompt_filter_results": []},
    piece(role="assistant", content=""),
    b"event: chunk\nid: 7\nretry: 10\n",
    piece(reasoning_content="Let me see."),
    piece(reasoning=" Yes."),
    b'data:{"choices":[{"index":0,"delta":{"content":"Gr\xc3\xbc\xc3\x9fe, "}}]}\r\n\r\n',
    b"\n\n",
    piece(content="世界 🌍", new_field={"a": [1]}),
    piece("stop"),
    {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "more": {}}},
)
BUSY_EVENTS = [
    Thinking("Let me see."),
    Thinking(" Yes."),
    Text("Grüße, "),
    Text("世界 🌍"),
    Done("stop", Stats(prompt_eval_count=12, eval_count=34)),
]


@pytest.mark.parametrize("cuts", [None, *range(6)])
def test_a_stream_reads_the_same_wherever_it_is_cut(ask: Ask, cuts: int | None) -> None:
    with openai_like(stream(*BUSY_STREAM, cuts=cuts)) as server:
        assert ask(server.url) == BUSY_EVENTS


def test_calls_come_whole_and_in_order(ask: Ask) -> None:
    def call(index: int, **part: Any) -> dict[str, Any]:
        return piece(tool_calls=[{"index": index, **part}])

    told = stream(
        call(0, id="call_a", type="function", function={"name": "add", "arguments": ""}),
        call(0, function={"arguments": '{"a": 1, '}),
        call(1, id="call_b", type="function", function={"name": "now", "arguments": ""}),
        call(0, function={"arguments": '"b": [2]}'}),
        piece("tool_calls"),
    )
    with openai_like(told) as server:
        events = ask(server.url)
    assert events == [ToolCall("add", {"a": 1, "b": [2]}, "call_a"), ToolCall("now", {}, "call_b"), Done("stop")]


def test_calls_without_an_index_or_with_ready_arguments() -> None:
    first = piece(tool_calls=[{"id": "x", "function": {"name": "add", "arguments": '{"a"'}}])
    rest = piece(tool_calls=[{"function": {"arguments": ": 1}"}}])
    second = piece("tool_calls", tool_calls=[{"id": "y", "function": {"name": "sub", "arguments": {"b": 2}}}])
    with openai_like(stream(first, rest, second)) as server:
        assert blocking(server.url)[:2] == [ToolCall("add", {"a": 1}, "x"), ToolCall("sub", {"b": 2}, "y")]


@pytest.mark.parametrize(
    ("finish", "error", "words"), [("length", Incomplete, "num_predict"), ("tool_calls", ServerError, "no JSON object")]
)
def test_a_call_that_is_cut_off_is_no_call(finish: str, error: type[LLMError], words: str) -> None:
    broken = piece(finish, tool_calls=[{"index": 0, "id": "x", "function": {"name": "add", "arguments": '{"a": 1'}}])
    with openai_like(stream(broken)) as server, pytest.raises(error, match=words):
        blocking(server.url)


@pytest.mark.parametrize(("finish", "ours"), [("length", "length"), ("content_filter", "content_filter")])
def test_why_an_answer_ended(finish: str, ours: str) -> None:
    with openai_like(stream(piece(content="a"), piece(finish))) as server:
        events = blocking(server.url)
    assert events[-1] == Done(ours)
    assert len(notes(events)) == (finish == "content_filter")


def test_a_refusal_is_what_the_model_says() -> None:
    with openai_like(stream(piece(refusal="I can't "), piece(refusal="do that."), piece("stop"))) as server:
        assert blocking(server.url)[:2] == [Text("I can't "), Text("do that.")]


def test_a_server_that_does_not_stream(ask: Ask) -> None:
    call = {"id": "x", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    message = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm.", "tool_calls": [call]}
    whole = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    pretty = Told(json.dumps(whole, indent=2).encode(), headers=(("Content-Type", "application/json"),))
    expected = [Thinking("Hm."), Text("Hi"), ToolCall("add", {}, "x"), Done("stop", Stats(prompt_eval_count=1))]
    for told in (document(whole), pretty):
        with openai_like(told) as server:
            assert ask(server.url) == expected


def test_an_answer_may_be_compressed() -> None:
    import gzip

    packed = Told(gzip.compress(OK.body), headers=(("Content-Type", "text/event-stream"), ("Content-Encoding", "gzip")))
    with openai_like(packed) as server:
        assert blocking(server.url)[0] == Text("ok")


def vectors(*rows: Any) -> Told:
    return document({"object": "list", "data": [{"index": index, "embedding": row} for index, row in rows]})


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def run(url: str, flow: Any) -> Any:
    sockets = Sockets(Settings(None, {}, KEY, url, Params()))
    try:
        (result,) = sockets.run(flow)
        return result
    finally:
        sockets.close()


def test_vectors_are_rows_in_the_order_of_the_texts() -> None:
    for told in (vectors((1, packed(3, 4)), (0, packed(1, 2))), vectors((1, [3, 4.0]), (0, [1, 2]))):
        with openai_like(told) as server:
            rows = run(server.url, cloud.embed("openai", "small", ["a", "b"], 2))
            ((_, path, body),) = server.requests
        assert (path, body["dimensions"], body["encoding_format"]) == ("/v1/embeddings", 2, "base64")
        assert rows.dtype == numpy.float32
        assert rows.tolist() == [[1, 2], [3, 4]]


def test_many_texts_go_in_several_requests_and_none_in_no_request() -> None:
    full = vectors(*((index, packed(index)) for index in range(2048)))
    with openai_like(full, vectors((0, packed(-1)))) as server:
        rows = run(server.url, cloud.embed("openai", "small", [str(number) for number in range(2049)]))
        assert [len(body["input"]) for _, _, body in server.requests] == [2048, 1]
        assert rows.shape == (2049, 1)
        assert (rows[2047, 0], rows[2048, 0]) == (2047, -1)
        assert run(server.url, cloud.embed("openai", "small", [])).shape == (0, 0)
        assert len(server.requests) == 2


def test_vectors_that_are_refused_or_too_few() -> None:
    with openai_like(vectors((0, packed(1)))) as server, pytest.raises(ServerError, match="1 vectors for 2 texts"):
        run(server.url, cloud.embed("openai", "small", ["a", "b"]))
    plain = refusal(400, "Unknown parameter: 'encoding_format'.", None, "encoding_format")
    with openai_like(plain, vectors((0, [1.0]))) as server:
        assert run(server.url, cloud.embed("openai", "small", ["a"])).tolist() == [[1.0]]
    missing = refusal(404, "The model `small` does not exist", "model_not_found")
    with openai_like(missing) as server, pytest.raises(ModelMissing, match="small"):
        run(server.url, cloud.embed("openai", "small", ["a"]))


def test_the_models_that_a_server_offers() -> None:
    with openai_like(document({"object": "list", "data": [{"id": "b", "owned_by": "x"}, {"id": "a"}]})) as server:
        assert run(server.url, cloud.models("openai")) == ["a", "b"]
        assert server.requests == [("GET", "/v1/models", None)]
