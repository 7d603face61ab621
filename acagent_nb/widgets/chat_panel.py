"""A small chat with a model, in the kernel's own event loop: `%llm chat`, or `ChatPanel()`.

What is on the page is what is sent: the system prompt, the turns as they stand there (a stopped answer
as far as it came), and the options that `options()` tells at that moment. Other cells go on meanwhile.

    send ──► ask ──► the last turn grows ──► whole, stopped or failed ──► the saved page has it

A saved notebook shows the conversation as plain HTML, in an output below the widget; see `record.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from html import escape
from typing import Any

from .. import asking, builtin, names
from ..asynchronous import AsyncClient
from ..errors import BadName, BadPrompt, LLMError
from ..growing import Growing
from ..messages import Message
from ..options import Options
from ..params import Params
from ..replies import Reply
from . import cells
from .answering import answered
from .chat_view import ChatView
from .conversation import Conversation
from .parts import Work, two_lines
from .record import Record, in_kernel
from .turns import Turn


class ChatPanel:
    """A chat: model picker, system prompt, turns, and what can be done with the last one.

    Display it, or let a cell end with it. All that its buttons do can be done in code as well.

    Parameters
    ----------
    model
        A model's name or a role; `None` for the one that `params` names.
    params
        Roles, default options and endpoints; without it those of the nearest `params.toml`.
    options
        Tells the options to send, and is asked at each question.

    Attributes
    ----------
    reply
        The last answer, as far as it came; `None` before there is one.
    error
        What the last answer failed with, if it did.
    view
        The widgets, see `ChatView`; its `all` can be put into a box of your own.

    Examples
    --------
    >>> panel = ChatPanel("local_tiny")
    >>> (await panel.send("What is the capital of France?")).text
    'Paris is the capital of France.'
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        params: Params | None = None,
        options: Callable[[], Options] | None = None,
    ) -> None:
        self.reply: Reply | None = None
        self.error: LLMError | None = None
        self._params = Params.found() if params is None else params
        self._options = options or Options
        self._record = Record()
        self._turns = Conversation()
        self._pictures: tuple[str, ...] = ()  # of a question that is being edited
        self._told_hosts: set[str] = set()
        self._work = Work(self._failed)
        self._listing = Work(lambda _: None)  # without a server there is just no list to choose from
        self.view = ChatView(model or "", self._params.model or "", self._record.hidden)
        self.view.send.on_click(lambda _: self._sent())
        self.view.stop.on_click(lambda _: self.stop())
        self.view.again.on_click(lambda _: self._again())
        self.view.edit.on_click(lambda _: self.edit())
        self.view.cell.on_click(lambda _: self.view.cells.show(self.cells()))
        self.view.clear.on_click(lambda _: self.clear())
        self._changed()

    @property
    def model(self) -> str | None:
        """The model's name or role in the picker; `None` if it is empty."""
        return self.view.model.value.strip() or None

    @model.setter
    def model(self, name: str | None) -> None:
        self.view.model.value = name or ""

    @property
    def system(self) -> str:
        """The system prompt; empty for none."""
        return str(self.view.system.value.strip())

    @system.setter
    def system(self, text: str) -> None:
        self.view.system.value = text
        self.view.fold.value = bool(text)

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return self._work.busy

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as the next question sends it, the system prompt first.

        It can be set, to messages or dicts, such as a `Reply`'s `messages`.
        """
        first = (Message("system", self.system),) if self.system else ()
        return (*first, *self._turns.messages)

    @messages.setter
    def messages(self, messages: Iterable[asking.Turn]) -> None:
        self._must_be_idle()
        turns = asking.conversation(messages)
        self.system = turns.pop(0).content if turns and turns[0].role == "system" else ""
        self._keep(Conversation(*map(Turn, turns)))

    async def send(self, text: str) -> Reply:
        """Say something and wait for the answer, which grows on the page.

        If it is stopped, the reply holds what had come; its `complete` is then false.

        Parameters
        ----------
        text
            The user's next turn.

        Raises
        ------
        BadPrompt
            There is no text, or another answer is on its way.
        LLMError
            See `Client.chat`; the page shows it too.
        """
        return await self._waited(self._say(text))

    async def regenerate(self) -> Reply:
        """Have the last answer given once more, with the model and the options of now; raises what `send` does."""
        self._must_be_idle()
        return await self._waited(self._ask(self._turns.question))

    def stop(self) -> None:
        """End the answer now: its connection is closed, and what has come stays."""
        self._work.stop()

    def edit(self) -> None:
        """Take the last question back into the box, before what is written there, and its answer away."""
        self._must_be_idle()
        *before, question = self._turns.question
        assert question.message is not None
        draft, text = self.view.input.value, question.message.content
        self.view.input.value = f"{text}\n\n{draft}" if draft.strip() else text
        self._pictures = question.message.images
        self._keep(Conversation(*before))

    def clear(self) -> None:
        """Begin anew; model and system prompt stay."""
        self._must_be_idle()
        self._pictures = ()
        self._keep(Conversation())

    def cells(self) -> dict[str, str]:
        """The last question, the conversation and the answer's code as texts of cells; empty where there is none."""
        model, options = self._name, self._options()
        return {
            "The question as %%llm": cells.question(model, self.messages, options),
            "The conversation as Python": cells.python(model, self.messages, options),
            "The answer's code": cells.code(self.reply.text if self.reply else ""),
        }

    async def list_models(self) -> None:
        """Offer the models that the server has, the built-in ones and the roles.

        Raises
        ------
        LLMError
            No server answers.
        """
        async with AsyncClient(params=self._params) as client:
            found = [_local(model.name) for model in await client.models()]
        known = [*found, *(names.LOCAL + name for name in builtin.listed()), *self._params.roles]
        self.view.model.options = tuple(dict.fromkeys(known))

    def close(self) -> None:
        """Stop what is under way and take the chat from the page; the saved conversation stays."""
        self._work.stop()
        self._listing.stop()
        self.view.close()

    def __repr__(self) -> str:
        return f"Chat with {self._name or 'no model yet'}\n\n{self._turns.text(self.system)}".strip()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self._bundle(self._turns.html(self.system))

    def _ipython_display_(self) -> None:
        """Show the widget, and below it what a saved page keeps of it."""
        if not in_kernel():
            print(repr(self))
            return
        from IPython.display import display

        display(self._bundle(""), raw=True)  # type: ignore[no-untyped-call]  # IPython has no types here
        self._record.show(*self._saved())
        self._listing.start(self.list_models())

    def _bundle(self, html: str) -> dict[str, Any]:
        """All forms of it, this HTML below a heading."""
        head = f"<p>Chat with <b>{escape(self._name or 'a model')}</b></p>"
        view = self.view.all._repr_mimebundle_  # ipywidgets puts None in its place when the widget is closed
        return {**(view() if view else {}), "text/plain": repr(self), "text/html": head + html}

    def _saved(self) -> tuple[str, str, dict[str, Any]]:
        """What the record is given."""
        return self._turns.html(self.system), repr(self), self._turns.provenance()

    @property
    def _name(self) -> str:
        """The model as the user wrote it, here or in `params.toml`."""
        return self.model or self._params.model or ""

    def _sent(self) -> None:
        """The button Send."""
        text = self.view.input.value
        if text.strip() and not self.busy:  # otherwise the text waits in the box
            self.view.input.value = ""
            with suppress(LLMError):  # the page shows it
                self._say(text)

    def _again(self) -> None:
        """The button Regenerate, or Retry."""
        if self._turns.asked and not self.busy:
            with suppress(LLMError):  # the page shows it
                self._ask(self._turns.question)

    def _say(self, text: str) -> asyncio.Task[None]:
        """Ask with one more turn."""
        if not text.strip():
            raise BadPrompt("There is nothing to send.", "Write something first.")
        self._must_be_idle()
        said, self._pictures = Message("user", text.strip("\n"), images=self._pictures), ()
        return self._ask(Conversation(*self._turns.spoken, Turn(said)))

    def _ask(self, turns: Conversation) -> asyncio.Task[None]:
        """Ask for an answer to these turns."""
        turn = Turn()
        self._keep(Conversation(*turns, turn))
        self.error = None
        try:
            options: dict[str, Any] = dict(self._options().sent())
            ask = asking.asked(self._params, self.model, self.messages, **options)
        except LLMError as error:
            self.error = error
            self._failed(two_lines(error))
            raise
        turn.answer = Growing(self._name, ask.request)
        turn.answer.known_hosts = frozenset(self._told_hosts)
        task = self._work.start(self._answered(turn, turn.answer, ask))
        task.add_done_callback(lambda _: self._ended(turn, task.cancelled()))
        self._changed()
        return task

    async def _answered(self, turn: Turn, answer: Growing, ask: asking.Asked) -> None:
        """Have the answer grow, and be drawn meanwhile."""
        drawing = asyncio.ensure_future(turn.keep_drawing())
        try:
            await answered(answer, ask, self._params, lambda: self._listing.start(self.list_models()))
        except LLMError as error:
            self.error = error
            raise
        finally:
            drawing.cancel()

    def _ended(self, turn: Turn, stopped: bool) -> None:
        """Nothing more will come."""
        answer = turn.answer
        assert answer is not None
        answer.end("stopped" if stopped else "broke off" if answer.text else "failed")
        self.reply = answer.reply()
        self._told_hosts |= {answer.host.url} if answer.host else set()
        turn.draw()
        self._changed()

    async def _waited(self, task: asyncio.Task[None]) -> Reply:
        """The reply, when there is one."""
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()  # the one who waits was interrupted; otherwise it has ended already
        if self.error is not None:
            raise self.error
        if not task.cancelled():
            task.result()
        assert self.reply is not None
        return self.reply

    def _failed(self, told: str) -> None:
        """Show what went wrong in the place of the answer, or below what had come."""
        if self._turns.last is not None:
            self._turns.last.error = told
            self._turns.last.draw()
            self._changed()

    def _keep(self, turns: Conversation) -> None:
        """Show these turns and no others."""
        gone = [turn for turn in self._turns if turn not in turns]
        self._turns = turns
        self.view.turns(turn.view for turn in turns)
        for turn in gone:
            turn.view.close()
        self._changed()

    def _changed(self) -> None:
        """Bring the buttons and the saved page up to date."""
        last = self._turns.last
        self.view.ready(answering=self.busy, asked=self._turns.asked, retry=last is not None and bool(last.error))
        self.view.cells.show({})
        if not self.busy:
            self._record.update(*self._saved())

    def _must_be_idle(self) -> None:
        if self.busy:
            raise BadPrompt("An answer is on its way.", "Wait for it, or stop it first.")


def _local(name: str) -> str:
    """A model's name as it is written here, the usual tag left out."""
    with suppress(BadName):  # a server may have names that it would not take
        name = names.parse(name).short.removesuffix(f":{names.TAG}")
    return names.LOCAL + name
