"""One answer on its way: its server is looked for, it is asked, its events come.

    look for the server ──► ask ──► events, each fed to the answer
                                └─► what the server says of itself and of the model, meanwhile

Everything that waits does so in other threads; `step` never does, so that one thread can draw several answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any

from . import answers, inquiries, names
from .asynchronous import AsyncClient
from .errors import LLMError
from .growing import Growing
from .hosts import Host
from .params import Params
from .pump import Pump


class Coming:
    """An answer, and what has to be done so that it comes.

    Parameters
    ----------
    answer
        Fed with what comes; carries the question.
    place
        Looks for the server.
    params
        Whose endpoints hold.
    pull
        Whether a missing model is pulled first.
    timeout
        Seconds for the whole answer; `None` sets no bound.
    fresh
        Whether it is asked although a recording has the answer.

    Attributes
    ----------
    over
        Whether nothing more will come.
    error
        What went wrong; the answer has ended then.
    """

    def __init__(
        self,
        answer: Growing,
        place: Callable[[Growing], Host],
        params: Params,
        *,
        pull: bool = True,
        timeout: float | None = None,
        fresh: bool = False,
    ) -> None:
        self.answer = answer
        self.over = False
        self.error: Exception | None = None
        self._params = params
        self._how: dict[str, Any] = {"pull": pull, "timeout": timeout, "fresh": fresh}
        self._tape = answers.current()
        self._question = inquiries.first(answer.ask) if self._tape else None
        recording = self._tape.place(self._question) if self._tape and self._question and not fresh else None
        if recording is not None:
            answer.doing = "reading the recording"
        self._finding = _aside(partial(_found, place, answer) if recording is None else lambda: recording)
        self._doing = answer.doing
        self._pump: Pump | None = None

    def step(self) -> bool:
        """Go on as far as that is possible without waiting; whether something is new."""
        if self.over:
            return False
        try:
            return self._find() if self._pump is None else self._take(self._pump)
        except LLMError as error:
            self.answer.error = error
            self._fail(error, "broke off" if self.answer.text else "failed")
        except Exception as error:  # of ours or of a function of the user's: the other answers go on
            self._fail(error, "failed")
        return True

    def cancel(self) -> None:
        """Have the connection closed, without waiting until it is."""
        if self._pump is not None:
            self._pump.cancel()

    def stop(self) -> None:
        """Close the connection."""
        if self._pump is not None:
            self._pump.stop()
        self.answer.end("failed")
        self.over = True

    def _find(self) -> bool:
        answer, shown = self.answer, self._doing
        if not self._finding.done():
            self._doing = answer.doing
            return shown != self._doing
        answer.host = self._finding.result()
        there = answer.request.local and answer.host.how != answers.RECORDED
        make = partial(AsyncClient, answer.host.url if there else None, params=self._params)
        learn = self._learned if answer.request.local else None
        self._pump = Pump(make, answer.ask, learn=learn, **self._how)
        self._pump.start()
        return True

    def _take(self, pump: Pump) -> bool:
        events = pump.take()
        self.answer.feed(events, pump.first, pump.done)
        if pump.ended:
            self.over = True
            self.answer.end()
        return bool(events) or self.over

    async def _learned(self, client: AsyncClient) -> None:
        """Ask the server of itself, if it was a server that was asked."""
        if self._tape and self._question and self._tape.replayed(self._question):
            return
        with answers.beside():
            if self.answer.host is None or self.answer.host.how == answers.RECORDED:
                self.answer.host = await client.host()
            await learned(self.answer, client)

    def _fail(self, error: Exception, mark: str) -> None:
        self.error, self.over = error, True
        self.answer.end(mark)


async def learned(answer: Growing, client: AsyncClient) -> None:
    """Ask the server what it is, how it has loaded the answer's model, and what it knows of it."""
    model = answer.request.model

    async def version() -> None:
        answer.version = await client.version()

    async def running() -> None:
        key = names.parse(model).key
        found = (each for each in await client.running() if names.parse(each.name).key == key)
        answer.running = next(found, None)
        answer.processor = answer.running.processor if answer.running else ""

    async def shown() -> None:
        answer.shown = await client.show(f"{names.LOCAL}{model}")

    await asyncio.gather(*map(_quietly, (version(), running(), shown())))


async def _quietly(asks: Coroutine[Any, Any, None]) -> None:
    """The answer has come all the same, and is worth more than what a server does not say."""
    with suppress(LLMError):
        await asks


def _found(place: Callable[[Growing], Host], answer: Growing) -> Host:
    """The server that is to be asked, whether or not a recording stands in its place elsewhere."""
    with answers.beside():
        return place(answer)


def _aside(work: Callable[[], Host]) -> Future[Host]:
    """Do it in a thread that neither an interrupt nor the end of Python has to wait for."""
    future: Future[Host] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whatever it is, it belongs to the one who asks for the result
            future.set_exception(error)

    Thread(target=run, name="acagent_nb aside", daemon=True).start()
    return future
