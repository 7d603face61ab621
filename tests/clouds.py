"""Both clients asking a cloud model, for tests with answers as OpenAI's API documents them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from acagent_nb import AsyncClient, Client
from acagent_nb.messages import Event, Message, Note, Request
from acagent_nb.options import Options

from .openai_like import openai_like, piece, stream

KEY = "sk-proj-Tf3xqZ9aLm"
HI = (Message("user", "hi"),)
OK = stream(piece(content="ok"), piece("stop"))
LIMIT = "Rate limit reached for gpt-4o in organization org-abcDEF on tokens per min (TPM): Limit 30000, Used 29000."
QUOTA = "You exceeded your current quota, please check your plan and billing details."
Ask = Callable[..., list[Event]]


def asked(
    model: str = "gpt-4o-mini", messages: tuple[Message, ...] = HI, provider: str = "openai", **how: Any
) -> Request:
    return Request(model, messages, Options.of(how.pop("options", {})), provider=provider, **how)


def blocking(url: str, timeout: float | None = None, **how: Any) -> list[Event]:
    with Client(base_url=url, api_key=KEY, params=endpoints(url)) as client:
        return list(client.events(asked(**how), timeout=timeout))


def asynchronous(url: str, timeout: float | None = None, **how: Any) -> list[Event]:
    async def main() -> list[Event]:
        async with AsyncClient(base_url=url, api_key=KEY, params=endpoints(url)) as client:
            return [event async for event in client.events(asked(**how), timeout=timeout)]

    return asyncio.run(main())


def endpoints(url: str) -> dict[str, Any]:
    return {"endpoints": {"lab": {"base_url": url}}}


def sent(**how: Any) -> dict[str, Any]:
    """The body of a request."""
    with openai_like(OK) as server:
        blocking(server.url, **how)
        ((method, path, body),) = server.requests
    assert (method, path) == ("POST", "/v1/chat/completions")
    assert isinstance(body, dict)
    return body


def notes(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]
