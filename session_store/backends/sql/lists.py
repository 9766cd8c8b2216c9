"""The statements over many sessions: pages, counts, statistics, what is expired, scans."""

from __future__ import annotations

import operator
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    cast,
    delete,
    func,
    select,
    true,
    tuple_,
    union_all,
)

from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.prepared import Construct, value
from session_store.backends.sql.statements import (
    RECORD,
    RUNNING,
    Kind,
    Statement,
    columns,
    is_alive,
    is_not_before,
    negated,
    stored,
    times,
)
from session_store.backends.sql.tables import Tables
from session_store.core.operations import Moment
from session_store.core.queries import Filter, Position
from session_store.session import SessionKey

Condition: TypeAlias = ColumnElement[bool]


class _Shape(NamedTuple):
    """What the conditions of a query are: the names of what is given, how many statuses, the
    labels as the dialect tells them apart."""

    given: frozenset[str]
    statuses: int
    labels: Any
    order_by: str


_RANGES: Final = {
    "created_after": ("created_at", False),
    "created_before": ("created_at", True),
    "updated_after": ("updated_at", False),
    "updated_before": ("updated_at", True),
}
"""Each with its column, and whether it is an end."""


def page(
    query: Filter, position: Position | None, limit: int | None, at: Moment, dialect: Dialect
) -> Statement:
    """Live sessions that match, newest first, after ``position``."""
    shape, values = _asked(query, at, dialect)
    if position is not None:
        values |= zip(("time", "app", "session", "user"), position, strict=True)
        values["time"] = dialect.time(position.time)
    if limit is not None:
        values["limit"] = limit
    made = _page(dialect.tables, type(dialect), shape, position is not None, limit is not None)
    return Statement(made, values)


@lru_cache(maxsize=512)
def _page(
    tables: Tables, kind: Kind, shape: _Shape, has_position: bool, has_limit: bool
) -> Select[Any]:
    row = tables.sessions.c
    order = (row[shape.order_by], row.app_name, row.session_id, row.user_id)
    found = select(*columns(tables.sessions, RECORD)).where(
        is_alive(tables, shape.given, shape.order_by), *_conditions(tables, kind, shape)
    )
    if has_position:
        start = (value("time"), value("app"), value("session"), value("user"))
        found = found.where(tuple_(*order) < tuple_(*start))
    found = found.order_by(*(column.desc() for column in order))
    return found.limit(value("limit")) if has_limit else found


def count(query: Filter, at: Moment, dialect: Dialect) -> Statement:
    """How many live sessions match: all that do, less the expired, as in ``stats``."""
    shape, values = _asked(query, at, dialect)
    return Statement(_count(dialect.tables, type(dialect), shape), values)


@lru_cache(maxsize=512)
def _count(tables: Tables, kind: Kind, shape: _Shape) -> Select[Any]:
    conditions = _conditions(tables, kind, shape)
    parts = [conditions, *([*conditions, end] for end in _expired(tables, shape.given))]
    counts = [
        select(func.count()).select_from(tables.sessions).where(*part or [true()]).scalar_subquery()
        for part in parts
    ]
    number = counts[0]
    for expired in counts[1:]:
        number = number - expired  # type: ignore[assignment]
    return select(number)


def stats(at: Moment, dialect: Dialect, *, counted: bool = False) -> Statement:
    """How many sessions there are, how many of them live, how many of those run; whether who asks
    may see a part of them only.

    What the database keeps of all less the expired, each part by the smallest index that has what
    it asks for: counting 1,000,000 sessions takes 70 to 320 ms, whatever the indexes. ``counted``
    is for those who see a part. Not both in one statement, of which the database chooses:
    PostgreSQL takes the cost of what it leaves out for its own, and starts workers or compiles.
    """
    values = times(at, dialect)
    return Statement(_stats(dialect.tables, type(dialect), frozenset(values), counted), values)


@lru_cache(maxsize=256)
def _stats(tables: Tables, kind: Kind, given: frozenset[str], counted: bool) -> Select[Any]:
    kept = _counted(tables) if counted else _kept(tables)
    all_of_them = kept.subquery("stored")
    parts = union_all(*(_counted(tables, end) for end in _expired(tables, given))).subquery("parts")
    expired = select(
        func.sum(parts.c.n).label("n"), func.sum(parts.c.running).label("running")
    ).subquery("expired")
    return select(
        all_of_them.c.n,
        all_of_them.c.n - cast(expired.c.n, BigInteger),
        all_of_them.c.running - cast(expired.c.running, BigInteger),
        kind.sees_part(tables),
    )


def _kept(tables: Tables) -> Select[*tuple[Any, ...]]:
    row = tables.counts.c
    return select(
        cast(func.sum(row.total), BigInteger).label("n"),
        cast(func.sum(row.running), BigInteger).label("running"),
    )


def _counted(tables: Tables, *conditions: Condition) -> Select[*tuple[Any, ...]]:
    running = func.count().filter(tables.sessions.c.status == RUNNING)
    found = select(func.count().label("n"), running.label("running"))
    return found.select_from(tables.sessions).where(*conditions)


_ENDS: Final[dict[str, tuple[str, Any]]] = {
    "idle_cutoff": ("updated_at", operator.lt),
    "age_cutoff": ("created_at", operator.lt),
    "now": ("expires_at", operator.le),
}
"""The ways in which the time of a session is over; last the one that may be unknown."""


def _end(tables: Tables, name: str) -> Condition:
    column, is_over = _ENDS[name]
    return is_over(tables.sessions.c[column], value(name))  # type: ignore[no-any-return]


def _expired(tables: Tables, given: frozenset[str]) -> list[Condition]:
    """Conditions of which an expired session meets one: each way apart from those before it."""
    ways = [_end(tables, name) for name in _ENDS if name in given]
    return [and_(end, *map(negated, ways[:n])) for n, end in enumerate(ways)]


def remove_expired(at: Moment, dialect: Dialect) -> list[Statement]:
    """Each removes up to ``:limit`` sessions whose time is over in one way, found by its index.

    One statement a way: with OR, PostgreSQL collects all rows that match before it takes some.
    MATERIALIZED: the rows are chosen once; a plain subquery may be run, and skip rows, again.
    """
    return [
        Statement(_remove(dialect.tables, name), {name: time})
        for name, time in times(at, dialect).items()
    ]


@lru_cache(maxsize=256)
def _remove(tables: Tables, way: str) -> Construct:
    row = tables.sessions.c
    expired = (
        select(row.id)
        .where(_end(tables, way))
        .order_by(row[_ENDS[way][0]])
        .limit(value("limit"))
        .with_for_update(skip_locked=True)
        .cte("expired", nesting=True)
        .prefix_with("MATERIALIZED")
    )
    return delete(tables.sessions).where(row.id.in_(select(expired.c.id))).returning(row.id)


def scan(after: SessionKey | None, limit: int, dialect: Dialect) -> Statement:
    """Versions in the order of the key, after one; read from the index of the key and the table."""
    values = {} if after is None else after._asdict()
    return Statement(_scan(dialect.tables, after is not None), values | {"limit": limit})


@lru_cache(maxsize=256)
def _scan(tables: Tables, has_start: bool) -> Select[Any]:
    row = tables.sessions.c
    order = (row.app_name, row.session_id, row.user_id)
    found = select(
        row.app_name,
        row.user_id,
        row.session_id,
        row.version,
        row.last_seq,
        row.created_at,
        row.updated_at,
        row.expires_at,
    )
    if has_start:
        start = tuple_(value("app_name"), value("session_id"), value("user_id"))
        found = found.where(tuple_(*order) > start)
    return found.order_by(*order).limit(value("limit"))


def scan_shared(after: tuple[str, str] | None, limit: int, dialect: Dialect) -> Statement:
    """Shared documents in the order of their key, after one."""
    names = () if after is None else zip(("app_name", "user_id"), after, strict=True)
    construct = _scan_shared(dialect.tables, after is not None)
    return Statement(construct, {**dict(names), "limit": limit})


@lru_cache(maxsize=256)
def _scan_shared(tables: Tables, has_start: bool) -> Select[Any]:
    row = tables.shared.c
    order = (row.app_name, row.user_id)
    found = select(*order, stored(row.document))
    if has_start:
        found = found.where(tuple_(*order) > tuple_(value("app_name"), value("user_id")))
    return found.order_by(*order).limit(value("limit"))


# Conditions ---------------------------------------------------------------------------------------


def _asked(query: Filter, at: Moment, dialect: Dialect) -> tuple[_Shape, dict[str, Any]]:
    """The shape of a query at a moment, and its values."""
    values = {
        name: found
        for name in ("app_name", "user_id", "session_id")
        if (found := getattr(query, name)) is not None
    }
    for name in _RANGES:
        if (time := getattr(query, name)) is not None:
            values[name] = dialect.time(time)
    values |= times(at, dialect)
    given = frozenset(values)
    values |= {f"status_{n}": status for n, status in enumerate(query.statuses)}
    values |= dialect.label_values(query.metadata)
    shape = _Shape(given, len(query.statuses), dialect.label_shape(query.metadata), query.order_by)
    return shape, values


def _conditions(tables: Tables, kind: Kind, shape: _Shape) -> list[Condition]:
    """Those of the query itself, whether the session lives or not."""
    row = tables.sessions.c
    conditions = [*_identities(row, shape.given), *_ranges(row, shape)]
    if shape.statuses:
        statuses = [value(f"status_{n}") for n in range(shape.statuses)]
        conditions.append(row.status.in_(statuses))
    if shape.labels:
        conditions.append(kind.has_labels(row["metadata"], shape.labels))
    return conditions


def _identities(row: Any, given: frozenset[str]) -> list[Condition]:
    """An application alone is given to no index: SQLite would read and sort all its sessions
    (0.7 s of 1,000,000) where the newest 50 are at hand in the index of the order (0.1 ms)."""
    found = [row[name] == value(name) for name in ("user_id", "session_id") if name in given]
    if "app_name" not in given:
        return found
    app = value("app_name")
    return [*found, row.app_name == app if found else negated(row.app_name != app)]


def _ranges(row: Any, shape: _Shape) -> list[Condition]:
    conditions = []
    for name, (column, is_end) in _RANGES.items():
        if name in shape.given:
            make = _is_before if is_end else is_not_before
            conditions.append(make(row[column], name, shape.order_by))
    return conditions


def _is_before(column: Any, name: str, order_by: str) -> Condition:
    if column.name == order_by:
        return column < value(name)  # type: ignore[no-any-return]
    return negated(column >= value(name))
