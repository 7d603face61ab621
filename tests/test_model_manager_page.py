"""What the model manager shows where: on a page with and without widgets, in a terminal, in a kernel."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")

from acagent_nb import hosts
from acagent_nb.widgets.model_manager import ModelManager
from tests.kernels import running_kernel
from tests.panels import closed, opened, soon
from tests.refresh import fresh_user
from tests.replay import Answer, replaying
from tests.serving import Server

VIEW = "application/vnd.jupyter.widget-view+json"
EVIL = "<script>hit()</script><img src=x onerror=hit()>\x1b[2J"


def test_what_a_server_says_is_escaped() -> None:
    models = [
        {"name": f"{name}:latest", "size": 1, "digest": f"{name}{EVIL}", "details": {"parameter_size": EVIL}}
        for name in ("good", EVIL)
    ]
    shown = {"capabilities": [EVIL], "system": EVIL, "license": EVIL, "template": EVIL, "details": {"family": EVIL}}
    ps = {"models": [{"name": f"{EVIL}:latest", "size": 1, "expires_at": EVIL}]}
    answers = {"tags": {"models": models}, "show": shown, "ps": ps, "version": {"version": EVIL}}
    played = {path: Answer((json.dumps(told),), content_type="application/json") for path, told in answers.items()}
    with replaying(**played) as server:

        async def main() -> None:
            manager = await opened(server.url)
            good, evil = manager.rows.values()
            for row in (good, evil):
                row.more.click()
                row.delete.click()
            await soon(lambda: "Digest" in good.below.value and "BadName" in evil.below.value)
            bundle = manager._repr_mimebundle_()
            drawn = [manager.summary.value, bundle["text/html"]]
            drawn += [part.value for row in (good, evil) for part in (row.facts, row.below)]
            for html in drawn:
                assert "&lt;script" in html
                assert "<script" not in html
                assert "<img" not in html
            for part in ("Digest", "Family", "Can do", "System", "Template", "License"):
                assert re.search(f"<dt>{part}</dt><dd>(<pre[^>]*>)?[^<]*&lt;img src=x", good.below.value)
            assert "\x1b" not in bundle["text/plain"] + "".join(drawn)
            await closed(manager)

        asyncio.run(main())


def test_a_page_without_widgets_shows_the_models(own: Server) -> None:
    async def main() -> None:
        manager = ModelManager(own.url)
        bundle = manager._repr_mimebundle_()  # at once, as a cell does
        assert bundle[VIEW]["model_id"] == manager.model_id
        assert ">local_tiny<" in bundle["text/html"]
        assert "<script" not in bundle["text/html"]
        assert "<style" not in bundle["text/html"]
        assert "local_tiny " in bundle["text/plain"]
        assert "tiny:latest" in manager.rows
        await closed(manager)

    asyncio.run(main())


def test_it_opens_in_a_moment(own: Server) -> None:
    async def main() -> None:
        began = time.process_time()
        manager = ModelManager(own.url)
        manager._repr_mimebundle_()
        assert time.process_time() - began < 1
        await soon(lambda: not manager.busy)
        await closed(manager)

    asyncio.run(main())


def test_in_a_terminal_it_prints_the_tables(
    shell: InteractiveShell, own: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", own.url)
    manager = shell.run_line_magic("llm", "models")
    lines = repr(manager).splitlines()
    assert re.fullmatch(r"NAME +ID +SIZE +MODIFIED", lines[3])
    assert lines[4].split()[0] == "local_tiny"
    assert lines[-1] == "No model is loaded."
    own.chat(options={"num_predict": 1})
    assert re.fullmatch(r"NAME +ID +SIZE +PROCESSOR +CONTEXT +UNLOADED", repr(manager).splitlines()[-2])
    own.client.post("/api/generate", json={"model": "tiny", "keep_alive": 0}).raise_for_status()
    manager.close()


def test_in_a_kernel_it_is_a_view_and_a_table(own: Server) -> None:
    with running_kernel(OLLAMA_HOST=own.url) as kernel:
        assert kernel.run("%load_ext acagent_nb").status == "ok"
        ran = kernel.run("%llm models")
        assert ran.status == "ok"
        ((_, result),) = ran.of("execute_result")
        assert set(result["data"]) == {VIEW, "text/plain", "text/html"}
        assert "local_tiny" in result["data"]["text/plain"]


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
