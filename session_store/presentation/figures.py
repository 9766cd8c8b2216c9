"""The figures of a store, from counts and heads: no payload is read for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from session_store.session import Status

if TYPE_CHECKING:
    from session_store.core.queries import OrderBy, Page
    from session_store.service import SessionService
    from session_store.session import SessionHead

SAMPLE: Final = 500
"""Heads of a day that are read for its number of entries; of a busier day it is estimated."""

DAY: Final = timedelta(days=1)
_FEW: Final = 50


class Day(NamedTuple):
    """What began on a day (UTC): sessions, and the entries that these have by now. The entries are
    ``estimated`` from the day's last sessions where there are more than are read."""

    day: str
    sessions: int
    entries: int
    estimated: bool


class Expiry(NamedTuple):
    """The live session whose time by the policy is over first, whatever its own ``expires_at``."""

    head: SessionHead
    at: datetime


class Figures(NamedTuple):
    """``stored`` is ``get_storage_stats()``; the rest is of live sessions, as readers see them."""

    stored: dict[str, Any]
    size_bytes: int | None
    statuses: dict[str, int]
    days: list[Day]
    oldest: SessionHead | None
    next_to_expire: Expiry | None

    @property
    def live(self) -> int:
        return int(self.stored["total_sessions"] - self.stored["expired_sessions"])


def figures(
    service: SessionService, days: int, now: datetime, on_day: Callable[[], None] = lambda: None
) -> Figures:
    """``on_day`` is called after each day, in which most of the time is spent."""
    stored = service.get_storage_stats()
    sizes = [value for name, value in stored.items() if name.endswith("size_bytes")]
    oldest = earliest(service, "created_at")
    return Figures(
        stored,
        sizes[0] if sizes else None,
        {status.value: service.get_session_count(status=status) for status in Status},
        list(_days(service, days, now, on_day)),
        oldest,
        _next_to_expire(service, oldest),
    )


def earliest(service: SessionService, order: OrderBy) -> SessionHead | None:
    """The live session of the earliest time, found from the other end, because a store lists the
    newest first: what was there before ever earlier times, in steps that grow, then halved. In a
    store of 1,000,000 sessions about 20 pages of an index."""
    page = _page(service, order, _FEW)
    found, floor, step = page.sessions[-1] if page.sessions else None, _BEGINNING, DAY
    while found and page.cursor and floor < (at := getattr(found, order)):
        asked = at - min(step, (at - floor) // 2)
        page_before = _page(service, order, _FEW, before=asked)
        if page_before.sessions:
            page, found, step = page_before, page_before.sessions[-1], step * 2
        else:
            floor = asked
    return found


_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


def _next_to_expire(service: SessionService, oldest: SessionHead | None) -> Expiry | None:
    hours, is_idle = service.expiration_hours, service.expiration_policy == "idle"
    head = earliest(service, "updated_at") if is_idle else oldest
    if head is None or hours is None:
        return None
    return Expiry(head, (head.updated_at if is_idle else head.created_at) + timedelta(hours=hours))


def _days(
    service: SessionService, number: int, now: datetime, on_day: Callable[[], None]
) -> Iterator[Day]:
    """The oldest first; the last one is today."""
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    for ago in reversed(range(number)):
        yield _day(service, today - ago * DAY)
        on_day()


def _day(service: SessionService, start: datetime) -> Day:
    page = _page(service, "created_at", SAMPLE, after=start, before=start + DAY)
    sessions, entries = len(page.sessions), sum(head.last_seq for head in page.sessions)
    if page.cursor:
        read = sessions
        sessions = service.get_session_count(
            created_after=start, created_before=start + DAY, order_by="created_at"
        )
        entries = round(entries * sessions / read)
    return Day(f"{start:%Y-%m-%d}", sessions, entries, estimated=page.cursor is not None)


def _page(
    service: SessionService,
    order: OrderBy,
    limit: int,
    *,
    after: datetime | None = None,
    before: datetime | None = None,
) -> Page:
    """By creation or by the last write, within a range of the same time."""
    if order == "created_at":
        return service.list_sessions(
            limit=limit, order_by=order, created_after=after, created_before=before
        )
    return service.list_sessions(
        limit=limit, order_by=order, updated_after=after, updated_before=before
    )
