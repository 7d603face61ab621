"""Pieces of an answer -> Ollama's lines, in the shapes of `/api/chat` and `/api/generate`."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from msgspec import Struct

from .durations import stamp
from .hear import Piece, Timings

_encode = msgspec.json.Encoder().encode


class Metrics(Struct):
    """What an answer cost, in Ollama's units; zeros are not sent."""

    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0

    @classmethod
    def of(cls, total: int, load: int, timings: Timings | None) -> Metrics:
        """From nanoseconds of our own and what the engine counted."""
        told = timings or Timings()
        return cls(
            total,
            load,
            told.prompt_n + told.cache_n,
            int(told.prompt_ms * 1e6),
            told.predicted_n,
            int(told.predicted_ms * 1e6),
        )

    def sent(self) -> dict[str, int]:
        """Only what is not zero, as it goes on the wire."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value}


class Shape(Protocol):
    """A form in which answers are told."""

    def line(self, piece: Piece) -> bytes:
        """One line of a stream."""

    def last(self, whole: Piece, reason: str, metrics: Metrics, context: list[int] | None = None) -> Any:
        """The last line, or all of an answer that is not streamed: something to encode."""


class _Said(Struct, omit_defaults=True):
    role: str
    content: str
    thinking: str = ""
    tool_calls: list[dict[str, Any]] | None = None


class _ChatLine(Struct, omit_defaults=True):
    model: str
    created_at: str
    message: _Said
    done: bool
    logprobs: list[dict[str, Any]] | None = None


class _GenerateLine(Struct, omit_defaults=True, kw_only=True):
    model: str
    created_at: str
    response: str
    thinking: str = ""
    done: bool
    logprobs: list[dict[str, Any]] | None = None


class Chat:
    """Answers as the lines of `/api/chat`, for a model by the name that the client used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def line(self, piece: Piece) -> bytes:
        """One line of a stream."""
        said = _Said("assistant", piece.text, piece.thinking, piece.calls)
        return _encode(_ChatLine(self.name, stamp(), said, False, piece.logprobs)) + b"\n"

    def last(self, whole: Piece, reason: str, metrics: Metrics, context: list[int] | None = None) -> dict[str, Any]:
        """The last line, or all of an answer that is not streamed."""
        said = _Said("assistant", whole.text, whole.thinking, whole.calls)
        told: dict[str, Any] = {"model": self.name, "created_at": stamp(), "message": said, "done": bool(reason)}
        if reason:
            told["done_reason"] = reason
        if whole.logprobs:
            told["logprobs"] = whole.logprobs
        return told | metrics.sent()


class Generate:
    """Answers as the lines of `/api/generate`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def line(self, piece: Piece) -> bytes:
        """One line of a stream."""
        line = _GenerateLine(
            model=self.name,
            created_at=stamp(),
            response=piece.text,
            thinking=piece.thinking,
            done=False,
            logprobs=piece.logprobs,
        )
        return _encode(line) + b"\n"

    def last(self, whole: Piece, reason: str, metrics: Metrics, context: list[int] | None = None) -> dict[str, Any]:
        """The last line, or all of an answer that is not streamed."""
        told: dict[str, Any] = {"model": self.name, "created_at": stamp(), "response": whole.text}
        if whole.thinking:
            told["thinking"] = whole.thinking
        told["done"] = bool(reason)
        if reason:
            told["done_reason"] = reason
        if context:
            told["context"] = context
        told |= metrics.sent()
        if whole.logprobs:
            told["logprobs"] = whole.logprobs
        return told
