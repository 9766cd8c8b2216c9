"""What can be asked of many sessions, or of one history, and what the answers look like."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from session_store.core import codec
from session_store.core.operations import Moment
from session_store.core.records import EntryFields, EntryRecord, SessionRecord, StoredVersion
from session_store.errors import CorruptStoreError, InvalidValueError
from session_store.session import SessionHead, SessionKey, Status, Value

MAX_PAGE: Final = 1000

Scalar: TypeAlias = str | int | float | bool | None
OrderBy: TypeAlias = Literal["updated_at", "created_at"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which live sessions, newest first. What is not given does not restrict.

    Ranges are half open: at or after ``…_after``, before ``…_before``. ``metadata`` asks for
    top-level keys with exactly these scalar values (``1``, ``1.0`` and ``True`` differ).
    ``order_by="created_at"`` keeps its order while sessions are written; ``limit`` is 1 to 1000.
    """

    app_name: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    status: Status | Sequence[Status] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    order_by: OrderBy = "updated_at"
    limit: int = 50
    cursor: str | None = None


class Page(Value):
    """Heads, newest first; ``cursor`` is given to the next call, ``None`` on the last page."""

    sessions: tuple[SessionHead, ...]
    cursor: str | None = None


class Window(NamedTuple):
    """Which part of a history: after a ``seq``, of one kind, and of that the last n entries."""

    last: int | None = None
    after: int | None = None
    kind: str | None = None

    def of(self, entries: Sequence[EntryRecord]) -> tuple[EntryRecord, ...]:
        """The part of ``entries``, which is a whole history in order."""
        part = [
            entry
            for entry in entries[self.after or 0 :]
            if self.kind is None or entry.kind == self.kind
        ]
        return tuple(part if self.last is None else part[max(0, len(part) - self.last) :])


WHOLE: Final = Window()
HEAD: Final = Window(last=0)


class Filter(NamedTuple):
    """The checked conditions of a ``Query``, as back ends get them."""

    app_name: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    statuses: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    metadata: tuple[tuple[str, Scalar], ...] = ()
    order_by: OrderBy = "updated_at"

    def matches(self, record: SessionRecord) -> bool:
        return (
            self.app_name in (None, record.app_name)
            and self.user_id in (None, record.user_id)
            and self.session_id in (None, record.session_id)
            and (not self.statuses or record.status in self.statuses)
            and _within(record.created_at, self.created_after, self.created_before)
            and _within(record.updated_at, self.updated_after, self.updated_before)
            and (not self.metadata or has_labels(record.metadata, self.metadata))
        )


class Position(NamedTuple):
    """Where a page ended: pages go down from the newest, equal times by key."""

    time: datetime
    app_name: str
    session_id: str
    user_id: str


class StoreStats(Value):
    """``total_sessions`` counts what is stored; ``expired_sessions`` of those wait for the cleanup;
    ``active_sessions`` are running and not expired; ``size_bytes`` is the size on disk."""

    total_sessions: int
    active_sessions: int
    expired_sessions: int
    size_bytes: int | None = None

    @classmethod
    def of(
        cls, records: Iterable[SessionRecord], at: Moment, size_bytes: int | None = None
    ) -> StoreStats:
        total = expired = active = 0
        for record in records:
            total += 1
            if at.is_expired(record):
                expired += 1
            elif record.status == Status.RUNNING:
                active += 1
        return cls(
            total_sessions=total,
            active_sessions=active,
            expired_sessions=expired,
            size_bytes=size_bytes,
        )


def selected(
    records: Iterable[SessionRecord],
    query: Filter,
    position: Position | None,
    limit: int | None,
    at: Moment,
) -> list[SessionRecord]:
    """The live ``records`` that match, newest first, after ``position``; for those that scan."""
    found = [
        record
        for record in records
        if not at.is_expired(record)
        and query.matches(record)
        and (position is None or position_of(record, query.order_by) < position)
    ]

    def order(record: SessionRecord) -> Position:
        return position_of(record, query.order_by)

    if limit is None:
        return sorted(found, key=order, reverse=True)
    return heapq.nlargest(limit, found, key=order)


def scan_order(key: SessionKey) -> tuple[str, str, str]:
    """The order of a scan, byte by byte of UTF-8: the sessions of one id lie together."""
    return key.app_name, key.session_id, key.user_id


def scanned(
    records: Iterable[SessionRecord], after: SessionKey | None, limit: int
) -> list[StoredVersion]:
    """The versions of up to ``limit`` of ``records``, after a key; for those that look at all."""
    start = after and scan_order(after)
    rest = (one for one in records if start is None or scan_order(one.key) > start)
    return [
        StoredVersion.of(one) for one in heapq.nsmallest(limit, rest, lambda r: scan_order(r.key))
    ]


def scanned_shared(
    shared: Mapping[tuple[str, str], str], after: tuple[str, str] | None, limit: int
) -> list[tuple[tuple[str, str], str]]:
    """The same of shared documents, in the order of their scopes."""
    rest = (one for one in shared.items() if after is None or one[0] > after)
    return heapq.nsmallest(limit, rest, itemgetter(0))


def has_labels(metadata: str, labels: Iterable[tuple[str, Scalar]]) -> bool:
    """Whether the text of a ``metadata`` document has these keys with exactly these values."""
    document = codec.decode(metadata, "metadata")
    return all(
        key in document and type(document[key]) is type(value) and document[key] == value
        for key, value in labels
    )


def position_of(record: SessionRecord, order_by: OrderBy) -> Position:
    time = record.updated_at if order_by == "updated_at" else record.created_at
    return Position(time, record.app_name, record.session_id, record.user_id)


def to_cursor(position: Position) -> str:
    return codec.encode_cursor((codec.encode_time(position.time), *position[1:]))


def from_cursor(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    time, *key = codec.decode_cursor(cursor, len(Position._fields))
    try:
        ids = [codec.identifier(part, "cursor") for part in key]
        return Position(codec.decode_time(time, "cursor"), *ids)
    except (CorruptStoreError, InvalidValueError):
        raise InvalidValueError("cursor", "is not one that a page returned") from None


def checked_filter(query: Query) -> Filter:
    """``InvalidValueError`` names the condition that can't be asked for."""
    if query.order_by not in ("updated_at", "created_at"):
        raise InvalidValueError("order_by", "must be 'updated_at' or 'created_at'")
    return Filter(
        app_name=_id(query.app_name, "app_name"),
        user_id=_id(query.user_id, "user_id"),
        session_id=_id(query.session_id, "session_id"),
        statuses=_statuses(query.status),
        created_after=_time(query.created_after, "created_after"),
        created_before=_time(query.created_before, "created_before"),
        updated_after=_time(query.updated_after, "updated_after"),
        updated_before=_time(query.updated_before, "updated_before"),
        metadata=_labels(query.metadata),
        order_by=query.order_by,
    )


def checked_limit(limit: int) -> int:
    if type(limit) is not int or not 1 <= limit <= MAX_PAGE:
        raise InvalidValueError("limit", f"must be an integer from 1 to {MAX_PAGE}")
    return limit


def checked_window(window: Window) -> Window:
    for name in ("last", "after"):
        value = getattr(window, name)
        if value is not None and (type(value) is not int or not 0 <= value < 2**63):
            raise InvalidValueError(name, "must be an integer, 0 or more")
    if window.kind is not None:
        codec.identifier(window.kind, "kind", codec.MAX_KIND_BYTES)
    return window


def check_complete(record: SessionRecord, entries: Sequence[EntryFields], window: Window) -> None:
    """``CorruptStoreError`` unless these are all entries of the window: each ``seq`` from the first
    to the last, which is the session's. How many are of a kind, nobody knows."""
    if window.kind is not None:
        return
    wanted = max(0, record.last_seq - (window.after or 0))
    if window.last is not None:
        wanted = min(wanted, window.last)
    is_whole = len(entries) == wanted
    if wanted and is_whole:
        is_whole = (entries[0][0], entries[-1][0]) == (
            record.last_seq - wanted + 1,
            record.last_seq,
        )
    if not is_whole:
        raise CorruptStoreError(
            f"session {record.key}: its entries are not all of {record.last_seq - wanted + 1} to "
            f"{record.last_seq}; `session-store verify` says which are missing"
        )


def _within(time: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or time >= after) and (before is None or time < before)


def _id(value: str | None, name: str) -> str | None:
    return None if value is None else codec.identifier(value, name)


def _time(value: datetime | None, name: str) -> datetime | None:
    return None if value is None else codec.utc(value, name)


def _statuses(status: Status | Sequence[Status] | None) -> tuple[str, ...]:
    wanted = (status,) if isinstance(status, str) else () if status is None else status
    try:
        return tuple(Status(one).value for one in wanted)
    except (TypeError, ValueError):
        raise InvalidValueError("status", f"must be of: {', '.join(Status)}") from None


def _labels(metadata: Mapping[str, Scalar]) -> tuple[tuple[str, Scalar], ...]:
    if not isinstance(metadata, Mapping):
        raise InvalidValueError("metadata", f"must be a mapping, not {type(metadata).__name__}")
    text = codec.encode_document(dict(metadata), "metadata")
    labels: dict[str, Any] = codec.decode(text, "metadata")
    for key, value in labels.items():
        if isinstance(value, (dict, list)):
            problem = "only text, numbers, booleans and None can be asked for"
            raise InvalidValueError(f"metadata.{key}", problem)
    return tuple(labels.items())
