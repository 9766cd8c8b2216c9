"""Many sessions at once: what one round trip a session costs is nothing for one, and everything
for 100,000."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from session_store.backends.sql import statements as sql
from session_store.backends.sql.runner import Statements
from session_store.core.operations import Operation, Put
from session_store.core.queries import HEAD, WHOLE, Window
from session_store.core.records import EntryRecord, SessionRecord
from session_store.session import SessionKey

SESSION: Final = ", ".join(SessionRecord._fields)
ENTRY: Final = ", ".join(("session", *EntryRecord._fields))
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
    row = run.run(sql.FIND, key._asdict()).first()
    if row is None:
        return None
    return row[1:], [] if window.last == 0 else run.run(*sql.history(row[0], window)).all()


def together(
    run: Statements, keys: Sequence[SessionKey], *, with_history: bool
) -> dict[SessionKey, Loaded]:
    """In two statements, which are one round trip."""
    sessions, entries = sql.load_many(keys)
    found, history = run.run(*sessions), run.run(*entries) if with_history else None
    histories = _by_session(history.all() if history else ())
    return {SessionKey(*row[1:4]): (row[1:], histories.get(row[0], ())) for row in found.all()}


def heads(run: Statements, puts: Sequence[Put], lock: str) -> dict[SessionKey, Row]:
    """The rows, without documents, that have the keys of ``puts``."""
    rows = run.run(*sql.find_heads([put.key for put in puts], lock)).all()
    return {SessionKey(*row[1:4]): row for row in rows}


def _by_session(rows: Iterable[Row]) -> dict[int, list[Row]]:
    histories: dict[int, list[Row]] = defaultdict(list)
    for session, *entry in rows:
        histories[session].append(tuple(entry))
    return histories
