"""A real kernel of this Python, and every message that it sends while a cell runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager


@dataclass
class Ran:
    """What a cell sent.

    Attributes
    ----------
    messages
        With the moment they came (`time.monotonic`).
    reply
        The kernel's own last word on it.
    """

    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """ "ok" or "error"."""
        return str(self.reply["status"])

    def of(self, *kinds: str) -> list[tuple[float, dict[str, Any]]]:
        """The contents of the messages of these kinds."""
        return [(at, message["content"]) for at, message in self.messages if message["msg_type"] in kinds]

    @property
    def drawings(self) -> list[tuple[float, dict[str, Any]]]:
        return self.of("display_data", "update_display_data")

    @property
    def output(self) -> dict[str, Any]:
        """The last drawing: what is saved."""
        return self.drawings[-1][1]

    @property
    def html(self) -> str:
        return str(self.output["data"]["text/html"])

    @property
    def text(self) -> str:
        return str(self.output["data"]["text/plain"])

    @property
    def error(self) -> dict[str, Any]:
        return self.of("error")[0][1]

    @property
    def printed(self) -> str:
        return "".join(content["text"] for _, content in self.of("stream"))


class Kernel:
    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self._manager, self._client = manager, client

    def run(
        self,
        code: str,
        then: Callable[[Ran], object] | None = None,
        seconds: float = 30,
        user: Callable[[str], str] | None = None,
    ) -> Ran:
        """Run a cell to its end; `then` sees what has come after each message, and may interrupt.

        `user` answers what the cell asks for with `input`; without one, nobody is there, as under papermill.
        """
        ran = Ran()
        asked = self._client.execute(code, allow_stdin=user is not None)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if user is not None and self._client.stdin_channel.msg_ready():
                self._client.input(user(self._client.get_stdin_msg()["content"]["prompt"]))
            try:
                message = self._client.get_iopub_msg(timeout=0.2)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            ran.messages.append((time.monotonic(), message))
            if then is not None:
                then(ran)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                ran.reply = self._answer(asked)
                return ran
        raise AssertionError(f"the cell did not end in {seconds} s")

    def _answer(self, asked: str) -> dict[str, Any]:
        """The kernel's reply to a cell; a slow start leaves more than one to the question whether it is ready."""
        while True:
            message = self._client.get_shell_msg(timeout=10)
            if message["parent_header"].get("msg_id") == asked:
                return dict(message["content"])

    def complete(self, code: str, at: int | None = None) -> list[str]:
        """What the Tab key offers at a place of a cell, its end if left out."""
        asked = self._client.complete(code, at)
        told = self._answer(asked)
        return list(told["matches"])

    def value(self, code: str) -> str:
        """What an expression's value looks like."""
        return str(self.run(code).of("execute_result")[0][1]["data"]["text/plain"])

    def use(self, url: str) -> None:
        """A new session of the magics, with this server."""
        assert self.run(f"import os\nos.environ['OLLAMA_HOST'] = {url!r}\n%reload_ext acagent_nb").status == "ok"

    def interrupt(self) -> float:
        """Press the square button; gives the moment."""
        now = time.monotonic()
        self._manager.interrupt_kernel()
        return now


@contextmanager
def running_kernel(**environment: str) -> Iterator[Kernel]:
    """A kernel of this Python, whatever kernels are installed."""
    manager = KernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    manager.start_kernel(extra_arguments=["--log-level=CRITICAL"], env=os.environ | environment)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
