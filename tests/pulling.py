"""Who pulls: in this process, one who goes away too early, and one in a process that can be killed.

As a program: `python -m tests.pulling FOLDER NAME quick`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from acagent_nb.errors import ServerError
from acagent_nb.server.remote import pull
from acagent_nb.server.store import Store
from acagent_nb.server.transfer import How

from .registries import Made, digest

QUICK = How(smallest=1 << 20, largest=1 << 20, pause=0.01, stall=0.3, connect=2.0, note=0.1, poll=0.02)


def pulled(store: Path | Store, name: str, insecure: bool = True, how: How = QUICK) -> list[dict[str, Any]]:
    """All lines of a pull."""
    return asyncio.run(lines(store if isinstance(store, Store) else Store(store), name, insecure, how))


def refused(store: Path | Store, name: str, insecure: bool = True, how: How = QUICK) -> str:
    """The error that a pull ends with."""
    with pytest.raises(ServerError) as caught:
        pulled(store, name, insecure, how)
    return str(caught.value)


async def lines(
    store: Store, name: str, insecure: bool = True, how: How = QUICK, began: asyncio.Event | None = None
) -> list[dict[str, Any]]:
    """All lines; the event is set when the first bytes have come."""
    seen = []
    async for line in pull(store, name, insecure, how):
        seen.append(line)
        if began and line.get("completed"):
            began.set()
    return seen


async def left_at(store: Store, name: str, completed: int) -> None:
    """Ask, and go away when so many bytes of a layer have come, as a server's request is cancelled."""
    reached = asyncio.Event()

    async def read() -> None:
        async with aclosing(pull(store, name, True, QUICK)) as lines:
            async for line in lines:
                if line.get("completed", 0) >= completed:
                    reached.set()

    reading = asyncio.create_task(read())
    await reached.wait()
    reading.cancel()
    await asyncio.wait([reading])


def stored(store: Path | Store, model: Made) -> bool:
    """Whether all of a model is in a store, byte for byte."""
    blobs = (store.folder if isinstance(store, Store) else store) / "blobs"
    return all((blobs / digest(blob).replace(":", "-")).read_bytes() == blob for blob in model.blobs)


async def _main(folder: str, name: str, how: str) -> None:
    async for line in pull(Store(folder), name, True, QUICK if how == "quick" else How()):
        print(json.dumps(line), flush=True)


@contextmanager
def puller(folder: Path, name: str, how: str = "quick") -> Iterator[subprocess.Popen[str]]:
    """A server's worth of pulling in a process of its own."""
    command = [sys.executable, "-m", "tests.pulling", folder, name, how]
    root = Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
