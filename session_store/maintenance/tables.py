"""The tables of a database, read as they are: values of any kind, in pages that may be damaged."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from session_store.core import codec
from session_store.core.records import EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError
from session_store.maintenance.rules import Rules
from session_store.maintenance.scan import Lost, Row, Scan

Statement: TypeAlias = tuple[str, Mapping[str, Any]]

PATIENCE: Final = 30.0
RECORD: Final = ", ".join(f'"{name}"' for name in SessionRecord._fields)
ENTRY: Final = ", ".join(f'"{name}"' for name in EntryRecord._fields)
SHARED: Final = '"app_name", "user_id", "updated_at", "document"'
"""In quotes, a column that a damaged schema has lost is no column; SQLite takes it for a text."""


class Tables(ABC):
    """Those of one store. ``rules`` are for the values that it gives."""

    rules: Rules
    sees_part = "false"
    """Whether some sessions may be hidden from who asks."""

    @abstractmethod
    def ask(self, *statements: Statement) -> list[list[Row]]:
        """The rows of each, all of one moment. ``CorruptStoreError`` for a damaged page."""

    def rows(self, text: str, values: Mapping[str, Any]) -> list[Row]:
        return self.ask((text, values))[0]

    def scan(self, text: str, **values: Any) -> Scan:
        return Scan(text, values, self.rows)

    @abstractmethod
    def shared(self, lost: Lost) -> Iterator[Row]:
        """The rows of ``shared_states``, each with its number or 0 before ``SHARED``."""


class SqliteTables(Tables):
    """Over a connection of its own: to open a store changes it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path, self._connection = path, connection
        connection.text_factory = as_text
        self.rules = Rules(stored_time)

    def ask(self, *statements: Statement) -> list[list[Row]]:
        from session_store.backends.sql.sqlite.errors import translated

        try:
            self._connection.execute("BEGIN")
            try:
                return [self._connection.execute(*one).fetchall() for one in statements]
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translated(error, self._path, PATIENCE) from None
        except OverflowError:
            raise CorruptStoreError(f"{self._path} has numbers that no row can have") from None

    def shared(self, lost: Lost) -> Iterator[Row]:
        return self.scan(
            f"SELECT rowid, {SHARED} FROM shared_states WHERE rowid > :after "  # noqa: S608
            "ORDER BY rowid LIMIT :limit"
        ).rows(lost)


class ServerTables(Tables):
    """Over an open repository; the server sees to types, keys and pages."""

    def __init__(self, repository: Any) -> None:
        from session_store.backends.sql.postgresql.store import PostgresDialect

        self._repository = repository
        self.rules = Rules(PostgresDialect.to_time)
        self.sees_part = PostgresDialect.sees_part

    def ask(self, *statements: Statement) -> list[list[Row]]:
        found: list[list[Row]] = self._repository.ask(*statements)
        return found

    def shared(self, lost: Lost) -> Iterator[Row]:
        after = {"app": "", "user": ""}
        text = (
            f"SELECT 0, {SHARED} FROM shared_states WHERE (app_name, user_id) > "  # noqa: S608
            "(CAST(:app AS text), CAST(:user AS text)) ORDER BY app_name, user_id LIMIT 500"
        )
        while page := self.rows(text, after):
            yield from page
            after = {"app": page[-1][1], "user": page[-1][2]}


def stored_time(value: Any, place: str) -> datetime:
    """The time of a text as the store writes it: another width would not sort as time does."""
    time = codec.decode_time(value, place)
    if codec.encode_time(time) != value:
        raise CorruptStoreError(f"{place} is no time as the store writes it")
    return time


def as_text(data: bytes) -> Any:
    """Text that is none is what it is, bytes: a reader would end there."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
