"""A child process from its parent's side: started, watched, asked, ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # its types are a package of their own
from msgspec.structs import asdict

from ..errors import ServerError
from .line import Address, Line, ask
from .settings import Load

_LAST_WORDS = 8192  # bytes of a child's messages that are kept
_LOOK = 0.5  # seconds between two looks at a child that loads
_PACKAGES = Path(__file__).parents[2]  # where `acagent_nb` can be imported from


class Child:
    """One running child.

    Attributes
    ----------
    load
        What it was started with.
    pid
        Its process number.
    gpu
        Whether the engine has found one.
    embeds
        Held while a text is made a vector, see `embeds.py`.
    answers
        How many questions it answers; it makes no vectors meanwhile.
    """

    def __init__(self, load: Load, process: asyncio.subprocess.Process, folder: str) -> None:
        self.load = load
        self.pid = process.pid
        self.gpu = False
        self.embeds = asyncio.Lock()
        self.answers = 0
        self._process = process
        self._folder = folder
        self._address = Address()
        self._said = bytearray()
        self._heard = 0
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, load: Load, seconds: float) -> Child:
        """Start a child and wait until it answers.

        Parameters
        ----------
        load
            What it is started with.
        seconds
            How long it may do nothing meanwhile.

        Raises
        ------
        ServerError
            Status 500: it ended instead, or stood still; the text gives the reason.
        """
        folder, path = _socket()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "acagent_nb.server.child",
            stdin=subprocess.PIPE,  # its end, however it comes, ends the child
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=_PACKAGES,  # not the user's folder, whose files must not shadow modules
            **_own_session(),
        )
        child = cls(load, process, folder)
        try:
            await child._greeted(path, seconds)
        except BaseException:  # a cancelled start must not leave a process behind
            await child.end()
            raise
        return child

    async def _greeted(self, path: str, seconds: float) -> None:
        """Wait until it answers, as long as it says something or uses the processor in every so many seconds."""
        greeting = asyncio.ensure_future(self._greet(path))
        progress, since = self._progress(), time.monotonic()
        try:
            while not (await asyncio.wait({greeting}, timeout=min(seconds, _LOOK)))[0]:
                if (now := self._progress()) != progress:
                    progress, since = now, time.monotonic()
                elif time.monotonic() - since >= seconds:
                    raise ServerError(
                        f"timed out waiting for llama-server to start - it has done nothing for {seconds:g} s "
                        "(OLLAMA_LOAD_TIMEOUT)"
                    )
            await greeting
        finally:
            greeting.cancel()

    def _progress(self) -> tuple[float, ...]:
        """What grows while it loads: bytes that it has said, and seconds of the processor's time."""
        try:
            return (self._heard, *psutil.Process(self.pid).cpu_times()[:2])
        except psutil.Error:  # it has just ended, which is told elsewhere
            return ()

    async def _greet(self, path: str) -> None:
        assert self._process.stdin is not None  # it is a pipe,
        assert self._process.stdout is not None  # and so is this
        self._process.stdin.write(json.dumps({**asdict(self.load), "socket": path}).encode() + b"\n")
        told = await self._process.stdout.readline()
        if not told:
            code = await self._process.wait()
            await self._listening
            raise ServerError(f"unable to load model: {_reason(self._said.decode(errors='replace'), code)}")
        where = json.loads(told)
        self._address = Address(path, where["port"], where["key"])
        self.gpu = where["gpu"]

    @property
    def alive(self) -> bool:
        """False as soon as the process has ended, even if the event loop has not heard of it."""
        if self._process.returncode is not None:
            return False
        if not hasattr(os, "waitid"):
            return True
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    async def ask(self, path: str, body: bytes) -> Line:
        """Post to the child's own server."""
        return await ask(self._address, path, body)

    async def asked(self, path: str, body: Any) -> Any:
        """Post JSON and take the JSON answer; `ServerError` with the engine's status and text if it refuses."""
        line = await self.ask(path, json.dumps(body).encode())
        try:
            data = await line.rest()
        finally:
            line.close()
        if line.status != 200:
            raise ServerError(data.decode(errors="replace"), status=line.status)
        return json.loads(data)

    async def gone(self) -> None:
        """Wait for a dying process to be dead, so that nobody takes it for alive; not for long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), 1.0)

    async def end(self) -> None:
        """End the process at once; there is nothing in it to save."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just gone by itself
                self._process.kill()
            await self._process.wait()
        self._listening.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _listen(self) -> None:
        """Keep the last of what the child says; a pipe that nobody reads would stop it."""
        assert self._process.stderr is not None  # it is a pipe
        while data := await self._process.stderr.read(4096):
            self._heard += len(data)
            self._said += data
            del self._said[:-_LAST_WORDS]


def _socket() -> tuple[str, str]:
    """A private folder and a socket's path in it; both empty where there are no Unix sockets."""
    if not hasattr(socket, "AF_UNIX") or sys.platform == "win32":
        return "", ""
    folder = tempfile.mkdtemp(prefix="acagent-")
    if len(folder) > 90:  # a socket's path has room for about 100 bytes
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="acagent-", dir="/tmp")
    return folder, os.path.join(folder, "engine.sock")  # the ending is how the engine knows a path from a host


def _own_session() -> dict[str, Any]:
    """Away from the terminal's or notebook's interrupts, which would end the engine."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _reason(said: str, code: int) -> str:
    """One sentence on why a child could not load its model."""
    if found := re.findall(r"error loading model: (.+)", said):
        return str(found[-1]).strip()
    if found := re.findall(r"(?:common_chat_templates_init: error|^Error): (.+)", said, re.MULTILINE):
        return f"its chat template can't be run: {found[-1]}"
    if found := re.findall(r"GGML_ASSERT\((.+)\) failed", said):
        return f"the engine gave up, because this does not hold: {found[-1]}"
    if "No module named 'xllamacpp'" in said:
        return "the engine is not installed (pip install xllamacpp)"
    if "libgomp" in said:
        return "the engine needs the library libgomp (Debian and Ubuntu: apt-get install libgomp1)"
    lines = [line for line in said.splitlines() if line.strip()]
    told = [line for line in lines if " E " in line or "what():" in line]
    if told:
        return re.sub(r"^[\d.]+ E \s*", "", told[-1]).strip()
    if code < 0:
        return f"the engine was ended by {signal.Signals(-code).name}"
    return lines[-1] if lines else f"the engine ended with status {code}"
