"""Recognising an SQLite file: a store of ours, one of the program before, or another program's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from session_store.backends import legacy
from session_store.backends.sql.names import PLAIN, Names
from session_store.backends.sql.schema import VERSION_TABLE
from session_store.errors import CorruptStoreError

APPLICATION_ID: Final = 0x53655374
"""The mark in the header of our files ("SeSt"), by which ``file`` and others may know them."""

LEGACY_TABLE: Final = "sessions_legacy"
"""The name that the table ``sessions`` of the program before this package is kept under."""


def revision(path: Path, connection: sqlite3.Connection, names: Names = PLAIN) -> str | None:
    """The revision of a store; ``None`` before the first one, as in a file to adopt, or in one that
    is to hold tables of these names beside others.

    ``CorruptStoreError`` for another program's database.
    """
    table = names.own(VERSION_TABLE)
    if exists(connection, table):
        found = connection.execute(f"SELECT version_num FROM {table}").fetchone()  # noqa: S608
        return str(found[0]) if found else None
    if names.prefix or is_legacy(connection):
        return None
    if connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,):
        raise CorruptStoreError(f"{path} has lost its tables: restore a backup")
    raise CorruptStoreError(f"{path} is another program's database: use another path")


def is_legacy(connection: sqlite3.Connection) -> bool:
    """Whether ``sessions`` is the table of the program before this package."""
    columns = connection.execute("SELECT name FROM pragma_table_info('sessions')").fetchall()
    return {name for (name,) in columns} >= legacy.FIELDS


def set_aside(connection: sqlite3.Connection) -> None:
    """Make room for our ``sessions`` in an older store; its rows are converted afterwards."""
    if not is_legacy(connection):
        return
    indexes = connection.execute(
        "SELECT name FROM sqlite_master "
        "WHERE type = 'index' AND tbl_name = 'sessions' AND sql IS NOT NULL"
    ).fetchall()
    for (name,) in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    connection.execute(f"ALTER TABLE sessions RENAME TO {LEGACY_TABLE}")


def put_back(connection: sqlite3.Connection) -> None:
    """Undo ``set_aside``."""
    if exists(connection, LEGACY_TABLE):
        connection.execute(f"ALTER TABLE {LEGACY_TABLE} RENAME TO sessions")


def exists(connection: sqlite3.Connection, table: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (table,)).fetchone() is not None
