"""Both clients behind one front, for tests that hold for either."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from acagent_nb import AsyncClient, Client
from acagent_nb.wire import Flow

Do = Callable[..., Any]


def blocking(url: str | None, method: str, *arguments: Any, client: dict[str, Any] | None = None, **how: Any) -> Any:
    """What a method of a new `Client` gives; a list of what comes where it is an iterator, or where it can be watched.

    `client` is what the client is made with.
    """
    steps: list[Any] = []
    more = {**how, "watch": steps.append} if method in ("pull", "create") else how
    with Client(url, **client or {}) as talker:
        result = getattr(talker, method)(*arguments, **more)
        return list(result) if inspect.isgenerator(result) else steps if more is not how else result


def asynchronous(
    url: str | None, method: str, *arguments: Any, client: dict[str, Any] | None = None, **how: Any
) -> Any:
    """The same for an `AsyncClient`."""
    steps: list[Any] = []
    more = {**how, "watch": steps.append} if method in ("pull", "create") else how

    async def main() -> Any:
        async with AsyncClient(url, **client or {}) as talker:
            result = getattr(talker, method)(*arguments, **more)
            if inspect.isasyncgen(result):
                return [event async for event in result]
            return [await result, steps][-1] if more is not how else await result

    return asyncio.run(main())


def run_by(do: Do, url: str, flow: Flow[Any]) -> list[Any]:
    """What a flow yields over one of the clients' sockets."""
    if do is blocking:
        with Client(url) as client:
            return list(client._run(flow))

    async def main() -> list[Any]:
        async with AsyncClient(url) as client:
            return [event async for event in client._run(flow)]

    return asyncio.run(main())
