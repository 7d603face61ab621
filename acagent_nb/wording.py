"""A request in OpenAI's words: the body of a chat, and what there are no words for.

    num_predict ─► max_completion_tokens      think ─► reasoning_effort      format ─► response_format

Source of the fields: OpenAI's API reference, as the openai package's types state it (3.54).
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from .messages import Message, Request, Think
from .options import TABLE

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")  # from least to most

_OPTIONS = {name: row.openai for name, row in TABLE.items() if row.openai}

OURS = {theirs: ours for ours, theirs in _OPTIONS.items()} | {
    "max_tokens": "num_predict",
    "reasoning_effort": "think",
    "response_format": "format",
    "tools": "tools",
}

_NOT_STRICT = ("oneOf", "not", "if", "prefixItems", "patternProperties", "dependentRequired", "dependentSchemas")

_MAGIC = ((b"\x89PNG", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"RIFF", "webp"), (b"BM", "bmp"))


def body(request: Request) -> dict[str, Any]:
    """What a chat sends; the answer is asked for as a stream that ends with what it cost."""
    said: dict[str, Any] = {
        "model": request.model,
        "messages": _turns(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for name, value in request.options.sent().items():
        random = name in ("seed", "num_predict") and isinstance(value, int) and value < 0  # as without it
        if name in _OPTIONS and not random:
            said[_OPTIONS[name]] = value
    if request.provider != "openai" and "max_completion_tokens" in said:  # the older word is the one that all know
        said["max_tokens"] = said.pop("max_completion_tokens")
    if request.think is not None:
        said["reasoning_effort"] = _effort(request.think)
    if request.format is not None:
        said["response_format"] = _format(request.format)
    if request.tools:
        said["tools"] = list(request.tools)
    return said


def unheard(request: Request) -> list[str]:
    """Names of what was set and has no counterpart, so that it does nothing."""
    names = [name for name in request.options.sent() if name not in _OPTIONS]
    if request.keep_alive is not None:
        names.append("keep_alive")
    if request.truncate:  # to refuse what is too long, our default, is what these servers do anyway
        names.append("truncate")
    return names


def _effort(think: Think) -> str:
    """The level; `True` is the middle one, for models that don't think unless they are told how much."""
    if isinstance(think, str):
        return think
    return "medium" if think else "none"


def _format(format: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(format, str):
        return {"type": "json_object"}
    name = re.sub(r"[^\w-]+", "_", str(format.get("title") or "answer"), flags=re.ASCII)[:64]
    exact = strict(format)
    schema = {"name": name, "schema": format if exact is None else exact, "strict": exact is not None}
    return {"type": "json_schema", "json_schema": schema}


def strict(schema: Any) -> Any:
    """The schema as OpenAI's strict mode wants it, or `None` if that would change its meaning.

    There an object names all its fields and requires them, and a reference stands alone.
    """
    if isinstance(schema, list):
        items = [strict(item) for item in schema]
        return None if any(item is None for item in items) else items
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    exact = {}
    for key, value in schema.items():
        if key in _NOT_STRICT:
            return None
        if key in ("default", "examples"):  # not known there, and of no weight where a field is required
            continue
        if key in ("properties", "$defs", "definitions"):
            each = {name: strict(inner) for name, inner in value.items()}
            part: Any = None if any(inner is None for inner in each.values()) else each
        elif key in ("items", "anyOf", "allOf"):
            part = strict(value)
        else:
            exact[key] = value
            continue
        if part is None:
            return None
        exact[key] = part
    if exact.get("type") == "object" or "properties" in exact:
        fields = exact.get("properties", {})
        if not fields or set(exact.get("required", ())) != set(fields) or exact.get("additionalProperties"):
            return None
        exact["additionalProperties"] = False
    return exact


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The conversation; calls without an id, as old Ollama servers make them, are given one with their results."""
    turns: list[dict[str, Any]] = []
    waiting: list[tuple[str, str]] = []  # names and ids of calls whose result has not come yet
    for number, message in enumerate(messages):
        turn: dict[str, Any] = {"role": message.role, "content": _content(message)}
        if message.tool_calls:
            ids = [call.id or f"call_{number}_{place}" for place, call in enumerate(message.tool_calls)]
            waiting = [(call.name, id) for call, id in zip(message.tool_calls, ids, strict=True)]
            turn["tool_calls"] = [
                {
                    "id": id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": msgspec.json.encode(call.arguments).decode()},
                }
                for call, id in zip(message.tool_calls, ids, strict=True)
            ]
        if message.role == "tool":
            turn["tool_call_id"] = id = message.tool_call_id or _awaited(message.tool_name, waiting)
            waiting = [call for call in waiting if call[1] != id]
        turns.append(turn)
    return turns


def _awaited(name: str, waiting: list[tuple[str, str]]) -> str:
    """The id of the first call of this function that has no result yet, or else of the first call."""
    named = [id for each, id in waiting if each == name]
    return (named or [id for _, id in waiting] or [""])[0]


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.content
    text = [{"type": "text", "text": message.content}] if message.content else []
    return [*text, *({"type": "image_url", "image_url": {"url": _uri(image)}} for image in message.images)]


def _uri(image: str) -> str:
    """A data URI; what kind of picture it is, its first bytes say."""
    start = base64.b64decode(image[:16])
    kind = next((kind for magic, kind in _MAGIC if start.startswith(magic)), "png")
    return f"data:image/{kind};base64,{image}"
