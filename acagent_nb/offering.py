"""What may stand in a line of `%%llm` or `%llm`: models, flags, their values, names of the notebook, commands.

    line up to the cursor ──► words + the fragment that is typed ──► what may stand there ──► what begins so

What the server has is asked in a thread, for a moment only, and remembered for a while: completing never
starts a server, never waits for a slow one and never raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from threading import Thread
from types import ModuleType
from typing import Any, NamedTuple

from . import flags, lines, names
from .errors import LLMError
from .flags import LEVELS, OWN, named
from .options import TABLE
from .session import Session

PATIENCE = 0.3  # seconds that a completion waits for the server; what comes later is there the next time
_FRESH = 5.0  # seconds for which an answer holds
_GLANCE = 2.0  # seconds after which the thread gives up
_FEW = 4  # whole numbers that are worth listing


class Offer(NamedTuple):
    """What may stand where the cursor is.

    Attributes
    ----------
    fragment
        What is typed of it already.
    kind
        What it is, as JupyterLab shows it beside each word.
    words
        All that could be meant.
    """

    fragment: str
    kind: str
    words: Iterable[str]


class Offering:
    """What may stand where the cursor is, in one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._shelf = _Shelf(session)

    def offers(self, text: list[str], line: int, column: int) -> list[Offer]:
        """What may stand at a place of a cell; of several offers the first counts that holds something."""
        typed = text[line][:column].lstrip()
        magic, blank, rest = typed.partition(" ")
        first = not "".join(text[:line]).strip()
        if not blank or magic not in ("%%llm", "%llm") or (magic == "%%llm" and not first):
            return []
        parted = _parted(rest)
        if parted is None:  # within quotes stands free text
            return []
        words, fragment = parted
        return self._in_a_cell(words, fragment) if magic == "%%llm" else self._on_a_line(words, fragment)

    def _in_a_cell(self, words: list[str], fragment: str, *, models: bool = True) -> list[Offer]:
        """Behind `%%llm`, or with `models` false behind `%llm ask`."""
        flag, sign, value = fragment.partition("=")
        if fragment.startswith("--") and sign:
            return self._value(_bare(flag), value)
        waiting = _bare(words[-1]) if words else ""
        if waiting and ("=" not in words[-1]) and _takes_a_value(waiting):
            return self._value(waiting, fragment)
        unsaid = Offer(fragment, "flag", _unsaid(words))
        if waiting == "think":
            return [Offer(fragment, "value", [*LEVELS, *(unsaid.words if not fragment else ())]), unsaid]
        if not models:
            return [unsaid] if fragment.startswith("-") else []
        several = "," in fragment or (words[-1:] and words[-1].endswith(","))
        if several or not _names_a_model(words):
            last = fragment.rpartition(",")[2]
            return [Offer(last, "model", self._models()), unsaid]
        return [unsaid]

    def _value(self, flag: str, text: str) -> list[Offer]:
        """The values that a flag can have, as far as they can be listed."""
        last = text.rpartition(",")[2]
        if flag in TABLE:
            row = TABLE[flag]
            if row.kind is bool:
                return [Offer(last, "value", ("true", "false"))]
            if row.kind is int and row.low is not None and row.high is not None and row.high - row.low < _FEW:
                return [Offer(last, "value", map(str, range(int(row.low), int(row.high) + 1)))]
            return []
        inner = max(text.rfind(sign) for sign in "[,| ") + 1
        offers: dict[str, Callable[[], Offer]] = {
            "model": lambda: Offer(last, "model", self._models()),
            "think": lambda: Offer(text, "value", (*LEVELS, "true", "false")),
            "keep_alive": lambda: Offer(text, "value", (OWN["keep_alive"].example, "0", "-1")),
            "into": lambda: Offer(text, "instance", self._named(_is_a_value)),
            "tool": lambda: Offer(text, "function", self._named(_is_a_function)),
            "schema": lambda: Offer(text[inner:], "class", [*self._named(_is_a_shape), "list", "dict"]),
            "chat": lambda: Offer(text, "conversation", self._chats()),
        }
        return [offers[flag]()] if flag in offers else []

    def _on_a_line(self, words: list[str], fragment: str) -> list[Offer]:
        """Behind `%llm`."""
        if not words:
            return [Offer(fragment, "command", lines.words())]
        word, *rest = words
        if word == "ask":
            asking = all(each.startswith("-") or _takes_a_value(_bare(before)) for before, each in zip(words, rest))  # noqa: B905 -- each with the one before it
            return self._in_a_cell(rest, fragment, models=False) if asking else []
        if fragment.startswith("-"):
            return [Offer(fragment, "flag", [*_OWN_FLAGS.get(word, ()), "--help"])]
        if word == "chats":
            return self._of_chats(rest, fragment)
        if rest and word != "rm":
            return []
        if word in ("use", "chat"):
            return [Offer(fragment, "model", self._models())]
        if word == "help":
            return [Offer(fragment, "command", lines.words())]
        if word in ("show", "rm", "load", "unload", "pull"):
            return [Offer(fragment, "model", self._bare_models(word, rest, fragment))]
        return []

    def _of_chats(self, words: list[str], fragment: str) -> list[Offer]:
        from .chatting import WORDS

        if not words:
            return [Offer(fragment, "command", WORDS)]
        return [Offer(fragment, "conversation", self._chats())] if len(words) == 1 and words[0] != "list" else []

    def _models(self) -> list[str]:
        """All that could answer: loaded, installed, roles, cloud models with a price, built-in ones."""
        from .builtin import listed

        shelf = self._shelf.models()
        try:
            params = self._session.params
            roles = [*params.roles, *params.prices, *([params.model] if params.model else [])]
            roles += [f"{endpoint}/" for endpoint in params.endpoints]
        except LLMError:  # a file that can't be read; the cell will say so
            roles = []
        local = [*shelf.loaded, *shelf.installed, *listed()]
        return [*(names.LOCAL + name for name in local), *roles]

    def _bare_models(self, word: str, said: list[str], fragment: str) -> list[str]:
        """Names for a command of the server's; with the `local_` if that is typed."""
        from .builtin import listed

        shelf = self._shelf.models()
        some = shelf.loaded if word == "unload" else [*shelf.loaded, *shelf.installed]
        some = [*listed(), *some] if word == "pull" else some
        prefix = names.LOCAL if fragment.startswith("local") else ""
        return [name for name in (prefix + each for each in some) if name not in said]

    def _named(self, fits: Callable[[Any], bool]) -> list[str]:
        """Names of the notebook, without those that IPython put there."""
        shell = self._session.shell
        known = dict(shell.user_ns)
        return sorted(
            name for name, value in known.items() if name[0] != "_" and name not in shell.user_ns_hidden and fits(value)
        )

    def _chats(self) -> list[str]:
        from .chats import folder

        return [*self._session.chats, *sorted(path.stem for path in folder().glob("*.json"))]


class _Told(NamedTuple):
    """What a server has, by names without `local_` and `:latest`."""

    loaded: list[str]
    installed: list[str]


class _Shelf:
    """What the server has, asked at most every few seconds."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told = _Told([], [])
        self._at = 0.0
        self._asking: Thread | None = None

    def models(self) -> _Told:
        """What is known within a moment."""
        if time.monotonic() - self._at > _FRESH or not self._at:
            if self._asking is None or not self._asking.is_alive():
                self._asking = Thread(target=self._ask, name="acagent_nb completion", daemon=True)
                self._asking.start()
            self._asking.join(PATIENCE)
        return self._told

    def _ask(self) -> None:
        from . import answers, hosts
        from .client import Client

        try:
            host = None if answers.host() else self._session.known_host or hosts.running()
            if host is None:
                return
            with answers.beside(), Client(host.url, timeout=_GLANCE, params={}) as client:
                loaded = [each.name for each in client.running()]
                installed = [each.name for each in client.models()]
        except LLMError:  # a server that is down completes nothing
            return
        self._told = _Told(*([name.removesuffix(f":{names.TAG}") for name in each] for each in (loaded, installed)))
        self._at = time.monotonic()


_OWN_FLAGS = {"rm": ("--yes",), "chats": ("--saved",), "record": ("--auto",), "replay": ("--pace",)}


def _parted(text: str) -> tuple[list[str], str] | None:
    """Whole words and the one that is typed; `None` within quotes."""
    words, quote = [""], ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        if letter.isspace() and not quote:
            words.append("")
        else:
            words[-1] += letter
    return None if quote else ([word for word in words[:-1] if word], words[-1])


def _bare(flag: str) -> str:
    """A flag's name with `_`; nothing for what is none."""
    return flag.partition("=")[0][2:].replace("-", "_") if flag.startswith("--") else ""


def _takes_a_value(name: str) -> bool:
    from .parsing import takes_a_value

    return takes_a_value(name)


def _names_a_model(words: list[str]) -> bool:
    """Whether there is a word that is neither a flag nor a flag's value."""
    before = ""
    for word in words:
        if not word.startswith("-") and not (_takes_a_value(_bare(before)) and "=" not in before):
            if not (_bare(before) == "think" and word in LEVELS):
                return True
        elif _bare(word) == "model":
            return True
        before = word
    return False


def _unsaid(words: list[str]) -> list[str]:
    """The flags that can still be said, the cell's own first."""
    said = {_bare(word) for word in words}
    again = {"image", "tool", *(name for name, row in TABLE.items() if row.kind is list)}
    return [named(name) for name in [*flags.OWN, *TABLE] if name not in said - again]


def _is_a_value(value: Any) -> bool:
    return not callable(value) and not isinstance(value, ModuleType)


def _is_a_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_a_shape(value: Any) -> bool:
    return isinstance(value, (type, dict))
