"""What the clients are asked beside chats -> the `Question` by which a recording knows it; see `keyed.asked`.

    create("mine", {"file": "a.gguf"})  ─►  Question("create", "local_mine", {"file": ["sha256:..."]})

Files are told by their hashes, never by their paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from . import asking, rounds
from .asking import Asked
from .errors import BadParams
from .keyed import Question, asked, named, some
from .messages import Message, Request
from .modelfile import Modelfile, path_of, read
from .options import Options

_PIECE = 8 << 20  # bytes of a file that are hashed at a time


def first(ask: Asked | Request) -> Question:
    """What is asked first of a question that may go over several rounds."""
    return asked("chat", ask if isinstance(ask, Request) else rounds.opening(ask.request, ask.tools))


def about(kind: str, model: str = "", **said: Any) -> Question:
    """What is asked of an Ollama server itself, or of one of its models."""
    return Question(kind, model and named("ollama", model), some(said))


def create(model: str, how: Mapping[str, Any]) -> Question:
    """A model to make; see `making.making`. Reads the files that it is made of, and tells them by their hashes.

    Raises
    ------
    BadParams, BadPrompt, BadOption
        A file can't be read, or something can't be meant.
    """
    said = {name: how.get(name) for name in ("from_model", "system", "template", "quantize")}
    if told := how.get("modelfile"):
        said["modelfile"] = _modelfile(told if isinstance(told, Modelfile) else read(told))
    if (file := how.get("file")) is not None:
        said["file"] = [_file(each) for each in ([file] if isinstance(file, (str, Path)) else file)]
    if how.get("adapter") is not None:
        said["adapter"] = _file(how["adapter"])
    if parameters := how.get("parameters"):
        said["parameters"] = (parameters if isinstance(parameters, Options) else Options.of(parameters)).sent()
    if how.get("messages") is not None:
        said["messages"] = [_turn(asking.message(turn)) for turn in how["messages"]]
    if license := how.get("license"):
        said["license"] = [license] if isinstance(license, str) else list(license)
    return about("create", model, **said)


def _modelfile(told: Modelfile) -> dict[str, Any]:
    made = msgspec.to_builtins(told) | {"from_": [_part(text) for text in told.from_]}
    made |= {"adapter": _part(told.adapter), "draft": _part(told.draft)}
    return some(made | {"messages": [_turn(turn) for turn in told.messages]})


def _turn(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _part(text: str) -> str:
    """What a Modelfile names: a model, or the hash of a file."""
    path = path_of(text) if text else None
    return _file(path) if path else text


def _file(path: str | Path) -> str:
    path = path_of(str(path)) or Path(path)
    seen = sha256()
    try:
        with path.open("rb") as data:
            while piece := data.read(_PIECE):
                seen.update(piece)
    except OSError as error:
        raise BadParams(f"The file {path} can't be read: {error.strerror}.", "Check the path.") from None
    return f"sha256:{seen.hexdigest()}"
