"""When sessions expire, and how often they are removed: the policy, its limits and its cutoffs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from session_store.core.operations import Moment
from session_store.errors import InvalidValueError, SettingsError

ExpirationPolicy: TypeAlias = Literal["idle", "absolute"]
"""Whether hours are counted from a session's last use or from its creation."""

DEFAULT_EXPIRATION_HOURS: Final[float] = 168
MAX_INTERVAL: Final = timedelta(days=366)


def check_expiration(hours: float | None, policy: ExpirationPolicy) -> None:
    """``SettingsError`` says what can be used."""
    if hours is not None and not (_is_number(hours) and hours > 0):
        raise SettingsError(
            f"expiration_hours must be a number above 0, not {hours!r}; None: never"
        )
    if policy not in ("idle", "absolute"):
        raise SettingsError(f"expiration_policy must be 'idle' or 'absolute', not {policy!r}")


def check_interval(interval: timedelta | None) -> None:
    """``SettingsError`` says what can be used."""
    if interval is not None and not timedelta(0) < interval <= MAX_INTERVAL:
        raise SettingsError("cleanup_interval must be more than 0 and at most a year; None: never")


def check_age(hours: float | None) -> None:
    """``InvalidValueError`` unless sessions can be idle, or old, for so long."""
    if hours is not None and not (_is_number(hours) and hours >= 0):
        raise InvalidValueError("max_age_hours", "must be a number, 0 or more")


def moment_at(now: datetime, hours: float | None, policy: ExpirationPolicy) -> Moment:
    """A time, and since when a session must have been used, or created, to live then."""
    cutoff = None if hours is None else _before(now, hours)
    if policy == "idle":
        return Moment(now, idle_cutoff=cutoff)
    return Moment(now, age_cutoff=cutoff)


def _before(now: datetime, hours: float) -> datetime:
    try:
        return now - timedelta(hours=hours)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _is_number(value: object) -> bool:
    """And not, say, the text of an environment variable."""
    return isinstance(value, (int, float))
