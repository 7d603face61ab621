"""`nest()`: let `asyncio.run` work in a notebook's cell, where an event loop runs already. Nothing here needs it.

`Client` really blocks, and `AsyncClient` is awaited; this is for a library of yours that calls
`asyncio.run` by itself. It patches Python's asyncio for the whole kernel, so it happens only when asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

from .errors import LLMError, MissingExtra

_LEFT = (
    "It can't be undone before a restart. anyio.run, asyncio.Runner.run and uvloop still fail, "
    "and what runs inside loop.run_until_complete can't be interrupted."
)
_LOSES = (
    "nest_asyncio is no longer maintained, and messages to the kernel can get lost while it runs something: "
    "pip install nest-asyncio2, and restart."
)


def nest() -> None:
    """Let `asyncio.run` work in a cell; prints what was used for it, and what it can't do.

    Takes nest_asyncio2, or nest_asyncio where only that is installed or has been at work already. Where
    no loop runs, `asyncio.run` works by itself and nothing is changed.

    Raises
    ------
    MissingExtra
        Neither is installed.
    LLMError
        The running loop is none of asyncio's own: uvloop's can't be nested.
    """
    import asyncio

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        print("No event loop runs here, so asyncio.run works as it is: nothing was changed.")
        return
    if not isinstance(loop, asyncio.BaseEventLoop):
        raise LLMError(
            f"The running loop is {type(loop).__module__}'s, which can't be nested.",
            "Await instead, or start the kernel with asyncio's own loop.",
        )
    name = _patch(loop)
    more = f" {_LOSES}" if name == "nest_asyncio" else ""
    print(f"asyncio.run works in this kernel now, by {name} {version(name.replace('_', '-'))}. {_LEFT}{more}")


def _patch(loop: object) -> str:
    """Patch asyncio and its running loop; the name of what did it."""
    import asyncio

    # One that was at work before stays: a second one over it would find its own patches half made.
    before = hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2")
    for name in ("nest_asyncio",) if before else ("nest_asyncio2", "nest_asyncio"):
        try:
            import_module(name).apply(loop)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
        else:
            return name
    raise MissingExtra("Nothing that nests event loops is installed.", "Install it: pip install nest-asyncio2")
