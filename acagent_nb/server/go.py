"""Go templates, which Ollama's models bring: the plain ones as Jinja, which llama.cpp runs.

Models of Ollama's first year have a template for one turn, of `.System`, `.Prompt` and `.Response`, and a
file without any. Such a template can be said in Jinja word for word; one that walks through `.Messages` by
itself belongs to a newer model, whose file has a Jinja template of its own.

Source: Go's `text/template`, and `template/template.go` of Ollama for how turns are made of messages.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import NamedTuple

from ..errors import ServerError

UNSAYABLE = "its template is Go's, and not of the plain kind that this server can turn into Jinja for llama.cpp"
PROMPT_ONLY = "{{ .Prompt }}"  # what Ollama takes for a model that has no template at all

_COMMENT = r"\s*/\*(?:(?!\*/).)*\*/\s*"  # in which quotes and braces mean nothing
_INSIDE = r'(?!\s*/\*)(?:"(?:\\.|[^"\\])*"|`[^`]*`|[^"`}]|\}(?!\}))*?'
_ACTION = re.compile(r"\{\{(-(?=\s))?(" + _COMMENT + "|" + _INSIDE + r")((?<=\s)-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[()]|[^\s()"]+')
_OPENERS = ("if", "range", "with", "define", "block")
_FIELDS = {".System": "system", ".Prompt": "prompt", ".Response": "response"}
_EMPTY = (".First", ".Suffix", ".Tools", ".Think", ".ThinkLevel", ".IsThinkSet")  # not there in such a turn

# How Ollama makes turns of messages: neighbours of one role are one, and a turn ends where the next begins.
_TURNS = """
{%- set now = namespace(role="", system="", prompt="", response="") -%}
{%- for message in messages -%}
{%- set more = "\\n\\n" if message.role == now.role else "" -%}
{%- if message.role == "system" -%}
{%- if not more and (now.prompt or now.response) -%}
{{- turn(now.system, now.prompt, now.response) -}}
{%- set now.prompt = "" -%}{%- set now.response = "" -%}
{%- endif -%}
{%- set now.system = (now.system + more if more else "") + message.content -%}
{%- elif message.role == "user" -%}
{%- if not more and now.response -%}
{{- turn(now.system, now.prompt, now.response) -}}
{%- set now.system = "" -%}{%- set now.response = "" -%}
{%- endif -%}
{%- set now.prompt = (now.prompt + more if more else "") + message.content -%}
{%- elif message.role == "assistant" -%}
{%- set now.response = (now.response + more if more else "") + message.content -%}
{%- endif -%}
{%- set now.role = message.role -%}
{%- endfor -%}
{%- if add_generation_prompt or not now.response -%}
{{- begun(now.system, now.prompt, now.response) -}}
{%- else -%}
{{- turn(now.system, now.prompt, now.response) -}}
{%- endif -%}
"""


class _Piece(NamedTuple):
    """A text, or what stands between two pairs of braces, and the line it is in."""

    text: str
    action: bool
    line: int


def check(template: str) -> None:
    """Refuse what is no Go template.

    Raises
    ------
    ServerError
        Status 400, in Go's words: braces without their partners, or an `end` too many or too few.
    """
    depth = 0
    for piece in _pieces(template):
        word = piece.text.split(None, 1)[0] if piece.action and piece.text else ""
        if piece.action and not word:
            raise _fault(piece.line, "missing value for command")
        if word in _OPENERS:
            depth += 1
        elif word in ("end", "else") and depth == 0:
            raise _fault(piece.line, f"unexpected {{{{{word}}}}}")
        elif word == "end":
            depth -= 1
    if depth:
        raise _fault(1 + template.count("\n"), "unexpected EOF")


@lru_cache(maxsize=32)
def jinja(template: str) -> str:
    """A Jinja template that says the same; empty if this one says more than can be said so."""
    try:
        pieces = [piece for piece in _pieces(template) if piece.text]
        if not any(piece.action and re.search(r"\.Response\b", piece.text) for piece in pieces):
            pieces.append(_Piece(".Response", True, 0))
        turn, begun = (_macro(name, pieces, cut=name == "begun") for name in ("turn", "begun"))
    except (LookupError, ValueError, RecursionError, ServerError):
        return ""
    return turn + begun + _TURNS.strip().replace("\n", "")


def _pieces(template: str) -> list[_Piece]:
    """A template's texts and actions; `ServerError` for braces that are never closed."""
    pieces: list[_Piece] = []
    at, trim, line, counted = 0, False, 1, 0
    while (start := template.find("{{", at)) >= 0:
        line, counted = line + template.count("\n", counted, start), start
        found = _ACTION.match(template, start)
        if found is None:
            raise _fault(line, "unclosed action")
        text = template[at:start]
        text = text.lstrip() if trim else text
        pieces.append(_Piece(text.rstrip() if found[1] else text, False, line))
        inside = found[2].strip()
        if not inside.startswith("/*"):
            pieces.append(_Piece(inside, True, line))
        at, trim = found.end(), bool(found[3])
    rest = template[at:]
    return [*pieces, _Piece(rest.lstrip() if trim else rest, False, 0)]


def _macro(name: str, pieces: list[_Piece], *, cut: bool) -> str:
    """A macro that writes one turn; if it is to be `cut`, up to the answer's place only. `LookupError` if it can't."""
    said, depth, over = [f"{{%- macro {name}(system, prompt, response) -%}}"], 0, False
    for piece in pieces:
        if not piece.action:
            said += [] if over else [f"{{{{- {json.dumps(piece.text, ensure_ascii=False)} -}}}}"]
            continue
        word, rest = [*piece.text.split(None, 1), ""][:2]
        if word == "if":
            depth += 1
            said.append(f"{{%- if {_value(rest)} -%}}")
        elif word == "else" and depth:
            said.append(f"{{%- elif {_value(rest[3:])} -%}}" if rest else "{%- else -%}")
        elif word == "end" and depth:
            depth -= 1
            said.append("{%- endif -%}")
        else:
            said += [] if over else [f"{{{{- {_value(piece.text)} -}}}}"]
            over = over or (cut and piece.text == ".Response")
    if depth:
        raise LookupError(name)
    return "".join(said) + "{%- endmacro -%}"


def _value(text: str) -> str:
    """A Go value as a Jinja expression; `LookupError` for one that is none of the plain ones."""
    tokens = _TOKEN.findall(text)
    value = _operation(tokens)
    if tokens:
        raise LookupError(text)
    return value


def _operation(tokens: list[str]) -> str:
    """The value at the head of the tokens, taken off: a word, or a function with all that follows it."""
    word = tokens.pop(0) if tokens else ""
    if word not in ("and", "or", "not"):
        return _operand(word, tokens)
    operands = []
    while tokens and tokens[0] != ")":
        operands.append(_operand(tokens.pop(0), tokens))
    if not operands or (word == "not" and len(operands) > 1):
        raise LookupError(word)
    return f"(not {operands[0]})" if word == "not" else f"({f' {word} '.join(operands)})"


def _operand(word: str, tokens: list[str]) -> str:
    if word == "(":
        value = _operation(tokens)
        if not tokens or tokens.pop(0) != ")":
            raise LookupError(word)
        return value
    if word.startswith('"'):
        return json.dumps(json.loads(word), ensure_ascii=False)  # `ValueError`: one of Go's own escapes
    return '""' if word in _EMPTY else _FIELDS[word]


def _fault(line: int, what: str) -> ServerError:
    return ServerError(f"template error: template: :{line}: {what}", status=400)
