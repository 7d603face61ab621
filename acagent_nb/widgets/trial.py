"""The try-it row of the options panel: a prompt, Run, Stop, and the answer beside the one before it.

Run ──► the last answer moves to the right ──► the new one grows on the left ──► its footer says what was sent
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ipywidgets import Combobox, HBox, Text, VBox

from .. import asking
from ..errors import BadPrompt, LLMError
from ..growing import Growing
from ..options import Options
from ..params import Params
from ..replies import Reply
from .answering import answered
from .looks import GONE, Looks, see
from .parts import Work, two_lines
from .turns import Turn


class Trial:
    """The row and its two answers.

    Parameters
    ----------
    params
        Roles, default options and endpoints.
    options
        Tells what to send, and is asked at each run.
    looks
        What all widgets of a panel share.
    ended
        Called after an answer has ended: by then the server runs and has the model.

    Attributes
    ----------
    prompt, model, run, stop
        The widgets of the row.
    answers
        This answer and the one before it, as far as there are any.
    view
        The widget that holds all of it.
    """

    def __init__(
        self, params: Params, options: Callable[[], Options], looks: Looks, ended: Callable[[], object]
    ) -> None:
        self._params, self._options, self._looks, self._ended = params, options, looks, ended
        self.answers: list[Turn] = []
        self.prompt = Text(
            placeholder="Try these options: ask something",
            description="Prompt to try",
            _dom_classes=("an-prompt",),
            **looks.field,
        )
        self.model = Combobox(
            placeholder="model",
            description="Model to try",
            continuous_update=False,
            _dom_classes=("an-model",),
            **looks.field,
        )
        self.run = looks.button("Run", "Ask the model with what is sent", button_style="primary")
        self.stop = looks.button("Stop", "End the answer now; its connection is closed", disabled=True)
        self._said = looks.html("", "an-bad", GONE)
        self._pair = HBox([], layout=looks.layout, _dom_classes=("an-grid",))
        bar = HBox([self.prompt, self.model, self.run, self.stop], layout=looks.layout, _dom_classes=("an-bar",))
        self.view = VBox([bar, self._said, self._pair], layout=looks.layout, _dom_classes=("an-try",))
        self._work = Work(self._tell)
        self.run.on_click(lambda _: self.start())
        self.stop.on_click(lambda _: self._work.stop())

    @property
    def reply(self) -> Reply | None:
        """The last answer, as far as it came."""
        answer = self.answers[0].answer if self.answers else None
        return answer.reply() if answer is not None else None

    def start(self) -> asyncio.Task[None] | None:
        """Ask, in the background; `None` if something is missing, which the page then says."""
        self._tell("")
        try:
            if not self.prompt.value.strip():
                raise BadPrompt("There is no prompt to try.", "Write one first.")
            model = self.model.value.strip() or None
            ask = asking.asked(self._params, model, self.prompt.value, **dict[str, Any](self._options().sent()))
        except LLMError as error:
            self._tell(two_lines(error))
            return None
        turn = Turn()
        turn.answer = Growing(model or self._params.model or "", ask.request)
        self.answers = [turn, *self.answers[:1]]
        self._pair.children = [self._titled(at, each) for at, each in enumerate(self.answers)]
        self.run.disabled, self.stop.disabled = True, False
        task = self._work.start(self._answered(turn, turn.answer, ask))
        task.add_done_callback(lambda _: self._end(turn, task.cancelled()))
        return task

    def close(self) -> None:
        """Stop what is under way."""
        self._work.stop()

    def _titled(self, at: int, turn: Turn) -> Any:
        title = self._looks.html(("This answer", "The one before")[at], "an-head")
        return VBox([title, turn.view], layout=self._looks.layout, _dom_classes=("an-part",))

    async def _answered(self, turn: Turn, answer: Growing, ask: asking.Asked) -> None:
        drawing = asyncio.ensure_future(turn.keep_drawing())
        try:
            await answered(answer, ask, self._params, lambda: None)
        finally:
            drawing.cancel()

    def _end(self, turn: Turn, stopped: bool) -> None:
        """Nothing more will come."""
        answer = turn.answer
        assert answer is not None
        answer.end("stopped" if stopped else "broke off" if answer.text else "failed")
        turn.draw()
        self.run.disabled, self.stop.disabled = False, True
        self._ended()

    def _tell(self, html: str) -> None:
        self._said.value = html
        see(self._said, GONE, not html)
