"""The model manager's pulls: how far they are, cancelled and resumed, and stopped before they fill the disk."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from threading import Event

import pytest

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")

from tests.panels import closed, opened, soon, words
from tests.registries import Turn, fake, honest, made, until
from tests.replay import Answer, recorded, replaying
from tests.serving import Server


@pytest.mark.parametrize("written", ["tiny:skills", " local_tiny:skills "])
def test_pull_a_built_in_model(own: Server, written: str) -> None:
    async def main() -> None:
        manager = await opened(own.url)
        manager.pulling.name.value = written
        manager.pulling.pull.click()
        assert manager.pulling.pull.disabled
        assert not manager.pulling.cancel.disabled
        await soon(lambda: "tiny:skills" in manager.rows)
        assert re.match(r"tiny:skills is there, \d\.\d MB in \d+\.\d s\.", words(manager.pulling.said.value))
        assert not manager.pulling.pull.disabled
        await soon(lambda: not manager.busy)
        assert "tools, thinking" in words(manager.rows["tiny:skills"].facts.value)
        await closed(manager)

    asyncio.run(main())
    own.client.request("DELETE", "/api/delete", json={"model": "tiny:skills"}).raise_for_status()


@pytest.mark.parametrize("name", ["two words", "a//b", "m@sha256:1"])
def test_a_bad_name_is_not_sent(name: str) -> None:
    with replaying(tags=recorded("tags_after_copy")) as server:

        async def main() -> None:
            manager = await opened(server.url)
            manager.pulling.name.value = name
            manager.pulling.pull.click()
            assert "BadName" in manager.pulling.said.value
            assert not manager.pulling.busy
            await closed(manager)

        asyncio.run(main())
        assert "/api/pull" not in [path for _, path, _ in server.requests]


def test_what_was_said_of_a_pull_goes_with_the_next_thing_done(own: Server) -> None:
    async def main() -> None:
        manager = await opened(own.url)
        row, said = manager.rows["tiny:latest"], manager.pulling
        said.pull.click()
        assert words(said.said.value) == "Write the name of a model first."
        said.name.value = "two words"
        assert said.said not in said.children
        said.pull.click()
        assert "BadName" in said.said.value
        assert said.said in said.children
        row.load.click()
        await soon(lambda: row.load.description == "Unload")
        assert said.said not in said.children
        row.load.click()
        await soon(lambda: row.load.description == "Load")
        await closed(manager)

    asyncio.run(main())


def test_a_model_that_is_in_no_registry(own: Server) -> None:
    with fake() as registry:

        async def main() -> None:
            manager = await opened(own.url, insecure=True)
            manager.pulling.name.value = f"{registry.host}/library/m"
            manager.pulling.pull.click()
            await soon(lambda: not manager.pulling.busy)
            assert "ModelMissing" in manager.pulling.said.value
            assert manager.pulling.said.value.count("<br>") == 1
            assert not manager.pulling.pull.disabled
            await closed(manager)

        asyncio.run(main())


def test_a_pull_is_cancelled_and_resumed(own: Server) -> None:
    go = Event()
    with fake(until(go)) as registry:
        model = registry.add(made(3_000_000))

        async def main() -> None:
            manager = await opened(own.url, insecure=True)
            row = manager.pulling
            row.name.value = f"{registry.host}/library/m"
            row.pull.click()
            await soon(lambda: row.last and row.last.completed > 1_000_000 and "value=" in row.said.value)
            assert re.search(r"downloading · 1\.\d MB of 3\.0 MB · \d\d %", words(row.said.value))
            assert f'max="{row.last.total}"' in row.said.value
            manager.refresh.click()  # the rest goes on meanwhile
            await soon(lambda: not manager.busy)
            assert row.busy
            row.cancel.click()
            await soon(lambda: not row.busy)
            assert re.match(r"Stopped at \d\d%\. What has come is kept", words(row.said.value))
            assert not row.pull.disabled
            assert row.cancel.disabled
            manager.refresh.click()
            await soon(lambda: "of stopped pulls" in manager.summary.value)
            before = len(registry.ranges(model.digests[0]))
            go.set()
            registry.answer = honest
            row.pull.click()
            await soon(lambda: any(name.startswith(registry.host) for name in manager.rows))
            ranges = registry.ranges(model.digests[0])[before:]
            assert ranges
            assert not any(asked and asked.startswith("bytes=0-") for asked in ranges)
            await closed(manager)

        asyncio.run(main())
        name = f"{registry.host}/library/m"
        own.client.request("DELETE", "/api/delete", json={"model": name}).raise_for_status()


def test_closing_stops_a_pull(own: Server) -> None:
    left = []

    def endless(turn: Turn) -> None:
        try:
            until(Event())(turn)
        except ConnectionError:
            left.append(turn.number)
            raise

    with fake(endless) as registry:
        registry.add(made(2_000_000))

        async def main() -> None:
            manager = await opened(own.url, insecure=True)
            manager.pulling.name.value = f"{registry.host}/library/m"
            manager.pulling.pull.click()
            await soon(lambda: manager.pulling.last and manager.pulling.last.completed)
            await closed(manager)
            await soon(lambda: left)

        asyncio.run(main())


def test_a_pull_that_does_not_fit_is_stopped_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's folder is on this disk: the blob that grows in it is the evidence."""
    digest = "53c5780fe2ec" + "0" * 52
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / f"sha256-{digest}-partial").touch()
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    steps = [{"status": "pulling manifest"}]
    steps += [{"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": 10**18, "completed": 10**6}]
    slow = Answer(tuple(json.dumps(step) + "\n" for step in steps), stall=10)
    small = Answer((*slow.lines, '{"status":"success"}\n'))
    with replaying(tags=Answer(('{"models":[]}',)), pull=[slow, slow, small]) as server:

        async def main() -> None:
            manager = await opened(server.url)
            row = manager.pulling
            row.name.value = "huge"
            row.pull.click()
            await soon(lambda: not row.busy)
            said = words(row.said.value)
            assert re.match(r"It won't fit: 1000000\.0 TB are still to come, and \d+\.\d .B are free; so it was", said)
            assert 'role="alert"' in row.said.value
            assert server.gone.wait(5)
            assert row.pull.description == "Pull anyway"
            row.pull.click()
            await soon(lambda: "downloading" in row.said.value)
            row.cancel.click()
            await soon(lambda: not row.busy)
            assert "Stopped at 0%. What has come is kept" in row.said.value
            row.pull.click()
            await soon(lambda: "huge is there" in words(row.said.value))
            assert row.pull.description == "Pull"
            await closed(manager)

        asyncio.run(main())
