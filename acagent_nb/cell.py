"""What a cell does once it is parsed: ask, show, keep.

Asked + prompt ──► values filled in ──► a question for each model and value ──► shown ──► _llm, --into, --chat
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

from . import asking, chats, consent, display, filling, keeping, naming, screens
from .errors import BadName, Interrupted, LLMError, ServerDown
from .growing import Growing, in_words
from .messages import Message, Note
from .options import Options, doubts
from .parsing import Asked
from .pump import Errands
from .replies import Reply
from .session import Session


def run(session: Session, asked: Asked, prompt: str) -> None:
    """Ask what a line and its cell say, show the answers, and keep them in the notebook.

    Raises
    ------
    LLMError
        See `Client.chat`; nothing was sent if the line or the cell can't be meant.
    Interrupted
        The user stopped it.
    """
    errands, notes = Errands(), list(_warnings(session, asked))
    answers = _questions(session, asked, prompt, errands, notes)
    answers[0].feed(map(Note, notes))
    answers[0].known_hosts = frozenset(session.told_hosts)
    with _unchanged(asked.chat):
        try:
            display.show(
                answers,
                screens.of(session.shell, plain=asked.plain, quiet=asked.quiet),
                session.place,
                params=session.params,
                pull=asked.pull,
                timeout=asked.timeout,
                fresh=asked.fresh,
                errands=errands,
            )
            session.told_hosts |= {answer.host.url for answer in answers[:1] if answer.host}
        except ServerDown:
            session.forget_host()
            raise
        finally:
            session.answers += answers
            each = [keeping.kept(answer) for answer in answers]
            session.shell.user_ns["_llm"] = each[0].reply if len(each) == 1 else [one.reply for one in each]
        for one in each:
            if one.error is not None:
                raise one.error
    if asked.chat is not None:
        _go_on(session, asked.chat, answers[0], each[0].reply)
    if asked.into is not None:
        value = each[0].value if len(each) == 1 else keeping.together(answers, each)
        session.shell.user_ns[asked.into] = value


def _questions(session: Session, asked: Asked, prompt: str, errands: Errands, notes: list[str]) -> list[Growing]:
    """A question for each model and each combination of values, checked; nothing is sent."""
    if not prompt.strip():
        raise LLMError("The cell is empty: there is nothing to ask.", "Write the prompt below the %%llm line.")
    names, params = session.shell.user_ns, session.params
    models = tuple(filling.filled(each, names)[0] for each in asked.models) or (_usual(session),)
    text, more = filling.filled(prompt.strip("\n"), names)
    notes += more
    chat = _chat(session, asked.chat, notes)
    system = chat.system if asked.system is None else asked.system
    if asked.system is not None:
        system, more = filling.filled(asked.system, names)
        notes += more
    how: dict[str, Any] = {
        "system": system,
        "images": asked.images or None,
        "format": "json" if asked.json else naming.shape(asked.schema, names) if asked.schema else None,
        "think": asked.think,
        "tools": _tools(session, asked, errands),
        "keep_alive": asked.keep_alive,
        "truncate": asked.truncate,
    }
    turns = [*chat.messages, Message("user", text)]
    answers = []
    for model, swept in product(models, _grid(asked)):
        options: dict[str, Any] = dict((session.options | Options.of(asked.options) | swept).sent())
        ask = asking.asked(params, model, turns, **how, **options)
        answers.append(Growing(model, ask, _label(models, model, swept)))
    return answers


def _grid(asked: Asked) -> list[Options]:
    """Each combination of the values of the options that have several."""
    return [Options.of(dict(zip(asked.sweeps, values, strict=True))) for values in product(*asked.sweeps.values())]


def _label(models: Sequence[str], model: str, swept: Options) -> str:
    """What tells an answer from those beside it."""
    told = [model] if len(models) > 1 else []
    told += [f"{name} {in_words(value)}" for name, value in swept.sent().items()]
    return " · ".join(told)


def _tools(session: Session, asked: Asked, errands: Errands) -> list[Any]:
    functions = [naming.tool(name, session.shell.user_ns) for name in asked.tools]
    if functions and not asked.yes:
        consent.somebody_there(session.shell)
        return [consent.asked_first(function, errands) for function in functions]
    return functions


def _usual(session: Session) -> str:
    """The model when none is named; the error tells what there is."""
    name = session.model or session.params.model
    if name is None:
        there = [f"local_{model.removesuffix(':latest')}" for model in session.installed()]
        more = f" The server has {', '.join(there[:8])}{' and more' * (len(there) > 8)}." if there else ""
        example = there[0] if there else "local_tiny"
        raise BadName(
            f"No model is named.{more}", f"Name one, for example: %%llm {example}; or once: %llm use {example}"
        )
    return name


def _chat(session: Session, name: str | None, notes: list[str]) -> chats.Conversation:
    if name is None:
        return chats.Conversation("")
    if name not in session.chats and chats.place(name).exists():
        notes.append(f"This is a new conversation; a saved {name!r} can be brought with: %llm chats load {name}")
    return session.chats.get(name) or chats.Conversation(name)


def _warnings(session: Session, asked: Asked) -> Iterator[str]:
    """What is to be said of the line: what is hardly ever meant; of its own options the panel has told already."""
    yield from dict.fromkeys(doubt for swept in _grid(asked) for doubt in doubts(Options.of(asked.options) | swept))
    if asked.into is not None and hasattr(builtins, asked.into) and asked.into not in session.shell.user_ns:
        yield f"{asked.into} is a name of Python's own, which --into hides now: del {asked.into} brings it back."


@contextmanager
def _unchanged(chat: str | None) -> Iterator[None]:
    """Say of what goes wrong that it is no part of the conversation."""
    try:
        yield
    except (LLMError, Interrupted) as error:
        if chat is not None:
            error.message += f" The conversation {chat!r} is as it was."
        raise


def _go_on(session: Session, name: str, answer: Growing, reply: Reply) -> None:
    """Add a whole answer to its conversation."""
    system = next((turn.content for turn in answer.request.messages if turn.role == "system"), None)
    chat = session.chats.get(name) or chats.Conversation(name)
    session.chats[name] = chat.with_answer(reply, system)
