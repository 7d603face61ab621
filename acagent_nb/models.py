"""What a server tells of its models and of itself, in the wire's words."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from .liveness import parsed


class Details(Struct, frozen=True):
    """What a model's file says of itself, in the wire's words; empty where it does not say.

    Attributes
    ----------
    format, family
        "gguf", and which kind of model it is: "llama".
    parameter_size
        How many weights, as people write it: "1.2B".
    quantization_level
        How they are stored: "Q4_K_M".
    """

    format: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization_level: str = ""


class Model(Struct, frozen=True):
    """A model that a server has.

    Attributes
    ----------
    name
        With its tag: "tiny:latest".
    size
        Bytes on disk.
    digest
        Of its manifest, hexadecimal.
    modified_at
        When it was pulled or made, as RFC 3339 text.
    details
        What its file says of itself.
    """

    name: str
    size: int = 0
    digest: str = ""
    modified_at: str = ""
    details: Details = Details()


class Running(Struct, frozen=True):
    """A model that is loaded right now.

    Attributes
    ----------
    name, digest
        As in `Model`.
    size, size_vram
        Bytes in memory, all and on the GPU.
    expires_at
        When it will be unloaded, as RFC 3339 text: "for ever" lies in a year that not every
        calendar can hold.
    context_length
        Tokens; 0 on servers before 0.10.0, which do not say.
    """

    name: str
    size: int = 0
    size_vram: int = 0
    digest: str = ""
    expires_at: str = ""
    context_length: int = 0

    @property
    def processor(self) -> str:
        """Where it runs: "CPU", "GPU", or how much of it on the GPU, as in "40% GPU"."""
        share = self.size_vram / self.size if self.size else 0.0
        return "CPU" if share == 0 else "GPU" if share >= 1 else f"{share:.0%} GPU"


class Shown(Struct, frozen=True):
    """What a server knows of a model.

    Attributes
    ----------
    capabilities
        What it can do: "completion", "tools", "thinking", "vision", "insert", "embedding"; empty on
        servers before 0.6.4, which do not say.
    parameters
        The model's own options, one a line: a name, blanks, a value in Go's syntax.
    details
        What its file says of itself.
    license
        The text of its license, or of several.
    modified_at
        When it was pulled or made, as RFC 3339 text.
    template, system
        Its chat template, and the system prompt that it comes with.
    model_info
        What its file says, by the file's keys; long lists are empty.
    modelfile
        How it was made, in the words of Ollama's Modelfile.
    messages
        The turns that it comes with.
    """

    capabilities: tuple[str, ...] = ()
    details: Details = Details()
    parameters: str = ""
    template: str = ""
    system: str = ""
    license: str = ""
    model_info: dict[str, Any] = {}
    modelfile: str = ""
    modified_at: str = ""
    messages: tuple[dict[str, Any], ...] = ()

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was made for, if its file says so."""
        length = self.model_info.get(f"{self.model_info.get('general.architecture')}.context_length")
        return length if isinstance(length, int) else None


class Version(Struct, frozen=True):
    """What a server says it is.

    Attributes
    ----------
    version
        Ollama's version; "0.0.0" for one built from source.
    engine
        What the embedded server runs on; `None` for Ollama itself.
    """

    version: str
    engine: dict[str, Any] | None = None

    def reaches(self, version: str) -> bool:
        """Whether it is at least this `version`; one that is built from source counts as the newest."""
        ours, theirs = parsed(self.version), parsed(version)
        return ours is None or theirs is None or ours >= theirs
