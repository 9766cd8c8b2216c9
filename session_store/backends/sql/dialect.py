"""What differs between databases; everything else is the same text for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from session_store.errors import SessionStoreError
from session_store.queries import Scalar


class Dialect(ABC):
    """How one database is spoken to. The statements name their parameters ``:name``."""

    driver_error: ClassVar[type[Exception]]
    """The root of the driver's errors; the runner lets none of them out."""

    begin_reading: ClassVar[str] = "BEGIN"
    begin_writing: ClassVar[str] = "BEGIN"
    row_lock: ClassVar[str] = ""
    """Ends a SELECT whose row is going to be written."""
    skip_locked: ClassVar[str] = ""
    """Ends a SELECT of rows to remove, those apart that others are writing."""

    one_writer: ClassVar[bool] = False
    """Whether it has one writer at a time: those of this process then queue in the process."""

    patience: float
    """For how many seconds a caller waits for another one's work before it is told."""

    entry_ids: ClassVar[str]
    """The condition that ``entry_id`` is one of ``:entry_ids``, as ``ids`` gives them."""

    def text(self, statement: str) -> str:
        """``statement`` with its parameters written as the driver wants them."""
        return statement

    @abstractmethod
    def ids(self, values: Sequence[str]) -> Any: ...

    @abstractmethod
    def time(self, value: datetime | None) -> Any:
        """A UTC time as a parameter."""

    @abstractmethod
    def to_time(self, value: Any, place: str) -> datetime:
        """The UTC time of a column."""

    @abstractmethod
    def labels(self, labels: Sequence[tuple[str, Scalar]]) -> tuple[str, dict[str, Any]]:
        """The condition, and its parameters, that ``metadata`` has exactly these ``labels``."""

    @abstractmethod
    def tidy(self, connection: Any) -> None:
        """What is left to do when the last expired session is removed. Must not block for long."""

    @abstractmethod
    def size_bytes(self, connection: Any) -> int:
        """The size of the store on disk."""

    @abstractmethod
    def translated(self, error: Exception, *, committing: bool = False) -> SessionStoreError:
        """Our error for one of the driver's, without parameters or content in it."""
