"""The panels with recorded answers: their clients are asked in a running loop, and nobody is behind them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("ipywidgets", reason="the extra `panel` is not installed")

import acagent_nb
from acagent_nb.params import Params
from acagent_nb.widgets import option_server
from acagent_nb.widgets.chat_panel import ChatPanel
from acagent_nb.widgets.model_manager import ModelManager

NOBODY = "http://127.0.0.1:9"
SKY = "Why is the sky blue?"
pytestmark = pytest.mark.usefixtures("unrecorded")


def test_the_chat_panel_replays(
    server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def talked() -> tuple[str, Any]:
        panel = ChatPanel("local_tiny", params=Params())
        panel.view.input.value = SKY
        panel.view.send.click()
        deadline = time.monotonic() + 20
        while panel.busy or panel.reply is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)
        await panel.list_models()
        told = panel._turns.provenance(), panel.view.model.options
        panel.close()
        return panel.reply.text, told

    monkeypatch.setenv("OLLAMA_HOST", server)
    with acagent_nb.record(tmp_path / "a.jsonl"):
        text, (_, models) = asyncio.run(talked())
    monkeypatch.setenv("OLLAMA_HOST", NOBODY)
    with acagent_nb.replay(tmp_path / "a.jsonl"):
        again, (provenance, listed) = asyncio.run(talked())
    assert again == text
    assert listed == models
    assert '"replayed": true' in json.dumps(provenance)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert kinds == ["chat", "models"]


def test_the_other_panels_replay(
    server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def told() -> list[Any]:
        manager = ModelManager(params=Params())
        shown = [line.split("  ")[0] for line in repr(manager).splitlines()[2:]]  # below what is said of the server
        manager.close()
        learnt = asyncio.run(option_server.learnt(Params(), "local_tiny"))
        return [shown, learnt.where.version, learnt.where.context, learnt.models]

    monkeypatch.setenv("OLLAMA_HOST", server)
    with acagent_nb.record(tmp_path / "a.jsonl"):
        live = told()
    monkeypatch.setenv("OLLAMA_HOST", NOBODY)
    with acagent_nb.replay(tmp_path / "a.jsonl"):
        assert told() == live
    assert live[2] == 2048
