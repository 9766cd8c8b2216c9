"""The port over a database: read, ``decide``, store, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from session_store.backends.sql import statements as sql
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.pool import ConnectionPool
from session_store.backends.sql.runner import Runner, Statements
from session_store.decisions import Decision, SharedScope, decide, shared_scopes
from session_store.errors import SessionStoreError
from session_store.operations import Apply, Create, Delete, Moment, Operation
from session_store.queries import Filter, Position, StoreStats, Window
from session_store.records import EntryRecord, SessionRecord
from session_store.repository import SessionRepository
from session_store.session import Applied, SessionKey

_log: Final = logging.getLogger(__name__)

_TIMES: Final = ("created_at", "updated_at", "completed_at", "expires_at")


class SqlRepository(SessionRepository):
    """Sessions in the tables that ``schema`` keeps current. ``close`` closes the ``pool``."""

    def __init__(self, pool: ConnectionPool, dialect: Dialect, path: Path | None = None) -> None:
        self._runner, self._dialect = Runner(pool, dialect), dialect
        self.path = path

    @property
    def pool_size(self) -> int:
        """How many calls can be under way at a time; more wait."""
        return self._runner.pool.size

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        with self._runner.writing() as run:
            return tuple([self._carry_out(run, operation) for operation in operations])

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryRecord]] | None:
        with self._runner.reading() as run:
            row = run.first(sql.FIND, key._asdict())
            if row is None:
                return None
            rows = [] if window.last == 0 else run.all(*sql.history(row[0], window))
        if window.last is not None:
            rows.reverse()
        return self._record(row[1:]), self._entries(rows)

    def fetch_shared(self, scope: SharedScope) -> str:
        with self._runner.asking() as run:
            return _shared(run, scope)

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        with self._runner.asking() as run:
            rows = run.all(*sql.select(query, position, limit, at, self._dialect))
        return [self._record(row) for row in rows]

    def count(self, query: Filter, at: Moment) -> int:
        with self._runner.asking() as run:
            ((number,),) = run.all(*sql.count(query, at, self._dialect))
        return int(number)

    def remove_expired(self, at: Moment, limit: int) -> int:
        with self._runner.writing() as run:
            removed = run.run(*sql.remove_expired(at, limit, self._dialect))
        if removed < limit:
            self._tidy()
        return removed

    def stats(self, at: Moment) -> StoreStats:
        with self._runner.asking() as run:
            ((total, alive, active),) = run.all(*sql.stats(at, self._dialect))
        return StoreStats(
            total_sessions=total,
            active_sessions=active,
            expired_sessions=total - alive,
            size_bytes=self._runner.size_bytes(),
        )

    def close(self) -> None:
        self._runner.close()

    def _tidy(self) -> None:
        """The removal is durable already: what fails here is done by the next cleanup."""
        try:
            self._runner.tidy()
        except SessionStoreError as error:
            _log.warning(
                "removed text may still be in the store's log until the next try: %s", error
            )

    # Writing ------------------------------------------------------------------------------------

    def _carry_out(self, run: Statements, operation: Operation) -> Applied | None:
        row = run.first(_find(operation) + self._dialect.row_lock, operation.key._asdict())
        session = None if row is None else int(row[0])
        decision = decide(
            operation,
            None if row is None else self._record(row[1:]),
            self._known(run, session, operation),
            self._shared(run, operation),
        )
        if decision.writes:
            self._store(run, session, operation, decision)
        return decision.answer

    def _shared(self, run: Statements, operation: Operation) -> dict[SharedScope, str]:
        scopes = shared_scopes(operation)
        return {scope: _shared(run, scope, self._dialect.row_lock) for scope in scopes}

    def _known(
        self, run: Statements, session: int | None, operation: Operation
    ) -> list[EntryRecord]:
        if session is None or not isinstance(operation, Apply) or not operation.entry_ids:
            return []
        return self._entries(
            run.all(*sql.known_entries(session, operation.entry_ids, self._dialect))
        )

    def _store(
        self, run: Statements, session: int | None, operation: Operation, decision: Decision
    ) -> None:
        if session is not None and isinstance(operation, Create | Delete):
            run.run(sql.DELETE, {"id": session})
        if isinstance(operation, Create):
            (session,) = run.all(sql.INSERT, self._values(operation.record))[0]
        if isinstance(operation, Apply) and decision.record is not None:
            update = sql.UPDATE if operation.needs_documents else sql.UPDATE_HEAD
            run.run(update, self._values(decision.record) | {"id": session})
            if decision.keep is not None:
                run.run(sql.REWIND, {"id": session, "keep": decision.keep})
        self._append(run, session, decision.entries)
        self._share(run, decision, operation.at.now)

    def _append(self, run: Statements, session: int | None, entries: Iterable[EntryRecord]) -> None:
        time = self._dialect.time
        rows = [
            entry._asdict() | {"session": session, "created_at": time(entry.created_at)}
            for entry in entries
        ]
        if rows:
            run.run_many(sql.INSERT_ENTRY, rows)

    def _share(self, run: Statements, decision: Decision, now: datetime) -> None:
        for scope, document in decision.shared.items():
            values = {**_scope(scope), "document": document, "updated_at": self._dialect.time(now)}
            run.run(sql.SET_SHARED, values)

    # Rows and records ---------------------------------------------------------------------------

    def _values(self, record: SessionRecord) -> dict[str, Any]:
        values = record._asdict()
        return values | {name: self._dialect.time(values[name]) for name in _TIMES}

    def _record(self, row: Sequence[Any]) -> SessionRecord:
        record = SessionRecord(*row)
        to_time = self._dialect.to_time
        return record._replace(
            created_at=to_time(record.created_at, "created_at"),
            updated_at=to_time(record.updated_at, "updated_at"),
            completed_at=record.completed_at and to_time(record.completed_at, "completed_at"),
            expires_at=record.expires_at and to_time(record.expires_at, "expires_at"),
        )

    def _entries(self, rows: Iterable[Sequence[Any]]) -> list[EntryRecord]:
        to_time = self._dialect.to_time
        return [
            EntryRecord(seq, entry_id, kind, payload, to_time(created_at, "created_at"), version)
            for seq, entry_id, kind, payload, created_at, version in rows
        ]


def _find(operation: Operation) -> str:
    """Documents are read and written only where the operation needs them."""
    whole = not isinstance(operation, Apply) or operation.needs_documents
    return sql.FIND if whole else sql.FIND_HEAD


def _shared(run: Statements, scope: SharedScope, lock: str = "") -> str:
    found = run.first(sql.SHARED + lock, _scope(scope))
    return str(found[0]) if found else "{}"


def _scope(scope: SharedScope) -> dict[str, str]:
    return dict(zip(("app_name", "user_id"), scope, strict=True))
