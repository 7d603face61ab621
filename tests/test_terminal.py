"""Sizes and times in words for people."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from acagent_nb import terminal


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_001_024, "2.0 MB"), (3.4e9, "3.4 GB"), (5e15, "5000.0 TB")],
)
def test_sizes_are_for_people(count: float, text: str) -> None:
    assert terminal.size(count) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-22T11:59:57.690000001Z", "3 seconds ago"),
        ("2026-11-22T12:01:30+00:00", "in 1 minute"),
        ("2026-11-22T07:00:00-02:00", "3 hours ago"),
        ("2026-11-20T11:00:00.5Z", "2 days ago"),
        ("2026-09-01T00:00:00Z", "2 months ago"),
        ("2024-11-01T00:00:00Z", "2 years ago"),
        ("2319-03-04T11:13:05.33732706Z", "for ever"),
        ("0001-01-01T00:00:00Z", ""),
        ("9999-99-99T00:00:00Z", ""),
        ("soon", ""),
    ],
)
def test_times_are_told_from_now(text: str, told: str) -> None:
    assert terminal.when(text, datetime(2026, 11, 22, 12, tzinfo=timezone.utc)) == told
