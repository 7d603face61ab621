"""What a growing answer costs: its messages, their bytes, the kernel's CPU, and how long the page is busy.

An answer of 2,000 tokens comes at 200 and at 4,000 tokens a second from a server that is a process of its own,
into a real kernel: as `%%llm` draws it, and beside it naively, every token drawn with `display`. In
JupyterLab, in Chromium, the tasks of the page that took over 50 ms are added up. Run as
`python -m tests.benchmarks.display [--no-browser]`; its exit status is 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from ..kernels import Kernel, running_kernel
from ..lab import jupyterlab, open_notebook, page, run_cell
from ..screenshot import KERNEL

SPEEDS = (200, 4_000)  # tokens a second
OURS, NAIVE = "ours", "naive"
MOST_CPU = 0.30  # of the naive way's, at the first speed
MOST_BUSY = 0.5  # seconds
_TICK = 0.005  # seconds between two writes: a faster model's tokens come several at once

SECTION = """## Step {0}: the light on its way

Sunlight looks *white*, but it is a mixture of **all colours**. On its way through the air it meets molecules
that are much smaller than its waves, and they scatter the short waves of blue far more than the long ones of red.

- Blue has a wavelength of about 450 nm, red of about 700 nm.
- The ratio of what is scattered is `(700 / 450) ** 4`, which is about 5.9.
- At sunset the way is longer, so that little blue is left.

```python
def scattered(wavelength: float, power: int = 4) -> float:
    \"\"\"How much of the light is scattered, in units of what is at 700 nm.\"\"\"
    return (700 / wavelength) ** power
```

| colour | nm | scattered |
|--------|---:|----------:|
| blue | 450 | 5.9 |
| red | 700 | 1.0 |

"""
CELLS = {
    OURS: "%%llm local_paced{0}:{1}\nWhy?",
    NAIVE: """
from acagent_nb import Client, Text
from IPython.display import Markdown, display
text, shown = "", display(Markdown(""), display_id=True)
for event in Client().stream("local_paced{0}:{1}", "Why?"):
    if isinstance(event, Text):
        text += event.text
        shown.update(Markdown(text))
""",
}
WATCH = """
window.busy = 0;
new PerformanceObserver(list => list.getEntries().forEach(entry => window.busy += entry.duration / 1000))
  .observe({type: "longtask"});
"""


class Cost(NamedTuple):
    """What one answer cost: messages, bytes, and seconds of the kernel's CPU."""

    messages: int
    bytes: int
    cpu: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tokens", type=int, default=2_000, help="of an answer (default: %(default)s)")
    options.add_argument("--rounds", type=int, default=3, help="how often each is asked (default: %(default)s)")
    options.add_argument("--no-browser", action="store_true", help="leave the page out")
    told = options.parse_args()
    met = []
    print(f"An answer of {told.tokens:,} tokens; medians of {told.rounds}.")
    print(f"{'':<24}{'messages':>10}{'MB':>8}{'CPU, s':>8}")
    with pacing() as url:
        with running_kernel(OLLAMA_HOST=url) as kernel:
            assert kernel.run("%load_ext acagent_nb\nimport time").status == "ok"
            for way in CELLS:
                cost(kernel, way, SPEEDS[-1], 50)  # what is imported once is no answer's
            for speed in SPEEDS:
                costs: dict[str, list[Cost]] = {way: [] for way in CELLS}
                for _, way in itertools.product(range(told.rounds), CELLS):
                    costs[way].append(cost(kernel, way, speed, told.tokens))
                middle = {way: Cost(*map(median, zip(*each, strict=True))) for way, each in costs.items()}
                for way, each in middle.items():
                    figures = f"{each.messages:>10.0f}{each.bytes / 1e6:>8.2f}{each.cpu:>8.2f}"
                    print(f"{f'{speed:,} tokens/s, {way}':<24}{figures}")
                ratio = middle[OURS].cpu / middle[NAIVE].cpu
                print(f"{'':<24}ours of naive's CPU: {ratio:.2f}", end="")
                if speed == SPEEDS[0]:
                    met.append(ratio <= MOST_CPU)
                    print(f", at most {MOST_CPU:.2f}: {verdict(met[-1])}", end="")
                print()
        if not told.no_browser:
            for speed, seconds in busy(url, told.tokens).items():
                met.append(seconds <= MOST_BUSY)
                print(f"{speed:,} tokens/s: the page's long tasks take {seconds:.2f} s, ", end="")
                print(f"at most {MOST_BUSY}: {verdict(met[-1])}")
    sys.exit(not all(met))


def verdict(met: bool) -> str:
    return "met" if met else "missed"


def cost(kernel: Kernel, way: str, speed: int, tokens: int) -> Cost:
    """Ask once, in a kernel, and count."""
    before = float(kernel.value("time.process_time()"))
    ran = kernel.run(CELLS[way].format(speed, tokens), seconds=300)
    assert ran.status == "ok", ran.reply
    after = float(kernel.value("time.process_time()"))
    sizes = [len(json.dumps(content, ensure_ascii=False).encode()) for _, content in ran.drawings]
    return Cost(len(sizes), sum(sizes), after - before)


def busy(url: str, tokens: int) -> dict[int, float]:
    """Seconds of long tasks while JupyterLab shows an answer, by the answer's speed."""
    seconds = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "notebooks")
        folder.mkdir()
        texts = [
            "%load_ext acagent_nb",
            CELLS[OURS].format(4_000, 50),
            *(CELLS[OURS].format(at, tokens) for at in SPEEDS),
        ]
        cells = [new_code_cell(text) for text in texts]
        nbformat.write(new_notebook(cells=cells, metadata=KERNEL), folder / "paced.ipynb")
        with jupyterlab(folder, OLLAMA_HOST=url) as lab, page(lab) as tab:
            open_notebook(tab, lab, "paced.ipynb")
            run_cell(tab, 0)
            run_cell(tab, 1)  # what the page loads once, such as its typesetter, is no answer's
            tab.wait_for_timeout(2_000)
            tab.evaluate(WATCH)
            for number, speed in enumerate(SPEEDS, 2):
                tab.evaluate("window.busy = 0")
                run_cell(tab, number, seconds=120)
                tab.wait_for_timeout(1_000)
                seconds[speed] = float(tab.evaluate("window.busy"))
    return seconds


@contextmanager
def pacing() -> Iterator[str]:
    """The address of a server whose model "paced200:2000" says 2,000 tokens, 200 a second."""
    command = [
        sys.executable,
        "-c",
        f"from {__name__ if __name__ != '__main__' else __spec__.name} import serve; serve()",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None  # it is a pipe,
        assert server.stdout is not None  # and so is this
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        server.stdin.close()  # which ends it


def serve() -> None:
    """Speak as much of Ollama's API as a cell needs, until whoever started this closes the pipe, or dies."""

    async def run() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        server.close()

    asyncio.run(run())


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    path = head.split(" ", 2)[1]
    length = next((int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length")), 0)
    body = json.loads(await reader.readexactly(length) or b"{}")
    if path == "/api/chat":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n")
        speed, tokens = map(int, body["model"].removeprefix("paced").split(":"))
        await _pace(writer, list(_lines(tokens)), speed)
    else:
        told: dict[str, Any] = {"models": []} if path == "/api/ps" else {"version": "0.24.0"}
        text = json.dumps(told)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode())
    await writer.drain()
    writer.close()


async def _pace(writer: asyncio.StreamWriter, lines: list[bytes], speed: int) -> None:
    loop = asyncio.get_running_loop()
    began, at = loop.time(), 0
    while at < len(lines):
        due = min(len(lines), int((loop.time() - began) * speed) + 1)
        writer.writelines(lines[at:due])
        at = due
        await asyncio.sleep(_TICK)


def _lines(tokens: int) -> Iterator[bytes]:
    """An answer's stream, in pieces as long as tokens are."""
    text = "".join(SECTION.format(number) for number in range(1, 2 + 4 * tokens // len(SECTION)))
    for at in range(tokens):
        message = {"role": "assistant", "content": text[4 * at : 4 * at + 4]}
        yield json.dumps({"model": "paced", "message": message, "done": False}).encode() + b"\n"
    end = {"done": True, "done_reason": "stop", "eval_count": tokens, "eval_duration": 10**9}
    yield json.dumps({"model": "paced", "message": {"role": "assistant", "content": ""}, **end}).encode() + b"\n"


if __name__ == "__main__":
    main()
