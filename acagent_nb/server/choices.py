"""Pieces of an answer -> OpenAI's chunks and objects, as `tell.py` makes Ollama's lines of them.

Piece("Hi") ─► data: {"choices": [{"delta": {"content": "Hi"}}]}
the last    ─► its finish_reason, the usage, data: [DONE]
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..errors import ServerError
from .hear import Piece
from .talk import DIED
from .tell import Metrics

_encode = msgspec.json.Encoder().encode
_FINGERPRINT = "fp_ollama"


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class _Delta(Struct, omit_defaults=True):
    role: str = ""
    content: str = ""
    reasoning: str = ""
    reasoning_content: str = ""
    tool_calls: list[dict[str, Any]] | None = None


class _ChunkChoice(Struct):
    index: int
    delta: _Delta
    finish_reason: str | None = None
    logprobs: dict[str, Any] | UnsetType = UNSET


class _TextChoice(Struct):
    text: str
    index: int
    finish_reason: str | None = None
    logprobs: dict[str, Any] | UnsetType = UNSET


class _Told(Struct):
    """A chunk of a stream, or all of an answer that is not streamed."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    choices: list[Any]
    usage: _Usage | UnsetType = UNSET


class Chat:
    """The answers to one request to `/v1/chat/completions`, which come one after the other.

    Parameters
    ----------
    name
        The model, as the client called it.
    prompts, each
        How many prompts there are, and how many answers to each.
    stream
        Whether they are told piece by piece.
    usage
        Whether a stream is to say at its end what it cost.
    """

    _kind, _streamed, _id = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(self, name: str, prompts: int = 1, each: int = 1, *, stream: bool, usage: bool = False) -> None:
        self.stream = stream
        self.told = 0  # answers that are whole
        self._all, self._each, self._wants_usage = prompts * each, each, usage
        self._usage = _Usage()
        self._choices: list[Any] = []
        self._begun = False
        self._calls = False
        self._length = 0  # of the tokens whose probabilities have been told
        self._head = (
            f"{self._id}-{secrets.randbelow(10**9)}",
            self._streamed if stream else self._kind,
            int(time.time()),
            name,
            _FINGERPRINT,
        )

    def line(self, piece: Piece) -> bytes:
        """One event of a stream."""
        choice = self._part(piece)
        return b"" if choice is None else self._event([choice])

    def last(self, whole: Piece, reason: str, metrics: Metrics, context: list[int] | None = None) -> msgspec.Raw:
        """What `end` gives, for a reader that encodes it and ends a stream's lines."""
        return msgspec.Raw(self.end(whole, reason, metrics).removesuffix(b"\n"))

    def end(self, whole: Piece, reason: str, metrics: Metrics) -> bytes:
        """The end of an answer; after the last one what ends them all, or all of them.

        Raises
        ------
        ServerError
            The engine has left without a reason.
        """
        if not reason:
            raise ServerError(DIED)
        at, self.told = self.told, self.told + 1
        self._usage.prompt_tokens += metrics.prompt_eval_count if at % self._each == 0 else 0
        self._usage.completion_tokens += metrics.eval_count
        self._usage.total_tokens = self._usage.prompt_tokens + self._usage.completion_tokens
        ended = self.told == self._all
        if not self.stream:
            self._choices.append(self._whole(at, whole, reason))
            return _encode(_Told(*self._head, self._choices, self._usage)) if ended else b""
        said = self._event([self._end(at, reason)])
        self._begun, self._calls, self._length = False, False, 0
        if ended:
            said += self._event([], self._usage) if self._wants_usage else b""
            said += b"data: [DONE]\n\n"
        return said

    def _event(self, choices: list[Any], usage: _Usage | UnsetType = UNSET) -> bytes:
        return b"data: " + _encode(_Told(*self._head, choices, usage)) + b"\n\n"

    def _part(self, piece: Piece) -> Any:
        """A piece as a choice, `None` if there is nothing to tell of it."""
        probabilities = {"content": _probabilities(piece.logprobs)} if piece.logprobs else UNSET
        return _ChunkChoice(self.told, self._delta(piece), None, probabilities)

    def _delta(self, piece: Piece) -> _Delta:
        role, self._begun = "" if self._begun else "assistant", True
        calls = _calls(piece.calls) if piece.calls else None
        self._calls = self._calls or calls is not None
        return _Delta(role, piece.text, piece.thinking, piece.thinking, calls)

    def _end(self, at: int, reason: str) -> Any:
        return _ChunkChoice(at, self._delta(Piece()), "tool_calls" if self._calls else reason)

    def _whole(self, at: int, whole: Piece, reason: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": whole.text}
        if whole.thinking:
            message |= {"reasoning": whole.thinking, "reasoning_content": whole.thinking}
        if whole.calls:
            message["tool_calls"] = _calls(whole.calls)
        told = {"index": at, "message": message, "finish_reason": "tool_calls" if whole.calls else reason}
        return told | ({"logprobs": {"content": _probabilities(whole.logprobs)}} if whole.logprobs else {})


class Completions(Chat):
    """The answers to one request to `/v1/completions`: there is no place for thoughts, and probabilities look older."""

    _kind = _streamed = "text_completion"
    _id = "cmpl"

    def _part(self, piece: Piece) -> Any:
        if not piece.text and not piece.logprobs:
            return None
        return _TextChoice(piece.text, self.told, None, self._older(piece.logprobs) if piece.logprobs else UNSET)

    def _end(self, at: int, reason: str) -> Any:
        return _TextChoice("", at, reason)

    def _whole(self, at: int, whole: Piece, reason: str) -> Any:
        self._length = 0
        return _TextChoice(whole.text, at, reason, self._older(whole.logprobs) if whole.logprobs else UNSET)

    def _older(self, tokens: list[dict[str, Any]]) -> dict[str, Any]:
        words = [str(token["token"]) for token in tokens]
        offsets = []
        for word in words:
            offsets.append(self._length)
            self._length += len(word)
        return {
            "tokens": words,
            "token_logprobs": [token["logprob"] for token in tokens],
            "top_logprobs": [
                {each["token"]: each["logprob"] for each in token.get("top_logprobs", ())} for token in tokens
            ],
            "text_offset": offsets,
        }


def _calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whole calls, their arguments as a text."""
    return [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": _encode(call["function"]["arguments"]).decode(),
            },
        }
        for call in calls
    ]


def _probabilities(tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tokens that all have the alternatives that the openai package looks for, if none at all."""
    return [{**token, "top_logprobs": token.get("top_logprobs", [])} for token in tokens]
