"""An answer is fed with what a model says, in the running event loop; nothing here knows of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress

from .. import answers, coming, inquiries, keys
from ..asking import Asked
from ..asynchronous import AsyncClient
from ..errors import LLMError
from ..growing import Growing
from ..hosts import Host
from ..messages import Pulling
from ..params import Params

_FACTS_SECONDS = 1.0  # how long a finished answer waits for the server to say where it ran


async def answered(answer: Growing, ask: Asked, params: Params, pulled: Callable[[], object]) -> None:
    """Ask, and feed the answer until nothing more comes; cancelled, it closes the connection at once.

    Parameters
    ----------
    answer
        What grows.
    ask
        The question.
    params
        Whose endpoints hold.
    pulled
        Called when a missing model has been pulled.

    Raises
    ------
    LLMError
        See `Client.chat`.
    """
    request = ask.request
    tape = answers.current()
    async with AsyncClient(params=params) as client:
        if tape and (recording := tape.place(inquiries.first(ask))):
            answer.host = recording
        elif request.local:
            answer.host = await client.host()
        else:
            answer.host = Host(keys.cloud(endpoint=params.endpoints.get(request.provider)).base_url, "the cloud")
        async with aclosing(client.events(ask)) as events:
            async for event in events:
                answer.feed((event,))
                if isinstance(event, Pulling) and event.status == "success":
                    pulled()
        if request.local and not answer.replayed:
            with answers.beside(), suppress(LLMError, asyncio.TimeoutError):  # the answer is worth more than this
                answer.host = await client.host()
                await asyncio.wait_for(coming.learned(answer, client), _FACTS_SECONDS)
