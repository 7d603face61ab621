"""A real server for the tests that need one: its own process, its own models, the real engine."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from acagent_nb import hosts

from . import clients


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of a private server, with no models yet."""
    with hosts.private() as private:
        yield private.url


@pytest.fixture(scope="session")
def api(server: str) -> Iterator[httpx.Client]:
    """A plain HTTP client for that server, which has the built-in models."""
    with httpx.Client(base_url=server, timeout=60, trust_env=False) as client:
        for model in ("tiny", "tiny:skills"):
            assert client.post("/api/pull", json={"model": model, "stream": False}).json() == {"status": "success"}
        yield client


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """An IPython shell with the magics, in a folder of its own, of a user who has saved nothing yet."""
    (tmp_path / "home").mkdir()
    for name in ("HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    shell.run_line_magic("load_ext", "acagent_nb")
    yield shell
    shell.run_line_magic("unload_ext", "acagent_nb")
    atexit.unregister(shell.atexit_operations)  # which collects all garbage, once for each of hundreds of shells


@pytest.fixture(params=[clients.blocking, clients.asynchronous], ids=lambda way: way.__name__)
def do(request: pytest.FixtureRequest) -> clients.Do:
    """One call of either client: see `clients.blocking`."""
    way: clients.Do = request.param
    return way


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave a live server alone unless one is named, or `-m` says what to run."""
    if os.environ.get("OLLAMA_HOST") or config.option.markexpr:
        return
    live = [item for item in items if item.get_closest_marker("live")]
    config.hook.pytest_deselected(items=live)
    items[:] = [item for item in items if item not in live]
