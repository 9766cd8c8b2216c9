"""Every shape that a statement of the store has, by a name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from session_store.backends.sql import bulk, lists
from session_store.backends.sql import statements as sql
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.statements import Statement
from session_store.core.operations import Apply, Moment, checked_apply
from session_store.core.queries import Filter, Position, Query, Window, checked_filter
from session_store.session import Changes, NewEntry
from session_store.testing.given import KEY, NOW, after

WINDOWS = [Window(*window) for window in product((None, 20), (None, 5), (None, "message"))]
MOMENTS = {
    "none": Moment(NOW),
    "idle": Moment(NOW, idle_cutoff=after(-9)),
    "absolute": Moment(NOW, age_cutoff=after(-9)),
}
POSITIONS = {"first": None, "next": Position(NOW, "app", "s1", "ada")}
CONDITIONS: dict[str, dict[str, Any]] = {
    "all": {},
    "app": {"app_name": "app"},
    "user": {"user_id": "ada"},
    "user in app": {"app_name": "app", "user_id": "ada"},
    "id in app": {"app_name": "app", "session_id": "s1"},
    "statuses": {"status": ["running", "paused"]},
    "ranges": {"created_after": after(-9), "updated_before": after(9)},
}
LABELS: dict[str, dict[str, Any]] = {"labels": {"app_name": "app", "metadata": {"title": "x"}}}


def turn(at: Moment, expected_version: int | None) -> Apply:
    changes = Changes(entries=(NewEntry(payload={"text": "hello"}, entry_id="e1"),))
    return checked_apply(KEY, changes, at, expected_version)


def queries(conditions: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Filter, Moment]]:
    for (name, given), order, (cutoff, at) in product(
        conditions.items(), ("updated_at", "created_at"), MOMENTS.items()
    ):
        asked = checked_filter(Query(**given, order_by=order))
        yield f"{name} by {order}, {cutoff}", asked, at


def shapes(dialect: Dialect) -> dict[str, Statement]:
    """By name; the values of those that any call may give are left out."""
    found = dict(of_one_session(dialect)) | dict(of_many(dialect))
    if dialect.is_remote:
        for window in WINDOWS:
            found[f"load {tuple(window)}"] = sql.load(KEY, window, dialect)
        sessions, entries = bulk.load_together([KEY, KEY], dialect)
        found |= {"load together": sessions, "histories together": entries}
    return found


def of_one_session(dialect: Dialect) -> Iterator[tuple[str, Statement]]:
    tables, key = dialect.tables, KEY._asdict()
    yield "find", Statement(sql.find(tables, is_locked=True), key)
    yield "find head", Statement(sql.find(tables, with_documents=False, is_locked=True), key)
    yield "remove", Statement(sql.remove_session(tables), {"id": 1})
    yield "rewind", Statement(sql.remove_entries_after(tables), {"id": 1, "keep": 2})
    yield "shared", Statement(sql.shared_document(tables), {"app_name": "app", "user_id": ""})
    for ids in (("e1",), ("e1", "e2")):
        yield f"known {len(ids)}", sql.known_entries(KEY, ids, dialect)
    for window in WINDOWS:
        yield f"history {tuple(window)}", sql.history(1, window, dialect)
    for (cutoff, at), version in product(MOMENTS.items(), (None, 3)):
        yield f"turn {cutoff}, version {version}", sql.turn(turn(at, version), dialect)


def of_many(dialect: Dialect) -> Iterator[tuple[str, Statement]]:
    for name, asked, at in queries(CONDITIONS | LABELS):
        yield f"count {name}", lists.count(asked, at, dialect)
        for (place, position), limit in product(POSITIONS.items(), (None, 51)):
            page = lists.page(asked, position, limit, at, dialect)
            yield f"page {name}, {place}, limit {limit}", page
    for cutoff, at in MOMENTS.items():
        for counted in (False, True):
            yield f"stats {cutoff}, counted {counted}", lists.stats(at, dialect, counted=counted)
        for n, removal in enumerate(lists.remove_expired(at, dialect)):
            values = {**removal.values, "limit": 1000}
            yield f"remove expired {cutoff} {n}", Statement(removal.construct, values)
    for name, start in {"first": None, "next": KEY}.items():
        yield f"scan {name}", lists.scan(start, 100, dialect)
        shared = start and (start.app_name, start.user_id)
        yield f"scan shared {name}", lists.scan_shared(shared, 100, dialect)
