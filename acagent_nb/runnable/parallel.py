"""Notebooks side by side: a process for each, and what they tell in one stream."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread

import msgspec

from .job import Job, Ran, Said, Step

_COMMAND = [sys.executable, "-m", "acagent_nb.runnable.job"]
_EVENT: msgspec.json.Decoder[Step | Said | Ran] = msgspec.json.Decoder(Step | Said | Ran)  # type: ignore[arg-type, unused-ignore]  # a union is a type to msgspec
_PATIENCE = 20.0  # seconds

Event = tuple[Job, Step | Said | Ran]


def side_by_side(jobs: Sequence[Job], count: int, tell: Callable[[Job, Step | Said], None]) -> Iterator[Ran]:
    """Run jobs, `count` at a time; what came of each, in the order in which they end.

    An interrupt stops those that run, which keep what they have, and no others are begun.
    """
    waiting, running = list(jobs), dict[int, subprocess.Popen[bytes]]()
    events: SimpleQueue[Event | None] = SimpleQueue()  # the one queue that a signal may put something in
    before = signal.signal(signal.SIGINT, lambda *_: events.put(None))
    try:
        while waiting or running:
            while waiting and len(running) < count:
                job = waiting.pop(0)
                running[id(job)] = process = _started()
                Thread(target=_listen, args=(job, process, events), daemon=True).start()
            happened = events.get()
            if happened is None:
                waiting = []
                _interrupt(running)
                continue
            job, event = happened
            if isinstance(event, Ran):
                _ended(running.pop(id(job)))
                yield event
            else:
                tell(job, event)
    finally:
        signal.signal(signal.SIGINT, before)
        for process in running.values():
            process.kill()
            process.wait()


def _started() -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that an interrupt reaches it from here, and once."""
    return subprocess.Popen(
        _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def _listen(job: Job, process: subprocess.Popen[bytes], events: SimpleQueue[Event | None]) -> None:
    """Hand a job to its process, and pass on what it tells; the end of a process that died, too."""
    assert process.stdin is not None
    assert process.stdout is not None
    name, last = os.path.basename(job.notebook), ""
    try:
        with process.stdin as hand:
            hand.write(msgspec.json.encode(job))
        with process.stdout as lines:
            for line in lines:
                try:
                    event = _EVENT.decode(line)
                except msgspec.DecodeError:  # a download's progress, a warning, or a process's last words
                    if last := line.decode(errors="replace").strip():
                        events.put((job, Said(f"{name}: {last}")))
                    continue
                if isinstance(event, Ran):
                    lines.close()
                    events.put((job, event))
                    return
                events.put((job, event))
    except OSError as error:
        last = str(error)
    events.put((job, Ran(name, problem="its process died", told=[last] if last else [])))


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process that has said its last word is gone."""
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _interrupt(running: dict[int, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        if os.name == "nt":
            process.terminate()
        else:
            process.send_signal(signal.SIGINT)
