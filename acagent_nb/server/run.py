"""The server's process: it listens, says where, and knows when to end.

It ends at SIGTERM or SIGINT, after an idle time, or with its stdin, whichever comes first and is
asked for; its children and running streams end with it within two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import secrets
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import LLMError
from . import listen
from .alias import Aliased
from .app import EQUALS, create
from .durations import from_environment
from .engine import Engine
from .garbage import sweep
from .http import Http
from .settings import Limits
from .stepping import step_back
from .store import Store

_GRACE = 1  # seconds that running answers get at the end


def serve(
    host: str = "127.0.0.1",
    port: int = 11434,
    store: str | Path | None = None,
    idle: float | None = None,
    state: str | Path | None = None,
    follow_stdin: bool = False,
    aliases: Iterable[tuple[str, str]] = (),
    memory: int | None = None,
    behind: str | Path | None = None,
) -> None:
    """Answer Ollama's API until told to end.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    store
        The models' folder, see `Store`.
    idle
        End after so many seconds without a request; `None` for never.
    state
        A file that says where the server listens, while it does: JSON with `url`, `pid` and `version`.
    follow_stdin
        End when stdin does.
    aliases
        Pairs of a further name and the model that answers to it, see `Aliased`.
    memory
        Bytes that all models may take together; `None` for what the machine has.
    behind
        The folder of an Ollama, whose models are used where they lie, see `Store`.

    Raises
    ------
    LLMError
        The address can't be listened on, an alias can't be served, or a folder or the state file can't be used.
    """
    models = Aliased(store, aliases, behind)
    _check_folder(models)
    if state is not None:
        _check_state(Path(state))
    sock = listen.bound(host, port)
    loopback = listen.is_loopback(sock)
    url = listen.url(sock)
    if not loopback:
        print(
            f"warning: listening on {host}, so everybody who can reach this machine can use the server: "
            "there is no password",
            file=sys.stderr,
        )
    step_back()
    # uvloop's way to watch sockets by io_uring costs a call more for each connection than it saves
    os.environ.setdefault("UV_USE_IO_URING", "0")
    engine = Engine(from_environment(os.environ.get("OLLAMA_KEEP_ALIVE")), Limits.from_environment(memory))
    asyncio.run(models.prepare())
    sweep(models)
    watch = _Watch(create(models, engine, loopback=loopback))
    config = uvicorn.Config(
        watch,
        http=Http,
        loop="auto",  # uvloop where it is installed
        ws="none",
        lifespan="off",
        log_config=None,  # nothing of a request is ever logged
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks where a client is
        timeout_graceful_shutdown=_GRACE,
    )
    _Server(config, watch, engine, url, Path(state) if state else None, idle, follow_stdin).run(sockets=[sock])


class _Server(uvicorn.Server):
    """uvicorn's server that says where it is, and ends by itself when it should."""

    def __init__(
        self,
        config: uvicorn.Config,
        watch: _Watch,
        engine: Engine,
        url: str,
        state: Path | None,
        idle: float | None,
        follow: bool,
    ) -> None:
        super().__init__(config)
        self.watch, self.engine, self.url = watch, engine, url
        self.state, self.idle, self.follow = state, idle, follow

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.freeze()  # what is there now stays: the collector need not look at it again and again
        print(f"listening on {self.url}", file=sys.stderr, flush=True)
        if self.state is not None:
            _write(self.state, {"url": self.url, "pid": os.getpid(), "version": EQUALS})
        if self.follow:
            threading.Thread(target=self._end_with_stdin, daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.state is not None:  # at once, so that nobody comes to a server that is about to end
            _remove_own(self.state)
        await self.engine.end()  # which ends the running answers, each with an error line
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        if self.idle is not None and self.watch.idle_seconds > self.idle:
            self.should_exit = True
        return await super().on_tick(counter)

    def _end_with_stdin(self) -> None:
        with contextlib.suppress(OSError):  # a stdin that can't be read has ended too
            while os.read(0, 4096):
                pass
        self.should_exit = True


class _Watch:
    """Counts running requests, and the time since the last one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.running = 0
        self.last = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        return 0.0 if self.running else time.monotonic() - self.last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.running += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.running -= 1
            self.last = time.monotonic()


def _check_folder(store: Store) -> None:
    """Refuse a models' folder in which nothing can ever be found or kept."""
    folder = store.folder
    try:
        if os.path.lexists(folder):
            os.scandir(folder).close()
        elif not store.behind:  # which has models, even if no other can be added
            above = next(path for path in folder.parents if path.exists())
            tempfile.TemporaryDirectory(dir=above).cleanup()
    except OSError as error:
        why = "it is no folder" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror
        raise LLMError(f"No models can be kept in {folder}: {why}.", "Name another folder with --models.") from error


def _check_state(state: Path) -> None:
    """Refuse a state file that could not be written when somebody waits for it."""
    try:
        state.parent.mkdir(parents=True, exist_ok=True)
        if state.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=state.parent):
            pass
    except OSError as error:
        raise LLMError(
            f"The state can't be written to {state}: {error.strerror}.", "Name another file with --state."
        ) from error


def _write(state: Path, told: dict[str, object]) -> None:
    """Write the state file in one step, so that nobody reads half of it."""
    state.parent.mkdir(parents=True, exist_ok=True)
    temporary = state.with_name(f".{state.name}-{secrets.token_hex(4)}")
    temporary.write_text(json.dumps(told), encoding="utf-8")
    os.replace(temporary, state)


def _remove_own(state: Path) -> None:
    """Remove the state file, unless another server has written it since."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(state.read_bytes())["pid"] == os.getpid():
            state.unlink()
