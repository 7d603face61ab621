"""Prompts that are longer than the context, made to fit as Ollama does it.

The oldest messages go first; the system's ones and the last stay. A last message that is too long
alone loses its beginning, so that half of the context is left for the answer. All of this costs
questions to the engine, so it waits until the engine has refused a prompt.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import ServerError
from . import turns
from .ask import Asked, path
from .line import Line
from .process import Child

_NO_ROOM = "the input length exceeds the context length"
_NO_SHIFT = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


async def opened(child: Child, asked: Asked) -> Line:
    """Put the question, shortened if it must and may be; the line gives the answer.

    Raises
    ------
    ServerError
        The engine refuses, with its status and its whole text.
    """
    if "json_schema" in asked.body:
        await _check_schema(child, asked.body["json_schema"])
    if asked.context:
        body = await _continued(child, asked)
    elif asked.load.rounded:  # the engine's context is larger than ours: it would not refuse
        body = await shortened(child, asked)
    else:
        body = asked.body
    line = await child.ask(path(body), msgspec.json.encode(body))
    if line.status == 200:
        return line
    said = await _refusal(line)
    if "exceed_context_size_error" not in said or body is not asked.body or not asked.truncate:
        raise ServerError(said, status=line.status)
    body = await shortened(child, asked)
    line = await child.ask(path(body), msgspec.json.encode(body))
    if line.status != 200:
        raise ServerError(await _refusal(line), status=line.status)
    return line


async def _check_schema(child: Child, schema: dict[str, Any]) -> None:
    """Refuse a schema that is none, which the engine does for a conversation only; for a prompt it goes without."""
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    try:
        await child.asked("/apply-template", {"messages": [{"role": "user", "content": ""}], "response_format": form})
    except ServerError as error:
        if "JSON schema error" in error.message:
            raise


async def _refusal(line: Line) -> str:
    try:
        return (await line.rest()).decode(errors="replace")
    finally:
        line.close()


async def shortened(child: Child, asked: Asked) -> dict[str, Any]:
    """The engine's request with a prompt that fits; `ServerError`, status 400, if it may not be shortened."""
    body, most = asked.body, asked.load.num_ctx
    half = _half(asked)
    if "input_suffix" in body:  # the engine itself keeps what is near the gap
        return body
    if "prompt" in body:
        tokens = await tokens_of(child, body["prompt"])
        if len(tokens) < most:
            return body
        _check_shortened(asked, len(tokens), alone=True)
        keep = _kept(asked)
        return body | {"prompt": tokens[:keep] + tokens[len(tokens) - (half - keep) :]}
    messages = body["messages"]
    count = await _count(child, asked, messages)
    if count < most:
        return body
    _check_shortened(asked, count, alone=False)
    droppable = [at for at, message in enumerate(messages[:-1]) if message["role"] != "system"]
    low, high = 1, len(droppable)  # the fewest to drop lies between these
    while low < high:
        middle = (low + high) // 2
        if await _count(child, asked, _without(messages, droppable[:middle])) < most:
            high = middle
        else:
            low = middle + 1
    messages = _without(messages, droppable[:high])
    if (count := await _count(child, asked, messages)) >= most:
        _check_shortened(asked, count, alone=True)
        messages = await _beheaded(child, asked, messages, half)
    return body | {"messages": messages}


def _check_shortened(asked: Asked, count: int, *, alone: bool) -> None:
    """Refuse a question of so many tokens if it may not be shortened; `alone`: there are no messages left to drop."""
    if asked.truncate and alone and not asked.shift:
        raise ServerError(_NO_SHIFT, status=400)
    if asked.truncate and not (alone and asked.whole):
        return
    most = asked.load.num_ctx
    said = {
        "code": 400,
        "message": f"request ({count} tokens) exceeds the available context size ({most} tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": count,
        "n_ctx": most,
    }
    raise ServerError(msgspec.json.encode({"error": said}).decode(), status=400)


async def tokens_of(child: Child, text: str, *, special: bool = True) -> list[int]:
    """The model's tokens for a text."""
    told = await child.asked("/tokenize", {"content": text, "add_special": special, "parse_special": special})
    return list(told["tokens"])


async def rendered(child: Child, asked: Asked, messages: list[dict[str, Any]]) -> str:
    """The text that the model's template makes of messages, without their images."""
    return await _rendered(child, asked, [message | {"content": turns.text(message)} for message in messages])


async def _rendered(child: Child, asked: Asked, messages: list[dict[str, Any]]) -> str:
    """The same with a mark in each image's place."""
    return str((await child.asked("/apply-template", _templated(asked, messages)))["prompt"])


async def _count(child: Child, asked: Asked, messages: list[dict[str, Any]]) -> int:
    """How many tokens the engine makes of messages and their images."""
    told = await child.asked("/v1/chat/completions/input_tokens", _templated(asked, messages))
    return int(told["input_tokens"])


def _templated(asked: Asked, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """All that a template is told."""
    names = ("tools", "chat_template_kwargs", "response_format")
    return {"messages": messages, **{name: asked.body[name] for name in names if name in asked.body}}


async def _beheaded(child: Child, asked: Asked, messages: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The messages, the last one without its beginning."""
    last = messages[-1]
    room = most - await _count(child, asked, [*messages[:-1], turns.saying(last, "")])
    if room < 1:
        raise ServerError(_NO_ROOM, status=400)
    tokens = await tokens_of(child, turns.text(last), special=False)
    return [*messages[:-1], turns.saying(last, await _text_of(child, tokens[-room:]))]


async def _text_of(child: Child, tokens: list[int]) -> str:
    told = await child.asked("/detokenize", {"tokens": tokens})
    return str(told["content"]).replace("\ufffd", "")


async def _continued(child: Child, asked: Asked) -> dict[str, Any]:
    """A request that goes on from an earlier one's tokens."""
    messages, before = asked.body["messages"], asked.context or []
    text = await _rendered(child, asked, messages)
    prompt: Any
    keep, half = _kept(asked), _half(asked)
    if images := [image for message in messages for image in turns.pictures(message)]:
        if asked.truncate and len(before) + (new := await _count(child, asked, messages)) >= asked.load.num_ctx:
            before = before[:keep] + before[len(before) - max(0, half - keep - new) :]
        prompt = {"prompt_string": await _text_of(child, before) + text, "multimodal_data": images}
    else:
        prompt = [*before, *await tokens_of(child, text)]
        if asked.truncate and len(prompt) >= asked.load.num_ctx:
            prompt = prompt[:keep] + prompt[len(prompt) - (half - keep) :]
    chat_only = ("messages", "chat_template_kwargs", "reasoning_format", "response_format", "logprobs", "top_logprobs")
    body = {name: value for name, value in asked.body.items() if name not in chat_only} | {"prompt": prompt}
    if form := asked.body.get("response_format"):
        body["json_schema"] = turns.lenient(form["json_schema"]["schema"])
    if "logprobs" in asked.body:
        body["n_probs"] = asked.body["top_logprobs"]
    return body


def _kept(asked: Asked) -> int:
    keep = int(asked.body["n_keep"])
    return max(0, min(keep, asked.load.num_ctx // 2)) if keep >= 0 else 0


def _half(asked: Asked) -> int:
    """How long a prompt may be that had to be cut: what is kept, and half of the rest."""
    keep = _kept(asked)
    return keep + (asked.load.num_ctx - keep) // 2


def _without(messages: list[dict[str, Any]], dropped: list[int]) -> list[dict[str, Any]]:
    gone = set(dropped)
    return [message for at, message in enumerate(messages) if at not in gone]
