"""Ten thousand requests of all kinds, eight at once, a tenth abandoned: memory and handles must stay as they are.

Compared are the figures after a tenth of the requests, when all is warm, and at the end.
Run as `python -m tests.benchmarks.soak`; its exit status is 1 if something grew.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import psutil

from acagent_nb import hosts

from .asking import Place, megabytes, of_server, post

SAY = [{"role": "user", "content": "why is the sky blue?"}]
FEW: dict[str, Any] = {"num_predict": 3}
LONG: dict[str, Any] = {"num_predict": 400}
ENDLESS = {"type": "array", "items": {"enum": ["again and again"]}, "minItems": 500}

# What is asked: a share of all requests, a path, a body; the last field says whether to leave at the first byte.
KINDS: list[tuple[int, str, dict[str, Any], bool]] = [
    (20, "/api/chat", {"messages": SAY, "options": FEW}, False),
    (12, "/api/chat", {"messages": SAY, "options": FEW, "stream": False}, False),
    (10, "/api/generate", {"prompt": "hello", "options": FEW}, False),
    (5, "/api/generate", {"prompt": "hello", "options": FEW, "stream": False, "format": "json"}, False),
    (8, "/api/embed", {"input": ["hello", "again"]}, False),
    (12, "/v1/chat/completions", {"messages": SAY, "max_tokens": 3, "stream": True}, False),
    (6, "/v1/chat/completions", {"messages": SAY, "max_tokens": 3}, False),
    (4, "/v1/embeddings", {"input": "hello"}, False),
    (4, "/api/show", {}, False),
    (3, "/api/tags", {}, False),
    (3, "/api/ps", {}, False),
    (3, "/v1/models", {}, False),
    (6, "/api/generate", {"prompt": "Once", "raw": True, "format": ENDLESS, "options": LONG}, True),
    (4, "/v1/completions", {"prompt": "Once", "max_tokens": 400, "json_schema": ENDLESS, "stream": True}, True),
]
READ = {"/api/tags", "/api/ps", "/v1/models"}


class Figures(NamedTuple):
    """One process at one time."""

    megabytes: float
    handles: int
    threads: int

    @classmethod
    def of(cls, process: psutil.Process) -> Figures:
        """Those of now."""
        return cls(megabytes(process), process.num_fds(), process.num_threads())

    def __str__(self) -> str:
        return f"{self.megabytes:7.1f} MB {self.handles:4d} handles {self.threads:3d} threads"


def main() -> int:
    """Soak, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--at-once", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--grown", type=float, default=2.0, help="megabytes that are allowed (default: %(default)s)")
    given = parser.parse_args()
    with hosts.private(None) as private:
        httpx.post(f"{private.url}/api/pull", json={"model": "tiny", "stream": False}, trust_env=False, timeout=60)
        place, server = of_server(private), psutil.Process(private.pid)
        post(place, "/api/chat", {"model": "tiny", "messages": SAY}, b"")
        (child,) = server.children()
        began = time.monotonic()
        kinds: Counter[str] = Counter()
        _soak(place, given.requests // 10, given.at_once, kinds)
        _alone(server, child)
        warm = [_printed(name, process, given.requests // 10) for name, process in _both(server, child)]
        _soak(place, given.requests - given.requests // 10, given.at_once, kinds)
        _alone(server, child)
        hot = [_printed(name, process, given.requests) for name, process in _both(server, child)]
        if server.children() != [child]:
            raise RuntimeError("the child was not one and the same all the time")
    print(f"{time.monotonic() - began:.0f} s;", ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common()))
    grown = [
        after.megabytes - before.megabytes > given.grown or after.handles > before.handles
        for before, after in zip(warm, hot, strict=True)
    ]
    print("something grew" if any(grown) else "flat")
    return int(any(grown))


def _alone(server: psutil.Process, child: psutil.Process) -> None:
    """End the second child that texts may have had, so that like is compared with like."""
    for other in set(server.children()) - {child}:
        other.kill()
    time.sleep(1)  # it has been noticed, and so has what was abandoned


def _both(server: psutil.Process, child: psutil.Process) -> list[tuple[str, psutil.Process]]:
    return [("server", server), ("child", child)]


def _printed(name: str, process: psutil.Process, requests: int) -> Figures:
    figures = Figures.of(process)
    print(f"after {requests:6d}  {name:<7}{figures}", flush=True)
    return figures


def _soak(place: Place, requests: int, at_once: int, kinds: Counter[str]) -> None:
    """So many requests; an error if one is refused."""
    chosen = random.Random(requests).choices(KINDS, [share for share, *_ in KINDS], k=requests)
    kinds.update(f"{path}{' abandoned' if leaves else ''}" for _, path, _, leaves in chosen)
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(lambda kind: _one(place, *kind[1:]), chosen):
            pass


def _one(place: Place, path: str, body: dict[str, Any], leaves: bool) -> None:
    post(place, path, {"model": "tiny", **body}, b"", method="GET" if path in READ else "POST", leaves=leaves)


if __name__ == "__main__":
    sys.exit(main())
