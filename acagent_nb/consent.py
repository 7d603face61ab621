"""A function that a model may call only if the user says so, each time.

The model's call comes in the thread that reads the answer; the user is asked in the one that draws it.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from .chats import shown
from .errors import BadOption
from .messages import ToolCall
from .pump import Errands

_LONGEST = 2000  # letters of a call that are shown; nobody reads more before an answer

ALLOW = "Write --yes if the model may call these functions without asking."


def asked_first(function: Callable[..., Any], errands: Errands) -> Callable[..., Any]:
    """The same function, which asks before it does anything.

    Whoever is refused is told so by a `PermissionError`: the model reads it, and goes on without.
    """

    @functools.wraps(function)
    def asking(*places: Any, **arguments: Any) -> Any:
        named = inspect.signature(function).bind(*places, **arguments).arguments
        call = ToolCall(getattr(function, "__name__", "this"), named)
        if not errands.run(functools.partial(_allowed, call)):
            raise PermissionError("The user did not allow this call.")
        return function(*places, **arguments)

    return asking


def somebody_there(shell: Any) -> None:
    """Refuse to begin where nobody could be asked; `BadOption` says what to do."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        there = sys.stdin is not None and not sys.stdin.closed
    else:
        there = bool(kernel.get_parent().get("content", {}).get("allow_stdin", False))
    if not there:
        raise BadOption("Nobody is there who could be asked before a function is called.", ALLOW)


def _allowed(call: ToolCall) -> bool:
    told = shown(call)
    told = told if len(told) <= _LONGEST else f"{told[:_LONGEST]}… ({len(told):,} letters)"
    told = "".join(letter if letter.isprintable() else "�" for letter in told)
    try:
        return input(f"Call {told}? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, OSError):  # nobody is there after all
        return False
