"""Conversations that go on over cells: `--chat NAME`, and what `%llm chats` does with them.

    cell ──► Conversation.with_answer ──► the next cell ──► ... ──► save ──► load, in another kernel

One lives as long as its kernel. Nothing is saved or loaded unasked: a notebook that is run from its
top shall begin where it began the last time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from . import whole
from .errors import LLMError
from .messages import Message, ToolCall
from .replies import Reply


class Conversation(Struct, frozen=True):
    """What was said so far.

    Attributes
    ----------
    name
        As `--chat` has it.
    system
        The instructions that hold from now on.
    messages
        All turns, oldest first, without the instructions.
    """

    name: str
    system: str | None = None
    messages: tuple[Message, ...] = ()

    @property
    def turns(self) -> int:
        """How many questions were answered."""
        return sum(message.role == "user" for message in self.messages)

    def with_answer(self, reply: Reply, system: str | None) -> Conversation:
        """The same with one turn more, as a whole answer carries it."""
        said = reply.messages[1:] if system and reply.messages else reply.messages
        return Conversation(self.name, system, said)

    def branch(self, name: str, turns: int | None = None) -> Conversation:
        """Another one with the same beginning; `turns` says how much of it, all if left out."""
        asked = [place for place, message in enumerate(self.messages) if message.role == "user"]
        end = len(self.messages) if turns is None or turns >= len(asked) else asked[turns]
        return Conversation(name, self.system, self.messages[:end])

    def begins(self, other: Conversation) -> bool:
        """Whether the other one is this one, or goes on from it."""
        return self.messages == other.messages[: len(self.messages)]

    def markdown(self) -> str:
        """To be read by people."""
        return "\n\n".join([f"# {self.name}", *self._parts()]) + "\n"

    def _parts(self) -> Iterator[str]:
        if self.system:
            yield f"## Instructions\n\n{self.system}"
        for message in self.messages:
            pictures = len(message.images)
            told = [f"*{pictures} picture{'s' * (pictures > 1)}*"] if pictures else []
            told += [message.content] if message.content else []
            told += [f"```\n{shown(call)}\n```" for call in message.tool_calls]
            title = f"Tool {message.tool_name}" if message.role == "tool" else message.role.capitalize()
            yield "\n\n".join([f"## {title}", *told])


def shown(call: ToolCall) -> str:
    """A call as Python would write it: `get_weather(city="Rome")`."""
    return f"{call.name}({', '.join(f'{name}={_word(value)}' for name, value in call.arguments.items())})"


def _word(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def folder() -> Path:
    """Where the saved conversations of this user lie."""
    from platformdirs import user_data_path

    return user_data_path("acagent_nb") / "chats"


def place(word: str) -> Path:
    """The file that a name, or a path with a slash or an ending in it, means."""
    if word.endswith(".json") or "/" in word or os.sep in word:
        return Path(word).expanduser()
    return folder() / f"{word}.json"


def saved() -> dict[str, Conversation]:
    """The conversations that were saved by name; a file that can't be read is passed over."""
    there = {}
    for path in sorted(folder().glob("*.json")):
        try:
            there[path.stem] = load(path)
        except LLMError:  # what else lies in the folder is no matter of a list's
            continue
    return there


def save(conversation: Conversation, path: Path) -> None:
    """Write it, whole or not at all; only this user may read it.

    Raises
    ------
    LLMError
        Something else is there that would be lost, or it can't be written.
    """
    if path.exists():
        try:
            lost = not load(path).begins(conversation)
        except LLMError:  # another program's file
            lost = True
        if lost:
            raise LLMError(
                f"{path} holds something else, which would be lost.",
                f"Save it elsewhere, for example: %llm chats save {conversation.name} {conversation.name}-2.json",
            )
    _written(path, msgspec.json.format(msgspec.json.encode(conversation), indent=1))


def export(conversation: Conversation, path: Path) -> None:
    """Write it as Markdown; `LLMError` if another file is there or it can't be written."""
    text = conversation.markdown().encode(errors="replace")
    title = text.partition(b"\n")[0]
    if path.exists() and not path.read_bytes().startswith(title):
        raise LLMError(f"{path} holds something else, which would be lost.", "Give another file's name.")
    _written(path, text)


def load(path: Path) -> Conversation:
    """Read what `save` wrote; `LLMError` if it is not there, or is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Conversation)
    except OSError as error:
        raise LLMError(f"The conversation {path} can't be read: {error.strerror}.", LIST) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LLMError(f"{path} holds no conversation.", LIST) from None


LIST = "%llm chats lists those that are here or saved."


def _written(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.write(path, data, private=True)
    except OSError as error:
        raise LLMError(f"{path} can't be written: {error.strerror}.", "Give another file's name.") from None
