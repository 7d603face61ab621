"""A streamed answer of the engine's OpenAI routes, put together into the one object of an answer that is not.

The engine looks only once a second whether the reader of such an answer is still there, but at every
token when it streams. So it is always asked for a stream.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import ServerError

_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


class Choice:
    """One of the answers, as far as it has come."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.thinking: list[str] = []
        self.calls: dict[int, dict[str, Any]] = {}
        self.tokens: list[dict[str, Any]] = []
        self.finish: str | None = None

    def add(self, told: dict[str, Any]) -> None:
        """One chunk's part in it, of either route."""
        delta = told.get("delta") or {}
        self.text.append(told.get("text") or delta.get("content") or "")
        self.thinking.append(delta.get("reasoning_content") or "")
        self.tokens += (told.get("logprobs") or {}).get("content") or []
        self.finish = told.get("finish_reason") or self.finish
        for part in delta.get("tool_calls") or ():
            call = self.calls.setdefault(part.get("index", 0), {"id": "", "name": "", "arguments": ""})
            function = part.get("function") or {}
            call["id"] = part.get("id") or call["id"]
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""

    def chat(self, index: int) -> dict[str, Any]:
        """As an item of a `chat.completion`."""
        text, thinking = "".join(self.text), "".join(self.thinking)
        message: dict[str, Any] = {"role": "assistant", "content": None if self.calls and not text else text}
        if thinking:
            message["reasoning_content"] = thinking
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]},
                }
                for _, call in sorted(self.calls.items())
            ]
        told = {"index": index, "message": message, "finish_reason": self.finish}
        return told | ({"logprobs": {"content": self.tokens}} if self.tokens else {})

    def completion(self, index: int) -> dict[str, Any]:
        """As an item of a `text_completion`, whose probabilities have an older form than a chat's."""
        probabilities = None
        if self.tokens:
            words = [str(token["token"]) for token in self.tokens]
            probabilities = {
                "tokens": words,
                "token_logprobs": [token["logprob"] for token in self.tokens],
                "top_logprobs": [
                    {each["token"]: each["logprob"] for each in token.get("top_logprobs", ())} for token in self.tokens
                ],
                "text_offset": [len("".join(words[:at])) for at in range(len(words))],
            }
        return {"index": index, "text": "".join(self.text), "logprobs": probabilities, "finish_reason": self.finish}


class Gathered:
    """All of an answer.

    Parameters
    ----------
    name
        The model, as the client called it.
    each
        How many answers there are to each prompt.
    """

    def __init__(self, name: str, each: int = 1) -> None:
        self.name = name
        self.each = each
        self._choices: dict[int, Choice] = {}
        self._usage = dict.fromkeys(_USAGE, 0)
        self._first: dict[str, Any] = {}
        self._rest = b""

    def read(self, data: bytes) -> None:
        """Take what has come; `ServerError` if the engine broke off."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith((b"data: {", b"error: {")):
                self._chunk(msgspec.json.decode(line[line.index(b"{") :]))

    def _chunk(self, chunk: dict[str, Any]) -> None:
        if error := chunk.get("error"):
            raise ServerError(str(error.get("message", error) if isinstance(error, dict) else error))
        self._first = self._first or chunk
        for told in chunk.get("choices", ()):
            self._choices.setdefault(told["index"], Choice()).add(told)
        for name in _USAGE:
            self._usage[name] += (chunk.get("usage") or {}).get(name, 0)

    def told(self) -> dict[str, Any]:
        """The one object; `ServerError` if the stream ended before an answer did."""
        choices = sorted(self._choices.items())
        if not choices or any(choice.finish is None for _, choice in choices):
            raise ServerError("an error was encountered while running the model: unexpected EOF")
        chat = self._first["object"] == "chat.completion.chunk"
        prompt, answered = self._usage["prompt_tokens"] // self.each, self._usage["completion_tokens"]
        return {
            "id": self._first["id"],
            "object": "chat.completion" if chat else "text_completion",
            "created": self._first["created"],
            "model": self.name,
            "system_fingerprint": self._first["system_fingerprint"],
            "choices": [choice.chat(index) if chat else choice.completion(index) for index, choice in choices],
            "usage": {"prompt_tokens": prompt, "completion_tokens": answered, "total_tokens": prompt + answered},
        }
