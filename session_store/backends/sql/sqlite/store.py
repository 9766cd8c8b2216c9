"""SQLite: ``open_sqlite``, and how its database is spoken to.

WAL and ``synchronous=FULL``: of 120 power cuts none lost an acknowledged write (NORMAL: up to 711
in one). Every writing transaction is ``BEGIN IMMEDIATE``: SQLAlchemy's default lost 467 of 800
read-modify-writes without an error.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

from sqlalchemy import Boolean, ColumnElement, func, select
from sqlalchemy.dialects import sqlite

from session_store.backends.sql import schema
from session_store.backends.sql.dialect import Dialect, Labels
from session_store.backends.sql.names import PLAIN, Names, checked_names
from session_store.backends.sql.pool import ConnectionPool
from session_store.backends.sql.prepared import Construct, prepared, value
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite import file as database_file
from session_store.backends.sql.sqlite import layout as sqlite_layout
from session_store.backends.sql.sqlite.errors import translated
from session_store.backends.sql.statements import stored
from session_store.backends.sql.tables import tables_of
from session_store.core import codec
from session_store.core.queries import Scalar, has_labels
from session_store.errors import (
    NotWritableError,
    SchemaError,
    SessionStoreError,
    SettingsError,
    StoreUnavailableError,
)

Synchronous = Literal["FULL", "NORMAL"]

MINIMUM_VERSION: Final = (3, 35)
"""The first SQLite with RETURNING."""

_LOG_LIMIT: Final = 16 * 1024 * 1024
"""A log that a long reader let grow is cut to this; without readers it stays at 4 MB."""

ROOM: Final = 256 * 1024
"""Bytes that must be free beside the file for it to be called writable."""

_TIDY_WAIT: Final = 0.2
"""For how many seconds at most the cleanup keeps writers of other processes waiting for readers."""


def open_sqlite(
    path: str | os.PathLike[str],
    *,
    synchronous: Synchronous = "FULL",
    pool_size: int = 5,
    busy_timeout: float = 30.0,
    table_prefix: str = "",
    as_is: bool = False,
) -> SqlRepository:
    """Open the store in the file ``path``; a missing one is created, an older one upgraded.

    Not with ``as_is``: then they are ``StoreUnavailableError`` and ``SchemaError``.

    ``synchronous="NORMAL"`` is faster, and a power cut may take the last acknowledged writes.
    ``pool_size``: how many calls can be under way at a time. ``busy_timeout``: seconds to wait
    while another process writes. ``table_prefix``: what the names of the tables begin with, which
    may then lie beside those of others. ``CorruptStoreError`` for a file that is damaged or another
    program's; it is left as it is. ``SchemaError`` for one that a newer release wrote.
    """
    _check_options(synchronous, pool_size, busy_timeout)
    file, names = database_file.located(path), checked_names(None, table_prefix)
    if not database_file.exists(file):
        if as_is:
            raise StoreUnavailableError(f"there is no store {file}; is the path right?")
        schema.upgrade(file, busy_timeout, names)
    dialect = SqliteDialect(file, synchronous, busy_timeout, names)
    pool = ConnectionPool(
        dialect.connect, size=pool_size, patience=busy_timeout, driver_error=sqlite3.Error
    )
    pool.add(_first_connection(dialect, as_is=as_is))
    return SqlRepository(pool, dialect, file)


class SqliteDialect(Dialect):
    """How the SQLite file ``path`` is spoken to."""

    driver_error = sqlite3.Error
    one_writer = True
    compiler = sqlite.dialect(paramstyle="qmark")
    insert = staticmethod(sqlite.insert)

    def __init__(
        self, path: Path, synchronous: Synchronous, patience: float, names: Names = PLAIN
    ) -> None:
        self.path, self.patience = path, patience
        self.names, self.tables = names, tables_of(names)
        self._pragmas = {
            "busy_timeout": int(patience * 1000),
            "synchronous": {"NORMAL": 1, "FULL": 2}[synchronous],
            "foreign_keys": 1,
            "secure_delete": 1,
            "journal_size_limit": _LOG_LIMIT,
        }

    def connect(self) -> sqlite3.Connection:
        """A connection that is what the repository relies on."""
        connection = database_file.connected(self.path, self.patience)
        try:
            self.prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def send(
        self, connection: sqlite3.Connection, text: str, values: Sequence[Any] = ()
    ) -> sqlite3.Cursor:
        return connection.execute(text, values)

    def execute_many(
        self,
        connection: sqlite3.Connection,
        construct: Construct,
        rows: Iterable[Mapping[str, Any]],
    ) -> None:
        statement = prepared(construct, self.compiler)
        connection.executemany(statement.text, map(statement.ordered, rows))

    def begin_reading(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")

    def begin_writing(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")

    def ids(self, values: Sequence[str]) -> str:
        return json.dumps(values)

    def time(self, value: datetime | None) -> str | None:
        return None if value is None else codec.encode_time(codec.utc(value, "time"))

    to_time = staticmethod(codec.decode_time)
    to_sorted_time = staticmethod(codec.decode_sorted_time)

    @staticmethod
    def is_one_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        values = func.json_each(value(name)).table_valued("value", name="json_each")
        return column.in_(select(values.c.value))

    @staticmethod
    def label_shape(labels: Labels) -> bool:
        return bool(labels)

    def label_values(self, labels: Labels) -> dict[str, Any]:
        return {"labels": json.dumps(labels)} if labels else {}

    @staticmethod
    def has_labels(metadata: ColumnElement[Any], shape: Any) -> ColumnElement[bool]:
        return func.session_store_has_labels(stored(metadata), value("labels"), type_=Boolean)

    def prepare(self, connection: sqlite3.Connection) -> None:
        # As exact as the other back ends, which json_each is not: it cuts text off at a NUL and
        # rounds numbers its own way. Of 371,000 rows 0.93 s, with json_each 0.78 s.
        connection.create_function("session_store_has_labels", 2, _has_labels, deterministic=True)
        database_file.use_log(self.path, connection, self.patience)
        for name, wanted in self._pragmas.items():
            connection.execute(f"PRAGMA {name} = {wanted}")
            (actual,) = connection.execute(f"PRAGMA {name}").fetchone()
            if actual != wanted:
                raise StoreUnavailableError(f"{self.path}: {name} is {actual}, not {wanted}")

    def tidy(self, connection: sqlite3.Connection) -> None:
        """Empty the log: it is cut, and removed text is gone from it. A reader may prevent that;
        then the next cleanup does it."""
        connection.execute(f"PRAGMA busy_timeout = {int(_TIDY_WAIT * 1000)}")
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {self._pragmas['busy_timeout']}")

    def check(self, connection: sqlite3.Connection) -> None:
        """The log may have room where the disk has none, so that is asked apart."""
        if not database_file.exists(self.path):
            raise NotWritableError(f"{self.path} has vanished: restore a backup")
        found = sqlite_layout.revision(self.path, connection, self.names)
        if found != schema.HEAD:
            raise SchemaError(
                f"{self.path} is at revision {found}, and this release needs {schema.HEAD}: open "
                "it anew, or run `session-store db upgrade`"
            )
        database_file.reserve(self.path, ROOM)

    def size_bytes(self, connection: sqlite3.Connection) -> int:
        return database_file.size_bytes(self.path)

    def translated(self, error: Exception, *, committing: bool = False) -> SessionStoreError:
        return translated(error, self.path, self.patience, committing=committing)


def _check_options(synchronous: str, pool_size: int, busy_timeout: float) -> None:
    if sqlite3.sqlite_version_info < MINIMUM_VERSION:
        raise StoreUnavailableError(
            f"SQLite {sqlite3.sqlite_version} is too old: use 3.35 or newer"
        )
    if synchronous not in get_args(Synchronous):
        raise SettingsError(f"synchronous is 'FULL' or 'NORMAL', not {synchronous!r}")
    if pool_size < 1 or busy_timeout < 0:
        raise SettingsError("pool_size is 1 or more, busy_timeout 0 or more")


def _first_connection(dialect: SqliteDialect, *, as_is: bool) -> sqlite3.Connection:
    """Looks before anything is set: another program's database must stay as it is."""
    try:
        connection = database_file.connected(dialect.path, dialect.patience)
        try:
            database_file.check_whole(dialect.path, connection)
            found = sqlite_layout.revision(dialect.path, connection, dialect.names)
            if found != schema.HEAD:
                _upgrade(dialect, found, as_is=as_is)
            dialect.prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection
    except sqlite3.Error as error:
        raise dialect.translated(error) from None


def _upgrade(dialect: SqliteDialect, revision: str | None, *, as_is: bool) -> None:
    prefix = f" --prefix {dialect.names.prefix}" if dialect.names.prefix else ""
    if as_is and revision in (None, *schema.REVISIONS):
        raise SchemaError(
            f"{dialect.path} is at revision {revision or 'none'}, and this release needs "
            f"{schema.HEAD}: run `session-store db upgrade --url sqlite:///{dialect.path}{prefix}`"
        )
    schema.upgrade(dialect.path, dialect.patience, dialect.names)


def _has_labels(metadata: str, wanted: str) -> bool:
    return has_labels(metadata, _decoded(wanted))


@lru_cache(maxsize=64)
def _decoded(labels: str) -> list[tuple[str, Scalar]]:
    return [(key, value) for key, value in json.loads(labels)]
