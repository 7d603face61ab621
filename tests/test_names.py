"""Names: who answers to them, and Ollama's grammar."""

from __future__ import annotations

import pytest

from acagent_nb.errors import BadName
from acagent_nb.names import Target, parse, target


@pytest.mark.parametrize(
    ("text", "full", "short"),
    [
        ("tiny", "registry.ollama.ai/library/tiny:latest", "tiny:latest"),
        ("llama3.2:1b", "registry.ollama.ai/library/llama3.2:1b", "llama3.2:1b"),
        ("me/mine", "registry.ollama.ai/me/mine:latest", "me/mine:latest"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("127.0.0.1:5055/library/slow", "127.0.0.1:5055/library/slow:latest", "127.0.0.1:5055/library/slow:latest"),
        ("https://registry.ollama.ai/library/Tiny:latest", "registry.ollama.ai/library/Tiny:latest", "Tiny:latest"),
    ],
)
def test_a_name_has_four_parts(text: str, full: str, short: str) -> None:
    name = parse(text)
    assert (name.full, name.short) == (full, short)
    assert parse(name.short) == name


def test_case_is_kept_but_not_compared() -> None:
    assert parse("Tiny") != parse("tiny")
    assert parse("Tiny").key == parse("tiny:LATEST").key


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a//c", "a/b/c/d", "tiny:", ":1b", "-tiny", "u.ser/model", "x" * 81, "hf.co/us.er/m", "m@sha256:00"],
)
def test_what_ollama_refuses_is_refused_before_it_is_asked(text: str) -> None:
    with pytest.raises(BadName, match="is not a model's name"):
        parse(text)


def test_local_means_ollama_and_all_else_the_cloud() -> None:
    assert target("local_llama3.2:1b") == Target("ollama", "llama3.2:1b")
    assert target(" gpt-4o-mini ") == Target("openai", "gpt-4o-mini")


@pytest.mark.parametrize("text", ["", "  ", "local_", "local_a b"])
def test_a_target_is_checked(text: str) -> None:
    with pytest.raises(BadName) as caught:
        target(text)
    assert caught.value.hint
