"""The one way in which statements reach a database, and the one place where its errors become ours.

Prepared text on the driver's own connection: through SQLAlchemy's ``Connection`` and its events a
turn takes 2.8 times as long as plain SQL.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from session_store.backends.sql import forks
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.pool import ConnectionPool
from session_store.errors import StoreUnavailableError


class Statements:
    """Runs statements on one driver connection."""

    __slots__ = ("_dialect", "connection")

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.connection, self._dialect = connection, dialect

    def all(self, text: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows. Never fewer: a statement that is not read to its end keeps its locks."""
        rows: list[tuple[Any, ...]] = self._execute(text, values).fetchall()
        return rows

    def first(self, text: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """The row of a statement that has one at most."""
        rows = self.all(text, values)
        return rows[0] if rows else None

    def run(self, text: str, values: Mapping[str, Any]) -> int:
        """How many rows it changed."""
        count: int = self._execute(text, values).rowcount
        return count

    def run_many(self, text: str, rows: Iterable[Mapping[str, Any]]) -> None:
        self.connection.cursor().executemany(self._dialect.text(text), rows)

    def _execute(self, text: str, values: Mapping[str, Any]) -> Any:
        return self.connection.execute(self._dialect.text(text), values)


class Runner:
    """Transactions over a pool of connections."""

    def __init__(self, pool: ConnectionPool, dialect: Dialect) -> None:
        self.pool, self.dialect = pool, dialect
        self._write_lock = threading.Lock()
        forks.watch(self)

    @contextmanager
    def asking(self) -> Iterator[Statements]:
        """For one statement that reads, which needs no transaction around it."""
        try:
            with self.pool.connection() as connection:
                yield Statements(connection, self.dialect)
        except self.dialect.driver_error as error:
            raise self.dialect.translated(error) from None

    @contextmanager
    def reading(self) -> Iterator[Statements]:
        """A transaction that sees one moment of the store."""
        with self.asking() as statements:
            statements.connection.execute(self.dialect.begin_reading)
            yield statements
            statements.connection.execute("COMMIT")

    @contextmanager
    def writing(self) -> Iterator[Statements]:
        """A transaction that writes, rolled back by any exception; durable when it is left."""
        with self._turn(), self.asking() as statements:
            statements.connection.execute(self.dialect.begin_writing)
            yield statements
            self._commit(statements.connection)

    def size_bytes(self) -> int:
        with self.asking() as statements:
            return self.dialect.size_bytes(statements.connection)

    def tidy(self) -> None:
        with self._turn(), self.asking() as statements:
            self.dialect.tidy(statements.connection)

    def close(self) -> None:
        """Refuse from now on, wait for what is under way, close the connections."""
        self.pool.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Where there is one writer, ours queue here: a lock wakes the next one at once, while
        SQLite's own waiting polls. Taken before a connection, to leave those to readers."""
        if not self.dialect.one_writer:
            yield
            return
        lock = self._write_lock
        if not lock.acquire(timeout=self.dialect.patience):
            raise StoreUnavailableError(
                f"busy for {self.dialect.patience:g} s: other threads are writing; try again"
            )
        try:
            yield
        finally:
            lock.release()

    def _commit(self, connection: Any) -> None:
        try:
            connection.execute("COMMIT")
        except self.dialect.driver_error as error:
            raise self.dialect.translated(error, committing=True) from None

    # Around a fork --------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self.pool.pause()

    def after_fork_in_parent(self) -> None:
        self.pool.go_on()

    def after_fork_in_child(self) -> None:
        """The lock may have been held by a thread that is not here."""
        self._write_lock = threading.Lock()
        forks.keep(self.pool.start_anew())
