"""The model manager without a page: its controls pressed in a running loop, against the embedded server.

Each test leaves `tiny` there, unloaded, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from contextlib import closing

import pytest

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")

from acagent_nb import hosts
from tests.panels import closed, opened, soon, words
from tests.replay import Answer, recorded, replaying
from tests.serving import Server, serving


def test_a_row_for_each_model_with_all_that_is_known(own: Server) -> None:
    async def main() -> None:
        manager = await opened(own.url)
        assert "embedded server at" in words(manager.summary.value)
        assert re.search(r"1 model, 2\.\d MB on disk · \d+\.\d .B free", words(manager.summary.value))
        row = manager.rows["tiny:latest"]
        told = own.client.get("/api/tags").json()["models"][0]
        for fact in (told["details"]["parameter_size"], told["details"]["quantization_level"], "MB", "2,048"):
            assert fact in words(row.facts.value)
        assert "completion" in words(row.facts.value)
        assert [row.load.description, row.more.description, row.delete.description] == ["Load", "Details", "Delete"]
        await closed(manager)

    asyncio.run(main())


def test_load_and_unload(own: Server) -> None:
    async def main() -> None:
        manager = await opened(own.url)
        row = manager.rows["tiny:latest"]
        row.load.click()
        assert row.load.description == "Stop"
        assert "loading" in words(row.below.value)
        await soon(lambda: row.load.description == "Unload")
        assert own.loaded() == ["tiny:latest"]
        assert re.search(r"in memory : \d+\.\d MB, CPU, unloads in \d minutes", words(row.facts.value))
        row.load.click()
        await soon(lambda: row.load.description == "Load")
        assert own.loaded() == []
        assert "in memory" not in row.facts.value
        await closed(manager)

    asyncio.run(main())


def test_a_model_that_is_half_on_the_gpu_and_stays() -> None:
    """As Ollama tells of one that was loaded with keep_alive -1."""
    held = {"name": "m:latest", "size": 2_000_000_000, "size_vram": 800_000_000}
    held["expires_at"] = "2319-02-22T10:41:30.090664705Z"
    answers = {"tags": {"models": [{"name": "m:latest", "size": 10**9}]}, "ps": {"models": [held]}}
    played = {path: Answer((json.dumps(told),), content_type="application/json") for path, told in answers.items()}
    with replaying(**played) as server:

        async def main() -> None:
            manager = await opened(server.url)
            assert "in memory : 2.0 GB, 40% GPU, for ever" in words(manager.rows["m:latest"].facts.value)
            assert manager.rows["m:latest"].load.description == "Unload"
            assert "Ollama 0.0.0 at http://127.0.0.1" in manager.summary.value
            assert "free space not known" in manager.summary.value
            await closed(manager)

        asyncio.run(main())


def test_details_are_folded(own: Server) -> None:
    recipe = {"model": "pirate", "from": "tiny", "system": "Arr <b>!", "parameters": {"temperature": 0.25}}
    license = "\n".join(f"line {number}" for number in range(40))
    own.client.post("/api/create", json={**recipe, "license": license, "stream": False}).raise_for_status()

    async def main() -> None:
        manager = await opened(own.url)
        row = manager.rows["pirate:latest"]
        assert row.below not in row.children
        row.more.click()
        await soon(lambda: "Digest" in row.below.value)
        seen = words(row.below.value)
        told = next(each for each in own.client.get("/api/tags").json()["models"] if each["name"] == "pirate:latest")
        for fact in (told["digest"], "llama", "gguf", "Arr <b>!", "temperature 0.25", "line 0", "28 lines more"):
            assert fact in seen
        assert "line 30" not in seen
        row.more.click()
        assert row.below not in row.children
        await closed(manager)

    asyncio.run(main())
    own.client.request("DELETE", "/api/delete", json={"model": "pirate"}).raise_for_status()


def test_delete_takes_two_steps(own: Server) -> None:
    own.client.post("/api/copy", json={"source": "tiny", "destination": "doomed"}).raise_for_status()

    async def main() -> None:
        manager = await opened(own.url)
        row, other = manager.rows["doomed:latest"], manager.rows["tiny:latest"]
        shown = lambda: any(row.sure in getattr(child, "children", ()) for child in row.children)  # noqa: E731  # brief
        row.delete.click()
        assert shown()
        assert (row.delete.description, row.sure.description) == ("Keep", "Yes, delete local_doomed")
        row.delete.click()  # as a double click would
        assert not shown()
        await asyncio.sleep(0.1)
        assert "doomed" in own.client.get("/api/tags").text
        row.delete.click()
        row.sure.click()
        await soon(lambda: "doomed:latest" not in manager.rows)
        assert "doomed" not in own.client.get("/api/tags").text
        assert manager.rows["tiny:latest"] is other
        assert row.comm is None
        await closed(manager)

    asyncio.run(main())


def test_what_a_model_does_to_an_action_stays_in_its_row(own: Server) -> None:
    own.client.post("/api/copy", json={"source": "tiny", "destination": "fleeting"}).raise_for_status()

    async def main() -> None:
        manager = await opened(own.url)
        row = manager.rows["fleeting:latest"]
        own.client.request("DELETE", "/api/delete", json={"model": "fleeting"}).raise_for_status()
        row.load.click()
        await soon(lambda: "ModelMissing" in row.below.value)
        assert row.load.description == "Load"
        manager.refresh.click()
        await soon(lambda: list(manager.rows) == ["tiny:latest"])
        await closed(manager)

    asyncio.run(main())


def test_without_models_it_says_how_to_get_one() -> None:
    with hosts.private() as server:

        async def main() -> None:
            manager = await opened(server.url)
            assert "tiny is built in" in words(manager.children[-1].value)
            assert "0 models" in words(manager.summary.value)
            await closed(manager)

        asyncio.run(main())


def test_fifty_models(own: Server) -> None:
    for number in range(49):
        copied = {"source": "tiny", "destination": f"copy:{number}"}
        own.client.post("/api/copy", json=copied).raise_for_status()

    async def main() -> None:
        manager = await opened(own.url)
        assert len(manager.rows) == 50
        assert manager.children[-1].layout.max_height
        assert all("2,048" in row.facts.value for row in manager.rows.values())
        await closed(manager)

    asyncio.run(main())
    for number in range(49):
        own.client.request("DELETE", "/api/delete", json={"model": f"copy:{number}"}).raise_for_status()


def test_a_server_that_is_down_and_comes_back() -> None:
    with replaying() as server:
        pass

    async def main() -> None:
        manager = await opened(server.url)
        assert "ServerDown" in manager.summary.value
        assert manager.summary.value.count("<br>") == 1
        assert manager.refresh.description == "Retry"
        assert len(manager.children) == 2
        with serving("--port", server.url.rpartition(":")[2]):
            manager.refresh.click()
            await soon(lambda: manager.rows)
            await soon(lambda: not manager.busy)
            assert manager.refresh.description == "Refresh"
        await closed(manager)

    asyncio.run(main())


def test_a_remote_server_s_free_space_is_not_guessed() -> None:
    from acagent_nb.models import Model, Version
    from acagent_nb.widgets.model_facts import Known

    known = Known(hosts.Host("https://example.org:443", "x"), Version("0.32.15"), [Model("m:latest", 5 * 10**9)], [])
    assert known.sums == "1 model, 5.0 GB · free space not known: they lie on another machine or in a container"


class Skipping(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def test_an_open_panel_asks_nothing_by_itself() -> None:
    """Else it would keep the embedded server awake for ever."""
    with replaying(tags=recorded("tags_after_copy")) as server, closing(Skipping()) as loop:

        async def main() -> None:
            manager = await opened(server.url)
            threads, asked = threading.active_count(), len(server.requests + server.aside)
            assert manager.rows
            loop.ahead += 24 * 3600
            await asyncio.sleep(0)  # timers run that are due a day later
            await asyncio.sleep(0)  # and tasks that they began
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert threading.active_count() <= threads
            assert len(server.requests + server.aside) == asked
            await closed(manager)

        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
