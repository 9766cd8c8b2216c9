"""The port over a database: read, ``decide``, store, in one transaction."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import starmap
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from session_store.backends.sql import bulk
from session_store.backends.sql import statements as sql
from session_store.backends.sql.dialect import Dialect
from session_store.backends.sql.pool import Pool
from session_store.backends.sql.runner import Rows, Runner, Statements, Work
from session_store.core.decisions import Decision, SharedScope, decide, shared_scopes, turned
from session_store.core.ids import new_id
from session_store.core.operations import Apply, Create, Delete, Moment, Operation, Put
from session_store.core.queries import Filter, Position, StoreStats, Window
from session_store.core.records import TIMES, EntryFields, EntryRecord, SessionRecord, StoredVersion
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
        self.path = path

    @property
    def pool_size(self) -> int:
        """How many calls can be under way at a time; more wait."""
        return self._runner.pool.size

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        at_once = self._single_turn(operations)
        step = self._carry_out if at_once is None else self._decided
        puts = bulk.puts_at_the_end(operations) if self._dialect.is_remote else ()
        singly = operations[: len(operations) - len(puts)]

        def carry_out(run: Statements) -> tuple[Applied | None, ...]:
            self._lock_in_order(run, singly)
            answers = [step(run, operation) for operation in singly]
            together = self._put_many(run, puts) if puts else {}
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
        return self._record(row), self._entries(rows if window.last is None else rows[::-1])

    def _loaded(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        """Like ``fetch``, in one round trip."""
        rows = sorted(self._rows(sql.load(key, window)), key=itemgetter(0))
        if not rows:
            return None
        _, _, status, state, created_at, version, last_seq, *times, agents, metadata = rows[0]
        head = (*key, status, version, last_seq, created_at, *times, state, agents, metadata)
        return self._record(head), self._entries([row[:6] for row in rows[1:]])

    def fetch_shared(self, scope: SharedScope) -> str:
        found = self._runner.ask(lambda run: run.run(sql.SHARED, _scope(scope)).first())
        return _document(found)

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        statement = sql.select(query, position, limit, at, self._dialect)
        return [self._record(row) for row in self._rows(statement)]

    def count(self, query: Filter, at: Moment) -> int:
        ((number,),) = self._rows(sql.count(query, at, self._dialect))
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
        ((total, alive, active, sees_part),) = self._rows(sql.stats(at, self._dialect))
        if sees_part:
            counted = sql.stats(at, self._dialect, counted=True)
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
        to_time = self._dialect.to_time
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
                sql.scan(after, limit)
            )
        ]

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        rows = self._rows(sql.scan_shared(after, limit))
        return [((app, user), document) for app, user, document in rows]

    def fetch_many(
        self, keys: Sequence[SessionKey], *, with_history: bool = True
    ) -> dict[SessionKey, tuple[SessionRecord, Sequence[EntryFields]]]:
        load = bulk.together if self._dialect.is_remote else bulk.one_by_one
        found = self._runner.read(lambda run: load(run, keys, with_history=with_history))
        return {key: (self._record(row), self._entries(rows)) for key, (row, rows) in found.items()}

    def ask(self, *statements: tuple[str, Mapping[str, Any]]) -> list[list[tuple[Any, ...]]]:
        """The rows of statements that read, all of one moment, as the driver gives them: for who
        looks at what is stored, whether or not it is right."""
        return self._runner.read(lambda run: [run.run(*one).all() for one in statements])

    def check(self) -> None:
        self._runner.ask(lambda run: self._dialect.check(run.connection))
        row = {**_scope((new_id(), "")), "updated_at": self._dialect.time(_ATTEMPTED)}
        self._runner.attempt(lambda run: run.run(sql.ADD_SHARED, row))

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
        if lock and run.run(lock, {}).first() != (True,):
            return None
        removed = 0
        for text, values in sql.remove_expired(at, self._dialect):
            removed += len(run.run(text, values | {"limit": limit - removed}).all())
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
            answer = self._turn(run, operation)
            return None if answer is None else (answer,)

        return turn

    def _carry_out(self, run: Statements, operation: Operation) -> Applied | None:
        """The usual first: it needs no look at what is there."""
        if isinstance(operation, Apply) and operation.is_turn:
            answer = self._turn(run, operation)
        elif isinstance(operation, Create | Put):
            answer = self._created(run, operation)
        else:
            answer = None
        return answer or self._decided(run, operation)

    def _turn(self, run: Statements, operation: Apply) -> Applied | None:
        text, values = sql.turn(operation, self._dialect)
        row = run.run(text, values).first()
        if row is None:
            return None
        session, status, version, seq = row
        if not self._dialect.is_remote:
            values |= {"session": session, "version": version, "seq": seq}
            run.run(sql.TURN_ENTRY, values)
        return turned(operation, status, version, seq)

    def _created(self, run: Statements, operation: Create | Put) -> Applied | None:
        row = run.run(sql.INSERT_NEW, self._values(operation.record)).first()
        if row is None:
            return None
        decision = decide(operation, None)
        self._append(run, row[0], decision.entries)
        return decision.answer

    def _decided(self, run: Statements, operation: Operation) -> Applied | None:
        found = self._locked(run, _find(operation), operation.key)
        known = self._known(run, operation)
        row = found.first()
        session = None if row is None else int(row[0])
        decision = decide(
            operation,
            None if row is None else self._record(row[1:]),
            [] if known is None else list(starmap(EntryRecord, self._entries(known.all()))),
            self._shared(run, operation),
        )
        if decision.writes:
            self._store(run, session, operation, decision)
        return decision.answer

    def _lock_in_order(self, run: Statements, operations: Sequence[Operation]) -> None:
        """Several sessions in the order of their keys, lest two calls wait for each other."""
        if self._dialect.row_lock and len(operations) > 1:
            for key in sorted({operation.key for operation in operations}):
                self._locked(run, sql.FIND_HEAD, key)

    def _locked(self, run: Statements, find: str, key: SessionKey) -> Rows:
        return run.run(find + self._dialect.row_lock, key._asdict())

    def _shared(self, run: Statements, operation: Operation) -> dict[SharedScope, str]:
        now = operation.at.now
        return {scope: self._locked_shared(run, scope, now) for scope in shared_scopes(operation)}

    def _locked_shared(self, run: Statements, scope: SharedScope, now: datetime) -> str:
        """What is not there can't be locked: of two first writers one would be lost."""
        lock, values = self._dialect.row_lock, _scope(scope)
        found = run.run(sql.SHARED + lock, values).first()
        if found is None and lock:
            run.run(sql.ADD_SHARED, values | {"updated_at": self._dialect.time(now)})
            found = run.run(sql.SHARED + lock, values).first()
        return _document(found)

    def _known(self, run: Statements, operation: Operation) -> Rows | None:
        """Read after the session is locked: nobody adds to them any more."""
        if not isinstance(operation, Apply) or not operation.entry_ids:
            return None
        return run.run(*sql.known_entries(operation.key, operation.entry_ids, self._dialect))

    def _store(
        self, run: Statements, session: int | None, operation: Operation, decision: Decision
    ) -> None:
        if session is not None and isinstance(operation, Create | Delete | Put):
            run.run(sql.DELETE, {"id": session})
        if isinstance(operation, Create | Put):
            ((session,),) = run.run(sql.INSERT, self._values(operation.record)).all()
        if isinstance(operation, Apply) and decision.record is not None:
            update = sql.UPDATE if operation.needs_documents else sql.UPDATE_HEAD
            run.run(update, self._values(decision.record) | {"id": session})
            if decision.keep is not None:
                run.run(sql.REWIND, {"id": session, "keep": decision.keep})
        self._append(run, session, decision.entries)
        self._share(run, decision, operation.at.now)

    def _append(self, run: Statements, session: int | None, entries: Iterable[EntryRecord]) -> None:
        rows = list(self._entry_rows(session, entries))
        if rows:
            run.run_many(sql.INSERT_ENTRY, rows)

    def _share(self, run: Statements, decision: Decision, now: datetime) -> None:
        for scope, document in decision.shared.items():
            values = {**_scope(scope), "document": document, "updated_at": self._dialect.time(now)}
            run.run(sql.SET_SHARED, values)

    def _put_many(self, run: Statements, puts: Sequence[Put]) -> dict[SessionKey, Applied | None]:
        """In as many round trips as one takes."""
        found = bulk.heads(run, puts, self._dialect.row_lock)
        decisions = {}
        for put in puts:
            row = found.get(put.key)
            decisions[put.key] = decide(put, None if row is None else self._record(row[1:]))
        if found:
            run.run(sql.DELETE_MANY, {"ids": [row[0] for row in found.values()]})
        run.insert_many("sessions", bulk.SESSION, (self._values(put.record) for put in puts))
        ids = {key: row[0] for key, row in bulk.heads(run, puts, "").items()}
        rows = (row for put in puts for row in self._entry_rows(ids[put.key], put.entries))
        run.insert_many("session_entries", bulk.ENTRY, rows)
        return {key: decision.answer for key, decision in decisions.items()}

    # Rows and records ---------------------------------------------------------------------------

    def _values(self, record: SessionRecord) -> dict[str, Any]:
        values = record._asdict()
        return values | {name: self._dialect.time(values[name]) for name in TIMES}

    def _entry_rows(
        self, session: int | None, entries: Iterable[EntryRecord]
    ) -> Iterator[dict[str, Any]]:
        to_column = self._dialect.time
        for entry in entries:
            yield entry._asdict() | {"session": session, "created_at": to_column(entry.created_at)}

    def _record(self, row: Sequence[Any]) -> SessionRecord:
        """Field by field: by slices and a loop a list of 50 takes an eighth longer."""
        app, user, session, status, version, last_seq, created, updated, *rest = row
        completed, expires, state, agent_states, metadata = rest
        to_time = self._dialect.to_time
        return SessionRecord(
            app,
            user,
            session,
            status,
            version,
            last_seq,
            to_time(created, "created_at"),
            to_time(updated, "updated_at"),
            None if completed is None else to_time(completed, "completed_at"),
            None if expires is None else to_time(expires, "expires_at"),
            state,
            agent_states,
            metadata,
        )

    def _entries(self, rows: Iterable[Sequence[Any]]) -> list[EntryFields]:
        to_time = self._dialect.to_time
        return [
            (seq, entry_id, kind, payload, to_time(created_at, "created_at"), version)
            for seq, entry_id, kind, payload, created_at, version in rows
        ]


def _is_recognised(operation: Operation) -> bool:
    """Whether a repetition is known as one, and answered as the first time."""
    return isinstance(operation, Apply) and bool(operation.entries or operation.checkpoint)


def _find(operation: Operation) -> str:
    """Documents are read and written only where the operation needs them."""
    whole = not isinstance(operation, Apply) or operation.needs_documents
    return sql.FIND if whole else sql.FIND_HEAD


def _document(row: tuple[Any, ...] | None) -> str:
    return "{}" if row is None else str(row[0])


def _scope(scope: SharedScope) -> dict[str, str]:
    return dict(zip(("app_name", "user_id"), scope, strict=True))
