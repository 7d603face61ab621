"""What the embedded server costs: its `/api/chat` against the engine's own `/v1/chat/completions`.

Both sides are asked in turn within one run, the engine by its own socket: it is one and the same child.
On a busy machine look at the best turns: three processes share its cores on our side, two on the engine's.
Run as `python -m tests.benchmarks.server`.
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median
from typing import Any

import httpx
import psutil

from acagent_nb import hosts
from acagent_nb.server.settings import layered, per_request

from .asking import Place, many, megabytes, of_child, of_server

OPTIONS: dict[str, Any] = {"temperature": 0}
LIST = {"type": "array", "items": {"enum": ["again and again"]}, "minItems": 500}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.server", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often the sides take turns (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=16, help="requests of a turn (default: %(default)s)")
    parser.add_argument("--slots", type=int, default=8, help="OLLAMA_NUM_PARALLEL (default: %(default)s)")
    parser.add_argument("--question", default="why is the sky blue?", help="default: %(default)s")
    parser.add_argument("--tokens", type=int, help="longer answers, of so many tokens, by a schema on both sides")
    given = parser.parse_args()
    os.environ["OLLAMA_NUM_PARALLEL"] = str(given.slots)
    messages = [{"role": "user", "content": given.question}]
    began = time.perf_counter()
    with hosts.private(None) as private, httpx.Client(base_url=private.url, trust_env=False, timeout=60) as client:
        listening = time.perf_counter() - began
        client.post("/api/pull", json={"model": "tiny", "stream": False}).raise_for_status()
        options = OPTIONS | ({"num_predict": given.tokens} if given.tokens else {})
        ours = {"model": "tiny", "messages": messages, "options": options}
        engines = {**per_request(layered(options), 2048), "messages": messages, "stream": True}
        if given.tokens:
            ours["format"] = LIST
            engines["response_format"] = {"type": "json_schema", "json_schema": {"schema": LIST}}
        length = len(client.post("/api/chat", json=ours).raise_for_status().text.splitlines()) - 1
        answered = time.perf_counter() - began
        child_place, child = of_child(private)
        sides = ((of_server(private), ours), (child_place, engines))
        print(f"Each answer has {length} pieces; {given.rounds} turns of {given.requests} requests; {_machine()}\n")
        print(f"{'':<12}{'first text, ms':^31}   {'tokens a second':^31}")
        print(f"{'at once':<12}{'ours':>9}{'engine':>9}{'later by':>11}      {'ours':>9}{'engine':>9}{'ratio':>9}")
        server = psutil.Process(private.pid)
        before, answers = _cpu(server), 0
        for at_once in (1, 8):
            firsts, rates = _compared(sides, at_once, given.rounds, given.requests)
            _row(f"{at_once}, median", [median(each) for each in firsts], [median(each) for each in rates])
            _row(f"{at_once}, best", [min(each) for each in firsts], [max(each) for each in rates])
            answers += given.rounds * given.requests
        spent = (_cpu(server) - before) / answers * 1000
        if psutil.Process(private.pid).children() != [child]:
            raise RuntimeError("the child was not one and the same all the time")
        print(f"\nthe server's own processor time for an answer: {spent:.2f} ms")
        print(f"start to listening {listening:.2f} s, to the end of the first answer (pull and load) {answered:.2f} s")
        print(f"memory: server {megabytes(server):.1f} MB, child {megabytes(child):.1f} MB")


Sides = tuple[tuple[Place, dict[str, Any]], ...]


def _compared(sides: Sides, at_once: int, rounds: int, requests: int) -> tuple[list[list[float]], list[list[float]]]:
    """For each side and turn the median time to the first text in milliseconds, and the tokens a second."""
    firsts: list[list[float]] = [[], []]
    rates: list[list[float]] = [[], []]
    for turn in range(rounds):
        for side in (0, 1) if turn % 2 else (1, 0):
            first, rate = many(*sides[side], at_once, requests)
            firsts[side].append(first * 1000)
            rates[side].append(rate)
    return firsts, rates


def _cpu(process: psutil.Process) -> float:
    """Seconds of processor time so far, which do not depend on who else uses the machine."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _row(name: str, firsts: list[float], rates: list[float]) -> None:
    print(
        f"{name:<12}{firsts[0]:>9.2f}{firsts[1]:>9.2f}{firsts[0] - firsts[1]:>11.2f}      "
        f"{rates[0]:>9.0f}{rates[1]:>9.0f}{rates[0] / rates[1]:>9.2f}"
    )


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
