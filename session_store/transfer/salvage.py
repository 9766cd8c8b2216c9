"""The rows that can still be read in a damaged SQLite file, and which can't.

A damaged page ends a scan with an error. So the scan goes on after the first number from which it
can: that is found by steps of twice the size, and then by halves, in a few dozen questions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

Row = tuple[Any, ...]
Lost = Callable[[int, int | None], None]
"""Told of the first and last number of rows that can't be read; ``None``: all from there on."""

_END: Final = 2**62


def rows(connection: sqlite3.Connection, table: str, columns: str, lost: Lost) -> Iterator[Row]:
    """Each row that can be read, its number first."""
    query = f"SELECT rowid, {columns} FROM {table} WHERE rowid > ? ORDER BY rowid"  # noqa: S608
    last = 0
    while True:
        try:
            for row in connection.execute(query, (last,)):
                yield row
                last = row[0]
        except (sqlite3.DatabaseError, OverflowError):
            following = _following(connection, table, columns, last)
            lost(last + 1, following and following - 1)
            if following is None:
                return
            last = following - 1
        else:
            return


def _following(connection: sqlite3.Connection, table: str, columns: str, last: int) -> int | None:
    """The number of the first readable row after those that can't be read."""
    step = 1
    while step < _END and not _is_readable(connection, table, columns, last + step):
        step *= 2
    low, high = step // 2, step
    while high - low > 1:
        middle = (low + high) // 2
        if _is_readable(connection, table, columns, last + middle):
            high = middle
        else:
            low = middle
    try:
        found = _first(connection, table, columns, last + high)
    except sqlite3.DatabaseError:
        return None
    return None if found is None else int(found[0])


def _is_readable(connection: sqlite3.Connection, table: str, columns: str, after: int) -> bool:
    """Whether there is an answer, if only that nothing is there."""
    try:
        _first(connection, table, columns, after)
    except sqlite3.DatabaseError:
        return False
    return True


def _first(connection: sqlite3.Connection, table: str, columns: str, after: int) -> Row | None:
    query = f"SELECT rowid, {columns} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT 1"  # noqa: S608
    row: Row | None = connection.execute(query, (after,)).fetchone()
    return row
