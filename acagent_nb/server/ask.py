"""Ollama's request -> the engine's: pure functions, with Ollama's refusals.

`chat` and `generate` give an `Asked`: all that is needed to put the question to a child and to tell
its answer in Ollama's words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from ..errors import ServerError
from ..options import Value
from . import go, settings, show, turns
from .gguf import Gguf
from .manifest import ADAPTER, Model
from .settings import Load

_SEEING = 2048  # tokens of context that a model with vision has at least, as in Ollama: a picture takes hundreds


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
        The engine's request; with `messages`, with a `prompt` that is sent as it is, or with what stands
        before and after a gap that is to be filled.
    stream
        Whether the client wants the pieces as they come.
    truncate
        Whether a question that is too long is shortened rather than refused.
    shift
        Whether an answer may go on when the context is full; if not, what alone is too long is refused.
    whole
        Whether a last message that is too long alone is refused rather than cut, even if older ones may be dropped.
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
    shift: bool
    whole: bool = False
    context: list[int] | None = None
    top_logprobs: int = 0

    @property
    def prefix(self) -> str:
        """The beginning of the answer that the client gave itself; the engine says it again."""
        last = self.body["messages"][-1] if "messages" in self.body else {}
        return str(last["content"]) if last.get("role") == "assistant" and isinstance(last.get("content"), str) else ""


def path(body: dict[str, Any]) -> str:
    """Where on the engine's own server this is asked."""
    if "messages" in body:
        return "/v1/chat/completions"
    return "/infill" if "input_suffix" in body else "/completion"


def empty(request: dict[str, Any]) -> bool:
    """Whether a request only loads or unloads its model."""
    return not request.get("messages") and not request.get("prompt") and not request.get("images")


def chat(model: Model, request: dict[str, Any]) -> Asked:
    """A request to `/api/chat`, checked by `body.CHAT`."""
    messages = list(request.get("messages", []))
    if model.system and (not messages or messages[0].get("role", "").lower() != "system"):
        messages.insert(0, {"role": "system", "content": model.system})
    return _templated(model, request, model.messages + messages, "chat")


def generate(model: Model, request: dict[str, Any]) -> Asked:
    """A request to `/api/generate`, checked by `body.GENERATE`."""
    _check_raw(request)
    if request.get("template"):
        raise ServerError(
            "the embedded server runs a model's own Jinja template only; leave `template` out of the request, "
            "or write the whole prompt and set `raw`",
            status=400,
        )
    if request.get("raw") or request.get("suffix"):
        return _untemplated(model, request)
    messages: list[dict[str, Any]] = []
    if system := request.get("system") or model.system:
        messages.append({"role": "system", "content": system})
    if not request.get("context"):
        messages += model.messages
    messages.append({"role": "user", "content": request.get("prompt", ""), "images": request.get("images", [])})
    asked = _templated(model, request, messages, "generate")
    asked.context = request.get("context")
    return asked


def without_question(model: Model, request: dict[str, Any], task: str) -> Load:
    """What a request that asks nothing has loaded; `ServerError` for what is refused with a question, too."""
    _check_raw(request)
    _able(model, request, task)
    return loading(model, request.get("options", {}), shift=request.get("shift"))[1]


def loading(model: Model, options: dict[str, Any], *, shift: bool | None = None) -> tuple[Mapping[str, Value], Load]:
    """All options of a request, and what a child must be started with for them; `shift` is the model's if `None`."""
    header = model.header
    shifts = header.architecture != "deepseek2" if shift is None else shift  # as in Ollama
    return _loading(model, header, json.dumps(options), shifts)


@lru_cache(maxsize=128)  # most requests of a notebook have the same options
def _loading(model: Model, header: Gguf, options: str, shift: bool) -> tuple[Mapping[str, Value], Load]:
    values = settings.layered(model.parameters, json.loads(options))
    if model.projector:
        values["num_ctx"] = max(_SEEING, settings.context(values, 0))
    trained = header.of("context_length", 0)
    if not trained:  # the engine would load it, and die at the first question
        raise ServerError("unable to load model: its file does not say for how long a context it was trained")
    load = settings.load(
        values,
        str(model.weights),
        trained,
        embeds=show.embeds(header),
        alias=model.digest,  # told to nobody: names come and go while the child stays
        template=show.known(model).given,
        projector=str(model.projector or ""),
        adapters=tuple(str(path) for path in model.paths(ADAPTER)),
        shift=shift,
    )
    return values, load


def _asked(model: Model, request: dict[str, Any]) -> Asked:
    """What all requests have in common."""
    values, load = loading(model, request.get("options", {}), shift=request.get("shift"))
    return Asked(
        model,
        request["model"],
        load,
        request.get("keep_alive"),
        # always streamed: the engine notices a closed connection only between tokens that it sends
        {"stream": True, **settings.per_request(values, load.num_ctx)},
        stream=request.get("stream", True),
        truncate=request.get("truncate", True),
        shift=load.shift,
        top_logprobs=request.get("top_logprobs", 0),
    )


def _check_raw(request: dict[str, Any]) -> None:
    if request.get("raw") and any(request.get(name) for name in ("template", "system", "context")):
        raise ServerError("raw mode does not support template, system, or context", status=400)


def _able(model: Model, request: dict[str, Any], task: str) -> show.Known:
    """What is known of the model; `ServerError` if it can't do what is asked for."""
    known = show.known(model)
    can = known.capabilities
    if request.get("think") and "thinking" not in can:
        raise ServerError(f'"{request["model"]}" does not support thinking', status=400)
    for field, ability in (("tools", "tools"), ("suffix", "insert")):
        if request.get(field) and ability not in can:
            raise ServerError(f"{model.name.full} does not support {ability}", status=400)
    if "completion" not in can:
        raise ServerError(f'"{request["model"]}" does not support {task}', status=400)
    return known


def _untemplated(model: Model, request: dict[str, Any]) -> Asked:
    """A question that goes to the model as it is written: a raw prompt, or a gap between two texts."""
    can = _able(model, request, "generate").capabilities
    if images := request.get("images"):
        if "vision" not in can:
            turns.refuse_images(images)
        raise ServerError("the embedded server takes images in templated prompts only", status=501)
    asked = _asked(model, request)
    prompt, suffix = request.get("prompt", ""), request.get("suffix")
    asked.body |= {"input_prefix": prompt, "input_suffix": suffix} if suffix else {"prompt": prompt}
    if (schema := turns.schema(request.get("format"))) is not None:
        asked.body["json_schema"] = turns.lenient(schema)
    if request.get("logprobs"):
        asked.body["n_probs"] = max(1, asked.top_logprobs)
    return asked


def _templated(model: Model, request: dict[str, Any], messages: list[dict[str, Any]], task: str) -> Asked:
    """A question that the model's template is put around."""
    known, think = _able(model, request, task), request.get("think")
    if not known.template:
        raise ServerError(
            f"{model.name.short} can't {task}: {go.UNSAYABLE}; write the whole prompt yourself and set `raw` in "
            "/api/generate, or create a model from this one with a Jinja `template`",
            status=400,
        )
    asked = _asked(model, request)
    body = asked.body
    body["messages"] = [turns.message(message, sees="vision" in known.capabilities) for message in messages]
    if request.get("tools"):
        body["tools"] = [_tool(tool) for tool in request["tools"]]
    if "thinking" in known.capabilities:
        thinks = think is not False and not asked.prefix  # an answer that is already begun has been thought about
        body["chat_template_kwargs"] = {"enable_thinking": thinks, "thinking": thinks}  # either is how a template asks
        if isinstance(think, str):
            body["chat_template_kwargs"]["reasoning_effort"] = "high" if think == "max" else think
        off = not thinks and known.switched  # else it thinks all the same, which is no part of its answer
        body["reasoning_format"] = "none" if off or asked.prefix else "deepseek"
    else:
        body["reasoning_format"] = "none"
    if (schema := turns.schema(request.get("format"))) is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    if request.get("logprobs"):
        body |= {"logprobs": True, "top_logprobs": max(1, asked.top_logprobs)}
    return asked


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """One tool as the engine takes it: of the kind that it knows, with a name, be it empty as in Go."""
    function = tool.get("function", {})
    return {"type": "function", "function": function if "name" in function else {"name": "", **function}}
