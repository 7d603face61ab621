"""A Modelfile, read and written: `read(Path("Modelfile"))` -> `Modelfile(("tiny",), system="Be brief.")`.

The grammar is Ollama's (`parser/parser.go`): a word, in any case, and its value on a line. A value in one or in
three double quotes may go over several lines; it ends with quotes at the end of a line, so nothing in it is ever
escaped. A `#` begins a comment where a word could stand, and nowhere else. The one difference: Ollama drops
characters that can't be printed, such as the joiners inside of emoji, and here they are kept.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from msgspec import Struct, convert

from .errors import BadOption, BadParams
from .messages import Message
from .options import TABLE, Value, check

_WORDS = (
    *("FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "ADAPTER", "LICENSE", "MESSAGE"),
    *("REQUIRES", "RENDERER", "PARSER", "DRAFT"),
)
_ROLES = ("system", "user", "assistant")
GONE = {"f16_kv": "0.7.0", "logits_all": "0.7.0"}  # Ollama's command still takes them, with a warning
_START = "Start it with FROM and a model's name, or the path of a GGUF file."

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)*")
_WORD = re.compile(r"[A-Za-z]+(?=[ \t])")
_NAME = re.compile(r"[ \t]+([A-Za-z0-9_]+)(?=[ \t])")
_END = r"[ \t]*(?=[\r\n]|\Z)"
_VALUES = (  # a value by how it begins
    re.compile(rf'[ \t]*"""(.*?)"""{_END}', re.DOTALL),
    re.compile(rf'[ \t]*"(?!"")(.*?)"{_END}', re.DOTALL),
)
_PLAIN = re.compile(r'[ \t]*((?![ \t"])[^\r\n]*)')
_VERSION = re.compile(r"v?(\d+(?:\.\d+(?:\.\d+(?:[-+][0-9A-Za-z.+-]+)?)?)?)", re.ASCII)
_TRUE, _FALSE = {"1", "t", "T", "true", "True", "TRUE"}, {"0", "f", "F", "false", "False", "FALSE"}


class Modelfile(Struct, frozen=True):
    """What a model is made of; `str()` of it is its text.

    Attributes
    ----------
    from_
        A model's name, or the paths of GGUF files, of which there may be several: a model and its eyes.
    parameters
        Option names to values, each of the kind that the options' table gives; `stop` is a list.
    template, system
        Go's template for the prompts, and what every conversation begins with; empty if not said.
    adapter
        The path of a LoRA adapter.
    license, messages
        Its licenses, and the turns that every conversation begins with.
    requires
        The first version of Ollama that can use it.
    renderer, parser, draft
        Built-in ways of Ollama's to write prompts and read answers, and the path of a draft model.
    """

    from_: tuple[str, ...]
    parameters: dict[str, Value] = {}
    template: str = ""
    system: str = ""
    adapter: str = ""
    license: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    requires: str = ""
    renderer: str = ""
    parser: str = ""
    draft: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each parameter that today's servers ignore."""
        since = {name: row.until for name, row in TABLE.items() if row.until} | GONE
        return tuple(
            f"The parameter {name} has no effect since Ollama {since[name]}."
            for name in self.parameters
            if name in since
        )

    def __str__(self) -> str:
        """Its text. Raises `BadParams` for a value that the grammar has no way to write."""
        said = [("FROM", name) for name in self.from_]
        said += [(f"PARAMETER {name}", text) for name, value in self.parameters.items() for text in _texts(value)]
        for word in ("template", "system", "adapter", "requires", "renderer", "parser", "draft"):
            if text := getattr(self, word):
                said.append((word.upper(), text))
        said += [("LICENSE", text) for text in self.license]
        said += [(f"MESSAGE {turn.role}", turn.content) for turn in self.messages]
        return "".join(f"{word} {_quoted(text)}\n" for word, text in said)


def read(source: str | Path) -> Modelfile:
    """Read a Modelfile.

    Parameters
    ----------
    source
        Its text, or its path. Relative paths in it start from its folder, or from the current one for a text.

    Raises
    ------
    BadParams
        With the number of the line, and what should stand there.
    """
    if not isinstance(source, (str, Path)):
        raise BadParams(f"A Modelfile is a path or a text, not {type(source).__name__}.", _START)
    path = source if isinstance(source, Path) else Path(source) if _is_file(source) else None
    if path is None and len(str(source).split()) == 1 and str(source).strip().upper() not in _WORDS:
        raise BadParams(f"There is no file {source!r}.", "Check the path, or give the text of a Modelfile.")
    text = str(source) if path is None else _text_of(path)
    folder = Path.cwd() if path is None else path.absolute().parent
    found: dict[str, Any] = {"from_": [], "parameters": {}, "license": [], "messages": []}
    for line in _lines(text):
        _READ.get(line.word, _keep)(line, folder, found)
    if not found["from_"]:
        raise BadParams("The Modelfile has no FROM line.", _START)
    return convert(found, Modelfile)


def path_of(text: str) -> Path | None:
    """The path that this looks like, whether or not there is a file; `None` for what can be a model's name."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # the home of somebody who is not known here
        path = Path(text)
    looks = path.is_absolute() or text.startswith((".", "~")) or text.lower().endswith(".gguf")
    return path if looks else None


def typed(name: str, text: str) -> Value:
    """A parameter's value out of its text; `BadOption` if there is no such parameter, or not with this value."""
    kind = bool if name in GONE else TABLE[name].kind if name in TABLE else list
    value: Any = text
    if kind is bool and text in _TRUE | _FALSE:
        value = text in _TRUE
    elif kind in (int, float) and text.isascii() and "_" not in text:
        with suppress(ValueError):  # the check will say what it should have been
            value = float(text) if kind is float or not text.lstrip("+-").isdigit() else int(text)
    if name in GONE and isinstance(value, bool):
        return value
    return check(name, value)


class _Line(NamedTuple):
    """A word and its value; a parameter's name, or a message's role, stands before the value."""

    number: int
    word: str
    name: str
    value: str

    def wrong(self, what: str, hint: str = "") -> NoReturn:
        raise BadParams(f"Line {self.number} of the Modelfile: {what}", hint)


def _lines(text: str) -> Iterator[_Line]:
    """All that is said; a value may be of many lines, and its number is where it begins."""
    at = _end(_BLANK, text, 0)
    while at < len(text):
        number = text.count("\n", 0, at) + 1
        here = _Line(number, re.split(r"[ \t\r\n]", text[at : at + 100], maxsplit=1)[0], "", "")
        word = here.word.upper()
        if word not in _WORDS:
            near = difflib.get_close_matches(word, _WORDS, n=1, cutoff=0.5)
            here.wrong(
                f"there is no instruction {here.word!r}.",
                f"Did you mean {near[0]}?" if near else f"The instructions are {', '.join(_WORDS)}.",
            )
        if not (found := _WORD.match(text, at)):
            here.wrong(f"{word} has no value.", "Write the value behind it, in the same line.")
        at, name = found.end(), ""
        if word in ("PARAMETER", "MESSAGE"):
            if not (found := _NAME.match(text, at)):
                example = "PARAMETER temperature 0.2" if word == "PARAMETER" else "MESSAGE user Hello!"
                here.wrong(f"{word} needs two things behind it.", f"Write it like this: {example}")
            at, name = found.end(), found[1]
        if (read := _value(text, at)) is None:
            here.wrong("quotes are opened and never closed.", "Close them at the end of a line.")
        value, at = read
        yield _Line(number, word, name, value)
        at = _end(_BLANK, text, at)


def _from(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    if not line.value:
        line.wrong("FROM has no value.", _START)
    path = path_of(line.value)
    if path is None and _is_file(folder / line.value):  # so Ollama, too, tells a file from a name
        path = Path(line.value)
    found["from_"].append(line.value if path is None else str(folder / path))


def _file(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    if line.word.lower() in found:
        line.wrong(f"there is a second {line.word}, and a model has one.", "Merge them, or leave one out.")
    if not line.value:
        line.wrong(f"{line.word} has no value.", "Give the path of a GGUF file.")
    found[line.word.lower()] = str(folder / (path_of(line.value) or line.value))


def _parameter(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    try:
        value = typed(line.name, line.value)
    except BadOption as error:
        line.wrong(error.message, error.hint)
    if isinstance(value, list):
        value = [*found["parameters"].get(line.name, []), *value]
    found["parameters"][line.name] = value


def _license(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    found["license"].append(line.value)


def _message(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    if line.name not in _ROLES:
        line.wrong(f"there is no role {line.name!r}.", f"The roles are {', '.join(_ROLES)}.")
    found["messages"].append(Message(line.name, line.value))


def _requires(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    if not (version := _VERSION.fullmatch(line.value)):
        line.wrong(f"{line.value!r} is no version.", "Versions look like 0.14.0.")
    found["requires"] = version[1]


def _keep(line: _Line, folder: Path, found: dict[str, Any]) -> None:
    found[line.word.lower()] = line.value  # of several, the last one counts


_READ = {
    "FROM": _from,
    "ADAPTER": _file,
    "DRAFT": _file,
    "PARAMETER": _parameter,
    "LICENSE": _license,
    "MESSAGE": _message,
    "REQUIRES": _requires,
}


def _texts(value: Value) -> list[str]:
    """A parameter's value as it stands in a file, one text for each line."""
    if isinstance(value, list):
        return value
    return [str(value).lower() if isinstance(value, bool) else repr(value)]


def _quoted(text: str) -> str:
    """A value in the quotes that it needs, which are those with which it is read back as it was."""
    for way in (*([text] if text else []), f'"{text}"', f'"""{text}"""'):
        if _value(way, 0) == (text, len(way)):
            return way
    raise BadParams(
        'A Modelfile has no way to say a text of several lines in which one ends with """.',
        "Put something behind the quotes in that line.",
    )


def _value(text: str, at: int) -> tuple[str, int] | None:
    """The value that begins here and where it ends; `None` if its quotes are never closed."""
    for pattern in _VALUES:
        if found := pattern.match(text, at):
            return found[1], found.end()
    plain = _PLAIN.match(text, at)
    return (plain[1].strip(), plain.end()) if plain else None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _is_file(path: str | Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a text that is much too long for a path, or holds what none can
        return False


def _text_of(path: Path) -> str:
    """What the file says, in UTF-8, or in UTF-16 if it begins as Windows begins such files."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadParams(f"The Modelfile {path} can't be read: {error.strerror}.", "Check the path.") from None
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise BadParams(f"{path} is no text, and so no Modelfile.", "A GGUF file is named in FROM.") from None
