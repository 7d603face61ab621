"""The demo model behind a real llama.cpp server in a child process: for its exam and its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from . import CONTEXT, PATH

Message = dict[str, Any]

_SERVE = """
import sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.chat_template, p.n_ctx, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
p.hostnames, p.port, p.cpuparams.n_threads, p.verbosity = ["127.0.0.1"], 0, threads, 1
p.cache_ram_mib, p.fit_params, p.warmup, p.endpoint_slots, p.ui = 0, False, False, False, False
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class Served:
    """The model on a port of this machine, for as long as the ``with`` lasts.

    Parameters
    ----------
    path
        The GGUF file.
    template
        A chat template in the place of the file's own.
    """

    def __init__(self, path: Path = PATH, template: str = "") -> None:
        self.command = [sys.executable, "-c", _SERVE, str(path), template, str(CONTEXT), "1"]
        self.address = ""

    def __enter__(self) -> Served:
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.child.stdout is not None
        self.address = self.child.stdout.readline().strip()
        if not self.address:
            raise RuntimeError("the server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.communicate()

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the server answers to a JSON body."""
        with self.open(path, body) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer

    def open(self, path: str, body: dict[str, Any]) -> Any:
        """The server's reply as a file, for streams."""
        headers = {"Content-Type": "application/json"}
        # The address is that of the child process that was started above.
        request = Request(self.address + path, json.dumps(body).encode(), headers)  # noqa: S310
        return urlopen(request)  # noqa: S310

    def chat(self, messages: list[Message], **more: Any) -> Message:
        """The model's message; greedy unless ``more`` says otherwise."""
        body = {"messages": messages, "temperature": 0, "max_tokens": 160, **more}
        message: Message = self.post("/v1/chat/completions", body)["choices"][0]["message"]
        return message
