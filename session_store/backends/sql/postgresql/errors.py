"""What PostgreSQL's errors mean for a store.

No text of the driver or the server gets into a message: they hold statements, keys and content.
"""

from __future__ import annotations

from typing import Final

import psycopg

from session_store.errors import (
    CorruptStoreError,
    DiskFullError,
    NotWritableError,
    SchemaError,
    SessionStoreError,
    StoreUnavailableError,
    StoreUnreachableError,
)


class UnreachableError(psycopg.OperationalError):
    """No connection came about."""


class DeadlineError(psycopg.OperationalError):
    """Nothing came back in time."""


_LOST: Final = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")
_COLLISION: Final = ("40001", "40P01")

_MEANINGS: Final[dict[str, tuple[type[SessionStoreError], str]]] = {
    "57014": (
        StoreUnavailableError,
        "{place} took longer than {timeout:g} s: it is overloaded, or another transaction holds a "
        "lock (pg_stat_activity shows which); try again",
    ),
    "55P03": (StoreUnavailableError, "{place} is locked by another transaction; try again"),
    "40": (StoreUnavailableError, "{place}: this write kept colliding with others; try again"),
    "53100": (DiskFullError, "the disk of {place} is full: free some space"),
    "53300": (
        StoreUnavailableError,
        "{place} has no connection left: lower pool_size, raise max_connections, or use a pooler",
    ),
    "53": (StoreUnavailableError, "{place} is out of resources ({code}); try again"),
    "25006": (
        NotWritableError,
        "{place} is read-only, as a standby is: connect to the primary "
        "(?target_session_attrs=read-write), or see default_transaction_read_only",
    ),
    "42501": (
        NotWritableError,
        "the role that is used on {place} lacks a privilege: docs/dba.md lists what it needs",
    ),
    "42": (
        SchemaError,
        "{place} has not the tables of this release ({code}): run `session-store db upgrade`",
    ),
    "3F": (
        SchemaError,
        "{place} has not the schema of the tables: run `session-store db upgrade`",
    ),
    "23": (
        CorruptStoreError,
        "{place} has rows that contradict this write, so it was not stored ({constraint})",
    ),
    "22": (
        CorruptStoreError,
        "{place} holds, or can't hold, a value of this call ({code}): the database must have the "
        "encoding UTF8, and rows that this package wrote",
    ),
    "XX001": (CorruptStoreError, "{place} is damaged ({code}): restore a backup"),
    "XX002": (CorruptStoreError, "{place} has a damaged index ({code}): REINDEX it"),
}
"""By SQLSTATE, or the class that its first two characters name."""

_REFUSALS: Final = {
    "password authentication failed": "the user or the password is wrong",
    "no password supplied": "the URL has no password",
    "no pg_hba.conf entry": "its pg_hba.conf does not let this user in from here",
    "does not exist": "there is no such database or role",
    "Connection refused": "nothing listens there; is the server started?",
    "timeout": "no answer in time; is a firewall in between?",
    "translate host name": "its host name is unknown",
    "resolve host": "its host name is unknown",
    "Name or service not known": "its host name is unknown",
    "No such file": "its socket is not there; is the server started?",
    "SSL": "the encrypted connection failed; check sslmode and the certificates",
    "certificate": "the encrypted connection failed; check sslmode and the certificates",
    "starting up": "it is starting; try again",
    "shutting down": "it is shutting down; try again",
    "too many": "it has no connection left: lower pool_size or use a pooler",
    "unsupported startup parameter": (
        "it is a pooler that refuses our settings: use SESSION_POSTGRES_POOLER=true "
        "(transaction_pooler=True)"
    ),
    "is read-only": "none of its servers takes writes",
    "is not in hot standby": "none of its servers is a standby",
}
"""Parts of libpq's messages about a connection that did not come about, which have no SQLSTATE."""


def is_lost(error: Exception) -> bool:
    """Whether the connection is gone, and with it the transaction unless it was committed."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_LOST)


def is_collision(error: Exception) -> bool:
    """Whether the server refused because of what another transaction did at the same time."""
    return getattr(error, "sqlstate", None) in _COLLISION


def constraint(error: Exception) -> str:
    """The name of the constraint that refused a row."""
    diagnosis = getattr(error, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""


def translated(error: Exception, place: str, timeout: float) -> SessionStoreError:
    """Our error for one of psycopg's. ``place`` is shown; ``timeout``: the seconds it waited."""
    if isinstance(error, DeadlineError):
        return StoreUnreachableError(f"{place} gave no answer for {timeout:g} s; try again")
    code = getattr(error, "sqlstate", None) or (
        "22" if isinstance(error, psycopg.DataError) else ""
    )
    if is_lost(error):
        return StoreUnreachableError(f"{place} can't be reached: {_refusal(error)}")
    kind, message = (
        _MEANINGS.get(code)
        or _MEANINGS.get(code[:2])
        or (StoreUnavailableError, "{place} can't be used ({code})")
    )
    values = {"place": place, "timeout": timeout, "code": code or type(error).__name__}
    return kind(message.format(**values, constraint=constraint(error)))


def _refusal(error: Exception) -> str:
    text = str(error)
    reasons = (reason for part, reason in _REFUSALS.items() if part in text)
    return next(reasons, "the connection was lost; try again")
