"""What a cloud model's server says when it does not do what it was asked, as errors of ours.

Source of the words: OpenAI's guide to error codes, and what compatible servers (llama.cpp, vLLM, Ollama)
answer. Ollama's own API has its own words, see `refusals.py`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from .errors import Busy, ContextTooLong, Incapable, LLMError, ModelMissing, Refused, ServerError
from .keys import Provider
from .wording import OURS


class Told(Struct, frozen=True):
    """What a server says of an error.

    Attributes
    ----------
    message
        Its words, without anything that looks like a key or an account, and not more than 300 characters.
    code, param
        What kind of error it is, and the field of the request that it is about; both may be empty.
    status
        The HTTP status, where the body names it too; 0 where not.
    needed, num_ctx
        Of a prompt that is too long, where they are told.
    """

    message: str = ""
    code: str = ""
    param: str = ""
    status: int = 0
    needed: int | None = None
    num_ctx: int | None = None


def told(body: bytes) -> Told:
    """Read the body of an error, whatever form its server gives it."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body.decode(errors="replace").strip()
        return Told("" if text.startswith("<") else _plain(text.partition("\n")[0]))
    if isinstance(said, list) and said:
        said = said[0]
    return said_in(said.get("error") or said) if isinstance(said, dict) else Told()


def said_in(error: Any) -> Told:
    """Read what stands under "error"."""
    if not isinstance(error, dict):
        return Told(_plain(error) if isinstance(error, str) else "")
    message, code = error.get("message") or error.get("detail"), error.get("code")
    if isinstance(message, list):  # FastAPI tells each field that it can't read, and repeats the request
        message = "; ".join(str(each.get("msg")) for each in message if isinstance(each, dict))
    return Told(
        _plain(message) if isinstance(message, str) else "",
        code if isinstance(code, str) else str(error.get("type") or ""),
        str(error.get("param") or ""),
        code if isinstance(code, int) else 0,
        *(value if isinstance(value := error.get(name), int) else None for name in ("n_prompt_tokens", "n_ctx")),
    )


def denied(status: int, said: Told, model: str, server: Provider, retry_after: str | None = None) -> LLMError:
    """The error of our tree; `retry_after` is the header, `status` 200 for an error in the middle of a stream."""
    status = said.status if status == 200 and 400 <= said.status < 600 else status
    provider, words = server.name, said.message or "no reason given"
    if status == 401 or said.code == "invalid_api_key":  # OpenAI's words repeat a part of the key
        return Refused(f"{provider} does not accept the key.", server.remedy, status=status)
    if said.code == "model_not_found" or (status == 404 and re.search(_NO_MODEL, words)):
        return ModelMissing(
            f"{provider} does not have the model {model}, or not for this key.",
            f"Check the name; a model of an Ollama server is asked for as local_{model}.",
        )
    if said.code in _TOO_LONG_CODES or re.search(_TOO_LONG, words):
        return _too_long(said, words)
    if "quota" in said.code or "billing" in said.code:
        return Refused(
            f"{provider} does not answer: the account's quota is used up.", "Check its plan and billing.", status=status
        )
    if status in (429, 503, 529) or re.search("rate_limit|overloaded", said.code):
        pause = f"in {retry_after} seconds" if retry_after and retry_after.isdecimal() else "in a while"
        return Busy(f"{provider} has too much to do, or is asked too often: {words}", f"Ask {pause}.", status=status)
    if status == 403:
        return Refused(f"{provider} does not allow it: {words}", "Check what the key may be used for.", status=status)
    if "content_filter" in said.code or "content_policy" in said.code:
        return ServerError(f"{provider} does not answer this: {words}", "Ask in other words.", status=status)
    for marks, hint in _INABILITIES:
        if re.search(marks, words, re.IGNORECASE):
            return Incapable(f"{model} can't do that: {words}", hint, status=status)
    if status >= 500 or status == 200:
        return ServerError(f"{provider} could not answer: {words}", "Ask again in a moment.", status=status)
    return _unread(status, said, words, model, provider)


def _unread(status: int, said: Told, words: str, model: str, provider: str) -> ServerError:
    """The error for a request with a field that the model, or the server, does not take."""
    field = re.split(r"[.\[]", said.param)[0]
    named = [field] if field in OURS else [theirs for theirs in OURS if re.search(rf"\b{theirs}\b", words)]
    if named and re.search(r"support|[Uu]nrecognized|[Uu]nknown", words):
        return Incapable(f"{model} does not take this: {words}", f"Ask without {OURS[named[0]]}.", status=status)
    if named:
        hint = f"Change {OURS[named[0]]}, or leave it out."
    else:
        hint = "Check the endpoint's address: it often ends in /v1." if status in (404, 405) else ""
    return ServerError(f"{provider} refused the request: {words}", hint, status=status)


def _too_long(said: Told, words: str) -> ContextTooLong:
    """With the lengths that the server tells, in fields of their own or among its words."""
    found = re.search(_NEEDED, words), re.search(_WINDOW, words)
    needed, num_ctx = (int(each[1].replace(",", "")) if each else None for each in found)
    needed, num_ctx = said.needed or needed, said.num_ctx or num_ctx
    lengths = f": it has {needed:,} tokens, and the window {num_ctx:,}" if needed and num_ctx else ""
    return ContextTooLong(
        f"The prompt does not fit the model's context window{lengths}.",
        "Shorten the prompt, or choose a model with a longer context.",
        needed=needed,
        num_ctx=num_ctx,
    )


def _plain(words: str) -> str:
    """A server's words without what is secret or was sent: keys, accounts, the request."""
    words = re.sub(r"""['"]input['"]\s*:.*""", "...", words, flags=re.DOTALL)
    return re.sub(r"\b(sk|pk|org|proj|user)-[\w*.-]*[\w*]|(?<=Bearer )\S+", "***", words)[:300].rstrip(". ")


_NO_MODEL = r"model\b.*(not found|does not exist)"
_TOO_LONG_CODES = ("context_length_exceeded", "exceed_context_size_error")
_TOO_LONG = r"maximum context length|exceeds? the (available )?context|longer than the context|tokens exceed the"
_NEEDED = r"(?:resulted in|requested|has|contains at least)\s([\d,]*\d)"
_WINDOW = r"(?:context length is|limit of|context size \()\s?([\d,]*\d)"

_INABILITIES = (  # what marks the words, and what to do
    (r"not support (thinking|reasoning)", "Ask without think, or choose a model that thinks."),
    (r"not support tools|tools.* not supported", "Ask without tools, or choose a model that can call them."),
    (
        r"image.*(not supported|only supported)|not support (image|multimodal)|image input",
        "Ask without pictures, or choose a model with vision.",
    ),
    (r"not a chat model|not support chat", "Choose a model for chats."),
)
