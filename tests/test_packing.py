"""Events become rows and come back as they were."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import msgspec
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acagent_nb import errors
from acagent_nb.errors import BadParams, ContextTooLong, Incapable, LLMError, ModelMissing, ServerError
from acagent_nb.messages import Done, Note, Pulling, Stats, Text, Thinking, ToolCall, ToolResult
from acagent_nb.models import Details, Model, Running, Shown, Version
from acagent_nb.packing import pack, unpack

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COUNTS = st.none() | st.integers(0, 2**60)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
CALLS = st.builds(ToolCall, TEXTS, st.dictionaries(TEXTS, DATA, max_size=3), TEXTS)
EVENTS = st.one_of(
    st.builds(Text, TEXTS),
    st.builds(Thinking, TEXTS),
    st.builds(Note, TEXTS),
    CALLS,
    st.builds(ToolResult, CALLS, TEXTS, st.booleans()),
    st.builds(Done, TEXTS, st.builds(Stats, *[COUNTS] * 6), TEXTS, st.none() | st.booleans()),
)
TIMED = st.lists(st.tuples(st.floats(0, 3), EVENTS), max_size=30)


def through_json(rows: list[Any]) -> list[Any]:
    """The rows, as they come out of a file."""
    return msgspec.json.decode(msgspec.json.encode(rows))  # type: ignore[no-any-return]


def back(*events: Any) -> list[Any]:
    """Events that were written and read, without their times."""
    return [event for _, event in unpack(through_json(pack((0.001 * at, event) for at, event in enumerate(events))))]


@given(TIMED)
def test_every_event_comes_back_with_its_cut_and_its_time(pauses: list[tuple[float, Any]]) -> None:
    seconds, timed = 0.0, []
    for pause, event in pauses:
        seconds += pause
        timed.append((seconds, event))
    came = list(unpack(through_json(pack(timed))))
    assert [event for _, event in came] == [event for _, event in timed]
    at = 0.0
    for (pause, _), (when, _) in zip(came, timed, strict=True):
        at += pause
        assert at == pytest.approx(when, abs=0.000_51)  # no rounding adds up


def test_ten_thousand_pieces_take_as_long_as_they_took() -> None:
    timed = [(at * 0.0014, Text("a")) for at in range(1, 10_001)]  # each pause alone would be rounded to 1 ms
    assert sum(pause for pause, _ in unpack(pack(timed))) == pytest.approx(14.0, abs=0.001)


def test_a_text_can_be_read_in_its_row() -> None:
    timed = [(0.031, Text("Because ")), (0.033, Text("air 😀")), (0.04, Done("stop", Stats(eval_count=23), "2ab1"))]
    assert pack(timed) == [
        ["text", "Because air 😀", [[31, 8], [2, 5]]],
        ["done", {"done_reason": "stop", "digest": "2ab1", "eval_count": 23}, 7],
    ]


def test_rounds_with_calls_stand_in_their_order() -> None:
    call = ToolCall("add", {"numbers": [1, {"two": [2.5, None]}], "exact": True}, "call_1")
    told = (Thinking("Add."), call, Done("stop"), ToolResult(call, "3.5"), Text(""), Text("3.5"), Done("stop"))
    assert back(*told) == list(told)


def test_of_a_download_only_the_last_of_each_step_is_kept() -> None:
    timed = [(at / 10, Pulling("tiny", "pulling 2ab1", at, 9)) for at in range(10)]
    timed = [(0.0, Pulling("tiny", "pulling manifest")), *timed, (1.0, Pulling("tiny", "success", 9, 9))]
    came = list(unpack(pack(timed)))
    assert came == [
        (0.0, Pulling("tiny", "pulling manifest")),
        (0.9, Pulling("tiny", "pulling 2ab1", 9, 9)),
        (0.1, Pulling("tiny", "success", 9, 9)),
    ]
    two = [(0.0, Pulling("a", "success")), (0.0, Pulling("b", "success"))]
    assert list(unpack(pack(two))) == two


@pytest.mark.parametrize(
    "value",
    [
        Shown(
            ("completion",), Details("gguf", "llama"), model_info={"a.b": 2**40, "c": [1.5]}, messages=({"role": "a"},)
        ),
        [Model("tiny:latest", 5, "2ab1", "2026-01-01T00:00:00Z", Details(family="llama")), Model("b")],
        [Running("tiny:latest", 5, 5, "2ab1", "2318-01-01T00:00:00Z", 4096)],
        Version("0.32.15", {"name": "llama.cpp", "build": 1}),
        Version("0.0.0"),
        [],
        None,
    ],
)
def test_what_a_server_tells_comes_back_in_its_class(value: Any) -> None:
    (came,) = back(value)
    assert came == value
    assert type(came) is type(value)


@pytest.mark.parametrize("shape", [(0, 0), (1, 3), (4, 2)])
def test_vectors_come_back_bit_for_bit(shape: tuple[int, int]) -> None:
    vectors = numpy.random.default_rng(1).random(shape, dtype=numpy.float32)
    vectors.flat[:1] = math.pi
    (came,) = back(vectors)
    assert came.dtype == numpy.float32
    assert came.shape == shape
    assert came.tobytes() == vectors.tobytes()
    came += 1  # it is the caller's own


ERRORS = [
    ModelMissing("The server does not have it.", "Pull it."),
    ContextTooLong("Too long.", needed=5000, num_ctx=4096),
    Incapable("No tools.", "Ask without.", status=400),
    ServerError("It was refused.", status=404),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_as_what_it_was(error: LLMError) -> None:
    text, came = back(Text("a"), error)
    assert text == Text("a")
    assert (type(came), came.args, vars(came)) == (type(error), error.args, vars(error))


def test_every_error_of_the_tree_comes_back() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LLMError)]
    assert len(kinds) > 15
    assert [type(came) for came in back(*(kind("What happened.", "What to do.") for kind in kinds))] == kinds


@pytest.mark.parametrize(
    "row",
    [
        ["smell", "sweet", 3],
        ["value", {"dreams": []}, 3],
        ["error", {"type": "Bored", "message": "", "hint": ""}, 3],
        ["error", {"type": "ServerError", "message": "", "hint": "", "mood": 3}, 3],
        ["error", {"type": "annotations", "message": "", "hint": ""}, 3],
    ],
)
def test_what_a_newer_version_wrote_says_so(row: list[Any]) -> None:
    with pytest.raises(BadParams, match="a newer one has written it") as caught:
        unpack([["text", "a", [[1, 1]]], row])
    assert caught.value.hint == "pip install -U acagent-nb"


@pytest.mark.parametrize(
    "row",
    [
        [],
        7,
        ["text", "secret"],
        ["text", "secret", 5],
        ["text", 5, [[1, 1]]],
        ["done", "secret", 3],
        ["done", {"eval_count": "secret"}, 3],
        ["call", {"name": "f", "arguments": "secret"}, 3],
        ["result", {"content": "secret"}, 3],
        ["note", "secret", "soon"],
        ["note", ["secret"], 3],
        ["error", {"message": "secret"}, 3],
        ["value", {"models": [{"size": "secret"}]}, 3],
        ["value", {"vectors": {"shape": [1, 2], "float32": "AAAA"}}, 3],
        ["value", {"vectors": {"shape": [1, 2], "float32": "?"}}, 3],
        ["value", {}, 3],
    ],
    ids=json.dumps,
)
def test_a_damaged_row_is_refused_before_anything_comes_of_it(row: Any) -> None:
    with pytest.raises(BadParams, match="not as it was written") as caught:
        unpack([["text", "a", [[1, 1]]], row])
    assert "secret" not in str(caught.value)


def test_a_text_that_was_edited_by_hand_comes_in_one_piece() -> None:
    assert list(unpack([["text", "Because light", [[31, 8], [2, 4]]]])) == [(0.033, Text("Because light"))]


def test_what_is_no_event_is_no_row() -> None:
    with pytest.raises(TypeError, match="bytes"):
        pack([(0.0, b"a")])


def test_rows_are_plain_data() -> None:
    call = ToolCall("add", {"a": 1}, "1")
    rows = pack([(0.1, call), (0.2, Version("1")), (0.3, numpy.ones((1, 2), numpy.float32)), (0.4, ERRORS[1])])
    assert b"acagent_nb" not in pickle.dumps(rows)


@pytest.mark.parametrize(
    "folder", ["/usr/share/ollama/.ollama/models/blobs/", r"C:\Users\an na\.ollama\models\blobs" + "\\"]
)
def test_the_folder_of_a_servers_models_is_not_kept(folder: str) -> None:
    digest = "sha256-" + "5" * 64
    shown = Shown(modelfile=f'# To build\nFROM {folder}{digest}\nADAPTER {folder}{digest}\nSYSTEM "/a/b"\n')
    ((_, back),) = unpack(pack([(0.0, shown)]))
    assert back.modelfile == f'# To build\nFROM {digest}\nADAPTER {digest}\nSYSTEM "/a/b"\n'
