"""One client for many: its connections are kept, and shared by threads, tasks and event loops."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client
from acagent_nb.errors import ServerDown
from acagent_nb.messages import Done

from .replay import Answer, replaying, said


def test_a_client_keeps_its_connection() -> None:
    async def asynchronous(url: str) -> None:
        async with AsyncClient(url) as client:
            for _ in range(3):
                await client.chat("local_m", "hi")

    with replaying(chat=said("a", "b")) as replay, Client(replay.url) as client:
        for _ in range(3):
            client.chat("local_m", "hi")
        assert len(replay.peers) == 1
    with replaying(chat=said("a", "b")) as replay:
        asyncio.run(asynchronous(replay.url))
        assert len(replay.peers) == 1


def test_threads_share_a_client() -> None:
    with replaying(chat=said("a", "b", pause=0.01)) as replay, Client(replay.url) as client:
        with ThreadPoolExecutor(16) as threads:
            replies = list(threads.map(lambda _: client.chat("local_m", "hi").text, range(48)))
        assert replies == ["ab"] * 48
        assert len(replay.peers) <= 16


def test_one_threads_broken_line_does_not_break_anothers() -> None:
    lines = (*said("a", done=False).lines, *said("b").lines)
    answers = [Answer(lines, pause=0.3), said("x", done=False, breaks=True), said("c")]
    with replaying(chat=answers) as replay, Client(replay.url) as client, ThreadPoolExecutor() as threads:
        slow = threads.submit(client.chat, "local_m", "hi")
        time.sleep(0.1)
        with pytest.raises(ServerDown):
            client.chat("local_m", "hi")
        assert client.chat("local_m", "hi").text == "c"
        assert slow.result().text == "ab"


def test_many_tasks_share_a_client() -> None:
    async def main(url: str) -> list[Any]:
        async with AsyncClient(url) as client:
            tasks = [[client.chat("local_m", "hi") for _ in range(64)] for _ in range(3)]
            return [reply.text for each in tasks for reply in await asyncio.gather(*each)]

    with replaying(chat=said("a", "b", pause=0.02)) as replay:
        assert asyncio.run(main(replay.url)) == ["ab"] * 192
        assert len(replay.peers) <= 64, "the later ones took the connections of the first"


def test_an_async_client_works_in_one_event_loop_after_another() -> None:
    async def main(client: AsyncClient) -> str:
        text = (await client.chat("local_m", "hi")).text
        await client.close()
        return text

    with replaying(chat=said("a")) as replay:
        client = AsyncClient(replay.url)
        assert [asyncio.run(main(client)) for _ in range(3)] == ["a"] * 3


def test_a_closed_client_opens_again() -> None:
    async def asynchronous(url: str) -> None:
        client = AsyncClient(url)
        for _ in range(2):
            assert isinstance([event async for event in client.stream("local_m", "hi")][-1], Done)
            await client.close()

    with replaying(chat=said("a")) as replay:
        client = Client(replay.url)
        for _ in range(2):
            assert isinstance(list(client.stream("local_m", "hi"))[-1], Done)
            client.close()
        assert len(replay.peers) == 2
    with replaying(chat=said("a")) as replay:
        asyncio.run(asynchronous(replay.url))
        assert len(replay.peers) == 2
