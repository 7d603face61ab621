"""Every option that the table calls live on the embedded server does there what its row says.

A proof for each, in the order of the table; what a machine without a GPU or a second processor can't
show of itself is shown of the engine: what it is told, and that it starts again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own
import pytest
import xllamacpp  # type: ignore[import-untyped]  # it ships none
from msgspec.structs import asdict

from acagent_nb.options import TABLE
from acagent_nb.server.child import _params
from acagent_nb.server.settings import layered, load

from .serving import Server

PROOFS: dict[str, Callable[[Server], None]] = {}
SEEDS = range(6)
AGAIN = "again and again and again and again"  # so that penalties have something to say
VALUES: dict[str, Any] = {  # of each option one that is not its default
    "num_ctx": 1024,
    "num_batch": 128,
    "num_gpu": 2,
    "main_gpu": 0,
    "use_mmap": False,
    "num_thread": 2,
    "draft_num_predict": 2,
    "num_keep": 9,
    "seed": 7,
    "num_predict": 5,
    "temperature": 0.1,
    "top_k": 3,
    "top_p": 0.5,
    "min_p": 0.2,
    "typical_p": 0.5,
    "repeat_last_n": 9,
    "repeat_penalty": 1.3,
    "presence_penalty": 1.0,
    "frequency_penalty": 1.0,
    "stop": ["###"],
    "mirostat": 2,
    "mirostat_eta": 0.2,
    "mirostat_tau": 3.0,
    "penalize_newline": False,
    "numa": True,
    "low_vram": True,
    "vocab_only": True,
    "use_mlock": True,
}


def proof(of: Callable[[Server], None]) -> Callable[[Server], None]:
    """The proof for the option whose name it has."""
    PROOFS[of.__name__] = of
    return of


def told(own: Server, prompt: str = AGAIN, format: Any = None, **options: Any) -> dict[str, Any]:
    """What a bare prompt is answered."""
    body = {"model": "tiny", "prompt": prompt, "raw": True, "stream": False, "format": format}
    answer = own.client.post("/api/generate", json=body | {"options": {"num_predict": 40, **options}})
    return dict(answer.raise_for_status().json())


def texts(own: Server, **options: Any) -> list[str]:
    """What each seed makes of it at a high temperature."""
    return [told(own, **{"seed": seed, "temperature": 1.5, **options})["response"] for seed in SEEDS]


def jokes(own: Server, **options: Any) -> set[str]:
    """Jokes, which vary, by each seed at a high temperature."""
    ask = [{"role": "user", "content": "tell me a joke"}]
    each = ({"seed": seed, "temperature": 1.5, "num_predict": 40, **options} for seed in SEEDS)
    return {str(own.chat(messages=ask, options=given)["message"]["content"]) for given in each}


def child(own: Server, **options: Any) -> psutil.Process:
    """The engine that answers with these options, after a long prompt."""
    prompt = {"role": "user", "content": "word " * 800}
    assert own.chat(messages=[prompt], options={"num_predict": 2, **options})["done"] is True
    (process,) = own.children
    return process


def engine(**options: Any) -> Any:
    """What llama.cpp is told when a model is loaded with these options."""
    wanted = load(layered(options), __file__, 2048, embeds=False, alias="any")
    return _params(xllamacpp, {**asdict(wanted), "socket": "engine.sock"})


def of_linux(path: str) -> str:
    """A file that tells about a process; only Linux has it."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells this of a process")
    return Path(path).read_text()


def only_the_likeliest(own: Server, **options: Any) -> bool:
    """Whether these options leave nothing to chance, where without them chance had its say."""
    assert len(jokes(own)) > 1
    return jokes(own, **options) == jokes(own, top_k=1)


def varied(answers: list[str]) -> float:
    """How many of all words are different ones."""
    words = [word for text in answers for word in text.split()]
    return len(set(words)) / len(words)


@proof
def num_ctx(own: Server) -> None:
    long = "the sea is blue and the sky is wide " * 40
    assert told(own, long)["prompt_eval_count"] > 256
    assert told(own, long, num_ctx=256)["prompt_eval_count"] < 256
    (running,) = own.client.get("/api/ps").json()["models"]
    assert running["context_length"] == 256


@proof
def num_batch(own: Server) -> None:
    small, large = (child(own, num_batch=number).memory_info().rss for number in (32, 2048))
    assert large - small > 800 * 1536 * 4  # all words' likelihoods after each of 800 tokens, 4 bytes each


@proof
def num_gpu(own: Server) -> None:
    assert child(own) != child(own, num_gpu=2)
    assert (engine().n_gpu_layers, engine(num_gpu=2).n_gpu_layers, engine(num_gpu=0).n_gpu_layers) == (-1, 2, 0)


@proof
def main_gpu(own: Server) -> None:
    assert child(own) != child(own, main_gpu=0)
    split, alone = engine(), engine(main_gpu=1)
    assert alone.main_gpu == 1
    assert alone.split_mode == xllamacpp.llama_split_mode.LLAMA_SPLIT_MODE_NONE != split.split_mode


@proof
def use_mmap(own: Server) -> None:
    maps = [of_linux(f"/proc/{child(own, use_mmap=mapped).pid}/maps") for mapped in (True, False)]
    assert ["/blobs/sha256-" in text for text in maps] == [True, False]


@proof
def num_thread(own: Server) -> None:
    few, many = (child(own, num_thread=number).num_threads() for number in (1, 5))
    assert many - few == 4


@proof
def num_keep(own: Server) -> None:
    long = "one two three four " * 120
    cut = [told(own, long, num_ctx=256, num_keep=kept)["prompt_eval_count"] for kept in (0, 4, 100)]
    assert cut[1:] == [cut[0] + 4 // 2, cut[0] + 100 // 2]  # beside what is kept, half of the rest remains
    endless = {"type": "array", "items": {"enum": ["again and again", "the sea", "blue sky"]}, "minItems": 400}
    story = "Once upon a time the quick brown fox jumps over the lazy dog"
    options = {"num_ctx": 256, "num_predict": 400, "temperature": 1.2}
    shifted = [
        [told(own, story, endless, num_keep=kept, seed=seed, **options)["response"] for seed in (2, 3)]
        for kept in (0, 0, -1)
    ]
    assert shifted[0] == shifted[1] != shifted[2]


@proof
def seed(own: Server) -> None:
    assert texts(own) == texts(own)
    assert len(jokes(own)) > 1
    assert len(jokes(own, seed=5)) == 1


@proof
def num_predict(own: Server) -> None:
    whole, bounded = (own.chat(options={"temperature": 0, "num_predict": most}) for most in (-1, 4))
    assert (whole["done_reason"], bounded["done_reason"], bounded["eval_count"]) == ("stop", "length", 4)
    assert whole["message"]["content"].startswith(bounded["message"]["content"])


@proof
def temperature(own: Server) -> None:
    assert only_the_likeliest(own, temperature=0)
    assert len(jokes(own, temperature=0.3)) < len(jokes(own, temperature=3.0))


@proof
def top_k(own: Server) -> None:
    assert len(jokes(own, top_k=1)) == 1
    assert texts(own, top_k=2) != texts(own)


@proof
def top_p(own: Server) -> None:
    assert only_the_likeliest(own, top_p=0.01)
    assert texts(own, top_p=0.3) != texts(own, top_p=1)


@proof
def min_p(own: Server) -> None:
    assert only_the_likeliest(own, min_p=0.99)
    assert texts(own, min_p=0.3) != texts(own)


@proof
def typical_p(own: Server) -> None:
    assert texts(own, typical_p=0.2) == texts(own, typical_p=0.2) != texts(own)
    assert texts(own, typical_p=1) == texts(own)


@proof
def repeat_last_n(own: Server) -> None:
    far, near, nothing = (texts(own, repeat_penalty=1.8, repeat_last_n=number) for number in (64, 2, 0))
    assert nothing == texts(own)
    assert far != near != nothing != far


@proof
def repeat_penalty(own: Server) -> None:
    assert varied(texts(own, repeat_penalty=1.8)) > varied(texts(own, repeat_penalty=0.9))


@proof
def presence_penalty(own: Server) -> None:
    assert varied(texts(own, presence_penalty=2)) > varied(texts(own, presence_penalty=-2))


@proof
def frequency_penalty(own: Server) -> None:
    assert varied(texts(own, frequency_penalty=2)) > varied(texts(own, frequency_penalty=-2))


@proof
def stop(own: Server) -> None:
    whole = own.chat(options={"temperature": 0})["message"]["content"]
    word = whole.split()[3]
    cut = own.chat(options={"temperature": 0, "stop": ["nowhere in it", word]})
    assert (cut["message"]["content"], cut["done_reason"]) == (whole[: whole.index(word)], "stop")


@proof
def mirostat(own: Server) -> None:
    off, first, second = (texts(own, mirostat=kind) for kind in (0, 1, 2))
    assert off == texts(own)
    assert off != first != second != off
    assert texts(own, mirostat=2, top_k=1) == second  # the fixed bounds do not count beside it


@proof
def mirostat_eta(own: Server) -> None:
    assert texts(own, mirostat=2, mirostat_tau=2.0, mirostat_eta=0.9) != texts(own, mirostat=2, mirostat_tau=2.0)
    assert texts(own, mirostat_eta=0.9) == texts(own)


@proof
def mirostat_tau(own: Server) -> None:
    assert only_the_likeliest(own, mirostat=2, mirostat_tau=0.1)
    assert texts(own, mirostat_tau=0.1) == texts(own)


@proof
def numa(own: Server) -> None:
    assert child(own) != child(own, numa=True)
    assert engine().numa == xllamacpp.ggml_numa_strategy.GGML_NUMA_STRATEGY_DISABLED
    assert engine(numa=True).numa == xllamacpp.ggml_numa_strategy.GGML_NUMA_STRATEGY_DISTRIBUTE


@proof
def use_mlock(own: Server) -> None:
    resource = pytest.importorskip("resource")
    if 0 <= resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] < 4 << 20:
        pytest.skip("this user may not lock so much")
    status = [of_linux(f"/proc/{child(own, **options).pid}/status") for options in ({}, {"use_mlock": True})]
    locked = [int(text.partition("VmLck:")[2].split()[0]) for text in status]  # kilobytes
    assert locked[0] == 0
    assert locked[1] > 1000


@pytest.mark.parametrize("name", PROOFS)
def test_it_works(own: Server, name: str) -> None:
    PROOFS[name](own)


class Losing(httpx.HTTPTransport):
    """A line on which one option gets lost."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST":
            return super().handle_request(request)
        body = json.loads(request.content)
        body["options"].pop(self.name, None)
        return super().handle_request(httpx.Request("POST", request.url, json=body))


@pytest.mark.parametrize("name", PROOFS)
def test_its_proof_fails_where_the_option_gets_lost(own: Server, name: str) -> None:
    deaf = copy(own)
    deaf.client = httpx.Client(base_url=own.url, transport=Losing(name), timeout=60)
    with deaf.client, pytest.raises(AssertionError):
        PROOFS[name](deaf)


def test_every_live_option_has_its_proof() -> None:
    assert list(PROOFS) == [row.name for row in TABLE.values() if row.embedded]


@pytest.mark.parametrize("name", [row.name for row in TABLE.values() if not row.embedded])
def test_what_the_table_calls_dead_changes_nothing(own: Server, name: str) -> None:
    plain, (before,) = texts(own, repeat_penalty=1.5), own.children
    assert texts(own, repeat_penalty=1.5, **{name: VALUES[name]}) == plain
    assert own.children == [before]


@pytest.mark.parametrize("name", TABLE)
def test_a_change_loads_the_model_again_just_where_the_table_says_so(own: Server, name: str) -> None:
    own.chat(options={"num_predict": 1})
    before = own.children
    own.chat(options={"num_predict": 1, name: VALUES[name]})
    assert (own.children != before) is (TABLE[name].load and TABLE[name].embedded)
