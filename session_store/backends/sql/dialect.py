"""What differs between databases; everything else is the same text for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any, ClassVar

from session_store.backends.sql.pool import Pool
from session_store.core.queries import Scalar
from session_store.errors import SessionStoreError


class Dialect(ABC):
    """How one database is spoken to. The statements name their parameters ``:name``."""

    driver_error: ClassVar[type[Exception]]
    """The root of the driver's errors; the runner lets none of them out."""

    row_lock: ClassVar[str] = ""
    """Ends a SELECT whose row is going to be written."""
    skip_locked: ClassVar[str] = ""
    """Ends a SELECT of rows to remove, those apart that others are writing."""
    sweep_lock: str = ""
    """Asks whether this transaction may remove expired sessions, or another one is at it; where
    there is one writer at a time, nobody needs to."""

    is_remote: ClassVar[bool] = False
    """Whether a statement is a round trip: then one does what two would."""
    is_bounded: bool = True
    """Whether a statement outside of a transaction has a deadline at the server."""

    one_writer: ClassVar[bool] = False
    """Whether it has one writer at a time: those of this process then queue in the process."""

    sees_part: ClassVar[str] = "false"
    """Whether some sessions may be hidden from who asks, where a database can do so."""

    patience: float
    """For how many seconds a caller waits for another one's work before it is told."""

    entry_ids: ClassVar[str]
    """The condition that ``entry_id`` is one of ``:entry_ids``, as ``ids`` gives them."""

    @abstractmethod
    def execute(self, connection: Any, text: str, values: Mapping[str, Any]) -> Any:
        """Run a statement; the cursor."""

    @abstractmethod
    def execute_many(self, connection: Any, text: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run a statement once for each row of values."""

    def insert_many(
        self, connection: Any, table: str, columns: str, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Insert rows, of which there may be thousands; ``columns`` are named in the rows too."""
        values = ", ".join(f":{column}" for column in columns.split(", "))
        text = f"INSERT INTO {table} ({columns}) VALUES ({values})"  # noqa: S608 - names of ours
        self.execute_many(connection, text, rows)

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

    @abstractmethod
    def ids(self, values: Sequence[str]) -> Any: ...

    @abstractmethod
    def time(self, value: datetime | None) -> Any:
        """A UTC time as a parameter."""

    @staticmethod
    @abstractmethod
    def to_time(value: Any, place: str) -> datetime:
        """The UTC time of a column."""

    @abstractmethod
    def labels(self, labels: Sequence[tuple[str, Scalar]]) -> tuple[str, dict[str, Any]]:
        """The condition, and its parameters, that ``metadata`` has exactly these ``labels``."""

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
