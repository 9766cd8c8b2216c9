"""The port over a database: what is asked is here, what is written in ``writing``."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Table

from session_store.backends.sql import bulk, lists
from session_store.backends.sql import statements as sql
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.pool import Pool
from session_store.backends.sql.prepared import Construct
from session_store.backends.sql.rows import RowFormat
from session_store.backends.sql.runner import Runner, Statements, Work
from session_store.backends.sql.writing import Writing, document_of, scope_values
from session_store.core.decisions import SharedScope
from session_store.core.ids import new_id
from session_store.core.operations import Apply, Moment, Operation
from session_store.core.queries import Filter, Position, StoreStats, Window
from session_store.core.records import EntryFields, SessionRecord, StoredVersion
from session_store.errors import CorruptStoreError, SessionStoreError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.session import Applied, SessionKey

_log: Final = logging.getLogger(__name__)

_ATTEMPTED: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of the row that ``check`` writes and takes back."""

_TURN: Final = 0.05
"""Seconds between two looks whether another sweeper is done with its batch."""


class SqlRepository(SessionRepository):
    """Sessions in the tables that ``schema`` keeps current. ``close`` closes the ``pool``."""

    def __init__(self, pool: Pool, dialect: Dialect, path: Path | None = None) -> None:
        self._runner, self._dialect = Runner(pool, dialect), dialect
        self.tables, self._kind = dialect.tables, type(dialect)
        self._format = RowFormat(dialect)
        self.path = path

    @property
    def pool_size(self) -> int:
        """How many calls can be under way at a time; more wait."""
        return self._runner.pool.size

    @property
    def sees_part(self) -> ColumnElement[bool]:
        """Whether some sessions may be hidden from who asks."""
        return self._kind.sees_part(self.tables)

    def may_read(self, table: Table) -> ColumnElement[bool]:
        """Whether who asks has the privilege."""
        return self._kind.may_read(table)

    def to_time(self, value: Any, place: str) -> datetime:
        """The time of a column, as ``ask`` gives it."""
        return self._kind.to_time(value, place)

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        at_once = self._single_turn(operations)
        puts = bulk.puts_at_the_end(operations) if self._dialect.is_remote else ()
        singly = operations[: len(operations) - len(puts)]

        def carry_out(run: Statements) -> tuple[Applied | None, ...]:
            writing = Writing(run, self._format)
            writing.lock_in_order(singly)
            step = writing.carry_out if at_once is None else writing.decided
            answers = [step(operation) for operation in singly]
            together = writing.put_many(puts) if puts else {}
            return (*answers, *(together[one.key] for one in operations[len(singly) :]))

        repeatable = all(map(_is_recognised, operations))
        return self._runner.write(
            carry_out, repeatable=repeatable, at_once=at_once, in_bulk=bool(puts)
        )

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        if self._dialect.is_remote:
            return self._loaded(key, window)

        found = self._runner.read(lambda run: bulk.one(run, key, window))
        if found is None:
            return None
        row, rows = found
        return self._format.record(row), self._format.entries(
            rows if window.last is None else rows[::-1]
        )

    def _loaded(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        """Like ``fetch``, in one round trip."""
        rows = sorted(self._rows(sql.load(key, window, self._dialect)), key=itemgetter(0))
        if not rows:
            return None
        _, _, status, state, created_at, version, last_seq, *times, agents, metadata = rows[0]
        head = (*key, status, version, last_seq, created_at, *times, state, agents, metadata)
        return self._format.record(head), self._format.entries([row[:6] for row in rows[1:]])

    def fetch_shared(self, scope: SharedScope) -> str:
        found = self._runner.ask(
            lambda run: run.run(sql.shared_document(self.tables), scope_values(scope)).first()
        )
        return document_of(found)

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        statement = lists.page(query, position, limit, at, self._dialect)
        return [self._format.record(row) for row in self._rows(statement)]

    def count(self, query: Filter, at: Moment) -> int:
        ((number,),) = self._rows(lists.count(query, at, self._dialect))
        return int(number)

    def remove_expired(self, at: Moment, limit: int) -> int:
        until = time.monotonic() + self._dialect.patience
        while (removed := self._runner.write(lambda run: self._swept(run, at, limit))) is None:
            if time.monotonic() > until:
                raise StoreUnavailableError("another process keeps removing sessions; try again")
            time.sleep(_TURN)
        if removed < limit:
            self._tidy()
        return removed

    def stats(self, at: Moment) -> StoreStats:
        ((total, alive, active, sees_part),) = self._rows(lists.stats(at, self._dialect))
        if sees_part:
            counted = lists.stats(at, self._dialect, counted=True)
            ((total, alive, active, _),) = self._rows(counted)
        if total is None or min(alive, active) < 0:
            raise CorruptStoreError(
                "session_counts does not agree with sessions: somebody has turned its triggers off "
                "or changed it; docs/dba.md says how to count again"
            )
        return StoreStats(
            total_sessions=total,
            active_sessions=active,
            expired_sessions=total - alive,
            size_bytes=self._runner.size_bytes(),
        )

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        to_time = self._dialect.to_sorted_time
        return [
            StoredVersion(
                SessionKey(*key),
                version,
                last_seq,
                to_time(created, "created_at"),
                to_time(updated, "updated_at"),
                None if expires is None else to_time(expires, "expires_at"),
            )
            for *key, version, last_seq, created, updated, expires in self._rows(
                lists.scan(after, limit, self._dialect)
            )
        ]

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        rows = self._rows(lists.scan_shared(after, limit, self._dialect))
        return [((app, user), document) for app, user, document in rows]

    def fetch_many(
        self, keys: Sequence[SessionKey], *, with_history: bool = True
    ) -> dict[SessionKey, tuple[SessionRecord, Sequence[EntryFields]]]:
        load = bulk.together if self._dialect.is_remote else bulk.one_by_one
        found = self._runner.read(lambda run: load(run, keys, with_history=with_history))
        return {
            key: (self._format.record(row), self._format.entries(rows))
            for key, (row, rows) in found.items()
        }

    def ask(self, *statements: tuple[Construct, Mapping[str, Any]]) -> list[list[tuple[Any, ...]]]:
        """The rows of statements that read, all of one moment, as the driver gives them: for who
        looks at what is stored, whether or not it is right."""
        return self._runner.read(lambda run: [run.run(*one).all() for one in statements])

    def check(self) -> None:
        self._runner.ask(lambda run: self._dialect.check(run.connection))
        row = {**scope_values((new_id(), "")), "updated_at": self._dialect.time(_ATTEMPTED)}
        self._runner.attempt(lambda run: run.run(sql.add_shared(self.tables, self._kind), row))

    def close(self) -> None:
        self._runner.close()

    def _rows(self, statement: sql.Statement) -> list[tuple[Any, ...]]:
        return self._runner.ask(lambda run: run.run(*statement).all())

    def _tidy(self) -> None:
        """The removal is durable already: what fails here is done by the next cleanup."""
        try:
            self._runner.tidy()
        except SessionStoreError as error:
            _log.warning(
                "removed text may still be in the store's log until the next try: %s", error
            )

    def _swept(self, run: Statements, at: Moment, limit: int) -> int | None:
        """How many expired sessions it removed; ``None``: it is another sweeper's turn."""
        lock = self._dialect.sweep_lock
        if lock is not None and run.run(lock, {}).first() != (True,):
            return None
        removed = 0
        for construct, values in lists.remove_expired(at, self._dialect):
            removed += len(run.run(construct, values | {"limit": limit - removed}).all())
        return removed

    # Writing ------------------------------------------------------------------------------------

    def _single_turn(self, operations: Sequence[Operation]) -> Work[tuple[Applied] | None] | None:
        """A turn by itself, where it is one statement: that needs no transaction around it."""
        if not (self._dialect.is_remote and self._dialect.is_bounded and len(operations) == 1):
            return None
        (operation,) = operations
        if not (isinstance(operation, Apply) and operation.is_turn):
            return None

        def turn(run: Statements) -> tuple[Applied] | None:
            answer = Writing(run, self._format).turn(operation)
            return None if answer is None else (answer,)

        return turn


def _is_recognised(operation: Operation) -> bool:
    """Whether a repetition is known as one, and answered as the first time."""
    return isinstance(operation, Apply) and bool(operation.entries or operation.checkpoint)
