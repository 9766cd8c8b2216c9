"""Sessions in the memory of this process, gone when it ends: for tests and for trying out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, KeysView, Sequence
from typing import NamedTuple

from session_store.core.decisions import Decision, SharedScope, decide, shared_scopes
from session_store.core.operations import Apply, Moment, Operation
from session_store.core.queries import (
    Filter,
    Position,
    StoreStats,
    Window,
    scanned,
    scanned_shared,
    selected,
)
from session_store.core.records import EntryRecord, SessionRecord, StoredVersion
from session_store.errors import StoreClosedError
from session_store.repository import SessionRepository
from session_store.session import Applied, SessionKey


class Stored(NamedTuple):
    """A session as a table holds it; never changed, only replaced."""

    record: SessionRecord
    entries: tuple[EntryRecord, ...] = ()


class SessionTable:
    """Sessions and shared documents in dictionaries, with the port's semantics. Not thread-safe."""

    def __init__(self) -> None:
        self._sessions: dict[SessionKey, Stored] = {}
        self._by_id: dict[tuple[str, str], tuple[SessionKey, ...]] = {}
        self.shared: dict[SharedScope, str] = {}

    def __iter__(self) -> Iterator[Stored]:
        return iter(self._sessions.values())

    def keys(self) -> KeysView[SessionKey]:
        return self._sessions.keys()

    def get(self, key: SessionKey) -> Stored | None:
        return self._sessions.get(key)

    def put(self, key: SessionKey, stored: Stored | None) -> None:
        """Replace the session of ``key``; ``None`` removes it."""
        if (key in self._sessions) != (stored is not None):
            self._index(key, is_there=stored is not None)
        if stored is not None:
            self._sessions[key] = stored
        else:
            self._sessions.pop(key, None)

    def _index(self, key: SessionKey, *, is_there: bool) -> None:
        place = key.app_name, key.session_id
        keys = tuple(one for one in self._by_id.get(place, ()) if one != key)
        if is_there:
            keys += (key,)
        if keys:
            self._by_id[place] = keys
        else:
            self._by_id.pop(place, None)

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        """Carry out ``operations``, all or none."""
        before = {operation.key: self.get(operation.key) for operation in operations}
        shared = self.shared
        try:
            return tuple(map(self._carry_out, operations))
        except BaseException:
            for key, stored in before.items():
                self.put(key, stored)
            self.shared = shared
            raise

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> list[SessionRecord]:
        records = (stored.record for stored in self._candidates(query))
        return selected(records, query, position, limit, at)

    def remove_expired(self, at: Moment, limit: int) -> int:
        expired = [stored.record.key for stored in self if at.is_expired(stored.record)][:limit]
        for key in expired:
            self.put(key, None)
        return len(expired)

    def stats(self, at: Moment, size_bytes: int | None = None) -> StoreStats:
        return StoreStats.of((stored.record for stored in self), at, size_bytes)

    def scan(self, after: SessionKey | None, limit: int) -> list[StoredVersion]:
        return scanned((stored.record for stored in self), after, limit)

    def scan_shared(self, after: SharedScope | None, limit: int) -> list[tuple[SharedScope, str]]:
        return scanned_shared(self.shared, after, limit)

    def _candidates(self, query: Filter) -> Iterator[Stored]:
        if query.app_name is None or query.session_id is None:
            return iter(self)
        keys = self._by_id.get((query.app_name, query.session_id), ())
        return (self._sessions[key] for key in keys)

    def _carry_out(self, operation: Operation) -> Applied | None:
        record, entries = self.get(operation.key) or (None, ())
        scopes = shared_scopes(operation)
        shared = {scope: self.shared.get(scope, "{}") for scope in scopes}
        decision = decide(operation, record, _named(operation, entries), shared)
        if decision.writes:
            if decision.shared:
                self.shared = {**self.shared, **decision.shared}
            self.put(operation.key, _outcome(decision, entries))
        return decision.answer


class Draft(SessionTable):
    """A table that begins as ``base``, which it leaves as it is: that costs a pointer a session.

    ``written`` has the keys of all that may differ, in the order of the first write.
    """

    def __init__(self, base: SessionTable) -> None:
        self._sessions, self._by_id = dict(base._sessions), dict(base._by_id)
        self.shared = dict(base.shared)
        self.written: dict[SessionKey, None] = {}

    def put(self, key: SessionKey, stored: Stored | None) -> None:
        self.written[key] = None
        super().put(key, stored)


class MemoryRepository(SessionRepository):
    """The port over a ``SessionTable`` and a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table: SessionTable | None = SessionTable()

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        with self._lock:
            return self._open_table().commit(operations)

    def fetch(self, key: SessionKey, window: Window) -> Stored | None:
        with self._lock:  # nobody sees what a failing commit takes back
            stored = self._open_table().get(key)
        return stored and Stored(stored.record, window.of(stored.entries))

    def fetch_shared(self, scope: SharedScope) -> str:
        with self._lock:
            return self._open_table().shared.get(scope, "{}")

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        with self._lock:
            return self._open_table().select(query, position, limit, at)

    def count(self, query: Filter, at: Moment) -> int:
        return len(self.select(query, None, None, at))

    def remove_expired(self, at: Moment, limit: int) -> int:
        with self._lock:
            return self._open_table().remove_expired(at, limit)

    def stats(self, at: Moment) -> StoreStats:
        with self._lock:
            return self._open_table().stats(at)

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        with self._lock:
            return self._open_table().scan(after, limit)

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        with self._lock:
            return self._open_table().scan_shared(after, limit)

    def check(self) -> None:
        with self._lock:
            self._open_table()

    def close(self) -> None:
        self._table = None

    def _open_table(self) -> SessionTable:
        if self._table is None:
            raise StoreClosedError("the store is closed; open it again")
        return self._table


def _named(operation: Operation, entries: Sequence[EntryRecord]) -> list[EntryRecord]:
    """The entries that ``operation`` names by their ids."""
    ids = set(operation.entry_ids) if isinstance(operation, Apply) else ()
    return [entry for entry in entries if entry.entry_id in ids] if ids else []


def _outcome(decision: Decision, entries: tuple[EntryRecord, ...]) -> Stored | None:
    if decision.record is None:
        return None
    kept = entries if decision.keep is None else entries[: decision.keep]
    return Stored(decision.record, kept + decision.entries)
