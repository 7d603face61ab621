"""`%llm WORD ...`: the line commands, one function each, all in one table.

A function's name is its word, its docstring the help, with examples below the first line, and it is called
with the session and the rest of the line as words. What takes time to import waits until its command is used.
"""

from __future__ import annotations

import difflib
import inspect
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import server_lines, session_lines
from .errors import BadOption
from .words import nothing_more

if TYPE_CHECKING:
    from .session import Session

Command = Callable[["Session", list[str]], Any]
_COMMANDS: dict[str, Command] = {}
_TYPED = {"ask"}  # they get the rest of the line as it is typed: in a prompt an apostrophe is no quote


def command(function: Command) -> Command:
    """Make a function a command; a trailing underscore of its name, which Python asks for, is not typed."""
    _COMMANDS[function.__name__.strip("_")] = function
    return function


def run(session: Session, line: str) -> Any:
    """Do what a line says; what a command returns is the cell's value.

    Raises
    ------
    BadOption
        There is no such command, or it can't take these words.
    """
    typed = line.split(maxsplit=1)
    if typed and typed[0] in _TYPED:
        return _COMMANDS[typed[0]](session, typed[1:])
    try:
        word, *rest = shlex.split(line) or ["help"]
    except ValueError:
        raise BadOption("The line has a quote without its partner.", "Quotes come in pairs.") from None
    if word in ("-h", "--help"):
        word = "help"
    if {"-h", "--help"} & {*rest}:
        return print(more(word))
    return _named(word)(session, rest)


def words() -> list[str]:
    """All commands, in the order of the help."""
    return list(_COMMANDS)


def help() -> str:
    """What `%llm?` and `%llm help` show."""
    width = max(map(len, _COMMANDS))
    told = (f"  %llm {word:{width}}  {(each.__doc__ or '').splitlines()[0]}" for word, each in _COMMANDS.items())
    return "Line commands of acagent_nb; %%llm MODEL over a cell asks a model, see %%llm?\n\n" + "\n".join(told) + "\n"


def more(word: str) -> str:
    """What `%llm help WORD` and `%llm WORD --help` show."""
    first, _, examples = inspect.cleandoc(_named(word).__doc__ or "").partition("\n\n")
    told = [f"%llm {word}: {first}", *(f"  {line}".rstrip() for line in examples.splitlines())]
    return "\n".join([told[0], "", *told[1:]] if examples else told)


def _named(word: str) -> Command:
    if word not in _COMMANDS:
        near = difflib.get_close_matches(word, _COMMANDS, n=1)
        raise BadOption(
            f"There is no command %llm {word}.",
            f"Did you mean %llm {near[0]}?" if near else f"The commands are: {', '.join(_COMMANDS)}.",
        )
    return _COMMANDS[word]


@command
def help_(session: Session, words: list[str]) -> None:
    """What there is; with a command's word, more about that.

    %llm help
    %llm help pull
    """
    nothing_more(words[1:], "%llm help pull")
    print(more(words[0]) if words else help())


@command
def use(session: Session, words: list[str]) -> None:
    """The model, or role, that answers when a cell names none.

    %llm use local_tiny
    """
    name, *rest = words or [""]
    nothing_more(rest, "%llm use local_tiny")
    if name:
        session.params.target(name)
        session.model = name
    usual = session.model or session.params.model
    print(f"{usual} answers if no model is named." if usual else "No model is chosen; for example: %llm use local_tiny")


@command
def ask(session: Session, words: list[str]) -> None:
    """Ask on one line, flags first.

    %llm ask Why is the sky blue?
    %llm ask --temperature 0.2 --into why Why is the sky blue?

    Its flags are those of %%llm.
    """
    from .flags import help
    from .parsing import one_line

    asked, prompt = one_line("".join(words))
    if asked.help:
        return print(help())
    if not prompt.strip():
        raise BadOption("There is nothing to ask.", "For example: %llm ask Why is the sky blue?")
    from . import cell

    return cell.run(session, asked, prompt)


@command
def chats(session: Session, words: list[str]) -> None:
    """Conversations of --chat: list, show, save, load, export, branch, forget.

    %llm chats
    %llm chats help
    """
    from . import chatting

    chatting.run(session, words)


@command
def options(session: Session, words: list[str]) -> Any:
    """A panel for all model options; %%llm uses what it sends.

    %llm options
    """
    nothing_more(words, "%llm options")
    from .widgets.options_panel import OptionsPanel

    if session.panel is None:
        session.panel = OptionsPanel(params=session.params, model=session.model)
    return session.panel


@command
def models(session: Session, words: list[str]) -> Any:
    """The models of the server: what is there and loaded; pull, unload, delete.

    %llm models
    """
    nothing_more(words, "%llm models")
    from .widgets.model_manager import ModelManager

    return ModelManager(params=session.params)


@command
def disk(session: Session, words: list[str]) -> None:
    """What the models use on the server's disk, what is free, and docker's own sums.

    %llm disk
    """
    nothing_more(words, "%llm disk")
    from .machine import disk_text
    from .tables import show_machine

    show_machine(disk_text(session.host(), session.params), session.shell)


@command
def logs(session: Session, words: list[str]) -> None:
    """The last lines of the server's log.

    %llm logs
    %llm logs 200
    """
    from .machine import FOLLOW, logs_text
    from .tables import show_machine

    if {"-f", "--follow"} & {*words}:
        raise BadOption("A cell can't follow a log: it would never end.", f"Type in a terminal: {FOLLOW}")
    count, *rest = words or ["40"]
    nothing_more(rest, "%llm logs 200")
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= 10_000):
        raise BadOption(f"{count!r} is no number of lines from 1 to 10000.", "For example: %llm logs 200")
    show_machine(logs_text(int(count)), session.shell)


@command
def chat(session: Session, words: list[str]) -> Any:
    """A small chat with a model, with the panel's options.

    %llm chat
    %llm chat local_tiny
    """
    from .widgets.chat_panel import ChatPanel

    model, *rest = words or [session.model or ""]
    nothing_more(rest, "%llm chat local_tiny")
    return ChatPanel(model=model or None, params=session.params, options=lambda: session.options)


for _each in (*server_lines.COMMANDS, *session_lines.COMMANDS):
    command(_each)
