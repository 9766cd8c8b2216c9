"""What breaks the SQLite store: each variant leaves out, or does wrong, one thing that it does."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from session_store.backends.sql.runner import Runner
from session_store.backends.sql.sqlite import (
    file as database_file,
)
from session_store.backends.sql.sqlite import (
    layout as sqlite_layout,
)
from session_store.backends.sql.sqlite import (
    upgrade as sqlite_upgrade,
)
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import SqliteDialect
from session_store.core.operations import Apply, checked_apply
from session_store.errors import SessionStoreError


@contextmanager
def pragma(name: str, value: int) -> Iterator[None]:
    """Every connection has another setting than the store relies on."""
    prepare = SqliteDialect.prepare

    def prepared(self: SqliteDialect, connection: sqlite3.Connection) -> None:
        self._pragmas = self._pragmas | {name: value}
        prepare(self, connection)

    with patch.object(SqliteDialect, "prepare", prepared):
        yield


@contextmanager
def synchronous_normal() -> Iterator[None]:
    with pragma("synchronous", 1):
        yield


@contextmanager
def no_patience() -> Iterator[None]:
    """Who finds the database locked gives up at once."""
    with pragma("busy_timeout", 0):
        yield


@contextmanager
def deferred_begin() -> Iterator[None]:
    """As SQLAlchemy's default: the lock is taken by the first write, a moment after the reads."""

    def begin_writing(self: SqliteDialect, connection: sqlite3.Connection) -> None:
        self.begin_reading(connection)
        connection.execute("SELECT count(*) FROM sessions").fetchone()
        time.sleep(0.001)

    with patch.object(SqliteDialect, "begin_writing", begin_writing):
        yield


@contextmanager
def failed_writes_are_taken_for_done() -> Iterator[None]:
    """An error of SQLite's is not passed on to the caller."""
    written = Runner._written
    answered = patch("session_store.repository._answered", lambda answers: answers[0])

    def silent(self: Runner, work: Any, **how: Any) -> Any:
        try:
            return written(self, work, **how)
        except (self.dialect.driver_error, SessionStoreError):
            return (None,)

    with answered, patch.object(Runner, "_written", silent):
        yield


@contextmanager
def any_version_will_do() -> Iterator[None]:
    """What a session was read at is not compared with what it is at."""

    def unconditional(key: Any, changes: Any, at: Any, expected_version: Any) -> Apply:
        return checked_apply(key, changes, at, None)

    with patch("session_store.repository.checked_apply", unconditional):
        yield


@contextmanager
def journal_in_memory() -> Iterator[None]:
    """Who is killed in a commit leaves half of it."""

    def use_log(path: Path, connection: sqlite3.Connection, patience: float) -> None:
        connection.execute("PRAGMA journal_mode = MEMORY")

    with patch.object(database_file, "use_log", use_log):
        yield


@contextmanager
def sizes_are_not_looked_at() -> Iterator[None]:
    with (
        patch.object(database_file, "_SMALLEST", 0),
        patch.object(database_file, "check_whole", lambda path, connection: None),
    ):
        yield


@contextmanager
def any_database_is_ours() -> Iterator[None]:
    """A file without our tables is given them."""
    with patch.object(sqlite_layout, "revision", lambda path, connection: None):
        yield


@contextmanager
def no_checkpoints() -> Iterator[None]:
    """The log is never copied into the database, as while somebody reads without end."""
    with pragma("wal_autocheckpoint", 0):
        yield


@contextmanager
def no_tidying() -> Iterator[None]:
    """The cleanup leaves the log as it is."""
    with patch.object(SqliteDialect, "tidy", lambda dialect, connection: None):
        yield


@contextmanager
def no_transaction_around_migrations() -> Iterator[None]:
    """Each statement commits for itself, as with SQLAlchemy's and the driver's defaults."""
    deaf = SimpleNamespace(listen=lambda *arguments: None)
    with patch.object(sqlite_upgrade, "event", deaf):
        yield


@contextmanager
def the_last_builder_wins() -> Iterator[None]:
    """A new store takes the place of one that another process has just put there."""
    with patch("os.link", os.rename):
        yield


@contextmanager
def settings_are_not_read_back() -> Iterator[None]:
    def prepared(self: SqliteDialect, connection: sqlite3.Connection) -> None:
        for name, value in self._pragmas.items():
            connection.execute(f"PRAGMA {name} = {value}")

    with patch.object(SqliteDialect, "prepare", prepared):
        yield


@contextmanager
def settings_of_the_first_connection_only() -> Iterator[None]:
    """As with a statement after connecting, in a pool that connects again."""
    with patch.object(SqliteDialect, "connect", lambda self: connected(self.path, 1)):
        yield
