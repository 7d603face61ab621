"""`%llm chats WORD ...`: list, show, forget, save, load, export and branch conversations.

A function's name is its word; it is called with the session and the words behind it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import chats, terminal
from .chats import Conversation
from .errors import BadOption, LLMError
from .parsing import chat_name

if TYPE_CHECKING:
    from .session import Session

HELP = """%llm chats                           the conversations that are here, and those that are saved
%llm chats show NAME                 what was said
%llm chats save NAME [FILE.json]     keep it for other kernels; without a file, under its name
%llm chats load NAME|FILE.json [AS]  go on with a saved one
%llm chats export NAME FILE.md       write it as Markdown
%llm chats branch NAME NEW [TURNS]   another one with the same beginning
%llm chats forget NAME [--saved]     drop it here, or with --saved the saved one
%llm chats help                      this"""


def run(session: Session, words: list[str]) -> None:
    """Do what the words behind `%llm chats` say.

    Raises
    ------
    BadOption
        There is no such word, or too few or too many.
    LLMError
        There is no such conversation, or its file can't be read or written.
    """
    word, *rest = words or ["list"]
    if word not in _WORDS:
        near = difflib.get_close_matches(word, _WORDS, n=1)
        raise BadOption(
            f"There is no %llm chats {word}.",
            f"Did you mean %llm chats {near[0]}?" if near else f"The words are: {', '.join(_WORDS)}.",
        )
    do, least, most = _WORDS[word]
    if not least <= len(rest) <= most:
        line = next((each for each in HELP.splitlines() if each.startswith(f"%llm chats {word} ")), "%llm chats")
        raise BadOption(f"%llm chats {word} takes other words.", f"Write: {line.split('  ')[0]}")
    do(session, *rest)


def _list(session: Session) -> None:
    """Both kinds in one table."""
    saved = chats.saved()
    names = sorted({*session.chats, *saved})
    if not names:
        return print("There is no conversation. One begins with: %%llm local_tiny --chat trip")
    width = max(len("name"), *map(len, names))
    print(f"{'name':{width}}  {'here':>8}  {'saved':>8}")
    for name in names:
        print(f"{name:{width}}  {_turns(session.chats.get(name)):>8}  {_turns(saved.get(name)):>8}")
    return None


def _show(session: Session, name: str) -> None:
    print(_here(session, name).markdown())


def _save(session: Session, name: str, file: str | None = None) -> None:
    conversation, path = _here(session, name), chats.place(file or name)
    chats.save(conversation, path)
    print(f"{name} is saved: {_turns(conversation)}, in {terminal.path(path)}")


def _load(session: Session, word: str, name: str | None = None) -> None:
    conversation = chats.load(chats.place(word))
    name = chat_name(name or conversation.name)
    here = session.chats.get(name)
    if here is not None and not here.begins(conversation):
        raise LLMError(f"There is another conversation {name!r} here.", f"Load it as: %llm chats load {word} {name}-2")
    session.chats[name] = conversation.branch(name)
    print(f"{name} is here: {_turns(conversation)}; go on with --chat {name}")


def _export(session: Session, name: str, file: str) -> None:
    path = Path(file).expanduser()
    chats.export(_here(session, name), path)
    print(f"{name} is written to {terminal.path(path)}")


def _branch(session: Session, name: str, new: str, turns: str | None = None) -> None:
    conversation = _here(session, name)
    if chat_name(new) in session.chats:
        raise LLMError(f"There is a conversation {new!r} already.", "Give another name.")
    if turns is not None and not turns.isdecimal():
        raise BadOption(f"A number of turns is not {turns!r}.", f"For example: %llm chats branch {name} {new} 1")
    session.chats[new] = branch = conversation.branch(new, None if turns is None else int(turns))
    print(f"{new} is here: {_turns(branch)}; go on with --chat {new}")


def _forget(session: Session, name: str, where: str = "") -> None:
    if where not in ("", "--saved"):
        raise BadOption(f"{where!r} is a word too many.", f"For example: %llm chats forget {name} --saved")
    path = chats.place(chat_name(name))
    if where:
        if not path.exists():
            raise LLMError(f"No conversation {name!r} is saved.", chats.LIST)
        path.unlink()
        return print(f"The saved {name} is deleted.")
    _here(session, name)
    del session.chats[name]
    saved = f" The saved one stays; %llm chats forget {name} --saved deletes it." if path.exists() else ""
    return print(f"{name} is forgotten.{saved}")


def _here(session: Session, name: str) -> Conversation:
    if name in session.chats:
        return session.chats[name]
    if chats.place(name).exists():
        raise LLMError(f"The conversation {name!r} is saved, but not here.", f"Bring it with: %llm chats load {name}")
    near = difflib.get_close_matches(name, session.chats, n=1)
    raise LLMError(f"There is no conversation {name!r}.", f"Did you mean {near[0]}?" if near else chats.LIST)


def _turns(conversation: Conversation | None) -> str:
    if conversation is None:
        return "-"
    return f"{conversation.turns} turn{'s' * (conversation.turns != 1)}"


_WORDS: dict[str, tuple[Callable[..., None], int, int]] = {  # what each one does, and with how many words
    "list": (_list, 0, 0),
    "help": (lambda session: print(HELP), 0, 0),
    "show": (_show, 1, 1),
    "save": (_save, 1, 2),
    "load": (_load, 1, 2),
    "export": (_export, 2, 2),
    "branch": (_branch, 2, 3),
    "forget": (_forget, 1, 2),
}
WORDS = tuple(_WORDS)
