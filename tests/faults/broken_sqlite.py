"""What breaks the SQLite store: each variant leaves out, or does wrong, one thing that it does."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from session_store.backends.sql.runner import Runner
from session_store.backends.sql.sqlite import SqliteDialect
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
    """As SQLAlchemy's default: the lock is taken by the first write, after the reads."""
    with patch.object(SqliteDialect, "begin_writing", SqliteDialect.begin_reading):
        yield


@contextmanager
def failed_writes_are_taken_for_done() -> Iterator[None]:
    """An error of SQLite's is not passed on to the caller."""
    written = Runner._written
    answered = patch("session_store.repository._answered", lambda answers: answers[0])

    def silent(self: Runner, work: Any) -> Any:
        try:
            return written(self, work)
        except (self.dialect.driver_error, SessionStoreError):
            return (None,)

    with answered, patch.object(Runner, "_written", silent):
        yield
