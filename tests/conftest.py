"""A real server for the tests that need one: its own process, its own models, the real engine."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from acagent_nb import hosts


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
