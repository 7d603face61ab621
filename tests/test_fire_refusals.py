"""Both clients where the server says no, or nobody is there: each refusal's error, and when they ask again."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from acagent_nb.errors import (
    Busy,
    ContextTooLong,
    DiskFull,
    Incapable,
    LLMError,
    ModelMissing,
    OutOfMemory,
    Refused,
    ServerDown,
    ServerError,
)
from acagent_nb.wire import Flow, Wait

from .clients import Do, run_by
from .replay import Answer, json_error, recorded, replaying, said

ENGINE = r"{\"error\":{\"code\":400,\"message\":\"request (614 tokens) exceeds the available context size (256 tokens)\",\"type\":\"exceed_context_size_error\",\"n_prompt_tokens\":614,\"n_ctx\":256}}"  # noqa: E501  # as it was recorded
PAGE = Answer(("<!doctype html>\n<h1>Bad Gateway</h1>\n<p>nginx",), 502, "text/html")


@pytest.mark.parametrize(
    ("answer", "error", "message", "hint"),
    [
        (json_error("model 'm' not found", 404), ModelMissing, "does not have the model m", "pulled first"),
        (Answer(("404 page not found",), 404, "text/plain"), ServerError, "404: 404 page not found", "OLLAMA_HOST"),
        (PAGE, ServerError, "502: no reason given", "proxy"),
        (Answer((), 403, None), Refused, "403: no reason given", "OLLAMA_ORIGINS"),
        (json_error("unauthorized", 401), Refused, "unauthorized", "Sign in"),
        (json_error("slow down", 429, headers=(("Retry-After", "3600"),)), Busy, "slow down", "3,600 seconds"),
        (json_error(ENGINE, 400), ContextTooLong, "614 tokens.*256", "num_ctx=1024"),
        (Answer(('{"error":{"message":"too hot","code":500}}',), 500, None), ServerError, "too hot", "^$"),
        (Answer(('{"error":null}',), 500, None), ServerError, "500", "^$"),
        (json_error("cudaMalloc failed: out of memory", 500), OutOfMemory, "out of memory", "smaller"),
        (json_error("model requires more system memory (9 GiB)", 500), OutOfMemory, "more system", "smaller"),
        (json_error('\\"m\\" does not support thinking', 400), Incapable, "thinking", "without think"),
        (json_error("x does not support tools", 400), Incapable, "tools", "without tools"),
        (json_error("llama-server process has terminated", 500), ServerError, "terminated", "log"),
        (json_error("timed out waiting for llama-server", 500), ServerError, "timed out", "try again"),
        (Answer(('{"message":7}\n',)), ServerError, "not Ollama's protocol", "Ollama server"),
        (Answer(("<html>",)), ServerError, "not Ollama's protocol", "Ollama server"),
    ],
)
def test_each_refusal_has_its_class_and_its_one_thing_to_do(
    do: Do, answer: Answer, error: type[LLMError], message: str, hint: str
) -> None:
    with replaying(chat=answer) as replay, pytest.raises(error, match=message) as caught:
        do(replay.url, "chat", "local_m", "hi", pull=False)
    assert type(caught.value) is error
    assert re.search(hint, caught.value.hint)
    assert len(caught.value.message.splitlines()) == 1
    assert len(replay.requests) == 1


def test_a_full_disk_ends_a_pull(do: Do) -> None:
    lines = recorded("pull_slow_with_progress").lines[:9]
    full = '{"error":"write /models/blobs/sha256-1-partial: no space left on device"}\n'
    with replaying(pull=Answer((*lines, full))) as replay, pytest.raises(DiskFull, match="no space left") as caught:
        do(replay.url, "pull", "local_m")
    assert "what has come is kept" in caught.value.hint


BUSY = json_error("server busy, please try again", 503, headers=(("Retry-After", "0"),))


def test_a_busy_server_is_asked_again(do: Do) -> None:
    with replaying(chat=[BUSY, BUSY, said("there")]) as replay:
        assert do(replay.url, "chat", "local_m", "hi").text == "there"
        assert len(replay.requests) == 3
    with replaying(embed=[BUSY, recorded("embed_one")]) as replay:
        assert do(replay.url, "embed", "local_m", "hi").shape[0] == 1


def test_but_not_for_ever(do: Do) -> None:
    with replaying(chat=BUSY) as replay, pytest.raises(Busy, match="server busy"):
        do(replay.url, "chat", "local_m", "hi")
    assert len(replay.requests) == 5


def test_it_waits_as_long_as_it_is_told(do: Do) -> None:
    wants = json_error("slow down", 429, headers=(("Retry-After", "1"),))
    with replaying(chat=[wants, said("there")]) as replay:
        began = time.monotonic()
        assert do(replay.url, "chat", "local_m", "hi").text == "there"
        assert time.monotonic() - began >= 1


def test_a_name_that_nobody_knows(do: Do) -> None:
    with pytest.raises(ServerDown, match=r"No server answers at http://nobody\.invalid:11434") as caught:
        do("nobody.invalid", "chat", "local_m", "hi")
    assert "check the address" in caught.value.hint
    assert do("nobody.invalid", "ping") is False


def test_what_goes_wrong_is_thrown_into_the_flow_at_its_step(do: Do) -> None:
    from acagent_nb import library

    def flow() -> Flow[Any]:
        for _ in range(2):
            try:
                yield from library.tags()
            except ServerError as error:
                yield error.status
        yield Wait(0.01)
        yield "went on"

    with replaying(tags=PAGE) as replay:
        assert run_by(do, replay.url, flow()) == [502, 502, "went on"]
