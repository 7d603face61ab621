"""What tests of recorded answers share: whom nobody hears, tools to call, and results as they were live."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from acagent_nb import (
    Done,
    Reply,
)

NOBODY = "http://127.0.0.1:9"  # a port at which nobody listens
KEY = "sk-proj-Tf3xqZ9aLm"
SKY = "Why is the sky blue?"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def unmarked(result: Any) -> Any:
    """The same without what only a replay says."""
    if isinstance(result, list):
        return [unmarked(each) for each in result]
    if isinstance(result, Done):
        return replace(result, replayed=False, seconds=None, first_seconds=None, server="")
    return replace(result, replayed=False) if isinstance(result, Reply) else result


def add(a: float, b: float) -> float:
    "Add two numbers."
    CALLED.append((a, b))
    return a + b


def get_weather(city: str) -> str:
    "The weather in a city."
    CALLED.append(city)
    return "sunny, 21 degrees"


def others() -> list[dict[str, Any]]:
    """The tools that the tiny model was trained with, beside the two above."""
    needs = {
        "multiply": ["a", "b"],
        "get_time": ["city"],
        "get_population": ["country"],
        "convert_currency": ["amount", "source", "target"],
    }
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": name.replace("_", " "),
                "parameters": {"type": "object", "properties": {each: {"type": "string"} for each in of}},
            },
        }
        for name, of in needs.items()
    ]


CALLED: list[Any] = []
