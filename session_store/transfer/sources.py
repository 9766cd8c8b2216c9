"""Stores to copy or import from, which stay as they are: nothing is made, upgraded or repaired."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from session_store.backends import Storage, open_storage, sqlite_file
from session_store.errors import SettingsError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.transfer.sessions import Progress, no_progress

PATIENCE: Final = 30.0
"""Seconds to wait for who holds the file."""

STEP: Final = 1000
"""Pages that are copied at a time."""

SQLITE_MAGIC: Final = b"SQLite format 3\0"


class Source(NamedTuple):
    """An open store. ``is_copy``: what is written to the store from now on does not appear here."""

    repository: SessionRepository
    is_copy: bool = False


@contextmanager
def opened(storage: Storage, **options: Any) -> Iterator[Source]:
    """The store to read from. One of an older release, or of the program before this package, is
    read as a private copy, since opening it would upgrade it."""
    if storage.type == "file":
        with _file(str(storage.path)) as repository:
            yield Source(repository)
    elif storage.type == "sqlite":
        with _sqlite(sqlite_file(str(storage.path)), **options) as source:
            yield source
    elif storage.type == "postgresql":
        with open_storage(storage, **options) as repository:
            yield Source(repository)
    else:
        raise SettingsError("what is in memory is another process's own; name a store that lasts")


def _file(directory: str) -> SessionRepository:
    from session_store.backends.json_file.repository import JsonFileRepository

    if not Path(directory, "sessions.json").is_file():
        raise StoreUnavailableError(f"there is no {directory}/sessions.json; is the path right?")
    return JsonFileRepository(directory, read_only=True)


@contextmanager
def _sqlite(file: Path, **options: Any) -> Iterator[Source]:
    from session_store.backends.sql.sqlite.store import open_sqlite

    if not file.is_file():
        raise StoreUnavailableError(f"there is no {file}; is the path right?")
    if is_current(file):
        with open_sqlite(file, **options) as repository:
            yield Source(repository)
        return
    with tempfile.TemporaryDirectory(prefix="session-store-") as directory:
        copy = Path(directory, "sessions.db")
        duplicate(file, copy)
        with open_sqlite(copy, **options) as repository:
            yield Source(repository, is_copy=True)


def is_current(file: Path) -> bool:
    """Whether an SQLite file is a store of this release."""
    from session_store.backends.sql import schema
    from session_store.backends.sql.sqlite import file as database_file
    from session_store.backends.sql.sqlite import layout as sqlite_layout

    with errors_of(file):
        database_file.exists(file)
        with closing(database_file.looking(file, PATIENCE)) as connection:
            return sqlite_layout.revision(file, connection) == schema.HEAD


def duplicate(file: Path, copy: Path, on_progress: Progress = no_progress) -> None:
    """An SQLite file as of one moment, though it is in use; for its owner only.

    It is read in one transaction, while others write to the log. Without that, each of their
    writes between two steps makes SQLite begin again.
    """
    from session_store.backends.sql.sqlite import file as database_file

    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, database_file.MODE))
    with (
        errors_of(file),
        closing(database_file.looking(file, PATIENCE)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()  # only now it begins
        source.backup(
            target, pages=STEP, progress=lambda _, left, all: on_progress(all - left, all)
        )


@contextmanager
def errors_of(file: Path) -> Iterator[None]:
    from session_store.backends.sql.sqlite.errors import translated

    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, file, PATIENCE) from None
