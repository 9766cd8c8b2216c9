"""What SQLite's errors mean for a store. Neither parameters nor stored text get into a message."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from session_store.errors import (
    CorruptStoreError,
    DiskFullError,
    NotWritableError,
    OutcomeUnknownError,
    SchemaError,
    SessionStoreError,
    StoreUnavailableError,
)

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_MEANINGS: Final[dict[int, tuple[type[SessionStoreError], str]]] = {
    sqlite3.SQLITE_FULL: (
        DiskFullError,
        "the disk of {path} is full: free some space, then try again",
    ),
    sqlite3.SQLITE_IOERR: (
        StoreUnavailableError,
        "reading or writing {path} failed ({name}): check its disk, quota and mount",
    ),
    sqlite3.SQLITE_CORRUPT: (
        CorruptStoreError,
        "{path} is damaged ({name}): restore a backup",
    ),
    sqlite3.SQLITE_NOTADB: (
        CorruptStoreError,
        "{path} is no SQLite database: restore a backup, or use another path",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        CorruptStoreError,
        "{path} has rows that contradict this write, so it was not stored ({error})",
    ),
    sqlite3.SQLITE_ERROR: (
        SchemaError,
        "{path} has not the tables of this release ({error}): run `session-store db upgrade`",
    ),
} | dict.fromkeys(
    (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH),
    (
        NotWritableError,
        "can't open or write {path} ({name}): check that it and its directory are there, writable "
        "for this user, and on a file system that is not read-only",
    ),
)

_BAD_LABELS: Final = "user-defined function raised exception"


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock."""
    return _primary(error) in _BUSY


def translated(
    error: Exception, path: Path, waited: float, *, committing: bool = False
) -> SessionStoreError:
    """Our error for one of SQLite's. ``waited``: the seconds after which it gave up on a lock."""
    code, name = _primary(error), getattr(error, "sqlite_errorname", type(error).__name__)
    if code in _BUSY:
        return StoreUnavailableError(
            f"{path} was busy for {waited:g} s: another process holds the write lock; try again"
        )
    if code == sqlite3.SQLITE_IOERR and committing:
        return OutcomeUnknownError(
            f"{path} did not confirm the write ({name}): load the session to see whether it is "
            "there, or repeat it under the same entry_id; check the disk"
        )
    if (code is None and type(error) is sqlite3.OperationalError) or _BAD_LABELS in str(error):
        return CorruptStoreError(f"{path} holds text that is no UTF-8 or no JSON: restore a backup")
    kind, message = _MEANINGS.get(
        code or 0, (StoreUnavailableError, "{path} can't be used ({name})")
    )
    return kind(message.format(path=path, name=name, error=error))


def _primary(error: Exception) -> int | None:
    """The error's code without its details; none for what Python's module found itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF
