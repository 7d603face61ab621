"""The model manager without a page: its controls pressed in a running loop, against the embedded server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from acagent_nb import hosts
from tests.kernels import running_kernel
from tests.refresh import fresh_user
from tests.registries import fake, honest, made, until
from tests.replay import Answer, recorded, replaying
from tests.serving import Server, serving

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")

from acagent_nb.widgets.model_manager import ModelManager

VIEW = "application/vnd.jupyter.widget-view+json"
EVIL = "<script>hit()</script><img src=x onerror=hit()>\x1b[2J"


@pytest.fixture(scope="module")
def mine() -> Iterator[Server]:
    """A server whose models the tests of this file may change; each leaves `tiny` there, unloaded."""
    with serving() as server:
        yield server


async def soon(true: Callable[[], Any], seconds: float = 20) -> None:
    """Let the loop run until something is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.005)  # what a finished task calls back comes a turn later


def words(html: str) -> str:
    """An HTML text as a reader sees it."""
    seen = HTMLParser()
    found: list[str] = []
    seen.handle_data = found.append  # type: ignore[method-assign]
    seen.feed(re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL))
    return " ".join(" ".join(found).split())


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


def test_a_row_for_each_model_with_all_that_is_known(mine: Server) -> None:
    async def main() -> None:
        manager = await opened(mine.url)
        assert "embedded server at" in words(manager.summary.value)
        assert re.search(r"1 model, 2\.\d MB on disk · \d+\.\d .B free", words(manager.summary.value))
        row = manager.rows["tiny:latest"]
        told = mine.client.get("/api/tags").json()["models"][0]
        for fact in (told["details"]["parameter_size"], told["details"]["quantization_level"], "MB", "2,048"):
            assert fact in words(row.facts.value)
        assert "completion" in words(row.facts.value)
        assert [row.load.description, row.more.description, row.delete.description] == ["Load", "Details", "Delete"]
        await closed(manager)

    asyncio.run(main())


def test_load_and_unload(mine: Server) -> None:
    async def main() -> None:
        manager = await opened(mine.url)
        row = manager.rows["tiny:latest"]
        row.load.click()
        assert row.load.description == "Stop"
        assert "loading" in words(row.below.value)
        await soon(lambda: row.load.description == "Unload")
        assert mine.loaded() == ["tiny:latest"]
        assert re.search(r"in memory : \d+\.\d MB, CPU, unloads in \d minutes", words(row.facts.value))
        row.load.click()
        await soon(lambda: row.load.description == "Load")
        assert mine.loaded() == []
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


def test_details_are_folded(mine: Server) -> None:
    recipe = {"model": "pirate", "from": "tiny", "system": "Arr <b>!", "parameters": {"temperature": 0.25}}
    license = "\n".join(f"line {number}" for number in range(40))
    mine.client.post("/api/create", json={**recipe, "license": license, "stream": False}).raise_for_status()

    async def main() -> None:
        manager = await opened(mine.url)
        row = manager.rows["pirate:latest"]
        assert row.below not in row.children
        row.more.click()
        await soon(lambda: "Digest" in row.below.value)
        seen = words(row.below.value)
        told = next(each for each in mine.client.get("/api/tags").json()["models"] if each["name"] == "pirate:latest")
        for fact in (told["digest"], "llama", "gguf", "Arr <b>!", "temperature 0.25", "line 0", "28 lines more"):
            assert fact in seen
        assert "line 30" not in seen
        row.more.click()
        assert row.below not in row.children
        await closed(manager)

    asyncio.run(main())
    mine.client.request("DELETE", "/api/delete", json={"model": "pirate"}).raise_for_status()


def test_delete_takes_two_steps(mine: Server) -> None:
    mine.client.post("/api/copy", json={"source": "tiny", "destination": "doomed"}).raise_for_status()

    async def main() -> None:
        manager = await opened(mine.url)
        row, other = manager.rows["doomed:latest"], manager.rows["tiny:latest"]
        shown = lambda: any(row.sure in getattr(child, "children", ()) for child in row.children)  # noqa: E731  # brief
        row.delete.click()
        assert shown()
        assert (row.delete.description, row.sure.description) == ("Keep", "Yes, delete doomed:latest")
        row.delete.click()  # as a double click would
        assert not shown()
        await asyncio.sleep(0.1)
        assert "doomed" in mine.client.get("/api/tags").text
        row.delete.click()
        row.sure.click()
        await soon(lambda: "doomed:latest" not in manager.rows)
        assert "doomed" not in mine.client.get("/api/tags").text
        assert manager.rows["tiny:latest"] is other
        assert row.comm is None
        await closed(manager)

    asyncio.run(main())


def test_what_a_model_does_to_an_action_stays_in_its_row(mine: Server) -> None:
    mine.client.post("/api/copy", json={"source": "tiny", "destination": "fleeting"}).raise_for_status()

    async def main() -> None:
        manager = await opened(mine.url)
        row = manager.rows["fleeting:latest"]
        mine.client.request("DELETE", "/api/delete", json={"model": "fleeting"}).raise_for_status()
        row.load.click()
        await soon(lambda: "ModelMissing" in row.below.value)
        assert row.load.description == "Load"
        manager.refresh.click()
        await soon(lambda: list(manager.rows) == ["tiny:latest"])
        await closed(manager)

    asyncio.run(main())


@pytest.mark.parametrize("written", ["tiny:skills", " local_tiny:skills "])
def test_pull_a_built_in_model(mine: Server, written: str) -> None:
    async def main() -> None:
        manager = await opened(mine.url)
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
    mine.client.request("DELETE", "/api/delete", json={"model": "tiny:skills"}).raise_for_status()


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


def test_what_was_said_of_a_pull_goes_with_the_next_thing_done(mine: Server) -> None:
    async def main() -> None:
        manager = await opened(mine.url)
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


def test_a_model_that_is_in_no_registry(mine: Server) -> None:
    with fake() as registry:

        async def main() -> None:
            manager = await opened(mine.url, insecure=True)
            manager.pulling.name.value = f"{registry.host}/library/m"
            manager.pulling.pull.click()
            await soon(lambda: not manager.pulling.busy)
            assert "ModelMissing" in manager.pulling.said.value
            assert manager.pulling.said.value.count("<br>") == 1
            assert not manager.pulling.pull.disabled
            await closed(manager)

        asyncio.run(main())


def test_a_pull_is_cancelled_and_resumed(mine: Server) -> None:
    go = Event()
    with fake(until(go)) as registry:
        model = registry.add(made(3_000_000))

        async def main() -> None:
            manager = await opened(mine.url, insecure=True)
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
        mine.client.request("DELETE", "/api/delete", json={"model": name}).raise_for_status()


def test_closing_stops_a_pull(mine: Server) -> None:
    with fake(until(Event())) as registry:
        registry.add(made(2_000_000))

        async def main() -> None:
            manager = await opened(mine.url, insecure=True)
            manager.pulling.name.value = f"{registry.host}/library/m"
            manager.pulling.pull.click()
            await soon(lambda: manager.pulling.last)
            await closed(manager)

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


def test_without_models_it_says_how_to_get_one() -> None:
    with hosts.private() as server:

        async def main() -> None:
            manager = await opened(server.url)
            assert "tiny is built in" in words(manager.children[-1].value)
            assert "0 models" in words(manager.summary.value)
            await closed(manager)

        asyncio.run(main())


def test_fifty_models(mine: Server) -> None:
    for number in range(49):
        copied = {"source": "tiny", "destination": f"copy:{number}"}
        mine.client.post("/api/copy", json=copied).raise_for_status()

    async def main() -> None:
        manager = await opened(mine.url)
        assert len(manager.rows) == 50
        assert manager.children[-1].layout.max_height
        assert all("2,048" in row.facts.value for row in manager.rows.values())
        await closed(manager)

    asyncio.run(main())
    for number in range(49):
        mine.client.request("DELETE", "/api/delete", json={"model": f"copy:{number}"}).raise_for_status()


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


def test_what_a_server_says_is_escaped() -> None:
    model = {"name": f"{EVIL}:latest", "size": 1, "digest": EVIL, "details": {"parameter_size": EVIL}}
    shown = {"capabilities": [EVIL], "system": EVIL, "license": EVIL, "template": EVIL, "details": {"family": EVIL}}
    ps = {"models": [{"name": f"{EVIL}:latest", "size": 1, "expires_at": EVIL}]}
    answers = {"tags": {"models": [model]}, "show": shown, "ps": ps, "version": {"version": EVIL}}
    played = {path: Answer((json.dumps(told),), content_type="application/json") for path, told in answers.items()}
    with replaying(**played) as server:

        async def main() -> None:
            manager = await opened(server.url)
            (row,) = manager.rows.values()
            row.more.click()
            row.delete.click()
            bundle = manager._repr_mimebundle_()
            drawn = [manager.summary.value, row.facts.value, row.below.value, bundle["text/html"]]
            for html in drawn:
                assert "<script" not in html
                assert "<img" not in html
            assert "\x1b" not in bundle["text/plain"] + "".join(drawn)
            await closed(manager)

        asyncio.run(main())


def test_a_page_without_widgets_shows_the_models(mine: Server) -> None:
    async def main() -> None:
        manager = ModelManager(mine.url)
        bundle = manager._repr_mimebundle_()  # at once, as a cell does
        assert bundle[VIEW]["model_id"] == manager.model_id
        assert "tiny:latest" in bundle["text/html"]
        assert "<script" not in bundle["text/html"]
        assert "<style" not in bundle["text/html"]
        assert "tiny:latest" in bundle["text/plain"]
        assert "tiny:latest" in manager.rows
        await closed(manager)

    asyncio.run(main())


def test_it_opens_in_a_moment(mine: Server) -> None:
    async def main() -> None:
        began = time.process_time()
        manager = ModelManager(mine.url)
        manager._repr_mimebundle_()
        assert time.process_time() - began < 1
        await soon(lambda: not manager.busy)
        await closed(manager)

    asyncio.run(main())


def test_in_a_terminal_it_prints_the_tables(
    shell: InteractiveShell, mine: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", mine.url)
    manager = shell.run_line_magic("llm", "models")
    lines = repr(manager).splitlines()
    assert re.fullmatch(r"NAME +ID +SIZE +MODIFIED", lines[3])
    assert lines[4].split()[0] == "tiny:latest"
    assert lines[-1] == "No model is loaded."
    mine.chat(options={"num_predict": 1})
    assert re.fullmatch(r"NAME +ID +SIZE +PROCESSOR +CONTEXT +UNLOADED", repr(manager).splitlines()[-2])
    mine.client.post("/api/generate", json={"model": "tiny", "keep_alive": 0}).raise_for_status()
    manager.close()


def test_in_a_kernel_it_is_a_view_and_a_table(mine: Server) -> None:
    with running_kernel(OLLAMA_HOST=mine.url) as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        ran = kernel.run("%llm models")
        assert ran.status == "ok"
        ((_, result),) = ran.of("execute_result")
        assert set(result["data"]) == {VIEW, "text/plain", "text/html"}
        assert "tiny:latest" in result["data"]["text/plain"]


def test_without_ipywidgets_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['ipywidgets'] = None\nimport acagent_nb.widgets.model_manager"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stderr.splitlines()[-1] == 'Install it: pip install "acagent-nb[panel]"'
    assert "MissingExtra" in ran.stderr


def test_in_a_terminal_without_a_server_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")
    manager = ModelManager()
    assert repr(manager).startswith("No server answers at http://127.0.0.1:9")
    manager.close()


def test_the_shared_server_is_started_behind_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_user(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if hosts.present():
            pytest.skip("an Ollama answers on this machine")

        async def main() -> None:
            manager = ModelManager()
            assert "not looked up yet" in manager._repr_mimebundle_()["text/plain"]
            await soon(lambda: manager.known, 60)
            assert os.environ["XDG_DATA_HOME"] in str(manager.known.usage.folder)
            await closed(manager)

        asyncio.run(main())


def test_a_remote_server_s_free_space_is_not_guessed() -> None:
    from acagent_nb.models import Model, Version
    from acagent_nb.widgets.model_facts import Known

    known = Known(hosts.Host("https://example.org:443", "x"), Version("0.32.15"), [Model("m:latest", 5 * 10**9)], [])
    assert known.sums == "1 model, 5.0 GB · free space not known: they lie on another machine or in a container"


def test_an_open_panel_asks_nothing_by_itself(mine: Server) -> None:
    """Else it would keep the embedded server awake for ever."""

    async def main() -> None:
        manager = await opened(mine.url)
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await closed(manager)

    asyncio.run(main())
