"""What differs between databases; everything else is the same construct for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import sqlalchemy
from sqlalchemy import ColumnElement, Insert, Table, false, true
from sqlalchemy import Dialect as SqlAlchemyDialect

from session_store.backends.sql.pool import Pool
from session_store.backends.sql.prepared import Construct, prepared, value
from session_store.backends.sql.tables import Tables
from session_store.core.queries import Scalar
from session_store.errors import SessionStoreError

Labels: TypeAlias = Sequence[tuple[str, Scalar]]


@lru_cache
def insertion(table: Table, columns: tuple[str, ...]) -> Insert:
    """Of a row with these columns."""
    return sqlalchemy.insert(table).values({name: value(name) for name in columns})


class Dialect(ABC):
    """How one database is spoken to, and what its tables are called."""

    tables: Tables
    compiler: ClassVar[SqlAlchemyDialect]
    """What makes text of constructs: with parameters by their position."""
    insert: ClassVar[Callable[..., Any]]
    """SQLAlchemy's construct that knows what to do on a conflict."""

    driver_error: ClassVar[type[Exception]]
    """The root of the driver's errors; the runner lets none of them out."""

    sweep_lock: Construct | None = None
    """Asks whether this transaction may remove expired sessions, or another one is at it; where
    there is one writer at a time, nobody needs to."""

    is_remote: ClassVar[bool] = False
    """Whether a statement is a round trip: then one does what two would. Then rows can be locked,
    too, as there are several writers at a time."""
    is_bounded: bool = True
    """Whether a statement outside of a transaction has a deadline at the server."""

    one_writer: ClassVar[bool] = False
    """Whether it has one writer at a time: those of this process then queue in the process."""

    patience: float
    """For how many seconds a caller waits for another one's work before it is told."""

    def execute(self, connection: Any, construct: Construct, values: Mapping[str, Any]) -> Any:
        """Run a statement; the cursor."""
        statement = prepared(construct, self.compiler)
        return self.send(connection, statement.text, statement.ordered(values))

    @abstractmethod
    def send(self, connection: Any, text: str, values: Sequence[Any] = ()) -> Any:
        """Run a text, with the values of its parameters in their order; the cursor."""

    @abstractmethod
    def execute_many(
        self, connection: Any, construct: Construct, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Run a statement once for each row of values."""

    def insert_many(
        self,
        connection: Any,
        table: Table,
        columns: Sequence[str],
        rows: Iterable[Mapping[str, Any]],
    ) -> None:
        """Insert rows, of which there may be thousands; ``columns`` are named in the rows too."""
        self.execute_many(connection, insertion(table, tuple(columns)), rows)

    def batch(self, connection: Any) -> AbstractContextManager[Any]:
        """A block in which statements may be sent together, when rows are asked for or it ends."""
        return nullcontext()

    @abstractmethod
    def begin_reading(self, connection: Any) -> None:
        """Begin a transaction that sees one moment."""

    @abstractmethod
    def begin_writing(self, connection: Any) -> Any:
        """Begin a transaction that writes; the mark by which ``is_committed`` knows it again."""

    def is_committed(self, error: Exception, mark: Any, pool: Pool) -> bool | None:
        """After COMMIT failed with ``error``: whether it took effect; ``None`` when nobody knows.

        Raises when nobody can know, and to do it again would not help.
        """
        raise self.translated(error, committing=True) from None

    def is_lost(self, error: Exception) -> bool:
        """Whether a statement outside of a transaction may or may not have been carried out."""
        return False

    def attempts(self, error: Exception) -> int:
        """How many times a call is made before ``error``, which says that nothing was done, is
        reported."""
        return 1

    @staticmethod
    @abstractmethod
    def is_one_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """That a column has one of the texts that are given under this name, made by ``ids``."""

    @staticmethod
    def sees_part(tables: Tables) -> ColumnElement[bool]:
        """Whether some sessions may be hidden from who asks, where a database can do so."""
        return false()

    @staticmethod
    def may_read(table: Table) -> ColumnElement[bool]:
        """Whether who asks has the privilege."""
        return true()

    @abstractmethod
    def ids(self, values: Sequence[str]) -> Any: ...

    @abstractmethod
    def time(self, value: datetime | None) -> Any:
        """A UTC time as a parameter."""

    @staticmethod
    @abstractmethod
    def to_time(value: Any, place: str) -> datetime:
        """The UTC time of a column."""

    @staticmethod
    @abstractmethod
    def to_sorted_time(value: Any, place: str) -> datetime:
        """The same of a session, by which lists are sorted: one that sorts as time does."""

    @staticmethod
    @abstractmethod
    def label_shape(labels: Labels) -> Hashable:
        """What the condition that ``metadata`` has these labels depends on; false: there are
        none."""

    @abstractmethod
    def label_values(self, labels: Labels) -> dict[str, Any]:
        """The values for ``has_labels``."""

    @staticmethod
    @abstractmethod
    def has_labels(metadata: ColumnElement[Any], shape: Any) -> ColumnElement[bool]:
        """That ``metadata`` has exactly these labels."""

    @abstractmethod
    def tidy(self, connection: Any) -> None:
        """What is left to do when the last expired session is removed. Must not block for long."""

    @abstractmethod
    def check(self, connection: Any) -> None:
        """Whether this is a store that can be used; in no transaction. Nothing is written."""

    @abstractmethod
    def size_bytes(self, connection: Any) -> int:
        """The size of the store on disk."""

    @abstractmethod
    def translated(self, error: Exception, *, committing: bool = False) -> SessionStoreError:
        """Our error for one of the driver's, without parameters or content in it."""
