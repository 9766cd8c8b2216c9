"""``backup_store``: a copy of a store of one moment, while applications write to it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from session_store.backends import Storage, sqlite_file
from session_store.errors import (
    CorruptStoreError,
    SettingsError,
    StoreUnavailableError,
    TransferError,
)
from session_store.transfer.sessions import Progress, no_progress

_NOT_A_FILE: Final = (
    "{place} is backed up by its server's own tools: `pg_dump` makes a copy of one moment, and "
    "docs/dba.md has the command. `session-store export FILE` writes its sessions to a file that "
    "anybody can read; each of them is of one moment, but not all of the same"
)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """Where the copy is, and how large."""

    path: str
    bytes: int


def backup_store(
    storage: Storage,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    on_progress: Progress = no_progress,
) -> BackupReport:
    """Copy the store to ``path``, which can then be opened as a store: a directory, or for SQLite
    a file that ends in ``.db``.

    The copy holds all that was acknowledged before, and nothing half; it is one file, durable, for
    its owner only, and is checked before it gets its name. ``TransferError`` when something is
    there already, unless it is to be overwritten. ``CorruptStoreError`` when the store is damaged.
    ``SettingsError`` for a database server, which has better ways.
    """
    if storage.type == "postgresql":
        raise SettingsError(_NOT_A_FILE.format(place=storage.path))
    if storage.type == "memory":
        raise SettingsError("what is in memory can't be backed up; name a store that lasts")
    source, target = str(storage.path), os.fspath(path)
    if storage.type == "sqlite":
        file = _back_up_database(sqlite_file(source), sqlite_file(target), overwrite, on_progress)
    else:
        file = _back_up_file(Path(source, "sessions.json"), _json_file(target), overwrite)
    size = file.stat().st_size
    on_progress(size, size)
    return BackupReport(str(file), size)


def _json_file(target: str) -> Path:
    """In a directory, or it could not be opened; naming the file itself is as good."""
    path = Path(target)
    if path.name == "sessions.json":
        return path
    if path.suffix in (".json", ".db"):
        raise SettingsError(
            f"a store in a JSON file is a directory with sessions.json in it: name one, such as "
            f"{path.with_suffix('')}"
        )
    return path / "sessions.json"


# SQLite -----------------------------------------------------------------------------------------


def _back_up_database(file: Path, target: Path, overwrite: bool, on_progress: Progress) -> Path:
    from session_store.backends.sql.sqlite import file as database_file
    from session_store.transfer.sources import duplicate

    file, target = database_file.located(file), database_file.located(target)
    if not database_file.exists(file):
        raise StoreUnavailableError(f"there is no store {file}; is the path right?")
    _check_free(file, target, overwrite)
    for suffix in ("-wal", "-journal"):
        if os.path.lexists(f"{target}{suffix}"):
            raise TransferError(
                f"{target}{suffix} is there, which SQLite would take for the copy's log: choose "
                "another name, or close what has that database open"
            )
    with database_file.building(target) as draft:
        draft.new.unlink()  # which is made by the copying
        duplicate(file, draft.new, on_progress)
        _check_copy(file, draft.new)
        if overwrite:
            draft.replace()
        elif not draft.publish():
            raise _taken(target)
    return target


def _check_copy(file: Path, copy: Path) -> None:
    """``CorruptStoreError`` unless the copy is a whole store; without a log of its own from now on,
    so that it can be read from where nothing can be written."""
    from session_store.backends.sql.sqlite import layout as sqlite_layout
    from session_store.transfer.sources import errors_of

    with errors_of(file), closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        sqlite_layout.revision(file, connection)
        connection.execute("PRAGMA journal_mode = DELETE")
        is_whole = _is_whole(connection)
    if not is_whole:
        raise CorruptStoreError(
            f"{file} is damaged, and no copy was made: `session-store verify` says where, "
            "`session-store repair` recovers what can be read"
        )


def _is_whole(connection: sqlite3.Connection) -> bool:
    try:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()
        return found == ("ok",) and not connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError:
        return False


# The JSON file ----------------------------------------------------------------------------------


def _back_up_file(file: Path, target: Path, overwrite: bool) -> Path:
    """No lock is needed: the file is only ever replaced whole."""
    from session_store.backends.json_file import atomic_file
    from session_store.backends.json_file.format import decode
    from session_store.backends.json_file.recovery import backup_of

    found = atomic_file.read(file)
    if found is None:
        raise StoreUnavailableError(f"there is no store {file}; is the path right?")
    decode(found[0], file, {})
    target = Path(os.path.abspath(target))
    _check_free(file, target, overwrite)
    if os.path.lexists(backup_of(target)):
        raise TransferError(
            f"{backup_of(target)} is there, which the store would take for the copy's own older "
            "save: choose another directory"
        )
    atomic_file.create_directory(target.parent)
    atomic_file.replace(target, [found[0]], is_new=not overwrite)
    return target


def _check_free(file: Path, target: Path, overwrite: bool) -> None:
    if os.path.realpath(file) == os.path.realpath(target):
        raise TransferError(f"{target} is the store itself: choose another place")
    if os.path.lexists(target) and not overwrite:
        raise _taken(target)


def _taken(target: Path) -> TransferError:
    return TransferError(f"{target} is there already; choose another name, or overwrite it")
