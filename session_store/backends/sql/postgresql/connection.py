"""psycopg's connection with the client's deadline, and what its binary answers mean.

The deadline ends a call on which nothing comes back, as behind a proxy that takes bytes and
delivers none. Those of the server and of TCP are set where connections are made.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from select import POLLIN, poll
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.abc import AdaptContext
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import TextBinaryLoader

from session_store.backends.sql.postgresql.errors import DeadlineError
from session_store.errors import CorruptStoreError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

_CANCEL_TIMEOUT: Final = 5
_ZERO: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""From which PostgreSQL counts microseconds."""


class DeadlineConnection(psycopg.Connection[Any]):
    """A connection whose calls raise ``DeadlineError`` after ``deadline`` seconds; once one has,
    the others do so at once, as what comes now is the answer to something else."""

    deadline: float = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        read_as_stored(self)
        self._socket = poll()
        self._socket.register(self.fileno(), POLLIN)

    def is_alive(self) -> bool:
        """Whether it can be used after it lay idle: a server that closed it, or is about to, has
        sent something. Asked of the socket: 2 us, where a question to the server is a round trip.
        """
        return not (self.closed or self._socket.poll(0))

    def rollback(self) -> None:
        """Nothing, where no transaction is open; psycopg's goes a long way to find that out."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            super().rollback()

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().wait(_limited(gen, monotonic() + self.deadline), *args, **kwargs)
        except DeadlineError:
            self.deadline = 0.0
            raise

    def answer(self, until: float) -> PGresult:
        """The next one to what libpq was given, up to a moment. Interrupted, it is cancelled."""
        try:
            return self._answer(until)
        except KeyboardInterrupt:
            self.cancel_safe(timeout=_CANCEL_TIMEOUT)
            raise

    def _answer(self, until: float) -> PGresult:
        last = None
        while (result := self._result(until)) is not None:
            last = result
        if last is None:
            raise psycopg.OperationalError("the connection was closed")
        return last

    def _result(self, until: float) -> PGresult | None:
        while self.pgconn.is_busy():
            left = until - monotonic()
            if left <= 0 or not self._socket.poll(left * 1000):
                self.deadline = 0.0
                raise DeadlineError
            self.pgconn.consume_input()
        return self.pgconn.get_result()


def read_as_stored(context: AdaptContext) -> None:
    """In binary answers, times as what ``to_time`` takes, and JSON as the text that it is."""
    adapters = context.adapters
    adapters.register_loader("json", TextBinaryLoader)
    adapters.register_loader("timestamptz", Int8BinaryLoader)


def _limited(gen: Generator[Any, Any, Any], until: float) -> Generator[Any, Any, Any]:
    """``gen`` up to a moment. psycopg asks it again ten times a second, whether or not anything
    has come."""
    try:
        state = next(gen)
        while monotonic() < until:
            state = gen.send((yield state))
    except StopIteration as done:
        return done.value
    with suppress(RuntimeError, psycopg.Error):
        gen.close()  # now, and not when its connection is closed already
    raise DeadlineError


def to_time(value: Any, place: str) -> datetime:
    """The UTC time of microseconds since 2000, as which PostgreSQL sends it. psycopg's own loader
    converts to the session's time zone, in which a time may not exist."""
    try:
        return _ZERO + timedelta(microseconds=value)
    except (OverflowError, TypeError):
        raise CorruptStoreError(f"{place} holds no valid time") from None
