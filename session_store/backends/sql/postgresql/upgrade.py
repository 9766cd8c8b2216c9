"""How a PostgreSQL store is migrated: by one process at a time, and never in the way of readers.

An ALTER TABLE that waits behind one open reader lets nobody else read either. So ours waits two
seconds, then steps back, lets the others through and tries again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc

from session_store.backends.sql.postgresql import connecting
from session_store.backends.sql.postgresql.errors import translated
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.backends.sql.schema import LOCK_TIMEOUT
from session_store.errors import SchemaError, SessionStoreError, StoreUnavailableError

PATIENCE: Final = 60.0
"""Seconds to wait for another process that migrates, and for those who use the tables."""

_BREATH: Final = 1.0
"""Seconds in which the others go ahead, between two tries."""
_TURN: Final = 0.1
"""Seconds between two looks whether another process has finished."""

_LOCK: Final = int.from_bytes(b"SeStMigr")

_LOCKED_OUT: Final = ("55P03", "40P01")
_TAKEN: Final = ("42P07", "42710")
_UNPRIVILEGED: Final = "42501"

# In the transaction, so that it works behind PgBouncer. Where the server or the role sets them,
# deadlines are meant for applications; transaction_timeout came with PostgreSQL 17.
_SETTINGS: Final = f"""
SELECT set_config(name, value, true) FROM (VALUES
    ('lock_timeout', '{LOCK_TIMEOUT}'), ('statement_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0')
) AS wanted (name, value) WHERE current_setting(name, true) IS NOT NULL"""  # noqa: S608


@contextmanager
def connection_to(url: PostgresUrl) -> Iterator[Connection]:
    """A connection for Alembic. Errors of the driver leave it as ours."""
    try:
        with closing(_connected(url)) as driver, _engine(driver).connect() as connection:
            yield connection
    except exc.DBAPIError as error:
        raise _translated(error.orig or error, url.shown) from None
    except psycopg.Error as error:
        raise _translated(error, url.shown) from None


@contextmanager
def alone(url: PostgresUrl, patience: float = PATIENCE) -> Iterator[None]:
    """While nobody else migrates in this database. ``StoreUnavailableError`` when somebody does for
    longer than ``patience`` seconds.

    The lock is that of a transaction of another connection: one of a session would be left behind
    in PgBouncer. Between two looks no transaction is open, so that those who wait take none of its
    connections, and CREATE INDEX CONCURRENTLY, which waits for all transactions, comes to its end.
    """
    with closing(_connected(url)) as connection:
        until = time.monotonic() + patience
        while not _has_lock(connection):
            if time.monotonic() > until:
                raise StoreUnavailableError(
                    f"another process has been migrating {url.shown} for {patience:g} s: "
                    "pg_stat_activity shows what it does; try again when it is done"
                )
            time.sleep(_TURN)
        yield


def patiently(work: Callable[[], None], connection: Connection, patience: float) -> None:
    """Do ``work`` on the connection, again and again while others hold locks on the tables. What
    it has committed before is not undone: Alembic then goes on where it was."""
    until = time.monotonic() + patience
    while True:
        try:
            return work()
        except exc.OperationalError as error:
            connection.rollback()
            if _code(error.orig) not in _LOCKED_OUT or time.monotonic() > until:
                raise
        time.sleep(_BREATH)


def _engine(driver: psycopg.Connection[Any]) -> Engine:
    """Of this connection only, and with our settings in each transaction."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: driver,
        poolclass=NullPool,
        hide_parameters=True,
        use_native_hstore=False,
    )
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql(_SETTINGS))
    return engine


def _connected(url: PostgresUrl) -> psycopg.Connection[Any]:
    """As through a pooler, for there may be one; and a statement may take its time."""
    connection = connecting.connected(url, pooler=True)
    connection.deadline = math.inf
    connection.autocommit = False
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    return connection


def _has_lock(connection: psycopg.Connection[Any]) -> bool:
    connection.execute(_SETTINGS)
    cursor = connection.execute(f"SELECT pg_try_advisory_xact_lock({_LOCK})")
    is_taken = cursor.fetchone() == (True,)
    if not is_taken:
        connection.rollback()
    return is_taken


def _code(error: Any) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _translated(error: Any, place: str) -> SessionStoreError:
    """Our error for one of the driver's while a store is migrated."""
    code = _code(error)
    if code in _LOCKED_OUT:
        return StoreUnavailableError(
            f"{place} was not changed: other transactions kept their locks on its tables "
            "(pg_stat_activity shows the oldest by xact_start); end them and run this again"
        )
    if code in _TAKEN:
        return SchemaError(
            f"{place} already has a table, view or index of one of our names: give ours another "
            "schema (--schema) or other names (--prefix); or, if it is ours, restored without its "
            "record, note its revision with `session-store db stamp`"
        )
    if code.startswith("42") and code != _UNPRIVILEGED:
        return SchemaError(
            f"{place} does not have what the revision expects ({code}): `session-store db check` "
            "shows what differs"
        )
    return translated(error, place, PATIENCE)
