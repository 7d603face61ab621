"""`acagent-nb pull`, a process of its own: a few plain lines on a pipe, one that grows on a terminal."""

from __future__ import annotations

import re
import signal

import pytest

from .commands import TAGS, fails, final, lines, on_terminal
from .replay import Answer, recorded, recordings, replaying

PULL = recorded("pull_slow_with_progress")


def test_a_pull_on_a_pipe_is_a_few_plain_lines() -> None:
    with replaying(pull=PULL) as replay:
        told = lines(replay.url, "pull", "slow")
    *steps, end = told
    assert len(recordings("head-2026-08-21")["pull_slow_with_progress"]["lines"]) > 2 * len(told)
    assert steps[0] == "slow: pulling manifest"
    assert [step for step in steps if "12.6 MB" in step] == [f"slow: 12.6 MB, {part} %" for part in (0, 25, 50, 75)]
    assert steps[-1] == "slow: success"
    assert re.fullmatch(r"slow is there: 12\.6 MB in \d+\.\d s", end)
    assert "\x1b" not in "".join(told)


def test_a_pull_on_a_terminal_is_one_line() -> None:
    with replaying(pull=Answer(PULL.lines, pause=0.05)) as replay, on_terminal(replay.url, "pull", "slow") as screen:
        screen.until(" of 12.6 MB")
        screen.until("left")
        assert screen.end() == 0
    drawn = re.split(r"\r\x1b\[K|\r\n", screen.shown)
    bars = [line for line in drawn if "█" in line]
    assert len(bars) > 5
    assert max(map(len, drawn)) < 80
    assert re.match(r"slow  █+░+  \d", bars[len(bars) // 2])
    (stays,) = final(screen.shown)
    assert stays.startswith("slow is there: 12.6 MB in ")


def test_ctrl_c_leaves_one_line_that_says_how_to_go_on() -> None:
    stalled = Answer(PULL.lines[:20], stall=60)
    with replaying(pull=stalled) as replay, on_terminal(replay.url, "pull", "slow") as screen:
        screen.until(" of 12.6 MB")
        screen.process.send_signal(signal.SIGINT)
        assert screen.end() == 130
        assert replay.gone.wait(5)
    (stays,) = final(screen.shown)
    assert re.fullmatch(r"Stopped at \d+ %; what has come is kept, and `acagent-nb pull slow` resumes it\.", stays)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("pull_missing", "There is no model m to pull"),
        ("pull_no_dns", "no such host"),
        ("pull_needs_newer_server", "requires a newer version"),  # many lines in the server's own words
    ],
)
def test_a_pull_that_fails_says_why_in_two_lines(case: str, words: str) -> None:
    with replaying(pull=recorded(case), tags=TAGS) as replay:
        assert words in fails(replay.url, "pull", "m")


def test_a_pull_of_what_is_nearly_a_built_in_model() -> None:
    with replaying(pull=recorded("pull_missing"), tags=TAGS) as replay:
        assert "Did you mean tiny:skills?" in fails(replay.url, "pull", "tiny:skill")


def test_a_built_in_model_that_is_uploaded_says_so() -> None:
    with replaying(
        pull=recorded("pull_no_dns"),
        version=recorded("version"),
        show=recorded("show_missing"),
        blobs=[recorded("blob_check_absent"), recorded("blob_upload")],
        create=recorded("create_from_gguf", "v0.24.0"),
    ) as replay:
        told = lines(replay.url, "pull", "tiny")
    assert told[:3] == ["tiny: pulling manifest", "tiny: uploading tiny.gguf", "tiny: parsing GGUF"]
    assert re.fullmatch(r"tiny is there: \d+\.\d MB in \d+\.\d s", told[-1])
