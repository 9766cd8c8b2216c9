"""A caller's SQLAlchemy engine as the pool of a repository."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine, QueuePool, exc

from session_store.errors import SettingsError, StoreClosedError, StoreUnavailableError

_UNLIMITED: Final = 5
"""Calls at a time where the engine's pool sets no bound."""


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
