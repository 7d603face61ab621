"""The flags of `%%llm`: the model options of the table, and those of the cell itself; what `%%llm?` shows.

How a line is read by them is in `parsing.py`.
"""

from __future__ import annotations

import textwrap
from typing import NamedTuple

from .options import TABLE, Row


class Flag(NamedTuple):
    """A flag that is no model option.

    Attributes
    ----------
    about
        What it does.
    value
        What the help shows for its value; empty for one that has none.
    example
        A value that could be meant.
    """

    about: str
    value: str = ""
    example: str = ""


GROUPS: dict[str, dict[str, Flag]] = {
    "The question": {
        "model": Flag("The model, as it may also stand in front.", "NAME", "local_tiny"),
        "system": Flag("Instructions that the model follows in its answer.", "TEXT", '"Be brief."'),
        "image": Flag("A picture that belongs to the prompt. Repeat it for more.", "FILE", "plot.png"),
        "tool": Flag(
            "A function of the notebook that the model may call; you are asked first. Repeat it for more.",
            "NAME",
            "get_weather",
        ),
        "yes": Flag("Let the model call these functions without asking you."),
        "chat": Flag("Go on with this conversation, or begin it; see %llm chats.", "NAME", "trip"),
    },
    "The answer": {
        "json": Flag("The answer is JSON, and _llm.value what it says."),
        "schema": Flag(
            "The answer has this shape: a class, a type such as list[Person], or a JSON schema of the notebook.",
            "NAME",
            "Person",
        ),
        "think": Flag("Let the model think first; low, medium, high or max says how hard.", "[LEVEL]", "high"),
        "no_think": Flag("Let it answer at once."),
        "into": Flag(
            "Bind the answer to this name; with --json or --schema its value, a list of objects as a DataFrame.",
            "NAME",
            "answer",
        ),
        "plain": Flag("Show the answer as plain text, without what is told of it below."),
        "quiet": Flag("Show nothing but errors."),
    },
    "The call": {
        "no_pull": Flag("Fail if the server does not have the model, instead of pulling it first."),
        "timeout": Flag("Give up after so many seconds.", "SECONDS", "60"),
        "keep_alive": Flag('How long the model stays loaded: "5m", seconds, 0 not at all, -1 for good.', "TIME", "5m"),
        "truncate": Flag("Cut a prompt that is too long for the model, instead of refusing it."),
        "fresh": Flag("Ask although a recording has the answer; see %llm help record."),
        "help": Flag("Show this text and ask nothing."),
    },
}
OWN = {name: flag for group in GROUPS.values() for name, flag in group.items()}
LEVELS = ("low", "medium", "high", "max")


def named(name: str) -> str:
    """A flag as it is typed: `--num-ctx`."""
    return f"--{name.replace('_', '-')}"


def example(name: str) -> str:
    """A value that a flag could have."""
    if name in OWN:
        return OWN[name].example
    row = TABLE[name]
    return f"{row.high:g}" if row.kind is int and row.high is not None else _EXAMPLES[row.kind]


def help() -> str:
    """What `%%llm?` shows."""
    groups = {
        title: [(f"{named(name)} {flag.value}".rstrip(), flag.about) for name, flag in group.items()]
        for title, group in GROUPS.items()
    }
    groups["Model options"] = [(f"{named(name)} {_KINDS[row.kind]}", _about(row)) for name, row in TABLE.items()]
    width = max(len(flag) for group in groups.values() for flag, _ in group)
    indent = " " * (width + 4)
    told = [_HELP]
    for title, group in groups.items():
        lines = [textwrap.fill(f"  {flag:{width}}  {about}", 100, subsequent_indent=indent) for flag, about in group]
        told.append("\n".join([title, "-" * len(title), *lines]) + "\n")
    return "\n".join(told)


_KINDS = {int: "INTEGER", float: "NUMBER", bool: "true|false", list: "TEXT"}
_EXAMPLES = {int: "40", float: "0.5", bool: "true", list: '"###"'}


def _about(row: Row) -> str:
    """An option's help, with its default and the servers that still know it."""
    told = [row.help]
    if row.kind is list:
        told.append("Repeat it for more; commas stay in it.")
    if row.default is not None:
        told.append(f"(default: {str(row.default).lower() if row.kind is bool else row.default})")
    if row.until:
        told.append(f"[Ollama ignores it since {row.until}]")
    return " ".join(told)


_HELP = """Ask a language model; the cell is the prompt, the answer streams in below it.

  %%llm MODEL [--flag value ...]

A model on an Ollama server is written local_NAME; one that is not there yet is pulled first. A
role of params.toml can stand for a model. Without one, the model of %llm use answers.

Examples
--------
  %%llm local_tiny
  Why is the sky blue?

  %%llm local_llama3.2:1b --temperature 0.2 --seed 42 --system "Answer in one sentence."
  Why is the sky blue?

  %%llm local_tiny --chat trip                          a conversation that goes on over cells
  %%llm local_tiny,gpt-4o-mini                          two models, side by side
  %%llm local_tiny --temperature 0,0.7 --seed 1,2       each with each: four answers
  %%llm local_tiny --schema list[Person] --into people  your class; people is a DataFrame
  %%llm local_tiny --tool get_weather                   your function; you are asked first
  %%llm local_tiny --image plot.png                     for models that can see

  %%llm local_tiny
  What stands out in this table? {{sales.head(20)}}

{{...}} takes a value from the notebook: a name, or an expression such as {{len(rows)}} or
{{df["price"].mean()}}. A DataFrame becomes a Markdown table. Single braces are left alone, and
{{ "{{" }} writes a double one.

In the next cell, _llm is the answer: _llm.text, _llm.value, _llm.stats, _llm.options; with
several answers it is a list of them. Stopping the cell (the square button) stops the model; what
has come stays in _llm, and is not bound by --into nor added to a conversation.

Write - or _ in a flag's name, its value behind a blank or =. Several models or values, parted by
commas, are asked each with each; a list that begins with a minus is best written --seed=-1,2. An
option that you leave out is not sent: then the model's own setting or the server's default holds.

%llm ask PROMPT asks on one line, its flags in front of the prompt: %llm ask --seed 1 Why?
"""
