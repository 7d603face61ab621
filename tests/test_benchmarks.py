"""The benchmarks run; what they measure is no test's business."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("script", "flags", "words"),
    [
        ("server", ["--rounds", "1", "--requests", "2"], ["first text, ms", "memory: server"]),
        ("server", ["--rounds", "1", "--requests", "1", "--tokens", "30"], ["Each answer has 30 pieces"]),
        (
            "client",
            ["--rounds=1", "--tokens=5", "--requests=4", "--at-once=2", "--texts=2", "--soak=20"],
            ["a streamed token, CPU us", "our memory after 2 and 20 requests"],
        ),
        ("display", ["--rounds", "1", "--tokens", "100", "--no-browser"], ["200 tokens/s, ours", "at most 0.30"]),
        ("soak", ["--requests", "50", "--grown", "500"], ["after      5  server", "after     50  child"]),
    ],
)
def test_it_measures_the_real_server(script: str, flags: list[str], words: list[str]) -> None:
    command = [sys.executable, "-m", f"tests.benchmarks.{script}", *flags]
    ended = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in ended.stderr
    assert ended.returncode == int("missed" in ended.stdout)  # so short a run may miss a bound of its script's
    assert all(each in ended.stdout for each in words), ended.stdout
