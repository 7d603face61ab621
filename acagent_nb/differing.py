"""How far a question is from one that was recorded, and in words what differs: places and names, never a text.

"temperature is 0.7, recorded 0.9"      "message 2 (user) differs from character 17 on"      "has no format"
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from .keyed import Question

_KIND, _MODEL, _MISSING, _OTHER, _TEXT = 1000.0, 1.0, 1.0, 0.5, 2.0  # how much each difference counts
_SETTINGS = ("options", "parameters")
_CHOICES = ("think", "quantize", "from_model", "destination")  # texts of the caller's that are no prose
_HASH = "sha256:"
_PLURALS = {"images": "picture", "messages": "message", "texts": "text", "tools": "tool"}


def distance(asked: Question, recorded: Question) -> float:
    """How far two questions are from each other; 0 for the same. Another kind is farthest, then another text."""
    apart = _KIND * (asked.kind != recorded.kind) + _MODEL * (asked.model != recorded.model)
    return apart + _apart(asked.request, recorded.request)


def words(asked: Question, recorded: Question) -> list[str]:
    """What one question has otherwise than one that was recorded: "has no format"."""
    found = [
        f"{name} {ours or 'none'}, recorded {theirs or 'none'}"
        for name, ours, theirs in (("kind", asked.kind, recorded.kind), ("model", asked.model, recorded.model))
        if ours != theirs
    ]
    for name in {**recorded.request, **asked.request}:
        ours, theirs = asked.request.get(name), recorded.request.get(name)
        if _apart(ours, theirs):
            found += _field(name, ours, theirs)
    return found


def _apart(one: Any, other: Any) -> float:
    """How far two values are from each other."""
    if one is None or other is None:
        return _MISSING * (one is not other)
    if isinstance(one, str) and isinstance(other, str):
        return 0.0 if one == other else _OTHER + _TEXT * (1 - _alike(one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return sum(_apart(one.get(name), other.get(name)) for name in {**one, **other})
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return sum(_apart(ours, theirs) for ours, theirs in zip_longest(one, other))
    return 0.0 if one == other else _OTHER


def _alike(one: str, other: str) -> float:
    """How much of the longer text both share at their beginnings and ends."""
    least, most = sorted((len(one), len(other)))
    begin = _same(one, other)
    end = min(_same(one[::-1], other[::-1]), least - begin)
    return (begin + end) / most


def _same(one: str, other: str) -> int:
    """How many characters two texts share at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _field(name: str, ours: Any, theirs: Any) -> Iterator[str]:
    """What differs in one field of the request."""
    if name in _SETTINGS:
        for setting in {**(theirs or {}), **(ours or {})}:
            yield from _setting(setting, (ours or {}).get(setting), (theirs or {}).get(setting))
    elif name in _CHOICES or not isinstance(ours if theirs is None else theirs, (str, list, tuple, dict)):
        yield from _setting(name, ours, theirs)
    elif name in _PLURALS:
        yield from _several(name, ours or (), theirs or ())
    elif ours is None:
        yield f"has no {name}"
    elif theirs is None:
        yield f"has a{'n' * (name[0] in 'aeio')} {name}, recorded none"
    elif isinstance(ours, str) and isinstance(theirs, str) and name != "format" and not ours.startswith(_HASH):
        yield f"the {name} {_place(ours, theirs)}"
    else:
        yield f"has another {name}"


def _setting(name: str, ours: Any, theirs: Any) -> Iterator[str]:
    if ours is None:
        yield f"has no {name}, recorded {_shown(theirs)}"
    elif ours != theirs:
        yield f"{name} is {_shown(ours)}, recorded {'none' if theirs is None else _shown(theirs)}"


def _several(name: str, ours: Sequence[Any], theirs: Sequence[Any]) -> Iterator[str]:
    """What differs in a list: the first of its places, and how many there are."""
    one = _PLURALS[name]
    if name == "tools":
        yield from _tools([_function(tool) for tool in ours], [_function(tool) for tool in theirs])
        return
    if len(ours) != len(theirs):
        yield f"{len(ours)} {one}{'s' * (len(ours) != 1)}, recorded {len(theirs)}"
    for at, (mine, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if _apart(mine, other):
            whose = f" ({mine.get('role', '')})" if isinstance(mine, dict) else ""
            yield f"{one} {at}{whose} {_differs(mine, other)}"
            return


def _differs(ours: Any, theirs: Any) -> str:
    """What differs between two turns, or two texts or pictures."""
    if isinstance(ours, str) and isinstance(theirs, str):
        return "is another" if ours.startswith(_HASH) else _place(ours, theirs)
    if ours.get("role") != theirs.get("role"):
        return f"is recorded as {theirs.get('role')}"
    for name in ("content", "thinking", "images", "tool_calls"):
        mine, other = ours.get(name), theirs.get(name)
        if _apart(mine, other):
            if name == "content":
                return _place(mine or "", other or "")
            return f"has other {({'images': 'pictures', 'tool_calls': 'calls'}).get(name, name)}"
    return "differs"


def _tools(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> Iterator[str]:
    mine, other = ([str(tool.get("name")) for tool in tools] for tools in (ours, theirs))
    if mine != other:
        yield f"tools {', '.join(mine) or 'none'}, recorded {', '.join(other) or 'none'}"
    else:
        for tool, recorded in zip(ours, theirs, strict=True):
            if _apart(tool, recorded):
                yield f"the tool {tool.get('name')} is described otherwise"


def _function(tool: Any) -> dict[str, Any]:
    """What a tool's schema says of its function."""
    return tool.get("function") or tool  # type: ignore[no-any-return]


def _place(ours: str, theirs: str) -> str:
    return f"differs from character {_same(ours, theirs) + 1} on"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
