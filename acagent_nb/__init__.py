"""Language models as first-class citizens of a Jupyter notebook.

`%load_ext acagent_nb`, then `%%llm local_tiny` over a cell; in Python, `Client` and `AsyncClient`.
Every public name is loaded when it is first used, so that importing the package costs nothing.

PYTEST_DONT_REWRITE: the package has a pytest plugin, but no tests' asserts; and it may be loaded before pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .answers import record as record
    from .answers import replay as replay
    from .asynchronous import AsyncClient as AsyncClient
    from .client import Client as Client
    from .errors import BadAnswer as BadAnswer
    from .errors import BadName as BadName
    from .errors import BadOption as BadOption
    from .errors import BadParams as BadParams
    from .errors import BadPrompt as BadPrompt
    from .errors import Busy as Busy
    from .errors import ContextTooLong as ContextTooLong
    from .errors import DiskFull as DiskFull
    from .errors import Incapable as Incapable
    from .errors import Incomplete as Incomplete
    from .errors import Interrupted as Interrupted
    from .errors import KeyMissing as KeyMissing
    from .errors import LLMError as LLMError
    from .errors import MissingExtra as MissingExtra
    from .errors import ModelMissing as ModelMissing
    from .errors import NotRecorded as NotRecorded
    from .errors import OutOfMemory as OutOfMemory
    from .errors import Refused as Refused
    from .errors import ServerDown as ServerDown
    from .errors import ServerError as ServerError
    from .errors import TimedOut as TimedOut
    from .errors import Warned as Warned
    from .explained import explain as explain
    from .hosts import Host as Host
    from .loops import nest as nest
    from .messages import Done as Done
    from .messages import Message as Message
    from .messages import Note as Note
    from .messages import Pulling as Pulling
    from .messages import Stats as Stats
    from .messages import Text as Text
    from .messages import Thinking as Thinking
    from .messages import ToolCall as ToolCall
    from .messages import ToolResult as ToolResult
    from .modelfile import Modelfile as Modelfile
    from .models import Details as Details
    from .models import Model as Model
    from .models import Running as Running
    from .models import Shown as Shown
    from .models import Version as Version
    from .options import Options as Options
    from .origins import provenance as provenance
    from .params import Endpoint as Endpoint
    from .params import Params as Params
    from .presets import PRESETS as PRESETS
    from .presets import Preset as Preset
    from .replies import Reply as Reply
    from .widgets.chat_panel import ChatPanel as ChatPanel
    from .widgets.model_manager import ModelManager as ModelManager
    from .widgets.options_panel import OptionsPanel as OptionsPanel

_ROOMS = {  # which room each public name lives in
    "answers": ("record", "replay"),
    "asynchronous": ("AsyncClient",),
    "client": ("Client",),
    "errors": (
        "BadAnswer",
        "BadName",
        "BadOption",
        "BadParams",
        "BadPrompt",
        "Busy",
        "ContextTooLong",
        "DiskFull",
        "Incapable",
        "Incomplete",
        "Interrupted",
        "KeyMissing",
        "LLMError",
        "MissingExtra",
        "ModelMissing",
        "NotRecorded",
        "OutOfMemory",
        "Refused",
        "ServerDown",
        "ServerError",
        "TimedOut",
        "Warned",
    ),
    "explained": ("explain",),
    "hosts": ("Host",),
    "loops": ("nest",),
    "messages": ("Done", "Message", "Note", "Pulling", "Stats", "Text", "Thinking", "ToolCall", "ToolResult"),
    "modelfile": ("Modelfile",),
    "models": ("Details", "Model", "Running", "Shown", "Version"),
    "options": ("Options",),
    "params": ("Endpoint", "Params"),
    "presets": ("PRESETS", "Preset"),
    "origins": ("provenance",),
    "replies": ("Reply",),
    "widgets.chat_panel": ("ChatPanel",),
    "widgets.model_manager": ("ModelManager",),
    "widgets.options_panel": ("OptionsPanel",),
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
    """Give an IPython `shell` the magics; `%load_ext acagent_nb` calls this."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Take the magics away from a `shell` again; `%unload_ext` and `%reload_ext` call this."""
    from .magics import unload

    unload(shell)
