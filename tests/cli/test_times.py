"""Times that people write and read."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta, timezone

import pytest

from session_store.cli.conditions import time_of
from session_store.presentation.times import ago, ahead, iso

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00", NOON),
        ("2026-03-01T12:00Z", NOON),
        ("2026-03-01 14:00+02:00", NOON),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, time: datetime) -> None:
    assert time_of(text) == time
    assert time_of(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "age"), [("90m", 1.5), ("12h", 12), ("7d", 168), ("2w", 336), ("0m", 0)]
)
def test_an_age_is_counted_from_now(text: str, age: float) -> None:
    assert abs(datetime.now(UTC) - time_of(text) - timedelta(hours=age)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "7", "d", "-7d", "7y", "2026-13-01", "999999w", "0001-01-01T00:00+14:00"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time: use 2026-11-25"):
        time_of(text)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=3, seconds=59), "3 min ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=2), "2 days ago"),
        (timedelta(days=30), "2026-01-30 12:00"),
        (-timedelta(days=1), "2026-03-02 12:00"),
    ],
)
def test_an_age_is_told_roughly(age: timedelta, text: str) -> None:
    assert ago(NOON - age, NOON) == text


def test_what_comes_is_told_roughly() -> None:
    assert ahead(NOON + timedelta(days=1, hours=5), NOON) == "in 1 day"
    assert ahead(NOON - timedelta(days=1), NOON) == "now"


def test_programs_get_one_width() -> None:
    assert iso(NOON) == "2026-03-01T12:00:00.000000Z"
    assert iso(NOON.astimezone(timezone(timedelta(hours=2)))) == iso(NOON)
