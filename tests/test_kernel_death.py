"""A notebook kernel that is killed in the middle of an answer: nothing keeps generating."""

from __future__ import annotations

import os
import signal
import time

import psutil

from .kernels import Ran, running_kernel
from .serving import ENDLESS, serving, soon


def busy(process: psutil.Process, seconds: float = 0.3) -> bool:
    """Whether a process used a tenth of a core or more for a while."""
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return sum(process.cpu_times()[:2]) - before > 0.1 * seconds


def test_a_killed_kernel_stops_the_engine() -> None:
    with serving() as server, running_kernel() as kernel:
        ask = (
            "import os; from acagent_nb import Client; print('PID', os.getpid(), flush=True)\n"
            f"for event in Client({server.url!r}).stream('local_tiny', 'Once', format={ENDLESS!r}): pass"
        )
        server.chat()  # loads the model, so that there is a child to look at
        (engine,) = server.children

        def kill(ran: Ran) -> None:
            if "PID" in ran.printed:
                soon(lambda: busy(engine))
                os.kill(int(ran.printed.split()[1]), signal.SIGKILL)
                raise Killed

        try:
            kernel.run(ask, kill)
        except Killed:
            killed = time.monotonic()
        soon(lambda: not busy(engine))
        assert time.monotonic() - killed < 1.5
        assert server.chat()["done"] is True


class Killed(Exception):
    """The kernel is dead: nothing more will come from it."""
