"""A request that takes its time, such as a model's upload: it is sent aside, and who waits hears how far it is.

A thread sends it for blocking code, a task for asynchronous code. When nobody waits for it any more (an
interrupt, a time-out, a generator that is closed), it ends at once, and its connection with it, even if the server
has stopped reading.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from .driving import Deadline, Line

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")
E = TypeVar("E")

_TELL_SECONDS = 0.1
_CLOSE_SECONDS = 0.5  # for a thread that is just connecting; any other has closed its connection in 1 ms


def aside(
    send: Callable[[ExitStack], T], line: Line, tell: Callable[[int], E], deadline: Deadline, opened: ExitStack
) -> Generator[E, None, T]:
    """Have a request sent by a thread; yields what is to be told of it, and returns what came of it.

    Parameters
    ----------
    send
        Sends it; it enters the contexts of the answer into the stack that it is given.
    line
        Its connection.
    tell
        Makes an event out of the bytes that went.
    opened
        Where the contexts of the answer belong in the end.
    """
    sending: Future[tuple[T, ExitStack]] = Future()
    try:
        Thread(target=_send, args=(send, sending), name="acagent_nb upload", daemon=True).start()
        while wait([sending], min(_TELL_SECONDS, deadline.left or _TELL_SECONDS)).not_done:
            deadline.check()
            yield tell(line.sent)
        answer, own = sending.result()
        opened.push(own)
    except BaseException:
        line.cut()
        sending.add_done_callback(_drop)
        wait([sending], _CLOSE_SECONDS)  # a process that ends now would leave the connection as it is
        raise
    return answer


def _send(send: Callable[[ExitStack], T], sending: Future[tuple[T, ExitStack]]) -> None:
    own = ExitStack()
    try:
        answer = send(own)
    except BaseException as error:  # whatever it is, it belongs to the one who waits
        own.close()
        sending.set_exception(error)
    else:
        sending.set_result((answer, own))


def _drop(sending: Future[tuple[Any, ExitStack]]) -> None:
    """Close an answer that came too late."""
    if sending.exception() is None:
        sending.result()[1].close()


async def ticks(sending: asyncio.Future[Any]) -> AsyncGenerator[None, None]:
    """Moments at which to tell how far a task is, until it is done; it ends with the generator at the latest."""
    import asyncio

    try:
        while not (await asyncio.wait([sending], timeout=_TELL_SECONDS))[0]:
            yield
    finally:
        if not sending.done():
            sending.cancel()
            await asyncio.wait([sending])
        if not sending.cancelled():
            sending.exception()  # which is thereby taken note of
