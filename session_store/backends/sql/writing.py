"""Operations, carried out by the statements of one transaction: read, ``decide``, store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any

from session_store.backends.sql import bulk
from session_store.backends.sql import statements as sql
from session_store.backends.sql.rows import RowFormat
from session_store.backends.sql.runner import Rows, Statements
from session_store.core.decisions import Decision, SharedScope, decide, shared_scopes, turned
from session_store.core.operations import Apply, Create, Delete, Operation, Put
from session_store.core.records import EntryRecord, SessionRecord
from session_store.session import Applied, SessionKey


class Writing:
    """What is written in one transaction, whose statements ``run`` runs."""

    def __init__(self, run: Statements, rows: RowFormat) -> None:
        self._run, self._rows, self._dialect = run, rows, run.dialect
        self._tables, self._kind = run.dialect.tables, type(run.dialect)

    def carry_out(self, operation: Operation) -> Applied | None:
        """The usual first: it needs no look at what is there."""
        if isinstance(operation, Apply) and operation.is_turn:
            answer = self.turn(operation)
        elif isinstance(operation, Create | Put):
            answer = self._created(operation)
        else:
            answer = None
        return answer or self.decided(operation)

    def turn(self, operation: Apply) -> Applied | None:
        construct, values = sql.turn(operation, self._dialect)
        row = self._run.run(construct, values).first()
        if row is None:
            return None
        session, status, version, seq = row
        if not self._dialect.is_remote:
            values |= {"session": session, "version": version, "seq": seq}
            self._run.run(sql.turn_entry(self._tables), values)
        return turned(operation, status, version, seq)

    def _created(self, operation: Create | Put) -> Applied | None:
        new = sql.new_session_unless_there(self._tables, self._kind)
        row = self._run.run(new, self._rows.values(operation.record)).first()
        if row is None:
            return None
        decision = decide(operation, None)
        self._append(row[0], decision.entries)
        return decision.answer

    def decided(self, operation: Operation) -> Applied | None:
        found = self._locked(operation.key, with_documents=_needs_documents(operation))
        known = self._known(operation)
        row = found.first()
        session = None if row is None else int(row[0])
        decision = decide(
            operation,
            None if row is None else self._rows.record(row[1:]),
            [] if known is None else list(starmap(EntryRecord, self._rows.entries(known.all()))),
            self._shared(operation),
        )
        if decision.writes:
            self._store(session, operation, decision)
        return decision.answer

    def lock_in_order(self, operations: Sequence[Operation]) -> None:
        """Several sessions in the order of their keys, lest two calls wait for each other."""
        if self._dialect.is_remote and len(operations) > 1:
            for key in sorted({operation.key for operation in operations}):
                self._locked(key, with_documents=False)

    def _locked(self, key: SessionKey, *, with_documents: bool) -> Rows:
        find = sql.find(self._tables, with_documents=with_documents, is_locked=True)
        return self._run.run(find, key._asdict())

    def _shared(self, operation: Operation) -> dict[SharedScope, str]:
        now = operation.at.now
        return {scope: self._locked_shared(scope, now) for scope in shared_scopes(operation)}

    def _locked_shared(self, scope: SharedScope, now: datetime) -> str:
        """What is not there can't be locked: of two first writers one would be lost."""
        locked, values = sql.shared_document(self._tables, is_locked=True), scope_values(scope)
        found = self._run.run(locked, values).first()
        if found is None and self._dialect.is_remote:
            new = values | {"updated_at": self._dialect.time(now)}
            self._run.run(sql.add_shared(self._tables, self._kind), new)
            found = self._run.run(locked, values).first()
        return document_of(found)

    def _known(self, operation: Operation) -> Rows | None:
        """Read after the session is locked: nobody adds to them any more."""
        if not isinstance(operation, Apply) or not operation.entry_ids:
            return None
        return self._run.run(*sql.known_entries(operation.key, operation.entry_ids, self._dialect))

    def _store(self, session: int | None, operation: Operation, decision: Decision) -> None:
        match operation:
            case Put() if session is not None:
                self._replace(session, operation)
            case Create() | Put():
                session = self._created_anew(session, operation)
            case Delete() if session is not None:
                self._run.run(sql.remove_session(self._tables), {"id": session})
            case Apply() if session is not None and decision.record is not None:
                self._change(session, operation, decision.record, decision.keep)
        self._append(session, decision.entries)
        self._share(decision, operation.at.now)

    def _created_anew(self, session: int | None, operation: Create | Put) -> int | None:
        """In the place of one that is expired, under a number of its own."""
        if session is not None:
            self._run.run(sql.remove_session(self._tables), {"id": session})
        new = sql.new_session(self._tables)
        ((session,),) = self._run.run(new, self._rows.values(operation.record)).all()
        return session

    def _replace(self, session: int, put: Put) -> None:
        """Its number stays: tables of others may refer to it."""
        self._run.run(sql.remove_entries_after(self._tables), {"id": session, "keep": 0})
        values = self._rows.values(put.record) | {"id": session}
        self._run.run(sql.replace_session(self._tables), values)

    def _change(
        self, session: int, operation: Apply, record: SessionRecord, keep: int | None
    ) -> None:
        change = sql.change_session(self._tables, with_documents=operation.needs_documents)
        self._run.run(change, self._rows.values(record) | {"id": session})
        if keep is not None:
            self._run.run(sql.remove_entries_after(self._tables), {"id": session, "keep": keep})

    def _append(self, session: int | None, entries: Iterable[EntryRecord]) -> None:
        rows = list(self._rows.of_entries(session, entries))
        if rows:
            self._run.run_many(sql.new_entry(self._tables), rows)

    def _share(self, decision: Decision, now: datetime) -> None:
        for scope, document in decision.shared.items():
            values = {
                **scope_values(scope),
                "document": document,
                "updated_at": self._dialect.time(now),
            }
            self._run.run(sql.set_shared(self._tables, self._kind), values)

    def put_many(self, puts: Sequence[Put]) -> dict[SessionKey, Applied | None]:
        """In as many round trips as one takes, but for those that take the place of others."""
        found = bulk.heads(self._run, puts, is_locked=True)
        decisions = {}
        for put in puts:
            row = found.get(put.key)
            decisions[put.key] = decide(put, None if row is None else self._rows.record(row[1:]))
        self._replace_many([put for put in puts if put.key in found], found)
        new = (self._rows.values(put.record) for put in puts if put.key not in found)
        self._run.insert_many(self._tables.sessions, bulk.SESSION, new)
        ids = {key: row[0] for key, row in bulk.heads(self._run, puts, is_locked=False).items()}
        rows = (row for put in puts for row in self._rows.of_entries(ids[put.key], put.entries))
        self._run.insert_many(self._tables.entries, bulk.ENTRY, rows)
        return {key: decision.answer for key, decision in decisions.items()}

    def _replace_many(self, puts: Sequence[Put], found: Mapping[SessionKey, bulk.Row]) -> None:
        if not puts:
            return
        ids = {put.key: found[put.key][0] for put in puts}
        self._run.run(bulk.remove_histories(self._tables), {"ids": list(ids.values())})
        rows = (self._rows.values(put.record) | {"id": ids[put.key]} for put in puts)
        self._run.run_many(sql.replace_session(self._tables), rows)


def _needs_documents(operation: Operation) -> bool:
    """Documents are read and written only where the operation needs them."""
    return not isinstance(operation, Apply) or operation.needs_documents


def document_of(row: tuple[Any, ...] | None) -> str:
    return "{}" if row is None else str(row[0])


def scope_values(scope: SharedScope) -> dict[str, str]:
    return dict(zip(("app_name", "user_id"), scope, strict=True))
