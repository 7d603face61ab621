"""What the tests of the panels share: waiting in a running loop, and what stands on the page."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from acagent_nb.params import Params
from acagent_nb.widgets.chat_panel import ChatPanel
from acagent_nb.widgets.model_manager import ModelManager

from .replay import Answer, Replay


async def soon(true: Callable[[], object], seconds: float = 20) -> None:
    """Let the loop run until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.005)  # what a finished task calls back comes a turn later


def version(text: str) -> Answer:
    """A server's answer to the question which version it is."""
    return Answer((json.dumps({"version": text}),), content_type="application/json")


def replayed(server: Replay, monkeypatch: pytest.MonkeyPatch) -> ChatPanel:
    """A chat with a server that plays back."""
    monkeypatch.setenv("OLLAMA_HOST", server.url)
    return ChatPanel("local_tiny", params=Params())


def shown(panel: ChatPanel) -> list[str]:
    """The HTML of every turn as it is on the page."""
    return [turn.value for turn in panel.view.all.children[3].children[0].children]


def last(panel: ChatPanel) -> str:
    return "".join(shown(panel)[-1:])


def contents(server: Replay, number: int = -1) -> list[tuple[str, str]]:
    """What a chat's request said."""
    chats = [body for _, path, body in server.requests if path == "/api/chat"]
    return [(turn["role"], turn["content"]) for turn in chats[number]["messages"]]


async def opened(url: str, **how: Any) -> ModelManager:
    """A manager that has heard from its server."""
    manager = ModelManager(url, **how)
    await soon(lambda: not manager.busy)
    return manager


async def closed(manager: ModelManager) -> None:
    """Close it; nothing of it goes on."""
    manager.close()
    mine = asyncio.current_task()
    await soon(lambda: asyncio.all_tasks() == {mine}, 5)


def words(html: str) -> str:
    """An HTML text as a reader sees it."""
    seen = HTMLParser()
    found: list[str] = []
    seen.handle_data = found.append  # type: ignore[method-assign]
    seen.feed(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    return " ".join(" ".join(found).split())
