"""What a cloud model's server says when it does not do what it was asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acagent_nb import AsyncClient, Client
from acagent_nb.errors import Busy, ContextTooLong, Incapable, LLMError, ModelMissing, Refused, ServerError

from .clouds import KEY, LIMIT, QUOTA, Ask, asked, blocking
from .openai_like import Told, document, openai_like, refusal

WRONG_KEY = (
    f"Incorrect API key provided: {KEY[:8]}***{KEY[-4:]}. You can find your API key at https://platform.openai.com."
)
LENGTH = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 10005 tokens. "
    "Please reduce the length of the messages."
)
ONE = "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported."
FASTAPI = {"detail": [{"loc": ["body", "temperature"], "msg": "Input should be a number", "input": "my diary"}]}


@pytest.mark.parametrize(
    ("told", "error", "words"),
    [
        (refusal(401, WRONG_KEY, "invalid_api_key"), Refused, ["OPENAI_API_KEY"]),
        (refusal(403, "Country, region, or territory not supported", "unsupported_country"), Refused, ["Country"]),
        (refusal(403, "Project `proj_x9` lacks access", "model_not_found"), ModelMissing, ["gpt-4o-mini"]),
        (
            refusal(404, "The model `gpt-4o-mini` does not exist", "model_not_found"),
            ModelMissing,
            ["local_gpt-4o-mini"],
        ),
        (refusal(404, "This is not a chat model and thus not supported", None, "model"), Incapable, ["for chats"]),
        (Told(b"404 page not found", 404), ServerError, ["404 page not found", "/v1"]),
        (refusal(400, LENGTH, "context_length_exceeded", "messages"), ContextTooLong, ["10,005", "8,192"]),
        (refusal(400, ONE, "unsupported_value", "temperature"), Incapable, ["Ask without temperature."]),
        (
            refusal(400, "Unrecognized request argument supplied: reasoning_effort"),
            Incapable,
            ["Ask without think."],
        ),
        (refusal(400, "tools is not supported in this model", "unsupported", "tools"), Incapable, ["can call them"]),
        (
            refusal(400, "Invalid content type. image_url is only supported by certain models.", None, "messages.[0]"),
            Incapable,
            ["without pictures"],
        ),
        (
            refusal(
                400, "Invalid 'max_completion_tokens': integer below minimum value.", None, "max_completion_tokens"
            ),
            ServerError,
            ["Change num_predict"],
        ),
        (refusal(400, "Rejected by our safety system.", "content_policy_violation"), ServerError, ["other words"]),
        (refusal(429, LIMIT, "rate_limit_exceeded", retry_after="400"), Busy, ["in 400 seconds"]),
        (refusal(429, QUOTA, "insufficient_quota", retry_after="0"), Refused, ["billing"]),
        (refusal(500, "The server had an error", retry_after="0"), ServerError, ["The server had an error"]),
        (refusal(503, "The engine is currently overloaded", retry_after="0"), Busy, ["overloaded"]),
        (document(FASTAPI, 422), ServerError, ["Input should be a number"]),
        (document({"object": "error", "message": LENGTH, "code": 400}, 400), ContextTooLong, ["8,192"]),
        (document([{"error": {"message": "API key not valid", "code": 400}}], 400), ServerError, ["not valid"]),
        (
            Told(b"<html><body>Bad gateway</body></html>", 502, (("Retry-After", "0"),)),
            ServerError,
            ["no reason given"],
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_each_refusal_is_an_error_of_ours(ask: Ask, told: Told, error: type[LLMError], words: list[str]) -> None:
    with openai_like(told) as server, pytest.raises(error) as raised:
        ask(server.url, options={"temperature": 0.2})
    assert type(raised.value) is error
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert not any(secret in str(raised.value) for secret in ("sk-", KEY[-4:], "org-abc", "my diary"))
    if isinstance(raised.value, ServerError):
        assert raised.value.status == told.status


def test_the_lengths_are_numbers() -> None:
    engines = {
        "code": 400,
        "message": "too long",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9,
        "n_ctx": 4,
    }
    for told, lengths in (
        (refusal(400, LENGTH, "context_length_exceeded"), (10005, 8192)),
        (document({"error": engines}, 400), (9, 4)),
        (refusal(400, "Input tokens exceed the configured limit of 272,000 tokens.", "x"), (None, 272000)),
    ):
        with openai_like(told) as server, pytest.raises(ContextTooLong) as raised:
            blocking(server.url)
        assert (raised.value.needed, raised.value.num_ctx) == lengths


def test_a_word_that_only_stands_for_a_key_is_left_in_what_a_server_says() -> None:
    told = refusal(400, "The request exceeds the available context size")
    with (
        openai_like(told) as server,
        Client(base_url=server.url, api_key="x") as client,
        pytest.raises(ContextTooLong),
    ):
        list(client.events(asked()))


def test_a_key_that_a_server_repeats_is_not_shown() -> None:
    key = "gsk_8fQz71LwPd"
    with openai_like(refusal(400, f"Bad header: Authorization={key}")) as server:
        with Client(base_url=server.url, api_key=key) as client, pytest.raises(ServerError) as raised:
            list(client.events(asked()))

        async def main() -> None:
            async with AsyncClient(base_url=server.url, api_key=key) as client:
                async for _ in client.events(asked()):
                    pass

        with pytest.raises(ServerError, match="Bad header") as again:
            asyncio.run(main())
    assert key not in f"{raised.value} {again.value}"


def test_a_server_that_contradicts_itself_is_not_asked_for_ever() -> None:
    words = "Unsupported value: 'reasoning_effort'. Supported values are: {}."
    answers = [refusal(400, words.format(effort)) for effort in ("'low'", "'high'") * 10]
    with openai_like(*answers) as server:
        with pytest.raises(Incapable, match="think"):
            blocking(server.url, think=True)
        assert len(server.requests) < 10
    with openai_like(*answers) as server, pytest.raises(Incapable, match="think"):
        blocking(server.url)


def test_an_endpoints_key_is_named_as_such() -> None:
    with openai_like(refusal(401, WRONG_KEY)) as server, pytest.raises(Refused, match=r"params\.toml names for .* lab"):
        blocking(server.url, provider="lab")


def test_a_key_that_is_not_accepted_is_named_by_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAB_API_KEY", "labs")

    def told(model: str, **how: Any) -> str:
        with Client(**how) as client, pytest.raises(Refused) as raised:
            client.chat(model, "hi")
        return str(raised.value)

    with openai_like(refusal(401, "no")) as server:
        lab = {"base_url": server.url, "key_env": "LAB_API_KEY"}
        named, unnamed = ({"endpoints": {"lab": each}} for each in (lab, {"base_url": server.url}))
        assert told("lab/m", params=named).splitlines() == [
            "lab does not accept the key.",
            "Set LAB_API_KEY, which params.toml names for the endpoint lab, to a key that is valid.",
        ]
        assert 'key_env = "LAB_API_KEY"' in told("lab/m", params=unnamed)
        assert told("m", base_url=server.url, api_key=KEY).startswith("127.0.0.1 does not accept the key.\nCheck the")
        assert "Give api_key together with base_url" in told("m", base_url=server.url)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert "in the place of OPENAI_API_KEY" in told("m", api_key=KEY)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert told("m").endswith("Set OPENAI_API_KEY to a key that is valid.")
