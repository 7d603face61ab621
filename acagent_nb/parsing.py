"""The magic's line -> what is asked: models, flags made from the option table, and the cell's own flags.

A flag takes its value as the next word or behind `=`; `-` and `_` are the same in its name; there are no
abbreviations. Commas make several of a model or of an option: then every one of them is asked.
"""

from __future__ import annotations

import difflib
import keyword
import re
import shlex
from collections.abc import Callable
from io import StringIO
from typing import Any, NamedTuple

from .errors import BadOption
from .flags import LEVELS, OWN, example, named
from .options import TABLE, Row, check


class Asked(NamedTuple):
    """What a line says; names of the notebook are still names.

    Attributes
    ----------
    models
        As written; none leaves it to the session.
    options
        Model options by their names on the wire, checked.
    sweeps
        Those options that have several values.
    system
        A system prompt, or `None`.
    images
        Paths of pictures.
    tools, yes
        Names of functions that the model may call, and whether without asking the user.
    json, schema
        Whether the answer is JSON, or the name of the shape that it has.
    think
        As in `asking.How`.
    into, chat
        The name that the result gets, and the conversation that it belongs to.
    plain, quiet
        Whether the answer is shown as text, or not at all.
    pull, timeout, keep_alive, truncate, fresh
        As in `Client.chat`.
    help
        Whether only help is wanted.
    """

    models: tuple[str, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 -- read only: `parse` gives each one its own
    sweeps: dict[str, list[Any]] = {}  # noqa: RUF012 -- as above
    system: str | None = None
    images: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    yes: bool = False
    json: bool = False
    schema: str | None = None
    think: bool | str | None = None
    into: str | None = None
    chat: str | None = None
    plain: bool = False
    quiet: bool = False
    pull: bool = True
    timeout: float | None = None
    keep_alive: float | str | None = None
    truncate: bool | None = None
    fresh: bool = False
    help: bool = False


MOST = 100  # answers of one cell: more is no table to look at, and likely a slip

_BOOLS = {"true": True, "false": False}
_TIME = re.compile(r"-?(?:\d+(?:\.\d+)?(?:h|ms|us|ns|m|s))+")
_CHAT = re.compile(r"\w[\w.-]{0,63}")


def parse(line: str) -> Asked:
    """Read the line behind `%%llm`.

    Raises
    ------
    BadOption
        An unknown flag (with the nearest known one), a value that is missing, of the wrong kind
        or out of range, two flags that exclude each other, or a word too many.
    """
    return _asked(_split(line))


def one_line(line: str) -> tuple[Asked, str]:
    """Read the line behind `%llm ask`: flags, and all else is the prompt, as it is typed. Raises what `parse` does."""
    reader = shlex.shlex(typed := StringIO(line), posix=True)
    reader.whitespace_split, reader.commenters = True, ""
    words: list[str] = []
    wants = False
    while True:
        rest = line[typed.tell() :].lstrip()
        if not wants and not rest.startswith("--"):
            bare = words[-1:] == ["--think"] and rest.split(maxsplit=1)[:1]
            if not (bare and bare[0] in LEVELS):
                return _asked(words), rest
        try:
            word = reader.get_token()
        except ValueError:
            raise _unpaired() from None
        if word is None:
            return _asked(words), ""
        words.append(word)
        flag = word[2:].replace("-", "_")
        wants = not wants and "=" not in word and takes_a_value(flag)


def takes_a_value(name: str) -> bool:
    """Whether the word behind a flag is its value; that of `think` may be left out."""
    return name in TABLE or (name in OWN and bool(OWN[name].value) and name != "think")


def _asked(words: list[str]) -> Asked:
    models: list[str] = []
    options: dict[str, Any] = {}
    own: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            models.append(word)
            continue
        flag, equals, value = word.partition("=")
        name = _name(flag)
        if name in OWN and not OWN[name].value:
            if equals:
                raise BadOption(f"{flag} takes no value.", f"Write {flag} alone.")
            own[name] = True
            continue
        if name == "think" and not equals:
            own[name] = words.pop(0) if words and words[0] in LEVELS else True
            continue
        if not equals:
            if not words or words[0].startswith("--"):
                raise BadOption(f"{flag} needs a value.", f"For example {flag}={example(name)}")
            value = words.pop(0)
        many = name in _MANY or (name in TABLE and TABLE[name].kind is list)
        said = options if name in TABLE else own
        if name in said and not many:
            several = f"Several values are written {flag}=1,2." if name in TABLE else "Keep one."
            raise BadOption(f"{flag} is said twice.", several)
        read = _values(name, value) if name in TABLE else _READ.get(name, _text)(flag, value)
        said[name] = [*said.get(name, []), *read] if many else read
    return _together(_models([*models, *([own.pop("model")] if "model" in own else [])]), options, own)


def _together(models: tuple[str, ...], options: dict[str, Any], own: dict[str, Any]) -> Asked:
    """All that a line says, if it can be meant together."""
    for flag, other in (("json", "schema"), ("think", "no_think"), ("plain", "quiet")):
        if flag in own and other in own:
            raise BadOption(f"{named(flag)} and {named(other)} exclude each other.", f"Leave out {named(flag)}.")
    if "yes" in own and "tool" not in own:
        raise BadOption("--yes allows the calls of tools, and there is none.", "Name one: --tool get_weather")
    numbers = {name: values for name, values in options.items() if TABLE[name].kind is not list}
    sweeps = {name: values for name, values in numbers.items() if len(values) > 1}
    count = max(1, len(models))
    for values in sweeps.values():
        count *= len(values)
    if count > MOST:
        raise BadOption(f"That would be {count} answers, and a cell shows at most {MOST}.", "Ask for fewer at once.")
    if count > 1 and "chat" in own:
        raise BadOption("A conversation goes on with one answer, not with several.", "Name one model, one value each.")
    return Asked(
        models,
        {name: values[0] if name in numbers else values for name, values in options.items() if name not in sweeps},
        sweeps,
        images=tuple(own.pop("image", ())),
        tools=tuple(own.pop("tool", ())),
        think=False if own.pop("no_think", False) else own.pop("think", None),
        pull=not own.pop("no_pull", False),
        **own,
    )


def _models(words: list[str]) -> tuple[str, ...]:
    """Names that commas part, also with blanks behind them."""
    if not words:
        return ()
    names = [name.split() for name in " ".join(words).split(",")]
    for name in names:
        if not name:
            raise BadOption("There is a comma without a model beside it.", "For example: %%llm local_tiny,gpt-4o-mini")
        if len(name) > 1:
            raise BadOption(f"{name[1]!r} is a word too many.", 'Quote a value that has blanks: --system "Be brief."')
    return tuple(name for (name,) in names)


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is not closed, or a backslash at the end
        raise _unpaired() from None


def _unpaired() -> BadOption:
    return BadOption("The line has a quote without its partner.", 'Quotes come in pairs: --system "Be brief."')


def _name(flag: str) -> str:
    """A flag's name with `_`, if there is one."""
    name = flag[2:].replace("-", "_")
    known = [*TABLE, *OWN]
    if flag.startswith("--") and name in known:
        return name
    near = difflib.get_close_matches(flag.strip("-").replace("-", "_"), known, n=1)
    raise BadOption(
        f"There is no flag {flag}.",
        f"Did you mean {named(near[0])}?" if near else "%%llm? shows all flags.",
    )


def _values(name: str, text: str) -> list[Any]:
    """An option's values, checked; commas part those of a number or a truth, and never a text."""
    row = TABLE[name]
    if row.kind is list:
        return [text]
    each = text.split(",")
    if "" in map(str.strip, each) and len(each) > 1:
        flag = named(name)
        raise BadOption(
            f"{flag} has a comma without a value beside it.",
            f"Several values are written without blanks: {flag}={example(name)},{example(name)}",
        )
    return [check(name, _value(one.strip(), row)) for one in each]


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


def _text(flag: str, text: str) -> str:
    if not text.strip():
        raise BadOption(f"{flag} needs a value.", f"For example {flag}={example(_name(flag))}")
    return text


def _one_more(flag: str, text: str) -> list[str]:
    return [_text(flag, text)]


def _level(flag: str, text: str) -> bool | str:
    if text.lower() in LEVELS:
        return text.lower()
    if text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    raise BadOption(f"--think takes no {text!r}.", f"The levels are {', '.join(LEVELS)}.")


def _seconds(flag: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise BadOption(f"{flag} takes a number of seconds, not {text!r}.", f"For example {flag}=60")
    return seconds


def _time(flag: str, text: str) -> float | str:
    try:
        seconds = float(text)
    except ValueError:
        if _TIME.fullmatch(text):
            return text
    else:
        if -1e9 < seconds < 1e9:
            return int(seconds) if seconds == int(seconds) else seconds
    raise BadOption(f"{flag} takes seconds or a time such as 5m, not {text!r}.", "0 unloads the model, -1 keeps it.")


def _variable(flag: str, text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise BadOption(f"{text!r} can't be a variable's name.", f"For example {flag}=answer")
    if text == "_llm":
        raise BadOption("_llm is the last answer's own name.", f"Take another, for example {flag}=answer")
    return text


def _chat(flag: str, text: str) -> str:
    return chat_name(text)


def chat_name(text: str) -> str:
    """A conversation's name, checked: it is a file's name too, when it is saved."""
    if not _CHAT.fullmatch(text):
        raise BadOption(
            f"{text[:80]!r} can't be a conversation's name.", "Take letters, digits, _, - and dots, for example trip-1."
        )
    return text


_MANY = ("image", "tool")
_READ: dict[str, Callable[[str, str], Any]] = {
    "image": _one_more,
    "tool": _one_more,
    "think": _level,
    "timeout": _seconds,
    "keep_alive": _time,
    "into": _variable,
    "chat": _chat,
}
