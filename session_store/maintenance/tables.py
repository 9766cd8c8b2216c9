"""The tables of a database, read as they are: values of any kind, in pages that may be damaged."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import sqlalchemy
from sqlalchemy import ColumnElement, Table, TableClause, false, literal_column, select, tuple_
from sqlalchemy.sql.elements import quoted_name

from session_store.backends.sql.names import PLAIN
from session_store.backends.sql.prepared import Construct, prepared, value
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.errors import translated
from session_store.backends.sql.sqlite.store import SqliteDialect
from session_store.backends.sql.tables import Tables as SqlTables
from session_store.backends.sql.tables import tables_of
from session_store.core import codec
from session_store.core.records import EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError
from session_store.maintenance.rules import Rules
from session_store.maintenance.scan import Lost, Row, Scan

Statement: TypeAlias = tuple[Construct, Mapping[str, Any]]

PATIENCE: Final = 30.0
_PAGE: Final = 500


def quoted(table: Table) -> TableClause:
    """The table with its names in quotes: a column that a damaged schema has lost is no column, and
    SQLite takes it for a text."""
    names = (quoted_name(each.name, True) for each in table.c)
    return sqlalchemy.table(table.name, *map(sqlalchemy.column, names), schema=table.schema)


def read(table: TableClause, names: Iterable[str]) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in names]


_RECORD: Final = SessionRecord._fields
_ENTRY: Final = EntryRecord._fields
SHARED: Final = ("app_name", "user_id", "updated_at", "document")


class Tables(ABC):
    """Those of one store. ``rules`` are for the values that it gives."""

    rules: Rules

    def __init__(self, tables: SqlTables) -> None:
        self.tables = tables
        self.sessions, self.entries = quoted(tables.sessions), quoted(tables.entries)
        self.documents = quoted(tables.shared)

    @property
    def sees_part(self) -> ColumnElement[bool]:
        """Whether some sessions may be hidden from who asks."""
        return false()

    @property
    def record(self) -> list[ColumnElement[Any]]:
        return read(self.sessions, _RECORD)

    @property
    def entry(self) -> list[ColumnElement[Any]]:
        return read(self.entries, _ENTRY)

    def sees_quarantine(self) -> bool:
        """Whether who asks may read ``session_quarantine``."""
        return True

    @abstractmethod
    def ask(self, *statements: Statement) -> list[list[Row]]:
        """The rows of each, all of one moment. ``CorruptStoreError`` for a damaged page."""

    def rows(self, construct: Construct, values: Mapping[str, Any]) -> list[Row]:
        return self.ask((construct, values))[0]

    def scan(self, construct: Construct, **values: Any) -> Scan:
        return Scan(partial(self.rows, construct), values)

    @abstractmethod
    def shared(self, lost: Lost) -> Iterator[Row]:
        """The rows of ``shared_states``, each with its number or 0 before ``SHARED``."""


class SqliteTables(Tables):
    """Over a connection of its own: to open a store changes it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(tables_of(PLAIN))
        self._path, self._connection = path, connection
        connection.text_factory = as_text
        self.rules = Rules(codec.decode_sorted_time)

    def ask(self, *statements: Statement) -> list[list[Row]]:
        made = [(prepared(one, SqliteDialect.compiler), values) for one, values in statements]
        return self.send(*((one.text, one.ordered(values)) for one, values in made))

    def send(self, *texts: tuple[str, Any]) -> list[list[Row]]:
        """The same of texts, for which SQLAlchemy has no constructs, such as NOT INDEXED."""
        try:
            self._connection.execute("BEGIN")
            try:
                return [self._connection.execute(*one).fetchall() for one in texts]
            finally:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise translated(error, self._path, PATIENCE) from None
        except OverflowError:
            raise CorruptStoreError(f"{self._path} has numbers that no row can have") from None

    def shared(self, lost: Lost) -> Iterator[Row]:
        number: ColumnElement[int] = literal_column("rowid")
        found = (
            select(number, *read(self.documents, SHARED))
            .where(number > value("after"))
            .order_by(number)
            .limit(value("limit"))
        )
        return self.scan(found).rows(lost)


class ServerTables(Tables):
    """Over an open repository; the server sees to types, keys and pages."""

    def __init__(self, repository: SqlRepository) -> None:
        super().__init__(repository.tables)
        self._repository = repository
        self.rules = Rules(repository.to_time)

    @property
    def sees_part(self) -> ColumnElement[bool]:
        return self._repository.sees_part

    def sees_quarantine(self) -> bool:
        """An application need not."""
        may = self._repository.may_read(self.tables.quarantine)
        return self.rows(select(may), {}) == [(True,)]

    def ask(self, *statements: Statement) -> list[list[Row]]:
        return self._repository.ask(*statements)

    def shared(self, lost: Lost) -> Iterator[Row]:
        start: tuple[str, str] | None = None
        while page := self.rows(*self._page(start)):
            yield from page
            start = page[-1][1:3]

    def _page(self, start: tuple[str, str] | None) -> Statement:
        key = read(self.documents, SHARED[:2])
        found = select(literal_column("0"), *read(self.documents, SHARED))
        if start is not None:
            found = found.where(tuple_(*key) > tuple_(value("app"), value("user")))
        values = dict(zip(("app", "user"), start or (), strict=False))
        return found.order_by(*key).limit(value("limit")), values | {"limit": _PAGE}


def as_text(data: bytes) -> Any:
    """Text that is none is what it is, bytes: a reader would end there."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
