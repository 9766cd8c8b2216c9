"""The statements, in SQL that SQLite and PostgreSQL both understand; every value is a parameter.

``tables`` says what the columns mean; its comments give the figures behind the indexes.
"""
# ruff: noqa: S608 - only names of columns and conditions of this module are put into a text

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from session_store.backends.sql.dialect import Dialect
from session_store.core.operations import Apply, Moment
from session_store.core.queries import Filter, Position, Window
from session_store.session import SessionKey

_HEAD: Final = (
    "app_name, user_id, session_id, status, version, last_seq, "
    "created_at, updated_at, completed_at, expires_at"
)
_RECORD: Final = f"{_HEAD}, state, agent_states, metadata"
_ENTRY: Final = "seq, entry_id, kind, payload, created_at, version"

# BETWEEN is equality here. With = PostgreSQL, planning once for all keys, takes the index of users
# for as good, and reads 1,008 pages instead of 5 for a user with 1,000 sessions.
_KEY: Final = (
    "app_name = :app_name AND session_id = :session_id AND user_id BETWEEN :user_id AND :user_id"
)

FIND: Final = f"SELECT id, {_RECORD} FROM sessions WHERE {_KEY}"
FIND_HEAD: Final = f"SELECT id, {_HEAD}, '{{}}', '{{}}', '{{}}' FROM sessions WHERE {_KEY}"
"""For writes that neither read nor change the documents."""

_ENTRIES: Final = f"SELECT {_ENTRY} FROM session_entries WHERE session ="
# By the key, so that it needs no answer before it, and can go with the row's own statement.
_HISTORY: Final = f"{_ENTRIES} (SELECT id FROM sessions WHERE {_KEY})"

INSERT: Final = f"""
INSERT INTO sessions ({_RECORD})
VALUES (:app_name, :user_id, :session_id, :status, :version, :last_seq,
        :created_at, :updated_at, :completed_at, :expires_at, :state, :agent_states, :metadata)
RETURNING id"""

INSERT_NEW: Final = INSERT.replace("\nRETURNING", "\nON CONFLICT DO NOTHING\nRETURNING")
"""No row, where something has its key."""

# created_at never changes; naming it would make every write move its index entry.
UPDATE_HEAD: Final = """
UPDATE sessions SET status = :status, version = :version, last_seq = :last_seq,
    updated_at = :updated_at, completed_at = :completed_at, expires_at = :expires_at
WHERE id = :id"""
UPDATE: Final = UPDATE_HEAD.replace(
    "\nWHERE", ",\n    state = :state, agent_states = :agent_states, metadata = :metadata\nWHERE"
)

DELETE: Final = "DELETE FROM sessions WHERE id = :id"

_APPEND: Final = """
INSERT INTO session_entries (session, seq, entry_id, kind, payload, created_at, version)
"""

INSERT_ENTRY: Final = (
    _APPEND + "VALUES (:session, :seq, :entry_id, :kind, :payload, :created_at, :version)"
)

REWIND: Final = "DELETE FROM session_entries WHERE session = :id AND seq > :keep"

SHARED: Final = (
    "SELECT document FROM shared_states WHERE app_name = :app_name AND user_id = :user_id"
)

ADD_SHARED: Final = """
INSERT INTO shared_states (app_name, user_id, updated_at, document)
VALUES (:app_name, :user_id, :updated_at, '{}')
ON CONFLICT (app_name, user_id) DO NOTHING"""

SET_SHARED: Final = """
INSERT INTO shared_states (app_name, user_id, updated_at, document)
VALUES (:app_name, :user_id, :updated_at, :document)
ON CONFLICT (app_name, user_id)
DO UPDATE SET updated_at = excluded.updated_at, document = excluded.document"""


_TURN: Final = f"""
UPDATE sessions SET version = version + 1, last_seq = last_seq + 1, updated_at = :now,
    status = CASE status WHEN 'created' THEN 'running' ELSE status END
WHERE {_KEY} AND NOT EXISTS (
    SELECT 1 FROM session_entries WHERE session = sessions.id AND entry_id = :entry_id)"""
_TURNED: Final = "id, status, version, last_seq"
TURN_ENTRY: Final = f"{_APPEND} VALUES (:session, :seq, :entry_id, :kind, :payload, :now, :version)"
"""After ``turn``, with its values and the row that it returned."""


class Statement(NamedTuple):
    """A text made for one call, and its parameters."""

    text: str
    values: dict[str, Any]


def turn(operation: Apply, dialect: Dialect) -> Statement:
    """Makes room for a turn's entry in a live session that has none of its id, and returns the row,
    if there is one. Where a statement is a round trip, it appends the entry too."""
    (entry,) = operation.entries
    values = {**operation.key._asdict(), **entry._asdict(), **_times(operation.at, dialect)}
    if operation.expected_version is not None:
        values["expected_version"] = operation.expected_version
    return Statement(_turn(frozenset(values), dialect.is_remote), values)


@lru_cache
def _turn(given: frozenset[str], is_remote: bool) -> str:
    """Of the names that have values."""
    is_expected = " AND version = :expected_version" if "expected_version" in given else ""
    head = f"{_TURN} AND {_alive(given)}{is_expected} RETURNING {_TURNED}"
    if not is_remote:
        return head
    return f"""
WITH head AS ({head}), entry AS (
    {_APPEND} SELECT id, last_seq, :entry_id, :kind, CAST(:payload AS json), :now, version FROM head
) SELECT {_TURNED} FROM head"""


def known_entries(key: SessionKey, entry_ids: tuple[str, ...], dialect: Dialect) -> Statement:
    """The entries of a session that have one of these ids."""
    values = key._asdict()
    if len(entry_ids) == 1:  # the usual turn: 4 us instead of 8 on SQLite
        return Statement(f"{_HISTORY} AND entry_id = :id", values | {"id": entry_ids[0]})
    ids = dialect.ids(entry_ids)
    return Statement(f"{_HISTORY} AND {dialect.entry_ids}", values | {"entry_ids": ids})


def history(session: int, window: Window) -> Statement:
    """The window of the history of the session that is this row: in the order of ``seq``, with
    ``last`` the other way."""
    values = {"session": session, "after": window.after, "kind": window.kind}
    return Statement(f"{_ENTRIES} :session{_within(window)}", values)


def _within(window: Window) -> str:
    """The number of entries stands in the text: PostgreSQL, planning once for all numbers, takes it
    for a tenth of the history, and of a long one plans each time anew, for 0.15 ms."""
    text = ""
    if window.after:
        text += " AND seq > :after"
    if window.kind is not None:
        text += " AND kind = :kind"
    order = "" if window.last is None else f" DESC LIMIT {window.last:d}"
    return f"{text} ORDER BY seq{order}"


_LOADED: Final = (
    "0, app_name, status, state, created_at, version, "
    "last_seq, updated_at, completed_at, expires_at, agent_states, metadata"
)


def load(key: SessionKey, window: Window) -> Statement:
    """A session, as number 0, and the window of its history, in no order, where a statement is a
    round trip. The first six columns are an entry's."""
    nothing = ", ".join(["NULL"] * 6)
    return Statement(
        f"SELECT {_LOADED} FROM sessions WHERE {_KEY} "
        f"UNION ALL SELECT {_ENTRY}, {nothing} FROM ({_HISTORY}{_within(window)}) AS history",
        key._asdict() | {"after": window.after, "kind": window.kind},
    )


def select(
    query: Filter, position: Position | None, limit: int | None, at: Moment, dialect: Dialect
) -> Statement:
    """Live sessions that match, newest first, after ``position``."""
    where, values = _matching(query, at, dialect)
    time = query.order_by
    if position is not None:
        where += f" AND ({time}, app_name, session_id, user_id) < (:time, :app, :session, :user)"
        values |= zip(("time", "app", "session", "user"), position, strict=True)
        values["time"] = dialect.time(position.time)
    text = (
        f"SELECT {_RECORD} FROM sessions WHERE {where} "
        f"ORDER BY {time} DESC, app_name DESC, session_id DESC, user_id DESC"
    )
    if limit is not None:
        text, values = f"{text} LIMIT :limit", values | {"limit": limit}
    return Statement(text, values)


def count(query: Filter, at: Moment, dialect: Dialect) -> Statement:
    """How many live sessions match: all that do, less the expired, as in ``stats``."""
    conditions, values = _conditions(query, dialect)
    times = _times(at, dialect)
    parts = [conditions, *([*conditions, end] for end in _expired(times))]
    counts = [
        f"(SELECT count(*) FROM sessions WHERE {' AND '.join(part) or 'true'})" for part in parts
    ]
    return Statement(f"SELECT {' - '.join(counts)}", values | times)


def stats(at: Moment, dialect: Dialect, *, counted: bool = False) -> Statement:
    """How many sessions there are, how many of them live, how many of those run; whether who asks
    may see a part of them only.

    What the database keeps of all less the expired, each part by the smallest index that has what
    it asks for: counting 1,000,000 sessions takes 70 to 320 ms, whatever the indexes. ``counted``
    is for those who see a part. Not both in one statement, of which the database chooses:
    PostgreSQL takes the cost of what it leaves out for its own, and starts workers or compiles.
    """
    times = _times(at, dialect)
    expired = " UNION ALL ".join(_counted(f" WHERE {end}") for end in _expired(times))
    return Statement(
        "SELECT stored.n, stored.n - CAST(expired.n AS BIGINT), "
        f"stored.running - CAST(expired.running AS BIGINT), {dialect.sees_part} "
        f"FROM ({_counted() if counted else _KEPT}) AS stored, "
        f"(SELECT sum(n) AS n, sum(running) AS running FROM ({expired}) AS parts) AS expired",
        times,
    )


_KEPT: Final = (
    "SELECT CAST(sum(total) AS BIGINT) AS n, CAST(sum(running) AS BIGINT) AS running "
    "FROM session_counts"
)


def _counted(where: str = "") -> str:
    running = "count(*) FILTER (WHERE status = 'running') AS running"
    return f"SELECT count(*) AS n, {running} FROM sessions{where}"


_ENDS: Final = {
    "idle_cutoff": "updated_at < :idle_cutoff",
    "age_cutoff": "created_at < :age_cutoff",
    "now": "expires_at <= :now",
}
"""The ways in which the time of a session is over; last the one that may be unknown."""


def _expired(times: Container[str]) -> list[str]:
    """Conditions of which an expired session meets one: each way apart from those before it."""
    ways = [end for name, end in _ENDS.items() if name in times]
    return [" AND NOT ".join((end, *ways[:n])) for n, end in enumerate(ways)]


def remove_expired(at: Moment, dialect: Dialect) -> list[Statement]:
    """Each removes up to ``:limit`` sessions whose time is over in one way, found by its index.

    One statement a way: with OR, PostgreSQL collects all rows that match before it takes some.
    MATERIALIZED: the rows are chosen once; a plain subquery may be run, and skip rows, again.
    """
    return [
        Statement(_remove(_ENDS[name], dialect.skip_locked), {name: value})
        for name, value in _times(at, dialect).items()
    ]


def _remove(end: str, skip_locked: str) -> str:
    return (
        "DELETE FROM sessions WHERE id IN (WITH expired AS MATERIALIZED ("
        f"SELECT id FROM sessions WHERE {end} ORDER BY {end.partition(' ')[0]} "
        f"LIMIT :limit{skip_locked}) SELECT id FROM expired) RETURNING id"
    )


_WANTED: Final = (
    "unnest(CAST(:apps AS text[]), CAST(:ids AS text[]), CAST(:users AS text[])) "
    "AS wanted (app, name, owner)"
)
_IS_WANTED: Final = "app_name = app AND session_id = name AND user_id BETWEEN owner AND owner"

DELETE_MANY: Final = "DELETE FROM sessions WHERE id = ANY(:ids)"


def load_many(keys: Sequence[SessionKey]) -> tuple[Statement, Statement]:
    """The sessions of these keys with their rows' ids, and all their entries with their session's,
    in the order of ``seq``, where a statement is a round trip."""
    values, found = _wanted(keys), f"FROM {_WANTED} JOIN sessions ON {_IS_WANTED}"
    entries = (
        f"SELECT session, {_ENTRY} FROM session_entries "
        f"WHERE session = ANY(ARRAY(SELECT id {found})) ORDER BY session, seq"
    )
    return Statement(f"SELECT id, {_RECORD} {found}", values), Statement(entries, values)


def find_heads(keys: Sequence[SessionKey], lock: str = "") -> Statement:
    """``FIND_HEAD`` of many keys, where a statement is a round trip."""
    documents = "'{}', '{}', '{}'"
    text = f"SELECT id, {_HEAD}, {documents} FROM {_WANTED} JOIN sessions ON {_IS_WANTED}{lock}"
    return Statement(text, _wanted(keys))


def _wanted(keys: Sequence[SessionKey]) -> dict[str, Any]:
    return {
        "apps": [key.app_name for key in keys],
        "ids": [key.session_id for key in keys],
        "users": [key.user_id for key in keys],
    }


def scan(after: SessionKey | None, limit: int) -> Statement:
    """Versions in the order of the key, after one; read from the index of the key and the table."""
    where, values = "", dict[str, Any]()
    if after is not None:
        where = "WHERE (app_name, session_id, user_id) > (:app_name, :session_id, :user_id)"
        values = after._asdict()
    return Statement(
        "SELECT app_name, user_id, session_id, version, last_seq, created_at, updated_at, "
        f"expires_at FROM sessions {where} ORDER BY app_name, session_id, user_id LIMIT :limit",
        values | {"limit": limit},
    )


def scan_shared(after: tuple[str, str] | None, limit: int) -> Statement:
    """Shared documents in the order of their key, after one."""
    where, values = "", dict[str, Any]()
    if after is not None:
        where = "WHERE (app_name, user_id) > (:app_name, :user_id)"
        values = dict(zip(("app_name", "user_id"), after, strict=True))
    return Statement(
        f"SELECT app_name, user_id, document FROM shared_states {where} "
        "ORDER BY app_name, user_id LIMIT :limit",
        values | {"limit": limit},
    )


def _matching(query: Filter, at: Moment, dialect: Dialect) -> tuple[str, dict[str, Any]]:
    conditions, values = _conditions(query, dialect)
    times = _times(at, dialect)
    return " AND ".join((_alive(times, query.order_by), *conditions)), values | times


def _conditions(query: Filter, dialect: Dialect) -> tuple[list[str], dict[str, Any]]:
    """Those of the query itself, whether the session lives or not."""
    conditions = [*_identities(query), *_ranges(query)]
    values = {name: getattr(query, name) for name in ("app_name", "user_id", "session_id")}
    values |= {name: dialect.time(getattr(query, name)) for name in _RANGES}
    if query.statuses:
        names = {f"status_{n}": status for n, status in enumerate(query.statuses)}
        conditions.append(f"status IN ({', '.join(f':{name}' for name in names)})")
        values |= names
    if query.metadata:
        condition, labels = dialect.labels(query.metadata)
        conditions.append(condition)
        values |= labels
    return conditions, values


def _identities(query: Filter) -> list[str]:
    """An application alone is given to no index: SQLite would read and sort all its sessions
    (0.7 s of 1,000,000) where the newest 50 are at hand in the index of the order (0.1 ms)."""
    conditions = {"user_id": "user_id = :user_id", "session_id": "session_id = :session_id"}
    found = [text for name, text in conditions.items() if getattr(query, name) is not None]
    if query.app_name is None:
        return found
    return [*found, "app_name = :app_name" if found else "NOT (app_name <> :app_name)"]


_RANGES: Final = {
    "created_after": ("created_at", "<"),
    "created_before": ("created_at", ">="),
    "updated_after": ("updated_at", "<"),
    "updated_before": ("updated_at", ">="),
}
"""Each with what it excludes."""


def _ranges(query: Filter) -> list[str]:
    return [
        _excluded(column, operator, name, query.order_by)
        for name, (column, operator) in _RANGES.items()
        if getattr(query, name) is not None
    ]


def _alive(times: Container[str], order_by: str = "") -> str:
    """The reverse of ``Moment.is_expired``."""
    conditions = ["(expires_at IS NULL OR expires_at > :now)"]
    if "idle_cutoff" in times:
        conditions.append(_excluded("updated_at", "<", "idle_cutoff", order_by))
    if "age_cutoff" in times:
        conditions.append(_excluded("created_at", "<", "age_cutoff", order_by))
    return " AND ".join(conditions)


def _excluded(column: str, operator: str, name: str, order_by: str) -> str:
    """Only the column of the order may be looked up in an index: with NOT in front SQLite does not
    take the other one's, whose range may be the whole table, to be sorted afterwards."""
    if column == order_by:
        return f"{column} {'>=' if operator == '<' else '<'} :{name}"
    return f"NOT ({column} {operator} :{name})"


def _times(at: Moment, dialect: Dialect) -> dict[str, Any]:
    return {
        name: dialect.time(time)
        for name, time in zip(at._fields, at, strict=True)
        if time is not None
    }
