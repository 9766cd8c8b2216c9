"""Many sessions at once: what one round trip a session costs is nothing for one, and everything
for 100,000."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import ARRAY, Delete, Select, Text, any_, cast, delete, func, select
from sqlalchemy.sql.selectable import TableValuedAlias

from session_store.backends.sql import statements as sql
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.prepared import value
from session_store.backends.sql.runner import Statements
from session_store.backends.sql.statements import Statement
from session_store.backends.sql.tables import Tables
from session_store.core.operations import Operation, Put
from session_store.core.queries import HEAD, WHOLE, Window
from session_store.core.records import EntryRecord, SessionRecord
from session_store.session import SessionKey

SESSION: Final = SessionRecord._fields
ENTRY: Final = ("session", *EntryRecord._fields)
"""The columns of a new row: the fields of a record are called like them."""

FEW: Final = 8
"""Sessions for which one after the other is as good."""

Row = tuple[Any, ...]
Loaded = tuple[Row, Sequence[Row]]
"""A session's row and those of its history."""


def puts_at_the_end(operations: Sequence[Operation]) -> tuple[Put, ...]:
    """Those of different sessions with which ``operations`` end, if they are worth it.

    In the order of their keys, in which several calls don't wait for each other.
    """
    puts: list[Put] = []
    keys: set[SessionKey] = set()
    for operation in reversed(operations):
        if not isinstance(operation, Put) or operation.key in keys:
            break
        puts.append(operation)
        keys.add(operation.key)
    return tuple(sorted(puts, key=attrgetter("key"))) if len(puts) > FEW else ()


def one_by_one(
    run: Statements, keys: Sequence[SessionKey], *, with_history: bool
) -> dict[SessionKey, Loaded]:
    """For a database in the process: a statement is cheap there."""
    window = WHOLE if with_history else HEAD
    found = {key: one(run, key, window) for key in keys}
    return {key: loaded for key, loaded in found.items() if loaded}


def one(run: Statements, key: SessionKey, window: Window) -> Loaded | None:
    """A session and the window of its history, in the order of the statement."""
    row = run.run(sql.find(run.dialect.tables), key._asdict()).first()
    if row is None:
        return None
    if window.last == 0:
        return row[1:], []
    return row[1:], run.run(*sql.history(row[0], window, run.dialect)).all()


def together(
    run: Statements, keys: Sequence[SessionKey], *, with_history: bool
) -> dict[SessionKey, Loaded]:
    """In two statements, which are one round trip."""
    sessions, entries = load_together(keys, run.dialect)
    found, history = run.run(*sessions), run.run(*entries) if with_history else None
    histories = _by_session(history.all() if history else ())
    return {SessionKey(*row[1:4]): (row[1:], histories.get(row[0], ())) for row in found.all()}


def heads(run: Statements, puts: Sequence[Put], *, is_locked: bool) -> dict[SessionKey, Row]:
    """The rows, without documents, that have the keys of ``puts``."""
    found = find_together(run.dialect.tables, is_locked=is_locked)
    rows = run.run(found, _wanted([put.key for put in puts])).all()
    return {SessionKey(*row[1:4]): row for row in rows}


def _by_session(rows: Iterable[Row]) -> dict[int, list[Row]]:
    histories: dict[int, list[Row]] = defaultdict(list)
    for session, *entry in rows:
        histories[session].append(tuple(entry))
    return histories


# Their statements, where a statement is a round trip ----------------------------------------------


def load_together(keys: Sequence[SessionKey], dialect: Dialect) -> tuple[Statement, Statement]:
    """The sessions of these keys with their rows' ids, and all their entries with their session's,
    in the order of ``seq``."""
    values, tables = _wanted(keys), dialect.tables
    return Statement(_sessions(tables), values), Statement(_histories(tables), values)


@lru_cache
def find_together(tables: Tables, *, is_locked: bool) -> Select[Any]:
    """``statements.find`` of many keys, without documents."""
    row = tables.sessions
    found = _of_keys(tables, row.c.id, *sql.columns(row, sql.HEAD), *[sql.EMPTY] * 3)
    return found.with_for_update() if is_locked else found


@lru_cache
def remove_histories(tables: Tables) -> Delete:
    """All entries of several sessions."""
    return delete(tables.entries).where(tables.entries.c.session == any_(value("ids")))


@lru_cache
def _sessions(tables: Tables) -> Select[Any]:
    row = tables.sessions
    return _of_keys(tables, row.c.id, *sql.columns(row, sql.RECORD))


@lru_cache
def _histories(tables: Tables) -> Select[Any]:
    entry, ids = tables.entries, _of_keys(tables, tables.sessions.c.id).scalar_subquery()
    found = select(entry.c.session, *sql.columns(entry, sql.ENTRY))
    found = found.where(entry.c.session == any_(func.array(ids)))
    return found.order_by(entry.c.session, entry.c.seq)


def _of_keys(tables: Tables, *columns: Any) -> Select[Any]:
    row, wanted = tables.sessions.c, _keys()
    is_wanted = (
        (row.app_name == wanted.c.app)
        & (row.session_id == wanted.c.name)
        & row.user_id.between(wanted.c.owner, wanted.c.owner)
    )
    return select(*columns).select_from(wanted.join(tables.sessions, is_wanted))


def _keys() -> TableValuedAlias:
    lists = (cast(value(name), ARRAY(Text)) for name in ("apps", "ids", "users"))
    rows = func.unnest(*lists).table_valued("app", "name", "owner")
    return rows.render_derived(name="wanted")


def _wanted(keys: Sequence[SessionKey]) -> dict[str, Any]:
    return {
        "apps": [key.app_name for key in keys],
        "ids": [key.session_id for key in keys],
        "users": [key.user_id for key in keys],
    }
