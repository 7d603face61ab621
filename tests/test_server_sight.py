"""Images in long conversations, in those that go on from a context, and the context that they need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .serving import SKY, Server, serving
from .test_server_more import TINY, create, generate, picture, seeing, upload

SHORT = {"temperature": 0, "num_predict": 3}
EACH = (224 // 14) ** 2  # tokens of an image
LOOK = SKY[0] | {"images": [picture()]}


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """A server with a model that sees."""
    with serving() as server:
        create(server, "seer", files={"a.gguf": TINY, "b.gguf": upload(server, seeing(224))})
        yield server


def chat(own: Server, *messages: dict[str, Any], **fields: Any) -> Any:
    return own.chat(model="seer", messages=list(messages), options=SHORT, **fields)


def test_old_messages_go_first_whatever_their_images_take(own: Server) -> None:
    system, answer = {"role": "system", "content": "be brief"}, {"role": "assistant", "content": "blue"}
    one = chat(own, system, LOOK)["prompt_eval_count"]
    assert one > EACH
    told = chat(own, system, *[LOOK, answer] * 9, LOOK)
    assert 2048 - one < told["prompt_eval_count"] < 2048  # as many of the newest as fit
    text = {"role": "user", "content": "word " * 110}
    assert 2048 - 130 < chat(own, system, *[text, answer] * 17, LOOK)["prompt_eval_count"] < 2048
    refused = json.loads(chat(own, *[LOOK, answer] * 9, LOOK, truncate=False)["error"])["error"]
    assert refused["n_prompt_tokens"] > 10 * EACH


def test_a_last_message_that_is_too_long_keeps_its_image(own: Server) -> None:
    long = LOOK | {"content": "word " * 3000}
    bare = chat(own, long | {"images": []})["prompt_eval_count"]
    assert bare <= 1024 + 4
    assert bare - 8 <= chat(own, long)["prompt_eval_count"] <= 1024 + 4  # the text gives way
    assert chat(own, LOOK | {"images": [picture()] * 9})["error"] == "the input length exceeds the context length"


def test_a_context_is_gone_on_from_with_an_image(own: Server) -> None:
    first = generate(own, model="seer", prompt="hello", options=SHORT)
    blind = generate(own, model="seer", prompt=SKY[0]["content"], context=first["context"], options=SHORT)
    saw = generate(
        own, model="seer", prompt=SKY[0]["content"], context=first["context"], images=LOOK["images"], options=SHORT
    )
    assert saw["prompt_eval_count"] == blind["prompt_eval_count"] + EACH
    third = generate(own, model="seer", prompt="and?", context=saw["context"], options=SHORT)
    assert third["prompt_eval_count"] < saw["prompt_eval_count"] - EACH + 40  # what it has seen is gone, mark and all
    long = [*first["context"]] * 200
    told = generate(own, model="seer", prompt=SKY[0]["content"], context=long, images=LOOK["images"], options=SHORT)
    assert 1000 < told["prompt_eval_count"] < 1060
    refused = generate(own, model="seer", prompt="?", context=long, images=LOOK["images"], truncate=False)
    assert json.loads(refused["error"])["error"]["type"] == "exceed_context_size_error"


def test_a_model_that_sees_has_room_for_it(own: Server) -> None:
    for model, options, room in (
        ("seer", {"num_ctx": 256}, 2048),
        ("tiny", {"num_ctx": 256}, 256),
        ("seer", {"num_ctx": 99_999}, 2048),
    ):
        own.chat(model=model, options=SHORT | options)
        loaded = own.client.get("/api/ps").json()["models"]
        assert next(each for each in loaded if each["name"] == f"{model}:latest")["context_length"] == room
