"""What the options panel says in words: what an option does here, its default, and texts to copy.

    a server and a model ──► Where ──► standing("top_k", where), default("top_k", where)
    Options ──► a %%llm line, Python, TOML, tables

No widgets here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, NamedTuple, get_args

from .. import liveness
from ..errors import BadOption
from ..explained import shown
from ..options import Options, check
from ..row import Group, Value
from ..rows import TABLE

PLAIN = "local_tiny"  # stands in the texts where no model was chosen


@dataclass(frozen=True)
class Where:
    """Who will answer, as far as it is known.

    Attributes
    ----------
    provider
        "ollama", "openai", or an endpoint's name.
    version, engine
        Of the Ollama server, as its `/api/version` tells them.
    authors
        The options that the model's author chose.
    project
        The default options of `params.toml`.
    context
        Tokens that the model was made for; `None` if that is not known.
    """

    provider: str = "ollama"
    version: str = ""
    engine: liveness.Engine = None
    authors: Mapping[str, Value] = field(default_factory=dict)
    project: Mapping[str, Value] = field(default_factory=dict)
    context: int | None = None

    @property
    def name(self) -> str:
        """In few words, for a heading."""
        if self.provider != "ollama":
            return self.provider
        if self.engine:
            return "the embedded server"
        return f"Ollama {self.version}" if self.version else "the newest Ollama"


class Standing(NamedTuple):
    """What an option does at a place; `word` as in `liveness.State`, or "foreign" to a cloud model's API."""

    word: Literal["live", "partly", "dead", "unknown", "foreign"]
    why: str

    @property
    def works(self) -> bool:
        """Whether setting it has an effect."""
        return self.word in ("live", "partly")


class Default(NamedTuple):
    """What holds when an option is not sent: a value or how it is found, and whose choice that is."""

    value: Value | str | None
    whose: Literal["params.toml", "author", "server"]

    @property
    def brief(self) -> str:
        """A few letters, for the inside of an empty field."""
        if self.value is None or (self.whose == "server" and isinstance(self.value, (str, list))):
            return "by server"
        mark = "" if self.whose == "server" else " author" if self.whose == "author" else " file"
        return f"{written(self.value)}{mark}"

    @property
    def told(self) -> str:
        """The same as a sentence."""
        who = {
            "params.toml": "params.toml says",
            "author": "the model's author chose",
            "server": "the server's default",
        }
        value = "worked out by the server" if self.value is None else written(self.value)
        return f"Not sent: {who[self.whose]} {value}." if self.whose != "server" else f"Not sent: {value}."


def standing(name: str, where: Where) -> Standing:
    """What an option does there, and why."""
    row = TABLE[name]
    if where.provider != "ollama":
        if row.openai:
            return Standing("live", f"{where.provider} calls it {row.openai}.")
        return Standing("foreign", f"{where.provider} has nothing like {name}: it is an option of Ollama's.")
    return Standing(*liveness.state(name, where.version, where.engine))


def default(name: str, where: Where) -> Default:
    """What holds when an option is not sent."""
    if name in where.project:
        return Default(where.project[name], "params.toml")
    if name in where.authors:
        return Default(where.authors[name], "author")
    if where.provider != "ollama":
        return Default(None, "server")
    value = TABLE[name].default if where.engine else liveness.default(name, where.version)
    return Default(value, "server")


def authors(parameters: str) -> dict[str, Value]:
    """The options in the `parameters` of `/api/show`: a name, blanks, a value in Go's words, one a line.

    What can't be read is left out.
    """
    found: dict[str, Value] = {}
    for line in parameters.splitlines():
        name, _, text = line.strip().partition(" ")
        if name not in TABLE:
            continue
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = text.strip().strip('"')
        try:
            checked = check(name, value)
        except BadOption:
            continue
        earlier = found.get(name, [])
        found[name] = [*earlier, *checked] if isinstance(checked, list) and isinstance(earlier, list) else checked
    return found


def written(value: Value | str) -> str:
    r"""A value as one types it; a list's texts with their line breaks as `\n`."""
    if isinstance(value, list):
        return ", ".join(json.dumps(each, ensure_ascii=False) for each in value) or "none"
    if isinstance(value, float) and float(f"{value:g}") != value:
        return repr(value)
    return shown(value)


def line(model: str | None, options: Options) -> str:
    """A `%%llm` line with these options as flags, but for the texts of `no_line`."""
    words = ["%%llm", shlex.quote(model or PLAIN)]
    for name, value in options.sent().items():
        for each in value if isinstance(value, list) else [value]:
            flag, text = f"--{name.replace('_', '-')}", each if isinstance(each, str) else shown_flag(each)
            if text not in no_line(options):
                # Behind a blank it would be taken for the next flag.
                words.append(f"{flag}={shlex.quote(text)}" if text.startswith("--") else f"{flag} {shlex.quote(text)}")
    return " ".join(words)


def no_line(options: Options) -> list[str]:
    """The texts that can't stand in a `%%llm` line: it ends at a line break."""
    return [text for text in options.stop or () if text and text.splitlines() != [text]]


def shown_flag(value: Value) -> str:
    """A number or a truth as a flag takes it, with all its digits."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def python(model: str | None, options: Options) -> str:
    """A call with these options by name."""
    said = "".join(f", {name}={value!r}" for name, value in options.sent().items())
    return (
        "from acagent_nb import Client\n\nclient = Client()\n"
        f'reply = client.chat({model or PLAIN!r}, "Why is the sky blue?"{said})\nprint(reply.text)'
    )


def toml(model: str | None, options: Options) -> str:
    """The part of a `params.toml` that makes these options the project's defaults."""
    return f"[options]\n{options.to_toml()}".rstrip("\n")


COPIES = {"%%llm": line, "Python": python, "TOML": toml}


def table(options: Options, where: Where) -> str:
    """All options with the value that is sent, or the default, for a terminal."""
    sent = options.sent()
    width = max(map(len, TABLE))
    lines = [f"Options for {where.name}; * is sent with each request, all others are left alone."]
    for group in get_args(Group):
        lines.append(f"\n{group}")
        for row in (row for row in TABLE.values() if row.group == group):
            here, own = standing(row.name, where), default(row.name, where)
            value = written(sent[row.name]) if row.name in sent else own.brief
            marks: list[str] = [own.whose] if row.name not in sent and own.whose == "params.toml" else []
            marks += [] if here.word == "live" else [here.word]
            marks += ["reloads the model"] if row.load and here.works else []
            told = f"{'*' if row.name in sent else ' '} {row.name:{width}}  {value:14}  {', '.join(marks)}"
            lines.append(told.rstrip())
    return "\n".join(lines)


def brief(options: Options) -> str:
    """What is sent, in a line."""
    said = ", ".join(f"{name} {written(value)}" for name, value in options.sent().items())
    return f"Options that are sent: {said or 'none; the model and the server decide'}."


def page(options: Options) -> str:
    """What is sent, as a table for a saved page: no script, no style sheet."""
    if not options.sent():
        return f'<p class="acagent-nb-sent">{escape(brief(options))}</p>'
    cell = '<td style="text-align: left; padding: 2px 16px 2px 0">'
    rows = "".join(
        f"<tr>{cell}<b>{name}</b></td>{cell}{escape(written(value))}</td>{cell}{escape(TABLE[name].help)}</td></tr>"
        for name, value in options.sent().items()
    )
    head = "".join(f'<th style="text-align: left; padding: 2px 16px 2px 0">{each}</th>' for each in _HEAD)
    return f'<table class="acagent-nb-sent"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


_HEAD = ("option that is sent", "value", "what it does")
