"""The one way in which statements reach a database, and the one place where its errors become ours.

Constructs go as text that was compiled before to the driver's own connection: through SQLAlchemy's
``Connection`` and its events a turn takes 2.8 times as long as plain SQL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Table

from session_store.backends.sql import forks
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.pool import Pool
from session_store.backends.sql.prepared import Construct
from session_store.errors import OutcomeUnknownError, StoreUnavailableError

T = TypeVar("T")


class Rows:
    """What a statement returns."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def all(self) -> list[tuple[Any, ...]]:
        """Never fewer: a statement that is not read to its end keeps its locks."""
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def first(self) -> tuple[Any, ...] | None:
        """The row of a statement that has one at most."""
        rows = self.all()
        return rows[0] if rows else None


class Statements:
    """Runs statements on one driver connection."""

    __slots__ = ("connection", "dialect")

    def __init__(self, connection: Any, dialect: Dialect) -> None:
        self.connection, self.dialect = connection, dialect

    def run(self, construct: Construct, values: Mapping[str, Any]) -> Rows:
        """Its rows. In a transaction it may not even be sent until rows are asked for, and then
        with all that wait: one round trip for several statements, whose errors come with them."""
        return Rows(self.dialect.execute(self.connection, construct, values))

    def command(self, text: str) -> None:
        """What begins or ends a transaction, for which there is no construct."""
        self.dialect.send(self.connection, text)

    def run_many(self, construct: Construct, rows: Iterable[Mapping[str, Any]]) -> None:
        self.dialect.execute_many(self.connection, construct, rows)

    def insert_many(
        self, table: Table, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
    ) -> None:
        self.dialect.insert_many(self.connection, table, columns, rows)


class WriterQueue:
    """Where there is one writer, ours queue here: a lock wakes the next one at once, while SQLite's
    own waiting polls. Taken before a connection, to leave those to readers."""

    def __init__(self, patience: float) -> None:
        self._lock, self._patience = threading.Lock(), patience

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=self._patience):
            raise StoreUnavailableError(
                f"busy for {self._patience:g} s: other threads are writing; try again"
            )

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _UndecidedError(Exception):
    """A transaction was committed or not; nobody can say."""


Work: TypeAlias = Callable[[Statements], T]
"""What is done with statements. It may be called again, when nothing of the first time is left."""


class Runner:
    """Work over a pool of connections, in a transaction or without one.

    An error after which nothing is left, such as a lost connection before COMMIT, is met by doing
    the work again where the dialect says so.
    """

    def __init__(self, pool: Pool, dialect: Dialect) -> None:
        self.pool, self.dialect = pool, dialect
        self._queue = self._new_queue()
        forks.watch(self)

    def ask(self, work: Work[T]) -> T:
        """Do work of one statement that reads, which needs no transaction around it."""
        return self._tried(lambda: self._asked(work))

    def read(self, work: Work[T]) -> T:
        """Do work in a transaction that sees one moment of the store."""
        return self._tried(lambda: self._read(work))

    def write(
        self,
        work: Work[T],
        *,
        repeatable: bool = False,
        at_once: Work[T | None] | None = None,
        in_bulk: bool = False,
    ) -> T:
        """Do work in a transaction that any exception rolls back; durable on return.

        ``repeatable``: done twice it is the same as once, and so it is done again when nobody knows
        whether it was committed. Otherwise ``OutcomeUnknownError`` says that. ``at_once``: what may
        do the same in one statement; if it returns ``None``, nothing of it was done. ``in_bulk``:
        what is sent is so much that statements are not sent together.
        """
        with self._queue:
            try:
                result = None if at_once is None else self._written_at_once(at_once)
                if result is not None:
                    return result
                return self._tried(lambda: self._written(work, in_bulk=in_bulk))
            except _UndecidedError:
                if not repeatable:
                    raise self._unknown() from None
        return self._written_again(work)

    def attempt(self, work: Work[Any]) -> None:
        """Do work in a transaction, take it back, and commit that: all of a write but its effect.

        PostgreSQL then writes its log durably; SQLite writes the pages as they were.
        """
        with self._queue:
            self._tried(lambda: self._attempted(work))

    def size_bytes(self) -> int:
        return self.ask(lambda run: self.dialect.size_bytes(run.connection))

    def tidy(self) -> None:
        with self._queue:
            self.ask(lambda run: self.dialect.tidy(run.connection))

    def close(self) -> None:
        """Refuse from now on, wait for what is under way, close the connections."""
        self.pool.close()

    def _tried(self, call: Callable[[], T]) -> T:
        """What ``call`` returns, the first time that it does."""
        tries = 0
        while True:
            try:
                return call()
            except self.dialect.driver_error as error:
                tries += 1
                if tries >= self.dialect.attempts(error):
                    raise self.dialect.translated(error) from None
                self.pool.drop_idle()  # what ended one connection has often ended all

    def _asked(self, work: Work[T]) -> T:
        with self.pool.connection() as connection:
            return work(Statements(connection, self.dialect))

    def _read(self, work: Work[T]) -> T:
        with self.pool.connection() as connection, self.dialect.batch(connection):
            self.dialect.begin_reading(connection)
            run = Statements(connection, self.dialect)
            result = work(run)
            run.command("COMMIT")
            return result

    def _written(self, work: Work[T], *, in_bulk: bool) -> T:
        failure, is_ending = None, False
        with self.pool.connection() as connection:
            try:
                with nullcontext() if in_bulk else self.dialect.batch(connection):
                    mark = self.dialect.begin_writing(connection)
                    run = Statements(connection, self.dialect)
                    result = work(run)
                    is_ending = True
                    run.command("COMMIT")
            except self.dialect.driver_error as error:
                if not is_ending:
                    raise
                connection.close()  # not used again
                failure = error
        if failure is None or (outcome := self.dialect.is_committed(failure, mark, self.pool)):
            return result
        raise _UndecidedError if outcome is None else failure

    def _attempted(self, work: Work[Any]) -> None:
        with self.pool.connection() as connection, self.dialect.batch(connection):
            self.dialect.begin_writing(connection)
            run = Statements(connection, self.dialect)
            run.command("SAVEPOINT attempt")
            work(run)
            run.command("ROLLBACK TO SAVEPOINT attempt")
            run.command("COMMIT")

    def _written_at_once(self, work: Work[T | None]) -> T | None:
        try:
            return self._asked(work)
        except self.dialect.driver_error as error:
            if self.dialect.is_lost(error):
                raise _UndecidedError from None
            if self.dialect.attempts(error) > 1:
                return None
            raise self.dialect.translated(error) from None

    def _written_again(self, work: Work[T]) -> T:
        """After a time that may have been: to fail now does not mean that nothing is there."""
        try:
            return self.write(work)
        except StoreUnavailableError:
            raise self._unknown() from None

    def _unknown(self) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            "the connection was lost while a write was committed: load the session to see whether "
            "it is there, or repeat it under the same entry_id"
        )

    def _new_queue(self) -> AbstractContextManager[None]:
        return WriterQueue(self.dialect.patience) if self.dialect.one_writer else nullcontext()

    # Around a fork --------------------------------------------------------------------------------

    def before_fork(self) -> None:
        self.pool.pause()

    def after_fork_in_parent(self) -> None:
        self.pool.go_on()

    def after_fork_in_child(self) -> None:
        """The lock may have been held by a thread that is not here."""
        self._queue = self._new_queue()
        forks.keep(self.pool.start_anew())
