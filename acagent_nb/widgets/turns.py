"""One turn of a chat on the page: the user's words as they are, a model's as safe Markdown.

An answer is drawn by `page.py`, as under a `%%llm` cell, and ever less often as it gets dear: nothing but
the HTML of this one turn goes to the page.
"""

from __future__ import annotations

import asyncio
import time
from html import escape
from typing import Any

from ipywidgets import HTML

from .. import render
from ..growing import Growing
from ..messages import Message
from ..page import Page

SHORTEST = 1 / 12  # seconds between two drawings
_BYTES_A_SECOND = 500_000  # what a page can take for long without getting slow

_MUTED = "color: var(--jp-ui-font-color2, #707070)"
_TINT = "background-color: var(--jp-layout-color2, rgba(128, 128, 128, 0.12))"
_BOX = "max-width: 52em; padding-left: var(--jp-code-padding, 5px)"  # as page.py draws an answer
_YOU = f"max-width: 52em; box-sizing: border-box; padding: 6px 12px; border-radius: 6px; {_TINT}"
_WORDS = "white-space: pre-wrap; overflow-wrap: anywhere"
# The classes give JupyterLab's own look of Markdown, which a widget does not have by itself.
_SHELL = '<div class="jp-RenderedHTMLCommon" style="line-height: 1.6; padding: 0; font-size: inherit">{}</div>'


class Turn:
    """One turn, and the widget that shows it.

    Parameters
    ----------
    message
        What was said; `None` for an answer that is still to come.

    Attributes
    ----------
    answer
        The answer while it grows, and once it has ended; `None` for what was said before.
    error
        What went wrong, as safe HTML; empty if nothing did.
    view
        The widget.
    """

    def __init__(self, message: Message | None = None) -> None:
        self.answer: Growing | None = None
        self.error = ""
        self.view = HTML()
        self._message = message
        self._page = Page()
        self._drawn: Any = None
        self.draw()

    @property
    def message(self) -> Message | None:
        """What was said, as the model is told it later; `None` as long as there is not a word."""
        if self._message is None and self.answer is not None:
            asked, told = self.answer.request.messages, self.answer.reply().messages
            said = told[-1] if len(told) > len(asked) else None
            if not self.answer.ended:
                return said
            self._message = said
        return self._message

    @property
    def role(self) -> str:
        """Who speaks."""
        return self._message.role if self._message is not None else "assistant"

    def html(self) -> str:
        """The turn as it is now: no script, no image, nothing that is fetched."""
        error = f'<div style="{_BOX}">{self.error}</div>' if self.error else ""
        if self.answer is not None:
            nothing = not (self.answer.text or self.answer.thinking)
            told = "" if error and nothing else self._page.html(self.answer)
        elif self._message is None:
            told = ""
        elif self.role == "user":
            told = _user(self._message)
        else:
            told = _said(self._message)
        return _SHELL.format(told + error)

    def text(self) -> str:
        """The turn for a terminal."""
        name = "You" if self.role == "user" else self.answer.name if self.answer else self.role
        said = self.answer.text if self.answer else self._message.content if self._message else ""
        facts = f"\n({' · '.join(self.answer.facts()[1:])})" if self.answer and self.answer.ended else ""
        return f"{name}: {said}{facts}"

    def draw(self) -> float:
        """Show it as it is now; gives back how many seconds to wait before the next time."""
        began = time.perf_counter()
        self._drawn = self._state()
        self.view.value = html = self.html()
        return max(SHORTEST, 4 * (time.perf_counter() - began), len(html) / _BYTES_A_SECOND)

    async def keep_drawing(self) -> None:
        """Show what comes and the time that passes, until it is cancelled."""
        pause = self.draw()
        while True:
            await asyncio.sleep(pause)
            pause = self.draw() if self._state() != self._drawn else SHORTEST

    def _state(self) -> Any:
        """What the drawing depends on."""
        grows = self.answer
        return grows and (len(grows.text), len(grows.thinking), grows.pulling, grows.status, int(grows.seconds))


def _user(message: Message) -> str:
    pictures = f'<div style="{_MUTED}; font-size: 12px">{_pictures(message)}</div>' if message.images else ""
    words = f'<div style="{_WORDS}">{escape(message.content)}</div>'
    return f'<div class="acagent-nb-you" role="group" aria-label="You" style="{_YOU}">{words}{pictures}</div>'


def _pictures(message: Message) -> str:
    return f"with {len(message.images)} picture{'s' * (len(message.images) != 1)}"


def _said(message: Message) -> str:
    """A turn that was not made here: another's answer, or a function's result."""
    if message.role == "assistant":
        calls = "".join(
            f"<code>{escape(call.name)}({escape(str(call.arguments))})</code> " for call in message.tool_calls
        )
        return f'<div class="acagent-nb-answer" style="{_BOX}">{render.html(message.content)}{calls}</div>'
    label = escape(f"{message.role} {message.tool_name}".strip())
    words = f'<span style="{_WORDS}">{escape(message.content)}</span>'
    return f'<div style="{_BOX}; {_MUTED}; font-size: 12px"><b>{label}</b> {words}</div>'
