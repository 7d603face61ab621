"""What a caller says -> what is asked: prompts, pictures, tools and options become a `Request`.

Everything is checked here, before anything is sent.
"""

from __future__ import annotations

import difflib
import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict, TypeVar

from msgspec.structs import replace

from . import images as pictures
from .errors import BadOption, BadPrompt
from .messages import Message, Request, Think, ToolCall
from .options import TABLE, Options
from .params import Params
from .replies import Reply
from .shapes import Shape
from .tools import Tools
from .wording import EFFORTS

Turn = Message | Mapping[str, Any]
Prompt = str | Turn | Iterable[Turn] | Reply
Image = Any  # a path, bytes, base64 or a PIL image: see `images.encoded`
Tool = Callable[..., Any] | dict[str, Any]


class How(TypedDict, total=False):
    """How a question is asked; all of it may be left out. Model options stand beside it, by their own names.

    Attributes
    ----------
    system
        Instructions for the model, as a first turn.
    images
        Pictures that belong to the last user turn: paths, bytes, base64 texts or PIL images.
    format
        "json", a JSON schema, or a class: a pydantic model, a dataclass, `list[int]` ...
        The answer is then `reply.value`.
    think
        Whether, or how hard ("low", "medium", "high", "max"), a thinking model thinks first.
    tools
        Functions that the model may call, or schemas of some; functions are called, see `rounds`.
    keep_alive
        How long the model stays loaded: seconds, or a duration such as "5m"; 0 unloads it, -1 never.
    truncate
        Whether a conversation that is too long may be cut; otherwise it is refused.
    """

    system: str | None
    images: Iterable[Image] | Image | None
    format: Any
    think: Think | None
    tools: Iterable[Tool] | Tool | None
    keep_alive: float | str | None
    truncate: bool | None
    num_ctx: int | None
    num_batch: int | None
    num_gpu: int | None
    main_gpu: int | None
    use_mmap: bool | None
    num_thread: int | None
    draft_num_predict: int | None
    num_keep: int | None
    seed: int | None
    num_predict: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    typical_p: float | None
    repeat_last_n: int | None
    repeat_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    stop: str | list[str] | None
    mirostat: int | None
    mirostat_eta: float | None
    mirostat_tau: float | None
    penalize_newline: bool | None
    numa: bool | None
    low_vram: bool | None
    vocab_only: bool | None
    use_mlock: bool | None


_WORDS = {"pull", "timeout", "rounds", "fresh", *How.__annotations__} - set(TABLE)
_TEXTS = ("role", "content", "thinking", "tool_name", "tool_call_id")


class Asked(NamedTuple):
    """A question that is ready to go, and what belongs to it on this side."""

    request: Request
    tools: Tools
    shape: Shape


def asked(
    params: Params,
    model: str | None,
    prompt: Prompt,
    *,
    system: str | None = None,
    images: Iterable[Image] | Image | None = None,
    format: Any = None,
    think: Think | None = None,
    tools: Iterable[Tool] | Tool | None = None,
    keep_alive: float | str | None = None,
    truncate: bool | None = None,
    **options: Any,
) -> Asked:
    """What `chat` and `stream` send for their arguments.

    Raises
    ------
    BadName, BadOption, BadPrompt
        Something of it can't be meant.
    """
    target = params.target(model)
    turns = conversation(prompt)
    if system is not None and sendable(system, "system"):
        turns.insert(0, Message("system", sendable(system, "system")))
    if images is not None:
        turns = _with_pictures(turns, images)
    offered, shape = Tools.of(tools), Shape.of(format)
    request = Request(
        target.model,
        tuple(turns),
        params.options(own_options(options, _WORDS)),
        shape.wire,
        _think(think),
        lasting(keep_alive),
        offered.schemas,
        truncate,
        target.provider,
    )
    return Asked(request, offered, shape)


def conversation(prompt: Prompt) -> list[Message]:
    """A prompt as turns: a text is one of the user's, a `Reply` the whole conversation that led to it."""
    if isinstance(prompt, str):
        return [Message("user", sendable(prompt, "prompt"))]
    if isinstance(prompt, Reply):
        return list(prompt.messages)
    if isinstance(prompt, (Message, Mapping)):
        return [message(prompt)]
    if isinstance(prompt, Iterable) and not isinstance(prompt, (bytes, bytearray)):
        return [message(turn) for turn in prompt]
    raise BadPrompt(
        f"A prompt is a text or a list of messages, not {_kind(prompt)}.",
        'For example "Why is the sky blue?", or [{"role": "user", "content": "Hello"}].',
    )


def message(turn: Turn) -> Message:
    """One turn, given as a `Message` or as a dict in Ollama's words."""
    if isinstance(turn, Message):
        return replace(turn, **{name: sendable(getattr(turn, name), name) for name in _TEXTS})
    if not isinstance(turn, Mapping):
        raise BadPrompt(
            f"A turn of a conversation is a Message or a dict, not {_kind(turn)}.",
            'For example {"role": "user", "content": "Hello"}.',
        )
    unknown = set(turn) - set(Message.__struct_fields__)
    if unknown or not isinstance(turn.get("role"), str) or not isinstance(turn.get("content") or "", str):
        what = f"knows no {sorted(unknown)[0]!r}" if unknown else "needs a role and a content, both texts"
        raise BadPrompt(f"A message {what}.", f"Its words are: {', '.join(Message.__struct_fields__)}.")
    said = {name: value for name, value in turn.items() if value}
    if "images" in said:
        said["images"] = tuple(pictures.encoded(image) for image in said["images"])
    if "tool_calls" in said:
        said["tool_calls"] = tuple(_call(call) for call in said["tool_calls"])
    return message(Message(**said))


def sendable(text: Any, what: str) -> str:
    """A caller's text as one that can be sent.

    A subclass of `str`, as numpy's texts are, becomes one itself, which is all that JSON's writers know.

    Parameters
    ----------
    text
        What should be a text.
    what
        Its name, for the error.

    Raises
    ------
    BadPrompt
        It is none, or holds half a character, as file names that are not UTF-8 do in Python.
    """
    if not isinstance(text, str):
        raise BadPrompt(f"The {what} is a text, not {_kind(text)}.", "Give it in quotes, or str() of it.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadPrompt(
            f"The {what} holds half a character, which can't be sent.",
            'Replace it: text.encode(errors="replace").decode()',
        ) from None
    return str.__str__(text)


def own_options(given: Mapping[str, Any], words: Iterable[str]) -> Options:
    """The model options among a call's keywords; the call knows all the others, which are its `words`.

    Raises
    ------
    BadOption
        See `Options.of`; it names one of `words` if that is more like what was written than any option.
    """
    known = set(words)
    for name in given:
        if name in TABLE:
            continue
        if name == "options":
            raise BadOption(
                "Model options stand in a call by their own names.",
                "Write temperature=0.2, or **settings.sent() for all of an Options.",
            )
        if (near := difflib.get_close_matches(name, {*known, *TABLE}, 1, 0.75)) and near[0] in known:
            raise BadOption(f"There is no keyword {name!r}.", f"Did you mean {near[0]!r}?")
    return Options.of(given)


def lasting(keep_alive: Any) -> float | str | None:
    """How long a model is asked to stay loaded; `BadOption` for what can be no time. A text is the server's to read."""
    if keep_alive is None or isinstance(keep_alive, str):
        return keep_alive
    if isinstance(keep_alive, numbers.Real) and not isinstance(keep_alive, bool):
        return keep_alive  # type: ignore[return-value]  # a float to all who count
    raise BadOption(
        f'keep_alive takes seconds, or a time such as "5m", not {keep_alive!r:.60}.',
        "0 unloads the model, -1 keeps it.",
    )


def _think(think: Any) -> Think | None:
    """Whether or how hard to think; a level that is like none is left to the server, which may know more of them."""
    if think is None or isinstance(think, bool):
        return think
    near = difflib.get_close_matches(think.lower(), EFFORTS, 1) if isinstance(think, str) else []
    if isinstance(think, str) and (think in EFFORTS or not near):
        return think  # type: ignore[return-value]  # a level of some server's
    raise BadOption(
        f"think takes True, False or a level, not {think!r:.60}.",
        f"Did you mean {near[0]!r}?" if near else 'The levels are "low", "medium", "high" and "max".',
    )


def several(texts: str | Iterable[str]) -> list[str]:
    """One text or several as a list; `BadPrompt` if something else is among them."""
    if isinstance(texts, str):
        return [sendable(texts, "text")]
    many = isinstance(texts, Iterable) and not isinstance(texts, (bytes, bytearray, Mapping))
    each = list(texts) if many else [texts]
    if not all(isinstance(text, str) for text in each):
        raise BadPrompt("Only texts can be made into vectors.", "Give a text, or a list of texts.")
    return [sendable(text, "text") for text in each]


def _call(call: ToolCall | Mapping[str, Any]) -> ToolCall:
    if isinstance(call, ToolCall):
        return call
    try:
        function = call["function"]
        return ToolCall(str(function["name"]), dict(function.get("arguments") or {}), str(call.get("id") or ""))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BadPrompt(
            "A tool call of a message has not the form that Ollama gives it.",
            'It looks like {"function": {"name": "add", "arguments": {"a": 1, "b": 2}}}.',
        ) from None


def _with_pictures(turns: list[Message], images: Any) -> list[Message]:
    """The same conversation with pictures at its last user turn."""
    several = isinstance(images, Iterable) and not isinstance(images, (str, bytes, bytearray, memoryview))
    # A PIL image or an array may be iterable too; what can be saved is one picture.
    given = list(images) if several and not hasattr(images, "save") and not hasattr(images, "savefig") else [images]
    at = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=None)
    if at is None:
        raise BadPrompt("Pictures belong to a turn of the user's, and there is none.", "Ask something about them.")
    turn = turns[at]
    encoded = tuple(pictures.encoded(image) for image in given)
    turns[at] = Message(turn.role, turn.content, turn.thinking, (*turn.images, *encoded))
    return turns


F = TypeVar("F", bound=Callable[..., Any])


def spelt_out(method: F) -> F:
    """Give a method that takes `**how` the signature that its users may rely on, for `?` and tab completion."""
    signature = inspect.signature(method)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    # What Python keeps of How's annotations are ForwardRefs, which help() would show with all that they know.
    hints = {name: getattr(hint, "__forward_arg__", hint) for name, hint in How.__annotations__.items()}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]
    method.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]  # inspect reads it
    return method


def _kind(thing: Any) -> str:
    return f"{'an' if type(thing).__name__[0] in 'aeiou' else 'a'} {type(thing).__name__}"
