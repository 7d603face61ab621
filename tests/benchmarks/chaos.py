"""Servers killed with SIGKILL while they pull, create, copy and delete: whatever is listed then must answer.

A round: one server, or two on the same folder, answer four clients that ask for random things; at
random moments one or both are killed, those that are gone are started again, and the folder is checked.

    python -m tests.benchmarks.chaos --rounds 500
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Event

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own

from acagent_nb import hosts

from ..registries import docker_registry
from ..serving import gone, soon
from .deeds import Deeds, fill
from .wholeness import age, answers, chat, leftovers, whole

_CLIENTS = 4
_LONGEST = 0.45  # seconds from the first request of a round to the last kill


class Chaos:
    """Rounds on one folder.

    Parameters
    ----------
    folder
        The models' folder.
    registry
        Host and port of a registry, which is filled.
    seed
        Of all choices; the moments still depend on the machine.

    Attributes
    ----------
    said
        How often each kind of answer came.
    kills
        How many servers were killed.
    most
        The greatest number of files that no model needed, before a sweep.
    """

    def __init__(self, folder: Path, registry: str, seed: int) -> None:
        self.folder = folder
        self.said: Counter[str] = Counter()
        self.kills = self.swept = self.chats = self.most = 0
        self._random = random.Random(seed)
        self._deeds = Deeds(fill(registry))
        self._servers: dict[hosts.Private, ExitStack] = {}

    @contextmanager
    def running(self) -> Iterator[Chaos]:
        """Ends what still runs at the end of the block."""
        try:
            yield self
        finally:
            for held in self._servers.values():
                held.close()
            self._servers.clear()

    def round(self, number: int) -> None:
        """One round; `AssertionError` says what is wrong after it."""
        self._start(1 + number % 2)
        stop = Event()
        with ThreadPoolExecutor(_CLIENTS) as pool:
            urls = [server.url for server in self._servers]
            work = [pool.submit(self._ask, urls, self._random.randrange(1 << 30), stop) for _ in range(_CLIENTS)]
            try:
                self._kill_some()
            finally:
                stop.set()
        for said in work:
            self.said.update(said.result())
        garbage = leftovers(self.folder)
        self.most = max(self.most, len(garbage))
        old = not self._servers and number % 3 == 0
        if old:  # nobody is left who could use it
            age(self.folder)
        self._start(1)
        self._check(old, len(garbage))

    def _start(self, count: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            for server, held in pool.map(lambda _: self._started(), range(count - len(self._servers))):
                self._servers[server] = held

    def _started(self) -> tuple[hosts.Private, ExitStack]:
        held = ExitStack()
        return held.enter_context(hosts.private(self.folder)), held

    def _kill_some(self) -> None:
        """Kill one of the servers, or all, each at a moment of its own."""
        doomed = self._random.sample(list(self._servers), self._random.randint(1, len(self._servers)))
        moments = sorted(self._random.uniform(0.01, _LONGEST) for _ in doomed)
        began, children = time.monotonic(), []
        for server, moment in zip(doomed, moments, strict=True):
            time.sleep(max(0.0, began + moment - time.monotonic()))
            children += psutil.Process(server.pid).children()
            os.kill(server.pid, signal.SIGKILL)
            self.kills += 1
            self._servers.pop(server).close()
        soon(lambda: all(map(gone, children)))  # no engine outlives its server

    def _ask(self, urls: list[str], seed: int, stop: Event) -> list[str]:
        """Ask for one thing after the other until the round is over or all servers are gone."""
        choose, said = random.Random(seed), []
        with httpx.Client(timeout=30, trust_env=False) as client:
            while urls and not stop.is_set():
                url = choose.choice(urls)
                try:
                    said.append(self._deeds.any_of(client, url, choose))
                except httpx.TransportError:  # killed, perhaps in the middle of its answer
                    urls = [other for other in urls if other != url]
        return said

    def _check(self, old: bool, garbage: int) -> None:
        wrong = [said for said in self.said if "internal" in said.lower() or "traceback" in said.lower()]
        assert not wrong, f"an answer that is none: {wrong}"
        server = self._random.choice(list(self._servers))
        listed = whole(self.folder, server.url)
        if old:
            left = leftovers(self.folder)
            assert not left, f"the sweep has left {left}"
            self.swept += garbage
        with ThreadPoolExecutor(2) as pool:
            self.chats += sum(pool.map(lambda name: answers(server.url, name), listed))
        with suppress(httpx.TransportError):
            chat(server.url, "none/such:model")  # a refusal hurts nobody


def run(rounds: int, seed: int, folder: Path) -> Chaos:
    """So many rounds in a folder, with a line that says how far it is.

    Raises
    ------
    AssertionError
        A round ended badly.
    """
    with docker_registry(folder) as registry, Chaos(folder / "models", registry, seed).running() as chaos:
        for number in range(rounds):
            try:
                chaos.round(number)
            except AssertionError as error:
                raise AssertionError(f"round {number} of seed {seed}: {error}") from error
            if sys.stderr.isatty() or number % 25 == 24:
                print(
                    f"\r{number + 1}/{rounds} rounds, {chaos.kills} kills, {chaos.chats} chats", end="", file=sys.stderr
                )
    print(file=sys.stderr)
    return chaos


def main() -> int:
    """The program: 0 if all went well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=500, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the choices (default: a new one)")
    asked = parser.parse_args()
    if shutil.which("docker-registry") is None:
        print("docker-registry is missing: it is in Debian's package of that name", file=sys.stderr)
        return 2
    seed = random.SystemRandom().randrange(1 << 16) if asked.seed is None else asked.seed
    folder, began = Path(tempfile.mkdtemp(prefix="chaos-")), time.monotonic()
    try:
        chaos = run(asked.rounds, seed, folder)
    except AssertionError as error:
        print(f"\n{error}\nThe folder is kept: {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print(f"seed {seed}: {asked.rounds} rounds in {time.monotonic() - began:.0f} s, {chaos.kills} kills,")
    print(f"{chaos.chats} chats answered; {chaos.swept} files swept, {chaos.most} unneeded ones at most")
    for said, count in chaos.said.most_common():
        print(f"{count:7} {said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
