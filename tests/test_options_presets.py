"""Presets hold what they promise, on a real engine."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from acagent_nb.options import Options, notes
from acagent_nb.presets import PRESETS


def joke(api: httpx.Client, options: Options) -> str:
    body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "tell me a joke"}]}
    told = api.post("/api/chat", json=body | {"stream": False, "options": options.sent()})
    return str(told.raise_for_status().json()["message"]["content"])


def test_there_are_six() -> None:
    assert list(PRESETS) == ["precise", "balanced", "creative", "reproducible", "long_document", "small_machine"]
    assert PRESETS["long_document"].name == "long document"


@pytest.mark.parametrize("name", PRESETS)
def test_each_is_checked_and_live_everywhere_and_says_why(name: str) -> None:
    preset = PRESETS[name]
    assert Options.of(preset.options.sent()) == preset.options
    assert name.replace("_", " ") == preset.name
    assert preset.why.count(".") >= 2
    for version, engine in (("0.3.3", False), ("0.24.0", False), ("0.32.15", False), ("", True)):
        assert notes(preset.options, version, engine) == []


def test_reproducible_repeats_also_with_a_temperature_over_it(api: httpx.Client) -> None:
    same = PRESETS["reproducible"].options
    assert len({joke(api, same) for _ in range(3)}) == 1
    assert len({joke(api, same | Options(temperature=1.5)) for _ in range(3)}) == 1


def test_creative_varies_and_precise_hardly(api: httpx.Client) -> None:
    creative, precise = (
        {joke(api, PRESETS[name].options | Options(seed=seed)) for seed in range(12)}
        for name in ("creative", "precise")
    )
    assert len(creative) > len(precise)


@pytest.mark.parametrize(("name", "tokens"), [("long_document", 2048), ("small_machine", 2048)])
def test_the_others_set_the_context(api: httpx.Client, name: str, tokens: int) -> None:
    assert joke(api, PRESETS[name].options)
    running = api.get("/api/ps").json()["models"]
    assert [model["context_length"] for model in running if model["name"].startswith("tiny:latest")] == [tokens]
