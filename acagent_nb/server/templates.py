"""Chat templates that come with a request to `/api/create`: whose language they are in, and whether they run."""

from __future__ import annotations

import re

from ..errors import ServerError
from . import tiny
from .process import Child
from .settings import Load

_SECONDS = 30.0  # a loaded machine takes a few to start a process


def is_jinja(template: str) -> bool:
    """Whether a template is one that llama.cpp runs; else it is taken for Go's, which is Ollama's own."""
    return "{%" in template or re.search(r"\{\{[^}]*\bmessages\b", template) is not None


async def check(template: str) -> None:
    """Let the engine read a Jinja template, with the smallest model there is.

    Raises
    ------
    ServerError
        Status 400: no model could be loaded with it.
    """
    load = Load(
        weights=str(tiny.PATH),
        alias="template",
        num_ctx=256,
        slots=1,
        num_batch=64,
        num_gpu=0,
        num_thread=1,
        template=template,
    )
    try:
        child = await Child.start(load, _SECONDS)
    except ServerError as error:
        why = error.message.removeprefix("unable to load model: ").removeprefix("its chat template can't be run: ")
        raise ServerError(f"template error: {why}", status=400) from None
    await child.end()
