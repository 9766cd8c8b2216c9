"""The transaction in which an SQLite store is created or upgraded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, NullPool, create_engine, event, exc

from session_store.backends.sql.names import PLAIN, Names
from session_store.backends.sql.schema import PATIENCE, VERSION_TABLE
from session_store.backends.sql.sqlite import file as database_file
from session_store.backends.sql.sqlite import layout as sqlite_layout
from session_store.backends.sql.sqlite.errors import translated

_CACHE: Final = 128 * 1024
"""KiB at most: an index of a large table that is made anew should fit. With SQLite's 2 MB copying
300,000 sessions took 5.1 s instead of 2.2."""


@contextmanager
def upgrading(path: Path, patience: float = PATIENCE, names: Names = PLAIN) -> Iterator[Connection]:
    """A connection in one transaction that upgrades, or creates, the store ``path``: all of it or
    nothing. Whoever comes meanwhile waits, and finds it done."""
    if database_file.exists(path):
        with _transaction(path, patience, names) as connection:
            sqlite_layout.revision(path, driver(connection), names)
            yield connection
    else:
        with database_file.building(path) as draft:
            with _transaction(draft.new, patience, names) as connection:
                yield connection
                is_made = sqlite_layout.exists(driver(connection), names.own(VERSION_TABLE))
            if is_made:  # not by a mere `alembic current`
                draft.publish()


def driver(connection: Connection) -> sqlite3.Connection:
    """The driver's connection, in the same transaction."""
    inner: Any = connection.connection.driver_connection
    if not isinstance(inner, sqlite3.Connection):
        raise TypeError(f"needs an SQLite connection, not {type(inner).__name__}")
    return inner


@contextmanager
def _transaction(path: Path, patience: float, names: Names) -> Iterator[Connection]:
    """The driver's own BEGIN is left out and ours comes first: so DDL is part of the transaction,
    and Alembic reads the revision when no other process can change it any more."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: database_file.connected(path, patience),
        poolclass=NullPool,
        hide_parameters=True,
    )
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as connection:
            driver(connection).execute("PRAGMA secure_delete = ON")
            driver(connection).execute(f"PRAGMA cache_size = -{_CACHE}")
            with connection.begin():
                yield connection
            if not names.prefix:
                _finish(path, driver(connection), patience)
    except exc.DBAPIError as error:
        raise translated(error.orig or error, path, patience) from None
    except sqlite3.Error as error:
        raise translated(error, path, patience) from None


def _finish(path: Path, connection: sqlite3.Connection, patience: float) -> None:
    """Unless the file is as it was, an older store that was only asked for its revision. One that
    our tables are guests in keeps its mode and its journal until the store is opened."""
    if sqlite_layout.exists(connection, VERSION_TABLE):
        with database_file.reported(path):
            path.chmod(database_file.MODE)
        database_file.use_log(path, connection, patience)
