"""A repository over a repository that keeps changes in memory until ``flush``: ``auto_save=False``.

Reads see what is buffered. A session is brought in from the store with its first change; the
changes are kept as operations and carried out again on the store by ``flush``, all or none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import starmap

from session_store.backends.memory import SessionTable, Stored
from session_store.core.decisions import SharedScope, shared_scopes
from session_store.core.operations import Delete, Moment, Operation
from session_store.core.queries import (
    WHOLE,
    Filter,
    Position,
    StoreStats,
    Window,
    scan_order,
    scanned_shared,
    selected,
)
from session_store.core.records import EntryFields, EntryRecord, SessionRecord, StoredVersion
from session_store.errors import DurabilityUnknownError
from session_store.repository import SessionRepository
from session_store.session import Applied, SessionKey, Status

_log = logging.getLogger(__name__)


class BufferedRepository(SessionRepository):
    """``inner`` with a buffer before it, which is lost when the process ends before ``flush``."""

    def __init__(self, inner: SessionRepository) -> None:
        self.inner = inner
        self._lock = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._table = SessionTable()
        self._originals: dict[SessionKey, SessionRecord | None] = {}
        self._pending: list[Operation] = []

    @property
    def unsaved(self) -> int:
        """How many operations wait for ``flush``."""
        return len(self._pending)

    def flush(self) -> int:
        """Write what is buffered to the store, all or none; how many operations it were.

        When it raises, everything is still buffered: repeat it, or ``discard`` the session that
        the error names. Only after ``DurabilityUnknownError`` the store has it.
        """
        with self._lock:
            saved = self.unsaved
            try:
                if saved:
                    self.inner.commit(self._pending)
            except DurabilityUnknownError:
                self._clear()
                raise
            self._clear()
            return saved

    def discard(self, key: SessionKey | None = None) -> int:
        """Forget what is buffered, or of one session only; how many operations it were.

        The others are carried out anew on what the store holds now. When one of them can't be,
        it raises and everything is still buffered.
        """
        with self._lock:
            before = self._table, self._originals, self._pending
            kept = [one for one in self._pending if key is not None and one.key != key]
            self._clear()
            try:
                self.commit(kept)
            except BaseException:
                self._table, self._originals, self._pending = before
                raise
            return len(before[2]) - len(kept)

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        with self._lock:
            with ExitStack() as undo:
                for operation in operations:
                    self._bring(operation, undo)
                answers = self._table.commit(operations)
                undo.pop_all()
            for operation in operations:
                self._remember(operation)
            self._release_unchanged(operations)
            return answers

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        with self._lock:
            if key not in self._originals:
                return self.inner.fetch(key, window)
            stored = self._table.get(key)
            return stored and Stored(stored.record, window.of(stored.entries))

    def fetch_shared(self, scope: SharedScope) -> str:
        with self._lock:
            buffered = self._table.shared.get(scope)
            return self.inner.fetch_shared(scope) if buffered is None else buffered

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        with self._lock:
            wanted = None if limit is None else limit + len(self._originals)
            stored = self.inner.select(query, position, wanted, at)
            untouched = [record for record in stored if record.key not in self._originals]
            buffered = [stored.record for stored in self._table]
            return selected([*untouched, *buffered], query, position, limit, at)

    def count(self, query: Filter, at: Moment) -> int:
        def counts(record: SessionRecord) -> bool:
            return not at.is_expired(record) and query.matches(record)

        with self._lock:
            return self.inner.count(query, at) + self._difference(counts)

    def remove_expired(self, at: Moment, limit: int) -> int:
        """Nothing while changes are buffered: they may be what keeps a session alive."""
        with self._lock:
            if not self._pending:
                return self.inner.remove_expired(at, limit)
            _log.info("cleanup waits: %d changes are not saved yet", self.unsaved)
            return 0

    def stats(self, at: Moment) -> StoreStats:
        with self._lock:
            stats = self.inner.stats(at)
            active = self._difference(
                lambda record: record.status == Status.RUNNING and not at.is_expired(record)
            )
            return StoreStats(
                total_sessions=stats.total_sessions + self._difference(lambda _: True),
                active_sessions=stats.active_sessions + active,
                expired_sessions=stats.expired_sessions + self._difference(at.is_expired),
                size_bytes=stats.size_bytes,
            )

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        with self._lock:
            stored = self.inner.scan(after, limit + len(self._originals))
            untouched = [one for one in stored if one.key not in self._originals]
            buffered = self._table.scan(after, limit)
            every = sorted([*untouched, *buffered], key=lambda one: scan_order(one.key))
            return every[:limit]

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        with self._lock:
            stored = self.inner.scan_shared(after, limit)
            return scanned_shared(dict(stored) | self._table.shared, after, limit)

    def check(self) -> None:
        self.inner.check()

    def close(self) -> None:
        with self._lock:
            self.inner.close()
            self._clear()

    def _bring(self, operation: Operation, undo: ExitStack) -> None:
        """Copy into the table what ``operation`` reads; ``undo`` takes it out again."""
        key = operation.key
        if key not in self._originals:
            found = self.inner.fetch(key, WHOLE)
            self._originals[key] = found and found[0]
            self._table.put(key, found and Stored(found[0], tuple(starmap(EntryRecord, found[1]))))
            undo.callback(self._release, key)
        for scope in shared_scopes(operation):
            if scope not in self._table.shared:
                self._table.shared[scope] = self.inner.fetch_shared(scope)
                undo.callback(self._table.shared.pop, scope)

    def _release(self, key: SessionKey) -> None:
        """Read the session from the store again."""
        del self._originals[key]
        self._table.put(key, None)

    def _remember(self, operation: Operation) -> None:
        """Keep ``operation`` for ``flush``.

        A deletion makes what came before it needless, unless that changed shared documents, and
        is itself needless where the store has no such session. A version that it expects is then
        the one which the store has.
        """
        if isinstance(operation, Delete) and not self._shares(operation.key):
            self._pending = [before for before in self._pending if before.key != operation.key]
            original = self._originals[operation.key]
            if original is None:
                return
            if operation.expected_version is not None:
                operation = operation._replace(expected_version=original.version)
        self._pending.append(operation)

    def _release_unchanged(self, operations: Sequence[Operation]) -> None:
        """Where a deletion has left nothing to save, read from the store again."""
        deleted = {operation.key for operation in operations if isinstance(operation, Delete)}
        if deleted:
            for key in deleted.difference(pending.key for pending in self._pending):
                self._release(key)

    def _shares(self, key: SessionKey) -> bool:
        """Whether a change of the session also changes shared documents."""
        return any(before.key == key and shared_scopes(before) for before in self._pending)

    def _difference(self, counts: Callable[[SessionRecord], bool]) -> int:
        """By how many sessions that ``counts`` the buffer changes the store."""
        after = sum(counts(stored.record) for stored in self._table)
        before = sum(counts(record) for record in self._originals.values() if record)
        return after - before
