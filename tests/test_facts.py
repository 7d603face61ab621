"""What is learnt of a server while it is used: options that do nothing there, and models without eyes."""

from __future__ import annotations

import asyncio
import base64
import json
import warnings

import httpx
import pytest

from acagent_nb import AsyncClient, Client, Warned
from acagent_nb.errors import Incapable, ModelMissing, ServerDown
from acagent_nb.messages import Done, Text

from .clients import Do, blocking
from .replay import SERVERS, Answer, recorded, replaying, said

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def version(number: str) -> Answer:
    return Answer((json.dumps({"version": number}),))


def shows(*capabilities: str) -> Answer:
    return Answer((json.dumps({"capabilities": capabilities}),))


def test_a_dead_option_is_told_once_for_each_client() -> None:
    with replaying(chat=said("a"), version=version("0.24.0")) as replay, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(2):
            with Client(replay.url) as client:
                for _ in range(3):
                    client.chat("local_m", "hi", mirostat=2, temperature=0.5)
    assert [path for _, path, _ in replay.requests].count("/api/version") == 2
    assert len(told) == 2
    assert all(each.category is Warned and each.filename == __file__ for each in told)
    assert "mirostat" in str(told[0].message)
    assert "0.7.0" in str(told[0].message)


def test_another_dead_option_is_told_too() -> None:
    async def main(url: str) -> list[str]:
        async with AsyncClient(url) as client:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                for name in ("mirostat", "penalize_newline", "mirostat"):
                    await client.chat("local_m", "hi", **{name: 1 if name == "mirostat" else True})
            return [str(each.message) for each in told]

    with replaying(chat=said("a"), version=version("0.24.0")) as replay:
        first, second = asyncio.run(main(replay.url))
    assert "mirostat" in first
    assert "penalize_newline" in second


def test_the_reply_keeps_the_note(do: Do) -> None:
    with replaying(chat=said("a"), version=version("0.24.0")) as replay, pytest.warns(Warned, match="mirostat"):
        reply = do(replay.url, "chat", "local_m", "hi", mirostat=2)
    assert len(reply.notes) == 1
    assert reply.options.sent() == {"mirostat": 2}


@pytest.mark.parametrize("method", ["embed", "generate"])
def test_other_questions_tell_it_as_well(do: Do, method: str) -> None:
    answers = {"embed": recorded("embed_one"), "generate": recorded("generate_stream")}
    with replaying(version=version("0.24.0"), **answers) as replay, pytest.warns(Warned, match="mirostat"):
        do(replay.url, method, "local_m", "hi", mirostat=2)


def test_where_it_lives_nothing_is_told(do: Do, server: str, api: httpx.Client) -> None:
    with replaying(chat=said("a"), version=version("0.6.8")) as replay:
        assert do(replay.url, "chat", "local_m", "hi", mirostat=2).notes == ()
    assert do(server, "chat", "local_tiny", "Why is the sky blue?", mirostat=2, num_predict=3).notes == ()


def test_options_that_work_everywhere_need_no_version(do: Do) -> None:
    with replaying(chat=said("a")) as replay:
        do(replay.url, "chat", "local_m", "hi", temperature=0.5, seed=1, num_ctx=64, stop="x")
    assert replay.aside == ["/api/ps"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("method", ["chat", "generate"])
def test_pictures_for_a_model_without_vision_are_never_sent(do: Do, server: str, method: str) -> None:
    with replaying(show=recorded("show", server), chat=recorded("chat_images_on_text_model", server)) as replay:
        with pytest.raises(Incapable, match="tiny has no vision") as caught:
            do(replay.url, method, "local_tiny", "What is this?", images=PNG)
        assert [path for _, path, _ in replay.requests] == ["/api/show"]
    assert "completion" in caught.value.hint


def test_pictures_for_one_that_sees(do: Do) -> None:
    with replaying(show=shows("completion", "vision"), chat=said("a dot"), generate=said("")) as replay:
        assert do(replay.url, "chat", "local_llava", "What is this?", images=[PNG, PNG]).text == "a dot"
    (_, _, body) = replay.requests[1]
    encoded = base64.b64encode(PNG).decode()
    assert body["messages"] == [{"role": "user", "content": "What is this?", "images": [encoded, encoded]}]


def test_pictures_stand_beside_the_prompt_of_a_generation(do: Do) -> None:
    answer = Answer(('{"response":"a dot","done":true,"done_reason":"stop"}\n',))
    with replaying(show=shows("vision"), generate=answer) as replay:
        assert (
            do(replay.url, "generate", "local_llava", "What is this?", images=PNG, system="Be brief.").text == "a dot"
        )
    body = replay.requests[1][2]
    assert body["images"] == [base64.b64encode(PNG).decode()]
    assert body["system"] == "Be brief."


def test_old_servers_do_not_say_what_a_model_can() -> None:
    with replaying(show=shows(), chat=said("a dot")) as replay:
        assert blocking(replay.url, "chat", "local_llava", "What?", images=PNG).text == "a dot"


def test_what_newer_servers_say_of_pictures_is_understood(do: Do) -> None:
    refused = recorded("chat_images_on_text_model", "head-2026-08-21")
    with replaying(show=shows(), chat=refused) as replay, pytest.raises(Incapable, match="multimodal") as caught:
        do(replay.url, "chat", "local_tiny", "What is this?", images=PNG)
    assert "without pictures" in caught.value.hint


def test_a_missing_model_with_pictures_is_pulled_first(do: Do) -> None:
    missing, pulled = recorded("show_missing"), recorded("pull_slow_with_progress")
    with replaying(show=[missing, shows("vision")], pull=pulled, chat=said("a dot")) as replay:
        events = do(replay.url, "stream", "local_m", "What is this?", images=PNG)
    assert [path for _, path, _ in replay.requests] == ["/api/show", "/api/pull", "/api/show", "/api/chat"]
    assert Text("a dot") in events
    assert isinstance(events[-1], Done)
    with replaying(show=missing) as replay, pytest.raises(ModelMissing):
        do(replay.url, "chat", "local_m", "What is this?", images=PNG, pull=False)


def test_what_a_model_can_is_asked_once_until_it_is_made_anew() -> None:
    copied = recorded("copy")
    with replaying(show=shows("vision"), chat=said("a"), copy=copied) as replay, Client(replay.url) as client:
        for _ in range(2):
            client.chat("local_m", "What is this?", images=PNG)
        client.copy("local_other", "local_m:latest")
        client.chat("local_m", "What is this?", images=PNG)
    assert [path for _, path, _ in replay.requests].count("/api/show") == 2


def test_a_strange_name_among_the_loaded_does_no_harm(do: Do) -> None:
    loaded = {"models": [{"name": "a b/c/d/e/f", "context_length": 9}, {"name": "M:latest", "digest": "d"}]}
    with replaying(chat=said("a"), ps=Answer((json.dumps(loaded),))) as replay:
        assert do(replay.url, "chat", "local_m", "hi").digest == "d"


def test_another_server_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    with Client() as client:
        with replaying(chat=said("a"), version=version("0.6.8")) as old:
            monkeypatch.setenv("OLLAMA_HOST", old.url)
            assert client.chat("local_m", "hi", mirostat=2).notes == ()
            client.close()
        with pytest.raises(ServerDown, match=old.url):
            client.chat("local_m", "hi", mirostat=2)
        with replaying(chat=said("a"), version=version("0.24.0")) as new:
            monkeypatch.setenv("OLLAMA_HOST", new.url)
            with pytest.warns(Warned, match="mirostat"):
                client.chat("local_m", "hi", mirostat=2)


def test_another_server_is_another_version_in_a_loop_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            with replaying(chat=said("a"), version=version("0.6.8")) as old:
                monkeypatch.setenv("OLLAMA_HOST", old.url)
                assert (await client.chat("local_m", "hi", mirostat=2)).notes == ()
                await client.close()
            with pytest.raises(ServerDown, match=old.url):
                await client.chat("local_m", "hi", mirostat=2)
            with replaying(chat=said("a"), version=version("0.24.0")) as new:
                monkeypatch.setenv("OLLAMA_HOST", new.url)
                with pytest.warns(Warned, match="mirostat"):
                    await client.chat("local_m", "hi", mirostat=2)

    asyncio.run(main())
