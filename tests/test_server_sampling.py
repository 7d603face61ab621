"""Each option does to the embedded engine what its name says: to answers, and to the process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from acagent_nb.server.settings import layered, load

from .serving import Server

JOKE = [{"role": "user", "content": "tell me a joke"}]
SEEDS = range(6)


@pytest.fixture(scope="module")
def plain(own: Server) -> list[str]:
    """Creative answers with no further option, one for each seed."""
    return creative(own)


@pytest.fixture(scope="module")
def likeliest(own: Server) -> str:
    """The answer that is made of the likeliest tokens."""
    return joke(own, temperature=0)


def joke(own: Server, **options: Any) -> str:
    return str(own.chat(messages=JOKE, options={"num_predict": 40, **options})["message"]["content"])


def creative(own: Server, **options: Any) -> list[str]:
    """What a few seeds make of a text full of repetitions, so that penalties have something to say."""
    body = {"model": "tiny", "prompt": "again and again and again and again", "raw": True, "stream": False}
    told = []
    for seed in SEEDS:
        asked = body | {"options": {"num_predict": 40, "seed": seed, "temperature": 1.5, **options}}
        told.append(str(own.client.post("/api/generate", json=asked).json()["response"]))
    return told


@pytest.mark.parametrize(
    "options",
    [
        {"mirostat": 1},
        {"mirostat": 2},
        {"typical_p": 0.2},
        {"min_p": 0.3},
        {"top_p": 0.3},
        {"top_k": 2},
        {"repeat_penalty": 1.8},
        {"presence_penalty": 2.0},
        {"frequency_penalty": 2.0},
    ],
    ids=str,
)
def test_it_changes_a_creative_answer_and_a_seed_repeats_it(
    own: Server, plain: list[str], options: dict[str, Any]
) -> None:
    told = creative(own, **options)
    assert told != plain
    assert creative(own, **options) == told


@pytest.mark.parametrize(
    "options",
    [{"top_k": 1}, {"top_p": 0.01}, {"min_p": 0.99}, {"mirostat": 2, "mirostat_tau": 0.1}, {"temperature": 0}],
    ids=str,
)
def test_at_its_narrowest_it_leaves_the_likeliest_answer_only(
    own: Server, likeliest: str, options: dict[str, Any]
) -> None:
    told = {joke(own, **{"seed": seed, "temperature": 1.5, **options}) for seed in SEEDS}
    assert told == {likeliest}
    assert len({joke(own, seed=seed, temperature=1.5) for seed in SEEDS}) > 1


def test_mirostat_has_two_kinds_and_both_its_numbers_count(own: Server) -> None:
    kinds = [
        creative(own, mirostat=1),
        creative(own, mirostat=2),
        creative(own, mirostat=2, mirostat_tau=2.0),
        creative(own, mirostat=2, mirostat_tau=2.0, mirostat_eta=0.9),
    ]
    assert all(one != other for at, one in enumerate(kinds) for other in kinds[:at])


def test_repeat_last_n_says_how_far_back_a_penalty_looks(own: Server, plain: list[str]) -> None:
    far, near, nothing = (creative(own, repeat_penalty=1.8, repeat_last_n=number) for number in (64, 2, 0))
    assert nothing == plain
    assert len({str(each) for each in (far, near, nothing)}) == 3


def test_a_context_that_is_full_drops_its_older_half_and_goes_on(own: Server) -> None:
    body = {
        "model": "tiny",
        "prompt": "Once",
        "raw": True,
        "stream": False,
        "format": {"type": "array", "minItems": 400},
    }
    options = {"num_ctx": 256, "num_predict": 400, "num_keep": 4, "temperature": 0}
    told = own.client.post("/api/generate", json=body | {"options": options}).json()
    assert (told["done_reason"], told["eval_count"]) == ("length", 400)


def loaded(own: Server, **options: Any) -> psutil.Process:
    """The child that answers with these options, after an answer to a long prompt."""
    prompt = {"role": "user", "content": "word " * 800}
    assert own.chat(messages=[prompt], options={"num_predict": 2, **options})["done"] is True
    (child,) = own.children
    return child


def maps_its_model(child: psutil.Process) -> bool:
    return "/blobs/sha256-" in Path(f"/proc/{child.pid}/maps").read_text()


def locked(child: psutil.Process) -> int:
    """Kilobytes that can't be swapped out."""
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmLck")).split()[1])


linux = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells this of a process")


@linux
def test_use_mmap_maps_the_file_or_reads_it(own: Server) -> None:
    assert maps_its_model(loaded(own, use_mmap=True))
    assert not maps_its_model(loaded(own, use_mmap=False))


@linux
def test_use_mlock_locks_the_weights_in_memory(own: Server) -> None:
    import resource

    if 0 <= resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] < 4 << 20:
        pytest.skip("this user may not lock so much")
    assert locked(loaded(own)) == 0
    assert locked(loaded(own, use_mlock=True)) > 1000


def test_num_thread_is_how_many_threads_work(own: Server) -> None:
    few, many = (loaded(own, num_thread=number).num_threads() for number in (1, 5))
    assert many - few == 4


def test_more_threads_than_the_machine_could_ever_use_are_not_started(own: Server) -> None:
    most = 4 * (os.cpu_count() or 1)
    threads = {loaded(own, num_thread=number).num_threads() for number in (most, most + 1, 10**9)}
    assert len(threads) == 1
    assert own.chat(options={"num_thread": 10**9, "num_predict": 2})["done"] is True


def test_threads_are_the_cores_but_one_for_tiny_weights(own: Server, tmp_path: Path) -> None:
    assert loaded(own).num_threads() == loaded(own, num_thread=1).num_threads()
    weights = tmp_path / "weights"
    with weights.open("wb") as file:
        file.truncate(64 << 20)
    physical = psutil.cpu_count(logical=False) or 1
    told = load(layered({}), str(weights), 2048, embeds=False, alias="large")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else physical
    assert told.num_thread == min(physical, allowed)


def test_num_batch_is_how_much_of_a_prompt_is_read_at_once(own: Server) -> None:
    small, large = (loaded(own, num_batch=number).memory_info().rss for number in (32, 2048))
    assert large - small > 800 * 1536 * 4  # all words' likelihoods after each of 800 tokens, 4 bytes each


@pytest.mark.parametrize("options", [{"num_gpu": 2}, {"main_gpu": 0, "num_gpu": 0}, {"numa": True}], ids=str)
def test_what_this_machine_can_not_show_starts_another_child_that_answers(own: Server, options: dict[str, Any]) -> None:
    before = loaded(own)
    after = loaded(own, **options)
    assert after != before
