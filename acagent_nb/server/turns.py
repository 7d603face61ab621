"""Messages, images and formats of a request in the engine's words: pure functions, with Ollama's refusals."""

from __future__ import annotations

import json
from typing import Any

from ..errors import ServerError
from .body import base64_fault

# What llama.cpp's server says of images when it has the rendered prompt, as Ollama passes it on.
_NO_IMAGES = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "Multimodal data provided, but model does not support multimodal requests.",
            "type": "invalid_request_error",
        }
    },
    separators=(",", ":"),
)

_ANYTHING = {"type": ["object", "array", "string", "number", "boolean", "null"]}  # {} is an object to the engine


def check_think(think: Any) -> None:
    """Refuse what is neither a boolean nor a level."""
    if think is None or isinstance(think, bool) or think in ("high", "medium", "low", "max"):
        return
    if isinstance(think, str):
        raise ServerError(
            f'invalid think value: {json.dumps(think)} (must be "high", "medium", "low", "max", true, or false)',
            status=400,
        )
    raise ServerError('think must be a boolean or string ("high", "medium", "low", "max", true, or false)', status=400)


def check_images(images: list[str]) -> None:
    """Refuse what Go's base64 decoder refuses."""
    for image in images:
        if (at := base64_fault(image)) is not None:
            raise ServerError(f"illegal base64 data at input byte {at}", status=400)


def refuse_images(images: list[str]) -> None:
    """Refuse images for a model that sees none."""
    if images:
        raise ServerError(_NO_IMAGES, status=400)


def check_top(request: dict[str, Any]) -> None:
    """Refuse a number of alternatives that no token is told with."""
    if not 0 <= request.get("top_logprobs", 0) <= 20:
        raise ServerError("top_logprobs must be between 0 and 20", status=400)


def schema(form: Any) -> dict[str, Any] | None:
    """The JSON schema that a `format` stands for, `None` for free text."""
    if form is None or form == "":
        return None
    if form == "json":
        return {"type": "object"}
    if isinstance(form, dict):
        return form or _ANYTHING
    told = json.dumps(json.dumps(form, separators=(",", ":"), ensure_ascii=False), ensure_ascii=False)
    raise ServerError(f'invalid format: {told}; expected "json" or a valid JSON Schema object')


def lenient(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose unknown rules are skipped; for one of them, `/completion` would drop all and give free text."""
    said = schema.get("x-guidance")
    return schema | {"x-guidance": {"lenient": True} | (said if isinstance(said, dict) else {})}


def message(told: dict[str, Any], *, sees: bool) -> dict[str, Any]:
    """One message; images are refused unless the model sees."""
    content: Any = told.get("content", "")
    if images := told.get("images"):
        if not sees:
            refuse_images(images)
        content = [{"type": "text", "text": content}] + [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}} for image in images
        ]
    said = {"role": told.get("role", "").lower(), "content": content}
    if told.get("thinking"):
        said["reasoning_content"] = told["thinking"]
    if told.get("tool_calls"):
        said["tool_calls"] = [_call(call) for call in told["tool_calls"]]
    for ours, engines in (("tool_call_id", "tool_call_id"), ("tool_name", "name")):
        if told.get(ours):
            said[engines] = told[ours]
    return said


def pictures(message: dict[str, Any]) -> list[str]:
    """The images in one of the engine's messages, base64."""
    parts = message["content"] if isinstance(message["content"], list) else []
    return [part["image_url"]["url"].partition(",")[2] for part in parts if "image_url" in part]


def text(message: dict[str, Any]) -> str:
    """What one of the engine's messages says, without its images."""
    content = message["content"]
    return str(content[0]["text"] if isinstance(content, list) else content)


def saying(message: dict[str, Any], text: str) -> dict[str, Any]:
    """The same message with another text."""
    content = message["content"]
    first = {"type": "text", "text": text}
    return message | {"content": [first, *content[1:]] if isinstance(content, list) else text}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A call that the model made earlier; the engine wants its arguments as a text."""
    function = call.get("function", {})
    arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {
        "id": call.get("id", ""),
        "type": "function",
        "function": {"name": function.get("name", ""), "arguments": arguments},
    }
