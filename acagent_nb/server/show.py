"""Models as `/api/tags`, `/api/show` and `/api/ps` tell of them: pure functions from a `Model` to Ollama's JSON."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import ServerError
from . import go
from .durations import stamp
from .gguf import Gguf
from .manifest import Model

_HIDDEN = ("general.name", "tokenizer.chat_template")  # Ollama leaves these out of `model_info`

# What templates of models that think say: the switches they have, an earlier thought's field, the marks around one.
_SWITCH = re.compile(r"enable_thinking|\b(?:if|and|or|not) thinking\b")
_THINKS = re.compile(
    r"reasoning_effort|reasoning_content|\.thinking\b|\[['\"]thinking['\"]\]"
    r"|<think>|<\|channel\|>analysis|\[THINK\]|<seed:think>|<\|START_THINKING\|>|◁think▷"
)


class Known(NamedTuple):
    """What is known of a model before it is loaded, by its file and its template.

    Attributes
    ----------
    template
        The Jinja template that its conversations are written with; empty if there is none that could be used.
    given
        The same if the engine must be given it; empty if it is in the model's file.
    capabilities
        What it can do.
    switched
        Whether the template can tell it not to think.
    """

    template: str
    given: str
    capabilities: list[str]
    switched: bool


def known(model: Model) -> Known:
    """What is known of a model; to be read only."""
    return _known(model, model.header)


@lru_cache(maxsize=128)  # for every request
def _known(model: Model, header: Gguf) -> Known:
    own = str(header.values.get("tokenizer.chat_template", ""))
    if embeds(header):
        return Known(model.template or own, model.template, ["embedding"], switched=False)
    given = model.template or ("" if own else go.jinja(model.go_template or go.PROMPT_ONLY))
    template = given or own
    switched = _SWITCH.search(template) is not None
    found = {
        "completion": True,
        "tools": "tools" in template,
        "insert": header.fills,
        "vision": model.projector is not None,
        "thinking": switched or _THINKS.search(template) is not None,
    }
    return Known(template, given, [name for name, can in found.items() if can], switched)


def capabilities(model: Model) -> list[str]:
    """What a model can do, by what its file and its template say."""
    return list(known(model).capabilities)


def embeds(header: Gguf) -> bool:
    """Whether a model makes vectors of texts, and no answers."""
    return header.of("pooling_type") is not None


def tag(model: Model) -> dict[str, Any]:
    """One model in the list that `/api/tags` gives."""
    told: dict[str, Any] = {
        "name": model.name.short,
        "model": model.name.short,
        "modified_at": stamp(model.changed),
        "size": model.size,
        "digest": model.digest,
    }
    try:
        header = model.header
        lengths = {"context_length": header.of("context_length"), "embedding_length": header.of("embedding_length")}
        details = _details(header, model.parent) | {name: value for name, value in lengths.items() if value}
        return told | {"details": details, "capabilities": capabilities(model)}
    except (ServerError, ValueError, TypeError):  # a damaged model is listed, so that it can be seen and deleted
        return told | {"details": _details(None)}


def running(model: Model, *, size: int, expires: str, num_ctx: int) -> dict[str, Any]:
    """One model in the list that `/api/ps` gives; `size` is the memory it takes, in bytes."""
    return {
        "name": model.name.short,
        "model": model.name.short,
        "size": size,
        "digest": model.digest,
        "details": _details(model.header, model.parent),
        "expires_at": expires,
        "size_vram": 0,
        "context_length": num_ctx,
    }


def show(model: Model, *, verbose: bool = False, system: str = "") -> dict[str, Any]:
    """All that `/api/show` gives; `verbose` keeps the long arrays, `system` stands in for the model's own."""
    from . import gguf

    header = gguf.read(model.weights, arrays=True) if verbose else model.header
    jinja = known(model).template
    said: dict[str, Any] = {
        "license": model.license,
        "modelfile": _modelfile(model, jinja, system or model.system),
        "parameters": "\n".join(f"{name:<30} {_go(value)}" for name, value in _parameters(model)),
        "template": jinja,
        "ollama_template": model.go_template,  # ours: what an Ollama would use, and this server does not
        "system": system or model.system,
        "details": _details(header, model.parent),
        "messages": model.messages,
    }
    said = {name: value for name, value in said.items() if value}
    facts = {name: _whole(value) for name, value in header.values.items() if name not in _HIDDEN}
    facts["general.parameter_count"] = header.parameters
    seen = {"projector_info": dict(sorted(gguf.read(model.projector).values.items()))} if model.projector else {}
    return said | {
        "model_info": dict(sorted(facts.items())),
        **seen,
        "tensors": [tensor._asdict() for tensor in header.tensors],
        "capabilities": capabilities(model),
        "modified_at": stamp(model.changed),
    }


def human(number: int) -> str:
    """A count of parameters as Ollama writes it: 984K, 1.24B."""
    if number >= 1_000_000_000:
        return f"{number / 1e9:.0f}B" if number % 1_000_000_000 == 0 else f"{number / 1e9:.1f}B"
    if number >= 1_000_000:
        return f"{number / 1e6:.0f}M" if number % 1_000_000 == 0 else f"{number / 1e6:.2f}M"
    return f"{number / 1e3:.0f}K" if number >= 1000 else str(number)


def _whole(value: Any) -> Any:
    """Go writes 10000.0 as 10000."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _details(header: Gguf | None, parent: str = "") -> dict[str, Any]:
    family = header.architecture if header else ""
    return {
        "parent_model": parent,
        "format": "gguf",
        "family": family,
        "families": [family] if family else None,
        "parameter_size": human(header.parameters) if header else "",
        "quantization_level": header.quantization if header else "",
    }


def _parameters(model: Model) -> list[tuple[str, Any]]:
    """The author's options, a list as one line for each item."""
    return [
        (name, item)
        for name, value in sorted(model.parameters.items())
        for item in (value if isinstance(value, list) else [value])
    ]


def _modelfile(model: Model, jinja: str, system: str) -> str:
    lines = [
        '# Modelfile generated by "ollama show"',
        "# To build a new Modelfile based on this, replace FROM with:",
        f"# FROM {model.name.short}",
        "",
        f"FROM {model.weights}",
    ]
    if jinja:
        lines.append(f"TEMPLATE {_quoted(jinja)}")
    if system:
        lines.append(f"SYSTEM {_quoted(system)}")
    lines += [f"PARAMETER {name} {_quoted(str(_plain(value)))}" for name, value in _parameters(model)]
    lines += [f"MESSAGE {message['role']} {_quoted(message['content'])}" for message in model.messages]
    if model.license:
        lines.append(f"LICENSE {_quoted(model.license)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """In quotes where a Modelfile needs them."""
    if "\n" not in text and text == text.strip():
        return text
    return f'"""{text}"""' if '"' in text else f'"{text}"'


def _go(value: Any) -> str:
    """A value in Go's own syntax."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(_plain(value))


def _plain(value: Any) -> Any:
    """Go writes booleans in lower case, whole floats without a point, and nothing as `<nil>`."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else value
