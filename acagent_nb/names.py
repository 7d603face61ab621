"""What a model's name means: `"local_llama3.2:1b"` -> `Target("ollama", "llama3.2:1b")`.

A name that starts with `local_` is a model on an Ollama server, any other a cloud model. Ollama's
own grammar (`types/model/name.go`) is `[scheme://]host/namespace/model:tag`, where all but the
model has a default, and case is kept but not compared.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import BadName

LOCAL = "local_"
HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"

_PART = {  # what follows the first letter, digit or underscore, and the greatest length
    "host": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}"),
    "namespace": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"),
    "model": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
    "tag": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}"),
}


class Target(NamedTuple):
    """Who answers (`"ollama"` or `"openai"`), and the model's name there."""

    provider: str
    model: str


class Name(NamedTuple):
    """An Ollama model's name in its four parts, every one filled."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        """All four parts: `registry.ollama.ai/library/tiny:latest`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """The shortest form that says the same, the tag always shown: `tiny:latest`."""
        if self.host.lower() != HOST:
            return self.full
        if self.namespace.lower() != NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """Equal for names that mean the same model: case is not compared."""
        return self.full.lower()


def parse(text: str) -> Name:
    """Read a name in Ollama's grammar; parts that are left out get their defaults.

    Raises
    ------
    BadName
        A part is empty, too long, or has a character that Ollama does not allow.
    """
    rest = text.split("://", 1)[-1]  # Ollama drops the scheme, whatever it says
    *front, last = rest.split("/")
    model, colon, tag = last.partition(":")
    host = front[-2] if len(front) > 1 else HOST
    namespace = front[-1] if front else NAMESPACE
    name = Name(host, namespace, model, tag if colon else TAG)
    if len(front) > 2 or not all(_PART[part].fullmatch(value) for part, value in name._asdict().items()):
        raise BadName(
            f"{text!r} is not a model's name.",
            "Names look like llama3.2, llama3.2:1b or hf.co/user/model:Q4_K_M.",
        )
    return name


def target(text: str) -> Target:
    """Who answers to this name, checked before anything is sent.

    Raises
    ------
    BadName
        The name is empty, or starts with `local_` and is none that Ollama accepts.
    """
    text = text.strip()
    if not text:
        raise BadName("The model's name is empty.", "Name one, for example local_tiny.")
    if not text.startswith(LOCAL):
        return Target("openai", text)
    model = text[len(LOCAL) :]
    parse(model)
    return Target("ollama", model)
