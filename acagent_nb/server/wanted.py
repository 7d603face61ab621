"""OpenAI's request -> the questions that `/api/chat` and `/api/generate` would make of it: pure functions.

    messages, max_tokens, reasoning_effort  ─► messages, num_predict, think  ─► ask.chat ─► Asked

What stands in none of the tables here goes nowhere: to the engine's own routes a request could name files,
addresses and slots. Source of the fields: `openai/openai.go` of Ollama, and OpenAI's API reference for those
that Ollama leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ..errors import ServerError
from . import ask, body, turns
from .ask import Asked
from .manifest import Model

_CALL: body.Fields = {
    "id": "string",
    "function": body.Inner("openai.Function", {"name": "string", "arguments": "string"}),
}
_MESSAGE: body.Fields = {
    "role": "string",
    "content": None,
    "reasoning": "string",
    "reasoning_content": "string",
    "tool_calls": ("[]openai.ToolCall", _CALL),
    "name": "string",
    "tool_call_id": "string",
}
_BOTH: body.Fields = {
    "model": "string",
    "stream": "bool",
    "stream_options": body.Inner("openai.StreamOptions", {"include_usage": "bool"}),
    "max_tokens": "int",
    "seed": "int",
    "stop": None,
    "temperature": "float64",
    "top_p": "float64",
    "frequency_penalty": "float64",
    "presence_penalty": "float64",
    "n": "int",
    "logit_bias": "map[string]interface {}",
}
_SCHEMA = body.Inner("openai.JsonSchema", {"schema": None})
_CHAT: body.Fields = {
    **_BOTH,
    "messages": ("[]openai.Message", _MESSAGE),
    "tools": body.CHAT["tools"],
    "tool_choice": None,
    "parallel_tool_calls": "bool",
    "max_completion_tokens": "int",
    "response_format": body.Inner("openai.ResponseFormat", {"type": "string", "json_schema": _SCHEMA}),
    "reasoning": body.Inner("openai.Reasoning", {"effort": "string"}),
    "reasoning_effort": "string",
    "logprobs": "bool",
    "top_logprobs": "int",
}
_COMPLETION: body.Fields = {**_BOTH, "prompt": None, "suffix": "string", "json_schema": None, "logprobs": "int"}

_MOST = 128  # answers to one prompt, as at OpenAI
_ALWAYS = {"temperature": 1.0, "top_p": 1.0}  # where a request names none, whatever the model's own are
_SAME = ("seed", "temperature", "top_p", "frequency_penalty", "presence_penalty")
_EFFORTS = ("high", "medium", "low", "max", "none")
_PICTURES = ("", "image/jpeg", "image/jpg", "image/png", "image/webp", "image/gif", "image/bmp")
_GO = {str: "string", bool: "bool", int: "float64", float: "float64", dict: "map[string]interface {}"}


class Wanted(Struct):
    """What a request asks for.

    Attributes
    ----------
    name
        The model.
    requests
        In Ollama's words, one for each prompt.
    each
        How many answers each of them is to have.
    stream, usage
        Whether the client wants the pieces as they come, and what they cost at their end.
    more
        Fields that OpenAI and the engine know, and Ollama does not.
    """

    name: str
    requests: list[dict[str, Any]]
    each: int
    stream: bool
    usage: bool
    more: dict[str, Any]

    @property
    def empty(self) -> bool:
        """Whether nothing is asked, so that the model is only loaded."""
        return all(ask.empty(request) for request in self.requests)

    def questions(self, model: Model) -> list[Asked]:
        """One for each answer; `ServerError` as `ask` refuses them."""
        make: Callable[..., Asked] = ask.chat if "messages" in self.requests[0] else ask.generate
        questions = []
        for request in self.requests:
            asked = make(model, request)
            asked.whole = True  # OpenAI's clients expect a refusal, and know how to tell it
            asked.body |= self.more
            questions += [replace(asked, body=_varied(asked.body, at)) for at in range(self.each)]
        return questions


def chat(raw: bytes) -> Wanted:
    """A request to `/v1/chat/completions`.

    Raises
    ------
    ServerError
        Status 400 in Ollama's words; 501 for what it has and this server has not.
    """
    told = body.read(raw, "ChatCompletionRequest", _CHAT, "openai")
    messages = told.get("messages")
    if not messages:
        raise ServerError("[] is too short - 'messages'", status=400)
    if told.get("max_completion_tokens") is not None:
        told["max_tokens"] = told["max_completion_tokens"]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    names = {call.get("id", ""): call.get("function", {}).get("name", "") for call in calls}
    request: dict[str, Any] = {
        "messages": [_message(message, names) for message in messages],
        "format": _format(told.get("response_format", {})),
        "think": _think(told),
        **{name: told[name] for name in ("tools", "logprobs", "top_logprobs") if name in told},
    }
    passed = ["logit_bias"]
    if told.get("tools"):
        passed += ["parallel_tool_calls", *(["tool_choice"] if isinstance(told.get("tool_choice"), str) else [])]
    return _wanted(told, [request], passed)


def completion(raw: bytes) -> Wanted:
    """A request to `/v1/completions`; see `chat`."""
    told = body.read(raw, "CompletionRequest", _COMPLETION, "openai")
    prompts = told.get("prompt", "")
    prompts = [prompts] if isinstance(prompts, str) else prompts
    if not isinstance(prompts, list) or not prompts or not all(isinstance(prompt, str) for prompt in prompts):
        word = body.WORD[type(prompts)]
        said = f"json: cannot unmarshal {word} into Go struct field CompletionRequest.prompt of type string"
        raise ServerError(said, status=400)
    count = max(0, told.get("logprobs", 0))
    request = {
        "suffix": told.get("suffix", ""),
        "format": told.get("json_schema"),
        "logprobs": count > 0,
        "top_logprobs": count,
    }
    return _wanted(told, [request | {"prompt": prompt} for prompt in prompts], ["logit_bias"])


def _wanted(told: dict[str, Any], requests: list[dict[str, Any]], passed: list[str]) -> Wanted:
    """What both kinds of request have in common."""
    turns.check_top(requests[0])
    each, name, stream = told.get("n", 1), told.get("model", ""), told.get("stream", False)
    if each > _MOST:
        raise ServerError(
            f"Invalid 'n': integer above maximum value. Expected a value <= {_MOST}, but got {each}.", status=400
        )
    options: dict[str, Any] = {**_ALWAYS, **{name: told[name] for name in _SAME if name in told}}
    options |= _stop(told.get("stop"))
    if "max_tokens" in told:
        options["num_predict"] = told["max_tokens"]
    return Wanted(
        name,
        [{"model": name, "stream": stream, "options": options, **request} for request in requests],
        max(1, each),
        stream,
        told.get("stream_options", {}).get("include_usage", False),
        {name: told[name] for name in passed if name in told},
    )


def _varied(asked: dict[str, Any], at: int) -> dict[str, Any]:
    """The same question for the next of several answers, which a seed would else make all alike."""
    seed, random = asked["seed"], 0xFFFFFFFF
    return asked if at == 0 or seed == random else asked | {"seed": (seed + at) % random}


def _message(told: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """One message as `/api/chat` has it, given which function each call is of; its parts together are one."""
    content = told.get("content")
    if content is None and "tool_calls" not in told:
        raise ServerError("invalid message content type: <nil>", status=400)
    if not isinstance(content, (str, list)) and content is not None:
        raise ServerError(f"invalid message content type: {_GO[type(content)]}", status=400)
    texts, images = _parts(content) if isinstance(content, list) else ([content or ""], [])
    said: dict[str, Any] = {
        "role": told.get("role", ""),
        "content": "\n".join(texts),
        "images": images,
        "thinking": told.get("reasoning") or told.get("reasoning_content", ""),
        "tool_calls": [_call(call) for call in told.get("tool_calls", ())],
    }
    if said["role"].lower() == "tool":
        id = said["tool_call_id"] = told.get("tool_call_id", "")
        said["tool_name"] = told.get("name") or names.get(id, "")
    return said


def _parts(content: list[Any]) -> tuple[list[str], list[str]]:
    """The texts and pictures that a content consists of."""
    texts: list[str] = []
    images: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "input_audio":
            raise ServerError("the embedded server does not hear", status=501)
        found = part.get(kind) if kind in ("text", "image_url") else None
        if kind == "image_url" and isinstance(found, dict):
            found = found.get("url")
        if not isinstance(found, str):
            raise ServerError("invalid message format", status=400)
        (texts if kind == "text" else images).append(found if kind == "text" else _picture(found))
    return texts, images


def _picture(url: str) -> str:
    """The base64 of a picture that comes with the request; nothing is ever fetched."""
    if url.startswith(("http://", "https://")):
        said = "image URLs are not currently supported, please use base64 encoded data instead"
        raise ServerError(said, status=400)
    kind, found, data = url.removeprefix("data:").partition(";base64,")
    if not url.startswith("data:") or not found or kind not in _PICTURES or body.base64_fault(data) is not None:
        raise ServerError("invalid image input", status=400)
    return data


def _call(told: dict[str, Any]) -> dict[str, Any]:
    """A call that the model made earlier, whose arguments OpenAI has as a text."""
    function = told.get("function", {})
    try:
        arguments = json.loads(function.get("arguments", ""))
    except (ValueError, RecursionError):
        arguments = ""
    if not isinstance(arguments, dict) and arguments is not None:
        raise ServerError("invalid tool call arguments", status=400)
    return {"id": told.get("id", ""), "function": {"name": function.get("name", ""), "arguments": arguments or {}}}


def _stop(told: Any) -> dict[str, list[str]]:
    """The option, if there is one."""
    texts = [told] if isinstance(told, str) else told if isinstance(told, list) else []
    for text in texts:
        if not isinstance(text, str):
            raise ServerError(f"invalid type for 'stop' field: {_GO.get(type(text), '[]interface {}')}", status=400)
    return {"stop": texts} if texts else {}


def _format(told: dict[str, Any]) -> Any:
    """A `response_format` as a `format`."""
    kind = told.get("type", "").strip().lower()
    if kind == "json_object":
        return "json"
    return told.get("json_schema", {}).get("schema") if kind == "json_schema" else None


def _think(told: dict[str, Any]) -> str | bool | None:
    """How much is to be thought, if anything is said of it."""
    effort = told["reasoning"].get("effort", "") if "reasoning" in told else told.get("reasoning_effort", "")
    if effort and effort not in _EFFORTS:
        allowed = 'must be "high", "medium", "low", "max", or "none"'
        raise ServerError(f"invalid reasoning value: '{effort}' ({allowed})", status=400)
    return False if effort == "none" else effort or None
