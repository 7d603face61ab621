"""The magic's line -> what is asked: a model, flags made from the option table, and a few more.

A flag takes exactly one value, as the next word or behind `=`; `-` and `_` are the same in its
name; there are no abbreviations.
"""

from __future__ import annotations

import difflib
import shlex
import textwrap
from typing import Any, NamedTuple

from .errors import BadName, BadOption
from .options import TABLE, Row, check

_TEXTS = {"system": "Instructions that the model follows in its answer."}
_SWITCHES = {
    "no_pull": "Fail if the server does not have the model, instead of pulling it first.",
    "help": "Show this text and ask nothing.",
}
_BOOLS = {"true": True, "false": False}


class Asked(NamedTuple):
    """What a line says.

    Attributes
    ----------
    model
        As written; empty only together with `help`.
    options
        Model options by their names on the wire, checked.
    system
        A system prompt, or `None`.
    pull, help
        Whether a missing model is pulled, and whether only help is wanted.
    """

    model: str
    options: dict[str, Any]
    system: str | None = None
    pull: bool = True
    help: bool = False


def parse(line: str) -> Asked:
    """Read the line behind `%%llm`.

    Raises
    ------
    BadOption
        An unknown flag (with the nearest known one), a value that is missing, of the wrong kind
        or out of range, or a word too many.
    BadName
        No model is named.
    """
    words = _split(line)
    models: list[str] = []
    options: dict[str, Any] = {}
    said: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            models.append(word)
            continue
        flag, equals, value = word.partition("=")
        name = _name(flag)
        if name in _SWITCHES:
            if equals:
                raise BadOption(f"{flag} takes no value.", f"Write {flag} alone.")
            said[name] = True
            continue
        if not equals:
            if not words or words[0].startswith("--"):
                raise BadOption(f"{flag} needs a value.", f"For example {flag}={_example(name)}")
            value = words.pop(0)
        if name in _TEXTS:
            said[name] = value
        elif TABLE[name].kind is list:
            options[name] = [*options.get(name, []), value]
        else:
            options[name] = check(name, _value(value, TABLE[name]))
    if len(models) > 1:
        raise BadOption(f"{models[1]!r} is a word too many.", 'Quote a value that has blanks: --system "Be brief."')
    if not models and "help" not in said:
        raise BadName("No model is named.", "Name one, for example: %%llm local_tiny")
    return Asked("".join(models), options, said.get("system"), "no_pull" not in said, "help" in said)


def help() -> str:
    """What `%%llm?` shows."""
    flags = [(f"--{name.replace('_', '-')} {_KINDS[row.kind]}", _told(row)) for name, row in TABLE.items()]
    more = [("--system TEXT", _TEXTS["system"])]
    more += [(f"--{name.replace('_', '-')}", told) for name, told in _SWITCHES.items()]
    width = max(len(flag) for flag, _ in [*flags, *more])
    indent = " " * (width + 4)
    lines = [
        textwrap.fill(f"  {flag:{width}}  {told}", 100, subsequent_indent=indent) for flag, told in [*more, *flags]
    ]
    return _HELP + "\n".join(lines) + "\n"


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is not closed, or a backslash at the end
        raise BadOption(
            "The line has a quote without its partner.", 'Quotes come in pairs: --system "Be brief."'
        ) from None


def _name(flag: str) -> str:
    """A flag's name on the wire."""
    name = flag[2:].replace("-", "_")
    known = [*TABLE, *_TEXTS, *_SWITCHES]
    if flag.startswith("--") and name in known:
        return name
    near = difflib.get_close_matches(flag.strip("-").replace("-", "_"), known, n=1)
    raise BadOption(
        f"There is no flag {flag}.",
        f"Did you mean --{near[0].replace('_', '-')}?" if near else "%%llm? shows all flags.",
    )


def _value(text: str, row: Row) -> Any:
    """A word as the kind of value that it looks like; `check` says whether that is the right one."""
    if row.kind is bool:
        return _BOOLS.get(text.lower(), text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_KINDS = {int: "INTEGER", float: "NUMBER", bool: "true|false", list: "TEXT"}
_EXAMPLES = {int: "40", float: "0.5", bool: "true", list: '"###"'}


def _example(name: str) -> str:
    return _EXAMPLES[TABLE[name].kind] if name in TABLE else '"Be brief."'


def _told(row: Row) -> str:
    """An option's help, with its default and the servers that still know it."""
    told = [row.help]
    if row.kind is list:
        told.append("Repeat it for more.")
    if row.default is not None:
        told.append(f"(default: {str(row.default).lower() if row.kind is bool else row.default})")
    if row.until:
        told.append(f"[Ollama ignores it since {row.until}]")
    return " ".join(told)


_HELP = """Ask a language model; the cell is the prompt, the answer streams in below it.

  %%llm MODEL [--flag value ...]

A model on an Ollama server is written local_NAME. One that is not there yet is pulled first.

Examples
--------
  %%llm local_tiny
  Why is the sky blue?

  %%llm local_llama3.2:1b --temperature 0.2 --seed 42 --system "Answer in one sentence."
  Why is the sky blue?

In the next cell, _llm is the answer: _llm.text, _llm.stats, _llm.options.
Stopping the cell (the square button) stops the model; what has come stays.

Flags
-----
Write - or _ in a flag's name, its value behind a blank or =. A flag that you leave out is not
sent: then the model's own setting or the server's default holds.

"""
