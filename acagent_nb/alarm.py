"""The context alarm: whether what a model was asked, and what it said, fitted its context window.

Ollama cuts a conversation that is too long and says nothing. Since 0.12.6 it can be told not to, which
is our default; older servers don't know that field, and every server lets a long answer run past the
window. What can be concluded from an answer's counts is concluded here.

Source: Ollama's `server/prompt.go` and `runner/`; the counts of recorded overflows.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .facts import Facts
from .messages import Request, Stats
from .wire import Step

_OBEYS = "0.12.6"  # the first server that knows the field `truncate` of a chat
_A_TURN = 32  # tokens that a template may well put around a turn
_FOR_PICTURES = 2048  # tokens of the smallest window that a model with vision is given


def truncated(
    request: Request, sent: int, stats: Stats, num_ctx: int | None, facts: Facts
) -> Generator[Step, Any, bool | None]:
    """Whether a part of the conversation was out of the model's sight; `None` if that can't be told.

    Parameters
    ----------
    sent
        Bytes of the request: more than the tokens of what the caller said, for none is shorter than a byte.
    num_ctx
        Tokens of the window, or `None` if the server does not say.
    facts
        Know the server's version, which is asked for only where something hangs on it.
    """
    if stats.prompt_eval_count is None:
        return None
    prompt, used = stats.prompt_eval_count, stats.prompt_eval_count + (stats.eval_count or 0)
    if num_ctx is None:  # it may be less than what was asked for, but never more
        return True if used > max(request.options.num_ctx or used, _FOR_PICTURES) else None
    if used > num_ctx:
        return True
    known = not request.tools and not any(turn.images for turn in request.messages)  # a picture has any number
    if known and prompt + sent + _A_TURN * len(request.messages) <= num_ctx:
        return False  # whatever was dropped of the request, there was room for it
    if request.truncate is not True:
        version = yield from facts.versioned()
        if version is not None and version.reaches(_OBEYS):
            return False  # it would have refused
    return True if prompt >= num_ctx - 1 else None  # exactly what is left after a cut within the last turn
