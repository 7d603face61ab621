"""What both clients are promised, kept by the embedded engine."""

from __future__ import annotations

from acagent_nb import Client
from acagent_nb.messages import Done

from .test_client import Ask, ask, text

__all__ = ["ask"]  # the fixture that runs each test with either client


def test_a_built_in_model_is_pulled_and_answers(ask: Ask, server: str) -> None:
    with Client(server) as client:
        list(client.pull("local_tiny"))
        assert "tiny:latest" in [model.name for model in client.models()]
        assert client.version().engine is not None
    first = ask(server, prompt="Why is the sky blue?", temperature=0)
    assert "blue" in text(first)
    assert text(first) == text(ask(server, prompt="Why is the sky blue?", temperature=0))
    assert isinstance(first[-1], Done)
    assert first[-1].stats.eval_count
