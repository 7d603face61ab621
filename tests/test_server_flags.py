"""`acagent-nb serve`: what it can't be started with is said at once, in a sentence and what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from acagent_nb.cli import main


def ran(capsys: pytest.CaptureFixture[str], *flags: str) -> list[str]:
    """The two lines of a start that is refused; one that isn't would never come back."""
    assert main(["serve", *flags]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    return told.err.splitlines()


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    return ["--port", "0", "--models", str(tmp_path / "models")]


@pytest.mark.parametrize("port", ["99999", "65536", "-1"])
def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str], models: list[str], port: str) -> None:
    told = ran(capsys, *models, "--port", port)
    assert told == [
        f"{port} is no port: these are the numbers from 0 to 65535.",
        "Choose another with --port, or 0 for any that is free.",
    ]


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_is_none(capsys: pytest.CaptureFixture[str], models: list[str], host: str) -> None:
    told = ran(capsys, *models, "--host", host)
    assert told == [f"There is no address {host!r} on this machine.", "Leave --host out to use 127.0.0.1."]


@pytest.mark.parametrize(
    ("flag", "value", "unit"),
    [
        ("--idle", "0", "minutes"),
        ("--idle", "-3", "minutes"),
        ("--idle", "nan", "minutes"),
        ("--memory", "0", "MB"),
        ("--memory", "-5", "MB"),
    ],
)
def test_numbers_that_nothing_can_be_done_with(
    capsys: pytest.CaptureFixture[str], models: list[str], flag: str, value: str, unit: str
) -> None:
    told = ran(capsys, *models, flag, value)
    assert told[0] == f"{flag} is a number of {unit} above 0, not {value}."
    assert told[1].startswith("Leave it out for ")
    assert len(told) == 2


def test_a_models_folder_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        told = ran(capsys, "--port", "0", "--models", str(folder))
        assert told == [f"No models can be kept in {folder}: it is no folder.", "Name another folder with --models."]


def test_a_state_file_that_can_not_be_written(
    capsys: pytest.CaptureFixture[str], models: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    for state in (file / "state.json", tmp_path):
        told = ran(capsys, *models, "--state", str(state))
        assert told[0].startswith(f"The state can't be written to {state}: ")
        assert told[1:] == ["Name another file with --state."]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder in which nobody can make one is Linux's")
@pytest.mark.parametrize("flag", ["--models", "--state"])
def test_a_place_where_not_even_root_can_write(tmp_path: Path, flag: str) -> None:
    given = ["--models", str(tmp_path), flag, "/proc/x/y"]
    command = [sys.executable, "-m", "acagent_nb", "serve", "--port", "0", *given]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 2
    assert "/proc/x/y" in ended.stderr
    assert "listening" not in ended.stderr


@pytest.mark.parametrize("second", ["a=tiny", "A=tiny:skills", "a:latest=tiny"])
def test_one_alias_for_two_models(capsys: pytest.CaptureFixture[str], models: list[str], second: str) -> None:
    told = ran(capsys, *models, "--alias", "a=tiny", "--alias", second)
    assert told == [f"{second.partition('=')[0]!r} is said to be an alias twice.", "Keep the one that you mean."]
