"""What the widgets share: work that goes on while the page stays alive, and words for what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from html import escape
from typing import Any

from ..errors import Interrupted, LLMError


class Work:
    """One thing at a time that a widget does in the background, in the kernel's own event loop.

    A blocking call would hold up every message of the page; a task of the loop does not.

    Parameters
    ----------
    failed
        Told what went wrong, as HTML of at most two lines.
    """

    def __init__(self, failed: Callable[[str], None]) -> None:
        self._failed = failed
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether it is at work."""
        return self._task is not None and not self._task.done()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin; what is under way is stopped first."""
        self.stop()
        self._task = asyncio.ensure_future(self._guarded(work))
        self._task.add_done_callback(lambda _: work.close())  # it may have been stopped before it began
        return self._task

    def stop(self) -> None:
        """End it now; its connection is closed, and the server stops."""
        if self._task is not None:
            self._task.cancel()

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (LLMError, Interrupted) as error:
            self._failed(two_lines(error))


def two_lines(error: LLMError | Interrupted) -> str:
    """An error as HTML: what happened, and what to do."""
    hint = f"<br>{escape(error.hint)}" if error.hint else ""
    message = f'<b style="color: var(--jp-error-color0, #b71c1c)">{type(error).__name__}</b>: {escape(error.message)}'
    return f'<div role="alert" style="line-height: 1.5">{message}{hint}</div>'
