"""Ollama's request -> the engine's: pure functions, with Ollama's refusals.

`chat` and `generate` give an `Asked`: all that is needed to put the question to a child and to tell
its answer in Ollama's words.
"""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from ..errors import ServerError
from . import settings, show
from .body import base64_fault
from .settings import Load
from .store import Model

_CHAT, _COMPLETION = "/v1/chat/completions", "/completion"


class Asked(Struct):
    """A question as it goes to the engine.

    Attributes
    ----------
    model, name
        Who is asked, and by which name the client called it.
    load
        What its child must be started with.
    keep_alive
        Seconds; `None` if the request did not say.
    body
        The engine's request; with `messages`, or with a `prompt` that is sent as it is.
    stream
        Whether the client wants the pieces as they come.
    truncate
        Whether a question that is too long is shortened rather than refused.
    context
        Tokens of an earlier conversation that this one goes on from.
    """

    model: Model
    name: str
    load: Load
    keep_alive: float | None
    body: dict[str, Any]
    stream: bool
    truncate: bool
    context: list[int] | None = None
    top_logprobs: int = 0

    @property
    def path(self) -> str:
        """Where on the engine's own server this is asked."""
        return _COMPLETION if "prompt" in self.body else _CHAT

    @property
    def prefix(self) -> str:
        """The beginning of the answer that the client gave itself; the engine says it again."""
        last = self.body["messages"][-1] if "messages" in self.body else {}
        return str(last["content"]) if last.get("role") == "assistant" and isinstance(last.get("content"), str) else ""


def empty(request: dict[str, Any]) -> bool:
    """Whether a request only loads or unloads its model."""
    return not request.get("messages") and not request.get("prompt") and not request.get("images")


def chat(model: Model, request: dict[str, Any]) -> Asked:
    """A request to `/api/chat`, checked by `body.CHAT`."""
    messages = list(request.get("messages", []))
    if model.system and (not messages or messages[0].get("role", "").lower() != "system"):
        messages.insert(0, {"role": "system", "content": model.system})
    return _templated(model, request, model.messages + messages)


def generate(model: Model, request: dict[str, Any]) -> Asked:
    """A request to `/api/generate`, checked by `body.GENERATE`."""
    raw = request.get("raw", False)
    if raw and any(request.get(name) for name in ("template", "system", "context")):
        raise ServerError("raw mode does not support template, system, or context", status=400)
    if request.get("suffix"):
        raise ServerError(f"{model.name.full} does not support insert", status=400)
    if request.get("template"):
        raise ServerError(
            "the embedded server runs a model's own Jinja template only; leave `template` out of the request, "
            "or write the whole prompt and set `raw`",
            status=400,
        )
    if raw:
        asked = _asked(model, request)
        asked.body["prompt"] = request.get("prompt", "")
        if schema := _schema(request.get("format")):
            asked.body["json_schema"] = schema
        if request.get("logprobs"):
            asked.body["n_probs"] = max(1, asked.top_logprobs)
        return asked
    messages: list[dict[str, Any]] = []
    if system := request.get("system") or model.system:
        messages.append({"role": "system", "content": system})
    if not request.get("context"):
        messages += model.messages
    messages.append({"role": "user", "content": request.get("prompt", ""), "images": request.get("images", [])})
    asked = _templated(model, request, messages)
    asked.context = request.get("context")
    return asked


def loading(model: Model, options: dict[str, Any], *, shift: bool = True) -> tuple[dict[str, Any], Load]:
    """All options of a request, and what a child must be started with for them."""
    values = settings.layered(model.parameters, options)
    trained = model.header.of("context_length", 0)
    if not trained:  # the engine would load it, and die at the first question
        raise ServerError("unable to load model: its file does not say for how long a context it was trained")
    load = settings.load(
        values,
        str(model.weights),
        trained,
        embeds="embedding" in show.capabilities(model),
        alias=model.name.short,
        template=model.template,
        projector=str(model.projector or ""),
        shift=shift,
    )
    return values, load


def _asked(model: Model, request: dict[str, Any]) -> Asked:
    """What all requests have in common."""
    top = request.get("top_logprobs", 0)
    if not 0 <= top <= 20:
        raise ServerError("top_logprobs must be between 0 and 20", status=400)
    values, load = loading(model, request.get("options", {}), shift=request.get("shift", True))
    return Asked(
        model,
        request["model"],
        load,
        request.get("keep_alive"),
        # always streamed: the engine notices a closed connection only between tokens that it sends
        {"stream": True, **settings.per_request(values, load.num_ctx)},
        stream=request.get("stream", True),
        truncate=request.get("truncate", True),
        top_logprobs=top,
    )


def _templated(model: Model, request: dict[str, Any], messages: list[dict[str, Any]]) -> Asked:
    """A question that the model's template is put around."""
    can = show.capabilities(model)
    think = request.get("think")
    if think and "thinking" not in can:
        raise ServerError(f'"{request["model"]}" does not support thinking', status=400)
    if request.get("tools") and "tools" not in can:
        raise ServerError(f"{model.name.full} does not support tools", status=400)
    if "completion" not in can:
        task = "chat" if "messages" in request else "generate"
        raise ServerError(f'"{request["model"]}" does not support {task}', status=400)
    asked = _asked(model, request)
    body = asked.body
    body["messages"] = [_message(message, sees="vision" in can) for message in messages]
    if request.get("tools"):
        body["tools"] = request["tools"]
    if "thinking" in can:
        thinks = think is not False and not asked.prefix  # an answer that is already begun has been thought about
        body["chat_template_kwargs"] = {"enable_thinking": thinks}
        if isinstance(think, str):
            body["chat_template_kwargs"]["reasoning_effort"] = "high" if think == "max" else think
        body["reasoning_format"] = "deepseek" if thinks else "none"
    else:
        body["reasoning_format"] = "none"
    if schema := _schema(request.get("format")):
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    if request.get("logprobs"):
        body |= {"logprobs": True, "top_logprobs": max(1, asked.top_logprobs)}
    return asked


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


def _schema(form: Any) -> dict[str, Any] | None:
    """The JSON schema that a `format` stands for, `None` for free text."""
    if form is None or form == "":
        return None
    if form == "json":
        return {"type": "object"}
    if isinstance(form, dict):
        return form
    told = json.dumps(json.dumps(form, separators=(",", ":"), ensure_ascii=False), ensure_ascii=False)
    raise ServerError(f'invalid format: {told}; expected "json" or a valid JSON Schema object')


def _message(message: dict[str, Any], *, sees: bool) -> dict[str, Any]:
    """One message in the engine's words."""
    content: Any = message.get("content", "")
    if images := message.get("images"):
        if not sees:
            raise ServerError(_NO_IMAGES, status=400)
        content = [{"type": "text", "text": content}] + [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}} for image in images
        ]
    said = {"role": message.get("role", "").lower(), "content": content}
    if message.get("thinking"):
        said["reasoning_content"] = message["thinking"]
    if message.get("tool_calls"):
        said["tool_calls"] = [_call(call) for call in message["tool_calls"]]
    for ours, engines in (("tool_call_id", "tool_call_id"), ("tool_name", "name")):
        if message.get(ours):
            said[engines] = message[ours]
    return said


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A call that the model made earlier; the engine wants its arguments as a text."""
    function = call.get("function") or {}
    arguments = json.dumps(function.get("arguments") or {}, ensure_ascii=False)
    return {
        "id": call.get("id", ""),
        "type": "function",
        "function": {"name": function.get("name", ""), "arguments": arguments},
    }


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
