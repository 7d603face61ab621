"""Options reach the engine: defaults, types, what reloads and what does not."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from acagent_nb.options import TABLE
from acagent_nb.server import ask
from acagent_nb.server.store import Store

from . import ggufs
from .serving import ENDLESS, SKY, WEATHER, Server
from .test_server_create import create, shown, upload


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"temperature": "hot"}, "float32"),
        ({"temperature": 10**400}, "float32"),
        ({"num_predict": "many"}, "integer"),
        ({"num_ctx": True}, "integer"),
        ({"use_mmap": 1}, "boolean"),
        ({"stop": "end"}, "array"),
    ],
)
def test_a_wrong_type_is_refused(api: httpx.Client, options: dict[str, Any], word: str) -> None:
    answer = api.post("/api/chat", json={"model": "tiny", "messages": SKY, "options": options})
    name = next(iter(options))
    assert (answer.status_code, answer.json()) == (500, {"error": f'option "{name}" must be of type {word}'})


def test_a_list_of_other_things_than_texts_is_refused(api: httpx.Client) -> None:
    answer = api.post("/api/chat", json={"model": "tiny", "messages": SKY, "options": {"stop": [1]}})
    assert (answer.status_code, answer.json()["error"]) == (500, 'option "stop" must be of an array of strings')


def test_every_option_is_taken(own: Server) -> None:
    values: dict[str, Any] = {"num_ctx": 512, "main_gpu": 0, "use_mmap": True, "stop": ["###"], "num_thread": 1}
    options = {name: values.get(name, row.default) for name, row in TABLE.items()}
    assert own.chat(options=options | {"num_predict": 3})["done"] is True


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -5},
        {"top_p": 7},
        {"top_k": 1.9},
        {"num_batch": 2},
        {"repeat_last_n": -1},
        {"num_predict": -2},
        {"num_keep": -9},
        {"typical_p": 0},
        {"stop": [""]},
        {"low_vram": "whatever", "nonsense": [1]},
    ],
)
def test_out_of_range_and_unknown_is_no_error(own: Server, options: dict[str, Any]) -> None:
    assert own.chat(options={"seed": 1} | options)["done_reason"] == "stop"


def test_a_seed_repeats_and_another_differs(own: Server) -> None:
    def haiku(seed: int) -> str:
        options = {"seed": seed, "temperature": 1.5, "num_predict": 40}
        return str(own.chat(messages=[{"role": "user", "content": "tell me a joke"}], options=options)["message"])

    assert haiku(1) == haiku(1)
    assert len({haiku(seed) for seed in range(2, 10)}) > 1


def test_stop_ends_the_answer_before_it(own: Server) -> None:
    whole = own.chat(options={"temperature": 0})["message"]["content"]
    word = whole.split()[3]
    cut = own.chat(options={"temperature": 0, "stop": [word]})
    assert cut["message"]["content"] == whole[: whole.index(word)]
    assert cut["done_reason"] == "stop"


def test_num_predict_bounds_the_answer(own: Server) -> None:
    told = own.chat(options={"temperature": 0, "num_predict": 4})
    assert (told["done_reason"], told["eval_count"]) == ("length", 4)


def test_only_a_real_change_of_a_load_time_option_restarts_the_child(own: Server) -> None:
    own.chat()
    (first,) = own.children
    for options in ({"temperature": 0.1}, {"num_predict": 2}, {"num_gpu": -1}, {"num_ctx": 2048}, {"num_batch": 512.5}):
        own.chat(options=options)
        assert own.children == [first], options
    own.chat(options={"num_ctx": 1024})
    (second,) = own.children
    assert second != first
    assert own.client.get("/api/ps").json()["models"][0]["context_length"] == 1024
    own.chat(options={"num_ctx": 1024, "num_batch": 256})
    (third,) = own.children
    assert third not in (first, second)


def test_a_running_answer_is_finished_before_a_restart(own: Server) -> None:
    own.chat(options={"num_ctx": 1024})
    (old,) = own.children
    body = {
        "model": "tiny",
        "prompt": "Once",
        "raw": True,
        "format": ENDLESS,
        "options": {"num_predict": 200, "num_ctx": 1024},
    }
    with own.client.stream("POST", "/api/generate", json=body) as answer, ThreadPoolExecutor() as pool:
        lines = answer.iter_lines()
        next(lines)
        other = pool.submit(own.chat, options={"num_ctx": 768})
        last = [json.loads(line) for line in lines][-1]
        assert (last["done_reason"], last["eval_count"]) == ("length", 200)
        assert other.result()["done"] is True
    assert old not in own.children


def test_the_context_is_capped_to_the_models(own: Server) -> None:
    own.chat(options={"num_ctx": 999_999})
    assert own.client.get("/api/ps").json()["models"][0]["context_length"] == 2048


def test_old_messages_go_first_and_the_system_stays(own: Server) -> None:
    filler = [{"role": "user", "content": "word " * 60}, {"role": "assistant", "content": "yes"}] * 8
    messages = [{"role": "system", "content": "be brief"}, *filler, *SKY]
    told = own.chat(messages=messages, options={"num_ctx": 256, "temperature": 0, "num_predict": 5})
    assert told["done"] is True
    assert 256 - 80 < told["prompt_eval_count"] < 256  # as many of the newest as fit


def test_an_answer_begun_by_the_client_is_gone_on_with(own: Server) -> None:
    whole = own.chat(options={"temperature": 0})["message"]["content"]
    begun = whole[: len(whole) // 2]
    told = own.chat(
        messages=[*SKY, {"role": "assistant", "content": begun}], options={"temperature": 0, "num_predict": 5}
    )
    assert not told["message"]["content"].startswith(begun)


def test_generate_goes_on_from_a_context(own: Server) -> None:
    def ask(**fields: Any) -> dict[str, Any]:
        body = {"model": "tiny", "prompt": "what is 2+2?", "stream": False, "options": {"temperature": 0}, **fields}
        return dict(own.client.post("/api/generate", json=body).json())

    first = ask()
    second = ask(context=first["context"])
    assert second["prompt_eval_count"] > len(first["context"])


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("generate", {"prompt": "", "think": True}, 400, '"tiny" does not support thinking'),
        ("generate", {"raw": True, "system": "x"}, 400, "raw mode does not support template, system, or context"),
        ("generate", {"suffix": "x"}, 400, "registry.ollama.ai/library/tiny:latest does not support insert"),
        ("chat", {"tools": [WEATHER]}, 400, "registry.ollama.ai/library/tiny:latest does not support tools"),
        ("chat", {"messages": [], "think": "low"}, 400, '"tiny" does not support thinking'),
        ("chat", {"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ("generate", {"top_logprobs": -1}, 400, "top_logprobs must be between 0 and 20"),
        ("generate", {"model": "nosuch", "top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20"),
        ("chat", {"options": {"num_ctx": "x"}}, 500, 'option "num_ctx" must be of type integer'),
    ],
)
def test_what_is_refused_is_refused_without_a_question_too(
    api: httpx.Client, path: str, fields: dict[str, Any], status: int, words: str
) -> None:
    answer = api.post(f"/api/{path}", json={"model": "tiny", **fields})
    assert (answer.status_code, answer.json()) == (status, {"error": words})
    if fields.get("model") is None and "top_logprobs" not in fields:  # but nothing is in the way of an unload
        told = api.post(f"/api/{path}", json={"model": "tiny", **fields, "keep_alive": 0})
        assert told.json()["done_reason"] == "unload"


def test_a_model_whose_context_can_not_shift_does_not(own: Server) -> None:
    values = {"general.architecture": "deepseek2", "deepseek2.context_length": 2048}
    create(own, "deep", files={"a.gguf": upload(own, ggufs.written(values, {"token_embd.weight": ggufs.noise(8, 4)}))})
    model = Store(shown(own, "deep")["modelfile"].split("\nFROM ")[1].split("/blobs/")[0]).find("deep")
    assert model is not None
    for fields, shifts in (({}, False), ({"shift": True}, True), ({"shift": False}, False)):
        asked = ask.chat(model, {"model": "deep", "messages": SKY, **fields})
        assert (asked.shift, asked.load.shift) == (shifts, shifts)
        assert ask.without_question(model, fields, "chat") == asked.load


def test_a_template_in_the_request_is_refused(own: Server) -> None:
    for raw, word in ((False, "Jinja"), (True, "raw mode does not support template, system, or context")):
        answer = own.client.post("/api/generate", json={"model": "tiny", "prompt": "x", "template": "{{", "raw": raw})
        assert answer.status_code == 400
        assert word in answer.json()["error"]
