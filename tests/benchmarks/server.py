"""What the embedded server costs: its `/api/chat` against the engine's own `/v1/chat/completions`.

All are asked in turn within one run, the engine twice: by the Unix socket of our own child, which no client
could use, and a second one of the same settings by a port, as clients of a `/v1` ask and as ours is asked. On a
busy machine look at the best turns: three processes share its cores on our side, two on the engine's.
Run as `python -m tests.benchmarks.server`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

import httpx
import psutil

from acagent_nb import hosts
from acagent_nb.server import ask
from acagent_nb.server.settings import per_request
from acagent_nb.server.store import Store

from .asking import Place, engine_on_tcp, many, megabytes, of_child, of_server

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
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        private = stack.enter_context(hosts.private(folder))
        client = stack.enter_context(httpx.Client(base_url=private.url, trust_env=False, timeout=60))
        listening = time.perf_counter() - began
        client.post("/api/pull", json={"model": "tiny", "stream": False}).raise_for_status()
        options = OPTIONS | ({"num_predict": given.tokens} if given.tokens else {})
        ours = {"model": "tiny", "messages": messages, "options": options}
        model = Store(folder).find("tiny")
        assert model is not None  # it has just been pulled
        values, load = ask.loading(model, options)
        engines = {**per_request(values, load.num_ctx), "messages": messages, "stream": True}
        if given.tokens:
            ours["format"] = LIST
            engines["response_format"] = {"type": "json_schema", "json_schema": {"schema": LIST}}
        length = len(client.post("/api/chat", json=ours).raise_for_status().text.splitlines()) - 1
        answered = time.perf_counter() - began
        by_socket, child = of_child(private)
        by_port = stack.enter_context(engine_on_tcp(load))
        sides = {"ours": (of_server(private), ours), "port": (by_port, engines), "socket": (by_socket, engines)}
        print(f"Each answer has {length} pieces; {given.rounds} turns of {given.requests} requests; {_machine()}\n")
        print(f"{'':<12}{'first text, ms':^39}    {'tokens a second':^39}")
        names = f"{'ours':>7}{'engine, by port':>17}{'by socket':>15}"
        print(f"{'at once':<12}{names}    {names}")
        server = psutil.Process(private.pid)
        spent = []
        for at_once in (1, 8):
            before = _cpu(server), _cpu(child)
            firsts, rates = _compared(sides, at_once, given.rounds, given.requests)
            _row(
                f"{at_once}, median", *({name: median(each) for name, each in told.items()} for told in (firsts, rates))
            )
            best = {name: min(each) for name, each in firsts.items()}
            _row(f"{at_once}, best", best, {name: max(each) for name, each in rates.items()})
            own, childs = ((_cpu(each) - was) * 1000 for each, was in zip((server, child), before, strict=True))
            answers = given.rounds * given.requests  # of the child, which the script asks by its socket, twice as many
            spent.append(f"{at_once} at once {own / answers:.2f} ms, {2 * own / childs:.2f} of its child's")
        if psutil.Process(private.pid).children() != [child]:
            raise RuntimeError("the child was not one and the same all the time")
        print(f"\nthe server's own processor time for an answer: {'; '.join(spent)}")
        print(f"start to listening {listening:.2f} s, to the end of the first answer (pull and load) {answered:.2f} s")
        print(f"memory: server {megabytes(server):.1f} MB, child {megabytes(child):.1f} MB")


Sides = dict[str, tuple[Place, dict[str, Any]]]
Figures = dict[str, list[float]]


def _compared(sides: Sides, at_once: int, rounds: int, requests: int) -> tuple[Figures, Figures]:
    """For each side and turn the median time to the first text in milliseconds, and the tokens a second."""
    firsts: Figures = {name: [] for name in sides}
    rates: Figures = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, reverse=bool(turn % 2)):
            first, rate = many(*sides[name], at_once, requests)
            firsts[name].append(first * 1000)
            rates[name].append(rate)
    return firsts, rates


def _cpu(process: psutil.Process) -> float:
    """Seconds of processor time so far, which do not depend on who else uses the machine."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _row(name: str, firsts: dict[str, float], rates: dict[str, float]) -> None:
    """Our figure, and the engine's two, each with how we compare: later by, and our share of its rate."""
    first, rate = firsts["ours"], rates["ours"]
    later = "".join(f"{firsts[side]:>8.2f} ({first - firsts[side]:+.2f})" for side in ("port", "socket"))
    share = "".join(f"{rates[side]:>8.0f} ({rate / rates[side]:.2f}) " for side in ("port", "socket"))
    print(f"{name:<12}{first:>7.2f}{later}    {rate:>7.0f}{share}")


def _machine() -> str:
    return f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
