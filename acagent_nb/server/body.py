"""A request's body, read and refused in the words of Go's JSON decoder, as Ollama's clients know them.

A body's fields are a table of names to kinds. A kind is a Go type's name, or a pair of the list's
Go name and the table of its items, or an `Inner`; a field with the kind `None` may be anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ..errors import ServerError


class Inner(NamedTuple):
    """The kind of a field that is an object with a table of its own.

    Attributes
    ----------
    open
        Whether fields that the table does not have are kept, as they are.
    """

    go: str
    fields: Mapping[str, Any]
    open: bool = False


Fields = Mapping[str, "str | Inner | tuple[str, Any] | None"]

_CALLED: Fields = {"index": "int", "name": "string", "arguments": Inner("api.ToolCallFunctionArguments", {}, open=True)}
_CALL: Fields = {"id": "string", "function": Inner("api.ToolCallFunction", _CALLED)}
MESSAGE: Fields = {
    "role": "string",
    "content": "string",
    "thinking": "string",
    "images": "[]api.ImageData",
    "tool_calls": ("[]api.ToolCall", _CALL),
    "tool_name": "string",
    "tool_call_id": "string",
}
_ANSWER: Fields = {
    "model": "string",
    "stream": "bool",
    "format": None,
    "keep_alive": None,
    "options": "map[string]interface {}",
    "think": None,
    "truncate": "bool",
    "shift": "bool",
    "logprobs": "bool",
    "top_logprobs": "int",
}
_PARAMETERS: Fields = {"type": "string", "required": "[]string", "properties": "map[string]interface {}"}
_FUNCTION: Fields = {
    "name": "string",
    "description": "string",
    "parameters": Inner("api.ToolFunctionParameters", _PARAMETERS, open=True),
}
_TOOL: Fields = {"type": "string", "function": Inner("api.ToolFunction", _FUNCTION, open=True)}
CHAT: Fields = {**_ANSWER, "messages": ("[]api.Message", MESSAGE), "tools": ("api.Tools", _TOOL)}
GENERATE: Fields = {
    **_ANSWER,
    "prompt": "string",
    "suffix": "string",
    "system": "string",
    "template": "string",
    "context": "[]int",
    "raw": "bool",
    "images": "[]api.ImageData",
}
EMBED: Fields = {
    "model": "string",
    "input": None,
    "keep_alive": None,
    "truncate": "bool",
    "dimensions": "int",
    "options": "map[string]interface {}",
}
EMBEDDINGS: Fields = {
    "model": "string",
    "prompt": "string",
    "keep_alive": None,
    "options": "map[string]interface {}",
}
OPENAI_EMBED: Fields = {"model": "string", "input": None, "dimensions": "int", "encoding_format": "string"}
SHOW: Fields = {"model": "string", "name": "string", "verbose": "bool", "system": "string"}
PULL: Fields = {"model": "string", "name": "string", "insecure": "bool", "stream": "bool"}
COPY: Fields = {"source": "string", "destination": "string"}
DELETE: Fields = {"model": "string", "name": "string"}
CREATE: Fields = {
    "model": "string",
    "name": "string",
    "stream": "bool",
    "from": "string",
    "files": "map[string]string",
    "adapters": "map[string]string",
    "template": "string",
    "license": None,
    "system": "string",
    "parameters": "map[string]interface {}",
    "messages": ("[]api.Message", MESSAGE),
    "quantize": "string",
    "quantization": "string",
    "renderer": "string",
    "parser": "string",
    "requires": "string",
    "remote_host": "string",
    "draft_files": "map[string]string",
}

_ITEM = {"[]api.ImageData": "[]uint8", "api.Tools": "api.Tool"}  # of lists that are not called after it
_PYTHON = {
    "string": str,
    "bool": bool,
    "int": int,
    "float64": float,
    "[]uint8": str,
    "map[string]interface {}": dict,
    "map[string]string": dict,
}
WORD = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def read(raw: bytes, struct: str, fields: Fields, package: str = "api") -> dict[str, Any]:
    """The known fields of a JSON body, nulls left out.

    Parameters
    ----------
    raw
        The bytes as they came.
    struct
        What Ollama calls this body, for its error texts: `ChatRequest`.
    fields
        The table to read it by.
    package
        Where in Ollama's code it is.

    Raises
    ------
    ServerError
        Status 400: empty, no JSON, or a field of the wrong type.
    """
    if not raw.strip():
        raise ServerError("missing request body", status=400)
    try:
        value = msgspec.json.decode(raw)
    except RecursionError:
        raise ServerError("exceeded max depth", status=400) from None
    except ValueError:  # no JSON, or no UTF-8: now find out what Go would have said, or that Go takes it
        value = _first_value(raw.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        if value is None:
            return {}
        said = f"json: cannot unmarshal {WORD[type(value)]} into Go value of type {package}.{struct}"
        raise ServerError(said, status=400)
    return _checked(value, struct, fields)


def _checked(value: dict[str, Any], path: str, fields: Fields, *, open: bool = False) -> dict[str, Any]:
    """The fields of one object, each of its kind; of a null's none."""
    if not value.keys() <= fields.keys():
        value = _spelled(value, fields)
    found: dict[str, Any] = {}
    if open:  # in their order, which the model will see
        found |= {name: item for name, item in value.items() if item is not None or name not in fields}
    for name, kind in fields.items():
        item = value.get(name)
        if item is None:
            continue
        where = f"{path}.{name}"
        if isinstance(kind, Inner):
            found[name] = _checked(_of(dict, item, where, kind.go), where, kind.fields, open=kind.open)
        elif isinstance(kind, tuple):
            go = _ITEM.get(kind[0], kind[0].removeprefix("[]"))
            items = (_or_nothing(dict, each, where, go) for each in _of(list, item, where, kind[0]))
            found[name] = [_checked(each, where, kind[1]) for each in items]
        elif kind is None:
            found[name] = item
        elif kind.startswith("[]"):
            go = _ITEM.get(kind, kind.removeprefix("[]"))
            wanted = _PYTHON[go]
            found[name] = [_or_nothing(wanted, each, where, go) for each in _of(list, item, where, kind)]
        else:
            found[name] = _of(_PYTHON[kind], item, where, kind)
            for each in item.values() if kind == "map[string]string" else ():
                _of(str, each, where, "string")
    return found


def _spelled(value: dict[str, Any], fields: Fields) -> dict[str, Any]:
    """An object whose known fields are called as in the table: Go takes them in any case, and the last one counts."""
    known = {name.casefold(): name for name in fields}
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = known.get(key.casefold(), key)
        if item is not None or name not in found:
            found[name] = item
    return found


def _or_nothing(kind: type, value: Any, where: str, go: str) -> Any:
    """An item of a list: a null is the kind's own empty value."""
    return kind() if value is None else _of(kind, value, where, go)


def _of(kind: type, value: Any, where: str, go: str) -> Any:
    """The value if it is of the kind, else Go's complaint."""
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    word = WORD.get(type(value), "null")
    if kind is int and word == "number":
        word = f"number {value}"
    raise ServerError(f"json: cannot unmarshal {word} into Go struct field {where} of type {go}", status=400)


_SAID = {  # Python's json module's words -> Go's
    "Expecting property name": "looking for beginning of object key string",
    "Illegal trailing comma": "looking for beginning of object key string",
    "Expecting value": "looking for beginning of value",
    "Expecting ':'": "after object key",
    "Invalid control": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX": "in \\u hexadecimal character escape",
}


_LITERALS = {"t": "true", "f": "false", "n": "null"}


def _first_value(text: str) -> Any:
    """The first JSON value of a text, as Go reads no further; `ServerError` with Go's words if there is none."""
    start = len(text) - len(text.lstrip())
    try:
        value = json.JSONDecoder(parse_int=_int).raw_decode(text, start)[0]
        # half of a surrogate pair is no character; Go, too, puts another in its place
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ServerError("exceeded max depth", status=400) from None
    except json.JSONDecodeError as error:
        at = error.pos
        if "trailing comma" in error.msg:  # newer Pythons point at the comma, Go at what follows
            at += len(text[at + 1 :]) - len(text[at + 1 :].lstrip()) + 1
        if at >= len(text) or error.msg.startswith("Unterminated"):
            raise ServerError("unexpected EOF", status=400) from None
        if literal := _LITERALS.get(text[at]):
            wrong = next(i for i, char in enumerate(literal) if text[at + i : at + i + 1] != char)
            found = text[at + wrong : at + wrong + 1]
            raise ServerError(
                f"invalid character '{found}' in literal {literal} (expecting '{literal[wrong]}')", status=400
            ) from None
        said = next((go for python, go in _SAID.items() if error.msg.startswith(python)), "after object key:value pair")
        if error.msg.startswith("Expecting ','") and _in_array(text[:at]):
            said = "after array element"
        char = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "'": "\\'"}.get(text[at], text[at])
        raise ServerError(f"invalid character '{char}' {said}", status=400) from None


def _int(digits: str) -> float:
    """A number; Python refuses to read very long ones as integers."""
    return int(digits) if len(digits) < 400 else float(digits)


def _in_array(before: str) -> bool:
    """Whether the innermost open bracket is a square one."""
    depth: list[str] = []
    for char in re.sub(r'"(?:\\.|[^"\\])*"', "", before):
        if char in "[{":
            depth.append(char)
        elif char in "]}" and depth:
            depth.pop()
    return depth[-1:] == ["["]


def base64_fault(text: str) -> int | None:
    """Where Go's decoder stops in a base64 text, `None` if it reads it whole."""
    clean = text.replace("\r", "").replace("\n", "")
    good = re.match(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", clean)
    assert good is not None  # the pattern matches the empty text
    if good.end() == len(clean):
        return None
    alphabet = re.match(r"[A-Za-z0-9+/]*", clean)
    assert alphabet is not None  # likewise
    return alphabet.end()
