"""A short run of `benchmarks/chaos.py`: servers killed while they change a folder leave nothing that is half there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .benchmarks.chaos import run

ROUNDS = 11


def test_what_is_listed_after_a_kill_answers(tmp_path: Path) -> None:
    if shutil.which("docker-registry") is None:
        pytest.skip("no docker-registry here: it is in Debian's package of that name")
    chaos = run(ROUNDS, 2, tmp_path)
    assert chaos.kills >= ROUNDS
    assert chaos.chats > 0
