"""A chat -> the text of a cell: the question as `%%llm`, the conversation as Python, the code of an answer."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from ..messages import Message
from ..options import Options

_PYTHON = {"", "python", "py", "python3", "ipython"}


def question(model: str, messages: Sequence[Message], options: Options) -> str:
    """The last question as a `%%llm` cell, without what was said before; empty if its line can't hold it all.

    Parameters
    ----------
    model
        As the user wrote it.
    messages
        The conversation, a system prompt first if there is one.
    options
        What is sent.
    """
    words = [model]
    if messages and messages[0].role == "system":
        words += ["--system", _plain(messages[0].content)]
    for name, value in options.sent().items():
        texts = value if isinstance(value, list) else [str(value).lower() if isinstance(value, bool) else str(value)]
        for text in texts:
            words += [f"--{name.replace('_', '-')}", text]
    # A value that looks like a flag would be taken for the next one.
    joined = [f"{word}={value}" for word, value in zip(words[1::2], words[2::2], strict=True)]
    line = shlex.join(words if not any(value.startswith("--") for value in words[2::2]) else [model, *joined])
    asked = [message.content for message in messages if message.role == "user"]
    return f"%%llm {line}\n{_plain(asked[-1])}" if asked and "\n" not in line else ""


def python(model: str, messages: Sequence[Message], options: Options) -> str:
    """Everything up to the last question as Python; empty if nothing was asked."""
    asked = [place for place, message in enumerate(messages) if message.role == "user"]
    if not asked:
        return ""
    turns = "".join(f"            {_turn(message)!r},\n" for message in messages[: asked[-1] + 1])
    settings = "".join(f"        {name}={value!r},\n" for name, value in options.sent().items())
    call = f"reply = client.chat(\n        {model!r},\n        [\n{turns}        ],\n{settings}    )"
    return f"from acagent_nb import Client\n\nwith Client() as client:\n    {call}\nprint(reply.text)"


def code(text: str) -> str:
    """The Python in an answer, one block after the other; empty if there is none."""
    from markdown_it import MarkdownIt

    blocks = [
        token.content.strip("\n")
        for token in MarkdownIt("commonmark").parse(text)
        if token.type == "fence" and token.info.strip().lower().partition(" ")[0] in _PYTHON
    ]
    return "\n\n".join(block for block in blocks if block)


def _plain(text: str) -> str:
    """A text in which no double brace is filled with a value of the notebook."""
    return text.replace("{{", '{{ "{{" }}')


def _turn(message: Message) -> dict[str, object]:
    """A message as a dict of what it has."""
    return {name: value for name, value in msgspec.to_builtins(message).items() if value}
