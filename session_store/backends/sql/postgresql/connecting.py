"""Connections to a store's database, made so that no call on them waits for ever.

Three deadlines, because each sees what the others can't: the server ends a statement that takes too
long, TCP ends a connection whose packets are not confirmed, and the client ends a call on which
nothing comes back.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from session_store.backends.sql.postgresql.connection import DeadlineConnection
from session_store.backends.sql.postgresql.errors import UnreachableError
from session_store.backends.sql.postgresql.statements import PostgresStatements
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.errors import SettingsError

APPLICATION_NAME: Final = "session_store"
"""What ``pg_stat_activity`` shows, unless the URL says otherwise."""

_CONNECT_TIMEOUT: Final = 10
_SERVERS_SHARE: Final = 0.9
"""Of the deadline: the server comes first, as it can end a statement and keep the connection."""


class StoreConnection(DeadlineConnection):
    """A connection of ours, with its statements."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.statements = PostgresStatements(self)


def connected(url: PostgresUrl, timeout: float = 30.0, *, pooler: bool = False) -> StoreConnection:
    """A connection in autocommit mode. ``timeout``: seconds for one statement.

    ``pooler``: through a pooler that gives each transaction another session (PgBouncer's
    transaction mode): nothing is prepared or set in a session. What the URL's parameters say comes
    before our defaults. ``SettingsError`` for parameters that libpq does not know.
    """
    parameters = _parameters(url, timeout, pooler)
    try:
        connection = StoreConnection.connect(autocommit=True, prepare_threshold=None, **parameters)
    except psycopg.OperationalError as error:
        raise UnreachableError(*error.args) from None
    connection.deadline, connection.statements.prepares = timeout, not pooler
    return connection


def settings(timeout: float) -> dict[str, str]:
    """What every session or transaction of ours has set, in milliseconds."""
    milliseconds = str(max(1, int(timeout * 1000 * _SERVERS_SHARE)))
    return {
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
    }


def _parameters(url: PostgresUrl, timeout: float, pooler: bool) -> dict[str, Any]:
    given = _given(url)
    parameters = {
        "application_name": APPLICATION_NAME,
        "connect_timeout": max(1, int(min(timeout, _CONNECT_TIMEOUT))),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": int(timeout * 1000),
    } | given
    if not pooler:  # PgBouncer refuses "options"
        ours = " ".join(f"-c {name}={value}" for name, value in settings(timeout).items())
        parameters["options"] = f"{ours} {given.get('options', '')}".strip()
    return parameters


def _given(url: PostgresUrl) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(url.conninfo))
    except psycopg.Error:
        raise SettingsError(
            f"libpq can't read the URL of {url}: its parameters are those of PostgreSQL's manual, "
            "'Parameter Key Words', such as ?sslmode=require"
        ) from None
