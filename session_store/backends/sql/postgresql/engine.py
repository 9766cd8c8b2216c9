"""The store on a caller's SQLAlchemy engine, through psycopg's own cursors and pipelines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row
from sqlalchemy import Engine, QueuePool, exc
from sqlalchemy.dialects.postgresql.base import PGDialect

from session_store.backends.sql.names import checked_names
from session_store.backends.sql.postgresql.connection import read_as_stored
from session_store.backends.sql.postgresql.store import PostgresDialect, opened
from session_store.backends.sql.prepared import Construct, prepared
from session_store.backends.sql.repository import SqlRepository
from session_store.errors import SettingsError, StoreClosedError, StoreUnavailableError

_UNLIMITED: Final = 5
"""Calls at a time where the engine's pool sets no bound."""


def open_engine(
    engine: Engine, *, schema: str | None = None, table_prefix: str = "", timeout: float = 30.0
) -> SqlRepository:
    """Open the store in the database of a caller's SQLAlchemy ``Engine`` of psycopg.

    Its pool and its connections are used as the caller made them, and it is never disposed of:
    closing the repository leaves it open. Deadlines of connections are the caller's too; those of
    transactions are ours.
    """
    pool, names = EnginePool(engine), checked_names(schema, table_prefix)
    return opened(pool, EngineDialect(pool.place, names, timeout, local=True))


class EngineDialect(PostgresDialect):
    """Leaves to psycopg, as its caller set it, what is prepared on a connection."""

    compiler = PGDialect(paramstyle="format")  # type: ignore[no-untyped-call]

    def send(
        self, connection: psycopg.Connection[Any], text: str, values: Sequence[Any] = ()
    ) -> psycopg.Cursor[Any]:
        cursor = psycopg.Cursor(connection, row_factory=tuple_row)
        read_as_stored(cursor)
        return cursor.execute(text.encode(), values or None, binary=True)

    def execute_many(
        self,
        connection: psycopg.Connection[Any],
        construct: Construct,
        rows: Iterable[Mapping[str, Any]],
    ) -> None:
        statement = prepared(construct, self.compiler)
        cursor = psycopg.Cursor(connection)
        cursor.executemany(statement.text.encode(), map(statement.ordered, rows))

    @contextmanager
    def batch(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """The first error is the one that says what happened: psycopg's pipeline, left by it, logs
        those that follow from it."""
        failure: psycopg.Error | None = None
        try:
            with connection.pipeline():
                try:
                    yield
                except psycopg.Error as error:
                    failure = error
        except psycopg.Error as error:
            failure = failure or error
        if failure:
            raise failure


class EnginePool:
    """The driver's connections of ``engine``, in autocommit mode while they are ours.

    The engine stays its owner's, after a fork too: ``engine.dispose(close=False)`` in the child.
    """

    def __init__(self, engine: Engine) -> None:
        if (engine.dialect.name, engine.dialect.driver) != ("postgresql", "psycopg"):
            raise SettingsError(
                "an Engine must be one of psycopg: create_engine('postgresql+psycopg://…')"
            )
        self._engine: Final = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._closed = False

    @property
    def place(self) -> str:
        """The database, without user, password and parameters."""
        url = self._engine.url
        port = f":{url.port}" if url.port else ""
        return f"postgresql://{url.host or ''}{port}/{url.database or ''}"

    @property
    def size(self) -> int:
        pool = self._engine.pool
        return pool.size() if isinstance(pool, QueuePool) else _UNLIMITED

    @contextmanager
    def connection(self) -> Iterator[Any]:
        if self._closed:
            raise StoreClosedError("the store is closed; open it again")
        try:
            connection = self._engine.connect()
        except exc.TimeoutError:
            raise StoreUnavailableError(
                "the engine's pool had no connection free in time: give it a greater pool_size"
            ) from None
        except exc.DBAPIError as error:
            raise error.orig or error from None
        with connection:
            inner: Any = connection.connection.driver_connection
            try:
                yield inner
            finally:
                if inner.closed:
                    connection.invalidate()
                else:
                    inner.rollback()

    def drop_idle(self) -> None:
        """Whether they can be used is the engine's to know (``pool_pre_ping``)."""

    def close(self) -> None:
        self._closed = True

    def pause(self) -> None: ...

    def go_on(self) -> None: ...

    def start_anew(self) -> list[Any]:
        return []
