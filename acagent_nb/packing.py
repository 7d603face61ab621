"""An answer's events, each with its time <-> rows of plain data that a person can read in a code review.

    ["thinking", "Blue is …", [[412, 5], [20, 4]]]
    ["text", "Because air …", [[31, 8], [2, 6]]]           milliseconds since the event before, characters of the piece
    ["done", {"done_reason": "stop", "eval_count": 23}, 3]

Pieces that follow each other stand as one text, and come back exactly as they were cut.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from . import errors
from .errors import BadParams, LLMError
from .messages import Done, Note, Pulling, Stats, Text, Thinking, ToolCall, ToolResult
from .models import Model, Running, Shown, Version
from .shapes import extra

Row = list[Any]
_PIECES: dict[str, type[Text] | type[Thinking]] = {"text": Text, "thinking": Thinking}
_WHOLE = {"call": ToolCall, "result": ToolResult, "pulling": Pulling}
_ANSWERS = {"shown": Shown, "version": Version}  # what is told of one thing, and of several
_LISTS = {"models": Model, "running": Running}
_VECTORS = "vectors"
_BLOB = re.compile(r"(?<=\s)(?:[A-Za-z]:)?[/\\][^\n]*[/\\](?=sha256[-:][0-9a-f]{64})")  # the folder of a model's file
_FIGURES = Stats.__struct_fields__
_ENDS = ("done_reason", "digest", "truncated")


def pack(timed: Iterable[tuple[float, Any]]) -> list[Row]:
    """Write events as rows.

    Parameters
    ----------
    timed
        Each event, or what a call gave back, or an `LLMError`, with the seconds since the answer was asked for.

    Raises
    ------
    TypeError
        Something is none of these.
    """
    rows: list[Row] = []
    before = 0
    for seconds, event in timed:
        at = max(before, round(seconds * 1000))  # times are rounded, not pauses: over a long answer nothing adds up
        kind, what = _told(event)
        last = rows[-1] if rows and rows[-1][0] == kind else None
        if kind in _PIECES:
            if not last:
                rows.append(last := [kind, [], []])
            last[1].append(what)
            last[2].append([at - before, len(what)])
        elif last and kind == "pulling" and _same_step(last[1], what):
            last[1:] = what, last[2] + at - before
        else:
            rows.append([kind, what, at - before])
        before = at
    return [[kind, "".join(what), when] if kind in _PIECES else [kind, what, when] for kind, what, when in rows]


def unpack(rows: Iterable[Row]) -> Iterator[tuple[float, Any]]:
    """Read the events out of rows, each with the seconds since the one before; all are checked before the first comes.

    Raises
    ------
    BadParams
        A row is not as `pack` writes them, or of a kind that only a newer version knows.
    """
    return iter([each for row in rows for each in _events(row)])


def _told(event: Any) -> tuple[str, Any]:
    """What kind of row an event becomes, and what stands in it."""
    match event:
        case Text(text):
            return "text", text
        case Thinking(text):
            return "thinking", text
        case Note(text):
            return "note", text
        case ToolCall() | Pulling():
            return type(event).__name__.removeprefix("Tool").lower(), _brief(event)
        case ToolResult(call, content, failed):
            return "result", {"call": _brief(call), "content": content} | ({"failed": True} if failed else {})
        case Done():
            said = {name: getattr(event, name) for name in _ENDS}
            said |= {name: getattr(event.stats, name) for name in _FIGURES}
            return "done", {name: value for name, value in said.items() if value not in (None, "")}
        case LLMError():
            said = {"type": type(event).__name__, "message": event.message, "hint": event.hint}
            more = {name: getattr(event, name) for name in _own(type(event))}
            return "error", said | {name: value for name, value in more.items() if isinstance(value, (int, str))}
    return "value", _value(event)


def _value(value: Any) -> Any:
    """What a call gave back, by a name that says what it is."""
    if value is None:
        return None
    for name, of in _ANSWERS.items():
        if isinstance(value, of):
            return {name: {field: _placeless(said) for field, said in _brief(value).items()}}
    for name, of in _LISTS.items():
        if isinstance(value, list) and all(isinstance(each, of) for each in value):
            return {name: [_brief(each) for each in value]}
    if type(value).__module__ == "numpy" and value.dtype.kind == "f":
        numbers = base64.b64encode(value.astype("<f4").tobytes()).decode()
        return {_VECTORS: {"shape": list(value.shape), "float32": numbers}}
    raise TypeError(f"A value of the type {type(value).__name__} can't be recorded.")


def _placeless(said: Any) -> Any:
    """A text without the folders in which a server keeps its models; other values as they are."""
    return _BLOB.sub("", said) if isinstance(said, str) else said


def _brief(value: Struct) -> dict[str, Any]:
    """A value's fields, without those that are left at their default."""
    told = {}
    for each in msgspec.structs.fields(value):
        said, plain = getattr(value, each.name), {} if each.default is msgspec.NODEFAULT else each.default
        if each.required or said != plain:
            told[each.name] = _brief(said) if isinstance(said, Struct) else msgspec.to_builtins(said)
    return told


def _own(kind: type[LLMError]) -> list[str]:
    """What an error of this kind carries beside its words."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]


def _same_step(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in ("model", "status"))


def _events(row: Row) -> Iterator[tuple[float, Any]]:
    """What stands in one row."""
    try:
        kind, what, when = row
        if kind in _PIECES:
            for milliseconds, text in _cut(what, when):
                yield milliseconds / 1000, _PIECES[kind](text)
        else:
            yield when / 1000, _event(kind, what)
    except (TypeError, ValueError, KeyError, AttributeError, binascii.Error) as error:
        if isinstance(error, LLMError):
            raise
        kind = row[0] if isinstance(row, list) and row and isinstance(row[0], str) else "?"
        raise BadParams(
            f"A row {kind!r:.40} of a recorded answer is not as it was written.",
            "Restore the file, or record this answer anew.",
        ) from None


def _cut(text: str, when: list[list[int]]) -> Iterator[tuple[int, str]]:
    """The pieces of a text; one that was edited since, so that its length is another, comes in one piece."""
    if sum(count for _, count in when) != len(text):
        yield sum(milliseconds for milliseconds, _ in when), text
        return
    at = 0
    for milliseconds, count in when:
        yield milliseconds, text[at : at + count]
        at += count


def _event(kind: str, what: Any) -> Any:
    """The event that a row of this kind holds."""
    if kind == "note":
        return msgspec.convert({"type": "Note", "text": what}, Note)
    if kind in _WHOLE:
        tag = {"type": _WHOLE[kind].__name__}
        nested = {"call": {"type": "ToolCall"} | what["call"]} if kind == "result" else {}
        return msgspec.convert(tag | what | nested, _WHOLE[kind])
    if kind == "done":
        ends = {name: value for name, value in what.items() if name in _ENDS}
        figures = {name: value for name, value in what.items() if name in _FIGURES}
        return msgspec.convert({"type": "Done", "stats": figures} | ends, Done)
    if kind == "error":
        return _error(**what)
    if kind == "value":
        ((name, value),) = [(None, None)] if what is None else what.items()
        return None if name is None else _read(name, value)
    raise _newer(f"an event {kind!r:.40}")


def _read(name: str, what: Any) -> Any:
    """What a call gave back."""
    if name in _ANSWERS:
        return msgspec.convert(what, _ANSWERS[name])
    if name in _LISTS:
        return [msgspec.convert(each, _LISTS[name]) for each in what]
    if name == _VECTORS:
        numpy = extra("numpy")
        numbers = numpy.frombuffer(base64.b64decode(what["float32"], validate=True), "<f4")
        return numbers.astype(numpy.float32).reshape(what["shape"])
    raise _newer(f"a value {name!r:.40}")


def _error(type: str, message: str, hint: str, **more: Any) -> LLMError:
    """An error as it was raised."""
    kind = getattr(errors, type, None)
    if not (inspect.isclass(kind) and issubclass(kind, LLMError)) or not more.keys() <= set(_own(kind)):
        raise _newer(f"an error {type!r:.40}")
    return kind(message, hint, **more)


def _newer(what: str) -> BadParams:
    return BadParams(
        f"A recorded answer holds {what}, which this version does not know: a newer one has written it.",
        "pip install -U acagent-nb",
    )
