"""A real server for the tests that need one: its own process, its own models, the real engine."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import settings
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from acagent_nb import answers, hosts, modes

from . import clients, clouds
from .serving import Server, serving

settings.register_profile("here", deadline=None, database=None)  # a busy machine is slow, and that is no fault
settings.load_profile("here")


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


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A private server with `tiny`, whose models the tests of one file may change."""
    with serving() as server:
        yield server


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


@pytest.fixture
def tiny(shell: InteractiveShell, server: str, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """That shell with the server, and its tiny model to ask when none is named."""
    monkeypatch.setenv("OLLAMA_HOST", server)
    shell.run_line_magic("llm", "use local_tiny")
    return shell


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No recording is in use before and after."""
    for name in (modes.VARIABLE, modes.PACE, modes.USED, "OPENAI_API_KEY", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    yield
    answers._in_use.clear()


@pytest.fixture(params=[clients.blocking, clients.asynchronous], ids=lambda way: way.__name__)
def do(request: pytest.FixtureRequest) -> clients.Do:
    """One call of either client: see `clients.blocking`."""
    way: clients.Do = request.param
    return way


@pytest.fixture(params=[clouds.blocking, clouds.asynchronous], ids=lambda way: way.__name__)
def ask(request: pytest.FixtureRequest) -> clouds.Ask:
    """All events of one question to a cloud model, by either client: see `clouds.blocking`."""
    way: clouds.Ask = request.param
    return way


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave a live server alone unless one is named, or `-m` says what to run."""
    if os.environ.get("OLLAMA_HOST") or config.option.markexpr:
        return
    live = [item for item in items if item.get_closest_marker("live")]
    config.hook.pytest_deselected(items=live)
    items[:] = [item for item in items if item not in live]
