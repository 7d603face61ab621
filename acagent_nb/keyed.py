"""What is asked, by which a recorded answer is found again: all that changes the answer, and nothing else.

    Question("chat", "local_tiny", {"messages": [...], "options": {"seed": 1}}).key  ->  "9f2c41d07b3a5e68"

No key, no header and no address is part of a question; pictures are told by their hashes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from . import names
from .errors import BadName
from .messages import Message, Request

_NOTHING: tuple[Any, ...] = (None, False, "", (), [], {})


class Question(NamedTuple):
    """What is asked of a model, or of its server.

    Attributes
    ----------
    kind
        "chat", "generate", "embed", "show", "models", "running", "version", "pull", "create", "copy",
        "delete", "load" or "unload".
    model
        As users write it: see `named`; empty where there is none.
    request
        Plain data, pictures and files by their hashes.
    """

    kind: str
    model: str
    request: dict[str, Any]

    @property
    def key(self) -> str:
        """By which it is found: 16 hexadecimal digits of a SHA-256."""
        told = json.dumps(self._asdict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:16]

    @property
    def deterministic(self) -> bool:
        """Whether the same answer can be expected each time: a seed, temperature 0, or vectors."""
        options = self.request.get("options", {})
        return self.kind == "embed" or options.get("seed", -1) >= 0 or options.get("temperature") == 0


def named(provider: str, model: str) -> str:
    """A model's name as users write it, one for all its spellings: "local_tiny", "gpt-4o-mini", "lab/qwen"."""
    if provider != "ollama":
        return model if provider == "openai" else f"{provider}/{model}"
    try:
        short = names.parse(model).short.lower()  # case is not compared
    except BadName:  # a server may have names that it would not take
        short = model
    return names.LOCAL + short.removesuffix(f":{names.TAG}")


def asked(kind: str, request: Request, **more: Any) -> Question:
    """The question that a request asks.

    Parameters
    ----------
    kind
        See `Question`.
    request
        Its `keep_alive` changes no answer, and is left out. So are the messages of a generation, where `more` says all.
    more
        What a chat does not have, by the wire's names: a generation's prompt and images, an embedding's texts ...
        What is `None`, false or empty is left out.
    """
    ids: dict[str, str] = {}
    said: dict[str, Any] = {
        "messages": [] if kind == "generate" else [_turn(message, ids) for message in request.messages],
        "options": request.options.sent(),
        "format": request.format,
        "tools": list(request.tools),
        "truncate": request.truncate,
        **more,
    }
    if said.get("images"):
        said["images"] = [_hashed(image) for image in said["images"]]
    said = some(said)
    if request.think is not None:  # not to think is told, too
        said["think"] = request.think
    return Question(kind, named(request.provider, request.model), msgspec.to_builtins(said))


def some(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same without what is not said: what is `None`, false or empty."""
    return {name: value for name, value in said.items() if value not in _NOTHING}


def _turn(message: Message, ids: dict[str, str]) -> dict[str, Any]:
    """One turn in the wire's words; the id of a call, which servers make up, becomes the call's place."""
    told: dict[str, Any] = {"role": message.role, "content": message.content}
    told |= {name: value for name in message.__struct_fields__ if (value := getattr(message, name))}
    if message.images:
        told["images"] = [_hashed(image) for image in message.images]
    if message.tool_calls:
        told["tool_calls"] = [
            _identified({"function": {"name": call.name, "arguments": call.arguments}}, "id", call.id, ids)
            for call in message.tool_calls
        ]
    return _identified(told, "tool_call_id", message.tool_call_id, ids)


def _identified(told: dict[str, Any], name: str, word: str, ids: dict[str, str]) -> dict[str, Any]:
    return told | {name: ids.setdefault(word, f"call {len(ids) + 1}")} if word else told


def _hashed(image: str) -> str:
    """A picture by its bytes, however its base64 is written."""
    try:
        data = base64.b64decode(image)
    except (binascii.Error, ValueError):
        data = image.encode(errors="surrogatepass")
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
