"""What a model is told of a function's result: text, JSON, a table, and not more than fits."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pytest

from acagent_nb.tools import TOLD, told

from .toolbox import Place, Point, Span, Unit

LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("It is warm.", "It is warm."),
        ('"quoted"', '"quoted"'),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        ((1, "ü"), '[1,"ü"]'),
        (Place(city="Rome"), '{"city":"Rome","title":""}'),
        ([Place(city="Rome")], '[{"city":"Rome","title":""}]'),
        (Span(datetime.date(2026, 11, 22)), '{"start":"2026-11-22","days":1}'),
        (Point(3), '{"x":3}'),
        (Unit.C, "celsius"),
        (datetime.date(2026, 11, 22), "2026-11-22"),
        (np.float32(0.5), "0.5"),
        (np.arange(4).reshape(2, 2), "[[0,1],[2,3]]"),
        ({"mean": np.int64(3)}, '{"mean":3}'),
        (pd.DataFrame({"city": ["Rome", "Oslo"], "t": [21, 4]}), ",city,t\n0,Rome,21\n1,Oslo,4\n"),
        (pd.Series([1.5], ["a"], name="t"), ",t\na,1.5\n"),
        ({(1, 2): "a key that JSON has not"}, '{"(1, 2)":"a key that JSON has not"}'),
        ("a file's name: \udcff", "a file's name: ?"),
        (["\udcff"], "['\\udcff']"),
        (1 + 2j, "(1+2j)"),
        (KeyError("city"), "KeyError: 'city'"),
        (LOOP, "[[...]]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_model_is_told(value: Any, text: str) -> None:
    assert told(value) == text


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000_000, list(range(1_000_000)), pd.DataFrame({"n": range(1_000_000)}), ValueError("x" * 100_000)],
    ids=lambda value: type(value).__name__,
)
def test_a_result_that_would_fill_the_context_is_cut_off(value: Any) -> None:
    text = told(value)
    assert f"cut off after {TOLD} characters" in text
    assert len(text) < TOLD + 100
