"""Times as people and programs read them, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_STEPS: Final = ((86_400, "day"), (3600, "hour"), (60, "min"))
_NOW: Final = 60
_LONG: Final = 30 * 86_400


def iso(time: datetime) -> str:
    """For programs: of one width, so that it sorts as text."""
    from session_store.core import codec

    return codec.encode_time(time.astimezone(UTC))


def minute(time: datetime) -> str:
    """For people, to the minute."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def ago(time: datetime, now: datetime) -> str:
    """For people: ``3 min ago``, a date when it is long ago."""
    seconds = (now - time).total_seconds()
    if not 0 <= seconds < _LONG:
        return minute(time)
    return "just now" if seconds < _NOW else f"{_roughly(seconds)} ago"


def ahead(time: datetime, now: datetime) -> str:
    """For people: ``in 3 days``."""
    seconds = (time - now).total_seconds()
    return "now" if seconds < _NOW else f"in {_roughly(seconds)}"


def _roughly(seconds: float) -> str:
    size, unit = next(step for step in _STEPS if seconds >= step[0])
    number = int(seconds // size)
    return f"{number} {unit}" if number == 1 or unit == "min" else f"{number} {unit}s"
