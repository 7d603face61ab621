"""The engine's event stream -> pieces of an answer. This runs for every token, so it is kept small."""

from __future__ import annotations

import json
import secrets
from typing import Any

import msgspec
from msgspec import Struct

from ..errors import ServerError


class Piece(Struct):
    """What one chunk adds to an answer."""

    text: str = ""
    thinking: str = ""
    calls: list[dict[str, Any]] | None = None
    logprobs: list[dict[str, Any]] | None = None


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    index: int = 0
    function: _Function | None = None


class _Delta(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_Call] | None = None


class _Logprobs(Struct):
    content: list[dict[str, Any]] | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class Timings(Struct):
    """What the engine counted: tokens of the prompt (anew and from the cache) and of the answer; milliseconds."""

    prompt_n: int = 0
    cache_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0


class _Chunk(Struct):
    """A chunk of either route: `choices` from `/v1/chat/completions`, the next four from `/completion`."""

    choices: list[_Choice] = []
    content: str = ""
    stop: bool = False
    stop_type: str = ""
    completion_probabilities: list[dict[str, Any]] | None = None
    timings: Timings | None = None
    error: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(_Chunk).decode
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789"


class Answer:
    """One answer, read from the engine's event stream.

    Parameters
    ----------
    prefix
        What the engine says before the answer proper, to be left out.
    top_logprobs
        How many alternatives each token's probabilities are told with.

    Attributes
    ----------
    done_reason
        "stop" or "length"; empty until the engine has said it.
    timings
        `None` until then.
    """

    def __init__(self, prefix: str = "", top_logprobs: int = 0) -> None:
        self.done_reason = ""
        self.timings: Timings | None = None
        self._prefix = prefix
        self._top = top_logprobs
        self._rest = b""
        self._name = ""
        self._arguments: list[str] = []
        self._calls = 0

    @property
    def whole(self) -> bool:
        """Whether all that belongs to the answer has come; the rest is the engine's way to say goodbye."""
        return bool(self.done_reason) and self.timings is not None

    def read(self, data: bytes) -> list[Piece]:
        """The pieces in what has come; a line that is not whole yet waits for its end.

        Raises
        ------
        ServerError
            The engine broke off with an error.
        """
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        pieces: list[Piece] = []
        for line in lines:
            if line.startswith(b"data: {") or line.startswith(b"error: {"):
                self._chunk(_decode(line[line.index(b"{") :]), pieces)
        return pieces

    def _chunk(self, chunk: _Chunk, pieces: list[Piece]) -> None:
        if chunk.error is not None:
            told = b'{"error":' + bytes(chunk.error) + b"}"
            raise ServerError(told.decode(), status=500)
        if chunk.timings is not None:
            self.timings = chunk.timings
        text, thinking, probabilities = chunk.content, "", chunk.completion_probabilities
        if chunk.stop:
            self.done_reason = "length" if chunk.stop_type == "limit" else "stop"
            probabilities = None  # the last chunk repeats them all
        for choice in chunk.choices:
            if delta := choice.delta:
                text, thinking = delta.content or "", delta.reasoning_content or ""
                for call in delta.tool_calls or ():
                    self._fragment(call, pieces)
            if choice.logprobs is not None:
                probabilities = choice.logprobs.content
            if choice.finish_reason:
                self._call_done(pieces)
                self.done_reason = "length" if choice.finish_reason == "length" else "stop"
        if self._prefix and text:
            text = self._unprefixed(text)
        if text or thinking or probabilities:
            pieces.append(Piece(text, thinking, None, self._probabilities(probabilities) if probabilities else None))

    def _unprefixed(self, text: str) -> str:
        """What is left of a text when the part that it shares with the prefix is dropped."""
        prefix = self._prefix
        if text.startswith(prefix):
            self._prefix = ""
            return text[len(prefix) :]
        self._prefix = prefix[len(text) :] if prefix.startswith(text) else ""
        return "" if self._prefix else text

    def _fragment(self, call: _Call, pieces: list[Piece]) -> None:
        """Calls come in fragments, a name first; Ollama tells them whole."""
        if call.function is None:
            return
        if call.function.name:
            self._call_done(pieces)
            self._name = call.function.name
        self._arguments.append(call.function.arguments or "")

    def _call_done(self, pieces: list[Piece]) -> None:
        if not self._name:
            return
        text = "".join(self._arguments) or "{}"
        try:
            arguments = json.loads(text)
        except ValueError:  # cut off by num_predict in the middle of a call
            arguments = None
        if isinstance(arguments, dict):
            name = "call_" + "".join(secrets.choice(_NAME) for _ in range(8))
            function = {"index": self._calls, "name": self._name, "arguments": arguments}
            pieces.append(Piece(calls=[{"id": name, "function": function}]))
            self._calls += 1
        self._name, self._arguments = "", []

    def _probabilities(self, tokens: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            _token(token) | ({"top_logprobs": [_token(each) for each in token["top_logprobs"]]} if self._top else {})
            for token in tokens
        ]


def _token(token: dict[str, Any]) -> dict[str, Any]:
    return {name: token[name] for name in ("token", "logprob", "bytes") if name in token}


def joined(pieces: list[Piece]) -> Piece:
    """All pieces of an answer as one."""
    calls = [call for piece in pieces for call in piece.calls or ()]
    probabilities = [token for piece in pieces for token in piece.logprobs or ()]
    return Piece(
        "".join(piece.text for piece in pieces),
        "".join(piece.thinking for piece in pieces),
        calls or None,
        probabilities or None,
    )
