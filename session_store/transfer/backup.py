"""``backup_store``: a copy of a store in use, as of one moment, for its owner only."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from session_store.backends import Storage, sqlite_file
from session_store.errors import CorruptStoreError, SettingsError, TransferError
from session_store.transfer.sources import duplicate


def backup_store(storage: Storage, path: str | os.PathLike[str]) -> int:
    """Copy an SQLite or JSON store to a new file, durably; its bytes.

    All that was acknowledged before is in it. It is there when it is whole and was checked:
    ``CorruptStoreError`` says that the store is damaged. ``TransferError`` when the file exists.
    """
    target = Path(os.path.realpath(path))
    if os.path.lexists(target):
        raise TransferError(f"{os.fspath(path)} is there already; choose another name")
    if storage.type == "sqlite":
        _backup_sqlite(sqlite_file(str(storage.path)), target)
    elif storage.type == "file":
        _backup_file(Path(str(storage.path), "sessions.json"), target)
    else:
        raise SettingsError(
            "a backup is of a file; use pg_dump for PostgreSQL, or session-store export"
        )
    return target.stat().st_size


def _backup_sqlite(file: Path, target: Path) -> None:
    from session_store.backends.sql import database_file

    if not file.is_file():
        raise TransferError(f"there is no {file}; is the path right?")
    with database_file.building(target) as draft:
        draft.new.unlink()
        duplicate(file, draft.new)
        with closing(sqlite3.connect(draft.new)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found != ("ok",):
            raise CorruptStoreError(f"{file} is damaged ({found[0]}): session-store repair")
        draft.publish()


def _backup_file(file: Path, target: Path) -> None:
    from session_store.backends import atomic_file
    from session_store.backends.json_format import decode

    found = atomic_file.read(file)
    if found is None:
        raise TransferError(f"there is no {file}; is the path right?")
    decode(found[0], file, {})
    atomic_file.create_directory(target.parent)
    atomic_file.replace(target, [found[0]], is_new=True)
