"""What the client costs: side by side with ollama-python and the openai package, in turns within one run.

The server (`answering.py`) is a process of its own that sends bytes made beforehand. Where it says CPU, only
this process's own processor time counts, whoever else uses the machine; the rest is time on the clock.
Run as `python -m tests.benchmarks.client`; its exit status is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy
import ollama
import openai
import psutil

from acagent_nb import AsyncClient, Client

from .answering import WIDTH, answering

QUESTION = "why is the sky blue?"
SAY: list[Any] = [{"role": "user", "content": QUESTION}]
OURS, OLLAMA, OPENAI = "ours", "ollama", "openai"

# A first answer: what is imported for it, and how it is asked for.
FIRSTS = {
    OURS: ("from acagent_nb import Client", f"Client(url).chat('local_answer:10', '{QUESTION}').text"),
    OLLAMA: ("from ollama import Client", f"Client(url).chat('answer:10', {SAY}).message.content"),
    OPENAI: (
        "from openai import OpenAI",
        "OpenAI(base_url=url + '/v1', api_key='none').chat.completions"
        f".create(model='answer:10', messages={SAY}).choices[0].message.content",
    ),
}
FIRST = """
import sys, time
url = sys.argv[1]
began = time.process_time()
{imports}
ready = time.process_time()
assert {asks}
ended = time.process_time()
print(ended - ready, ended - began)
"""
GROWTH = f"""
import gc, psutil, sys
from acagent_nb import Client
client, requests = Client(sys.argv[1]), int(sys.argv[2])
for number in range(1, requests + 1):
    client.chat('local_answer:10', '{QUESTION}')
    if number in (requests // 10, requests):
        gc.collect()
        print(psutil.Process().memory_info().rss / (1 << 20))
"""


class Row(NamedTuple):
    """A line of the table: the median of each side, and the most that ours may be of ollama-python's."""

    name: str
    took: dict[str, float]
    bound: float | None = None

    @property
    def ratio(self) -> float:
        return self.took[OURS] / self.took[OLLAMA]

    @property
    def missed(self) -> bool:
        return self.bound is not None and self.ratio > self.bound

    def __str__(self) -> str:
        figures = "".join(f"{took:>9.1f}" for took in self.took.values())
        verdict = f"  at most {self.bound:g}: {'missed' if self.missed else 'met'}" if self.bound else ""
        return f"{self.name:<42}{figures}{self.ratio:>8.2f}{verdict}"


class Sides:
    """The clients of all sides, kept for the whole run as a notebook keeps its own."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        cloud: dict[str, Any] = {"base_url": f"{url}/v1", "api_key": "none"}
        self._ours, self._ollama, self._openai = Client(url), ollama.Client(url), openai.OpenAI(**cloud)
        self._async = AsyncClient(url), ollama.AsyncClient(url), openai.AsyncOpenAI(**cloud)

    def streams(self, model: str) -> dict[str, Callable[[], Any]]:
        """An answer's pieces as they come; the first one of each side has text."""
        return {
            OURS: lambda: self._ours.stream(f"local_{model}", QUESTION),
            OLLAMA: lambda: self._ollama.chat(model, SAY, stream=True),
            OPENAI: lambda: self._openai.chat.completions.create(model=model, messages=SAY, stream=True),
        }

    def asynchronous(self, model: str, requests: int = 1, at_once: int = 1) -> dict[str, Callable[[], object]]:
        """So many answers, read to their ends."""
        ours, ollamas, openais = self._async

        async def ask_ours() -> None:
            async for _ in ours.stream(f"local_{model}", QUESTION):
                pass

        async def ask_ollamas() -> None:
            async for _ in await ollamas.chat(model, SAY, stream=True):
                pass

        async def ask_openais() -> None:
            async for _ in await openais.chat.completions.create(model=model, messages=SAY, stream=True):
                pass

        async def all_of(ask: Callable[[], Coroutine[Any, Any, None]]) -> None:
            left = iter(range(requests))

            async def some() -> None:
                for _ in left:
                    await ask()

            await asyncio.gather(*(some() for _ in range(at_once)))

        asks = {OURS: ask_ours, OLLAMA: ask_ollamas, OPENAI: ask_openais}
        return {side: lambda ask=ask: self._loop.run_until_complete(all_of(ask)) for side, ask in asks.items()}

    def close(self) -> None:
        """End the loop, with all that is left over in it."""
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def vectors(self, count: int) -> dict[str, Callable[[], object]]:
        """Embeddings as an array; openai asks for base64, which Ollama's own API does not have."""
        texts = ["a text"] * count
        create = self._openai.embeddings.create
        return {
            OURS: lambda: self._ours.embed("local_answer:1", texts),
            OLLAMA: lambda: numpy.array(self._ollama.embed("answer:1", texts).embeddings, numpy.float32),
            OPENAI: lambda: numpy.array(
                [each.embedding for each in create(model="answer:1", input=texts).data], numpy.float32
            ),
        }


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.client", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often the sides take turns (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=1000, help="of an answer (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=1000, help="asynchronous ones in all (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=64, help="of those (default: %(default)s)")
    parser.add_argument("--texts", type=int, default=1000, help="to embed (default: %(default)s)")
    parser.add_argument("--soak", type=int, default=10_000, help="requests for the memory (default: %(default)s)")
    parser.add_argument("--grown", type=float, default=1.0, help="megabytes that are allowed (default: %(default)s)")
    given = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # ollama-python would ask the proxy, and take longer for its first request
    with _compiled(), answering() as url:
        print(f"medians of {given.rounds} turns; {psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
        print(f"{'':<42}{OURS:>9}{OLLAMA:>9}{OPENAI:>9}{'ratio':>8}")
        missed, sides = False, Sides(url)
        for row in _rows(sides, url, given):
            print(row, flush=True)
            missed |= row.missed
        sides.close()
        early, late = _fresh(GROWTH, url, str(given.soak))
        grew = late - early > given.grown
        print(
            f"\nour memory after {given.soak // 10} and {given.soak} requests: {early:.2f} and {late:.2f} MB"
            f"  at most {given.grown:g} more: {'missed' if grew else 'met'}"
        )
    return int(missed or grew)


def _rows(sides: Sides, url: str, given: argparse.Namespace) -> Iterator[Row]:
    """The lines of the table."""
    answer, tokens, rounds = f"answer:{given.tokens}", given.tokens, given.rounds
    whole = {side: lambda stream=stream: _read(stream()) for side, stream in sides.streams(answer).items()}
    paced = {side: lambda stream=stream: _read(stream()) for side, stream in sides.streams(f"paced:{tokens}").items()}
    yield Row("a streamed token, CPU us", _turns(whole, rounds, _cpu, 1e6 / tokens), 0.5)
    yield Row("the same, async", _turns(sides.asynchronous(answer), rounds, _cpu, 1e6 / tokens), 0.5)
    yield Row("one each ms, CPU us", _turns(paced, rounds, _cpu, 1e6 / tokens))
    yield Row("time to first token, us", _turns(sides.streams("answer:10"), 20 * rounds, _first, 1e6), 0.8)
    first, both = _firsts(url, rounds)
    yield Row("first client and request, CPU ms", first, 0.1)
    yield Row("import, first client and request, CPU ms", both, 0.5)
    yield Row(
        f"{given.texts} x {WIDTH} vectors to numpy, CPU ms", _turns(sides.vectors(given.texts), rounds, _cpu, 1e3), 0.45
    )
    many = sides.asynchronous("answer:10", given.requests, given.at_once)
    yield Row(f"{given.requests} requests, {given.at_once} at once, async, ms", _turns(many, 3, _clock, 1e3))


def _turns(
    sides: dict[str, Callable[[], Any]], rounds: int, seconds: Callable[[Callable[[], Any]], float], unit: float
) -> dict[str, float]:
    """The median of each side; the first turn, when connections are opened, does not count."""
    took: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds + 1):
        for side, ask in sides.items():
            took[side].append(seconds(ask))
    return {side: median(each[1:]) * unit for side, each in took.items()}


def _cpu(ask: Callable[[], Any]) -> float:
    began = time.process_time()
    ask()
    return time.process_time() - began


def _clock(ask: Callable[[], Any]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


def _first(stream: Callable[[], Any]) -> float:
    """Seconds to the first piece; the rest is read, too, so that the connection is kept."""
    began = time.perf_counter()
    pieces = iter(stream())
    next(pieces)
    took = time.perf_counter() - began
    _read(pieces)
    return took


def _read(pieces: Any) -> None:
    for _ in pieces:
        pass


def _firsts(url: str, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Milliseconds of each side's first request, without its imports and with them, in processes of their own."""
    took: dict[str, list[list[float]]] = {side: [] for side in FIRSTS}
    for _ in range(rounds):
        for side, (imports, asks) in FIRSTS.items():
            took[side].append(_fresh(FIRST.format(imports=imports, asks=asks), url))
    first, both = (
        {side: median(turn[which] for turn in each) * 1e3 for side, each in took.items()} for which in (0, 1)
    )
    return first, both


def _fresh(script: str, *arguments: str) -> list[float]:
    """The figures that a script prints in a process of its own."""
    command = [sys.executable, "-c", script, *arguments]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(figure) for figure in told.stdout.split()]


@contextmanager
def _compiled() -> Iterator[None]:
    """Let new processes keep what they compile, in a place of our own, so that each side is compiled once."""
    with TemporaryDirectory() as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        yield


if __name__ == "__main__":
    sys.exit(main())
