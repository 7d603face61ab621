"""Language models as first-class citizens of a Jupyter notebook.

`%load_ext acagent_nb`, then `%%llm local_tiny` over a cell; in Python, `Client` and `AsyncClient`.
Every public name is loaded when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .client import AsyncClient as AsyncClient
    from .client import Client as Client
    from .errors import BadName as BadName
    from .errors import BadOption as BadOption
    from .errors import ContextTooLong as ContextTooLong
    from .errors import Incomplete as Incomplete
    from .errors import Interrupted as Interrupted
    from .errors import LLMError as LLMError
    from .errors import MissingExtra as MissingExtra
    from .errors import ModelMissing as ModelMissing
    from .errors import ServerDown as ServerDown
    from .errors import ServerError as ServerError
    from .messages import Done as Done
    from .messages import Message as Message
    from .messages import Model as Model
    from .messages import Pulling as Pulling
    from .messages import Reply as Reply
    from .messages import Running as Running
    from .messages import Shown as Shown
    from .messages import Stats as Stats
    from .messages import Text as Text
    from .messages import Thinking as Thinking
    from .messages import ToolCall as ToolCall
    from .messages import Version as Version
    from .options import Options as Options

_ROOMS = {  # which room each public name lives in
    "client": ("AsyncClient", "Client"),
    "errors": (
        "BadName",
        "BadOption",
        "ContextTooLong",
        "Incomplete",
        "Interrupted",
        "LLMError",
        "MissingExtra",
        "ModelMissing",
        "ServerDown",
        "ServerError",
    ),
    "messages": (
        "Done",
        "Message",
        "Model",
        "Pulling",
        "Reply",
        "Running",
        "Shown",
        "Stats",
        "Text",
        "Thinking",
        "ToolCall",
        "Version",
    ),
    "options": ("Options",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["load_ipython_extension", "unload_ipython_extension", *_ROOM_OF]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def load_ipython_extension(shell: Any) -> None:
    """Give an IPython shell the magics; `%load_ext acagent_nb` calls this."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away again; `%unload_ext` and `%reload_ext` call this."""
    from .magics import unload

    unload(shell)
