"""The port: what every back end promises. Read this first.

``SessionRepository`` has two sides. **Callers** use ``create load apply delete list count
remove_expired stats check``; their docstrings are the contract. **Back ends** write the methods
under *For back ends*, over flat records of text, integers and times; everything that could differ
between two back ends (checks, encoding, expiry, versions, merging, idempotence, errors) is done
for them by this class, ``operations`` and ``decisions``. Time comes in as an argument: a back end
has no clock.

A whole back end, which keeps everything in two dictionaries and stands for any key-value store:

    import threading
    from contextlib import contextmanager

    from session_store.core.decisions import decide, shared_scopes
    from session_store.errors import StoreUnavailableError
    from session_store.core.operations import Apply
    from session_store.repository import SessionRepository, StoreStats
    from session_store.repository import scanned, scanned_shared, selected

    class DictRepository(SessionRepository):
        def __init__(self):
            self._lock, self._sessions, self._shared = threading.RLock(), {}, {}
            self._closed = False

        @contextmanager
        def _transaction(self):
            with self._lock:
                if self._closed:
                    raise StoreUnavailableError("the store is closed; open it again")
                before = dict(self._sessions), dict(self._shared)
                try:
                    yield
                except BaseException:
                    self._sessions, self._shared = before
                    raise

        def commit(self, operations):
            with self._transaction():
                return tuple(self._carry_out(operation) for operation in operations)

        def _carry_out(self, operation):
            record, entries = self._sessions.get(operation.key, (None, ()))
            ids = operation.entry_ids if isinstance(operation, Apply) else ()
            known = [entry for entry in entries if entry.entry_id in ids]
            shared = {scope: self.fetch_shared(scope) for scope in shared_scopes(operation)}
            decision = decide(operation, record, known, shared)
            if decision.writes:
                self._store(operation.key, decision, entries)
            return decision.answer

        def _store(self, key, decision, entries):
            self._sessions.pop(key, None)
            self._shared.update(decision.shared)
            if decision.record:
                keep = len(entries) if decision.keep is None else decision.keep
                self._sessions[key] = decision.record, entries[:keep] + decision.entries

        def fetch(self, key, window):
            with self._transaction():
                found = self._sessions.get(key)
                return found and (found[0], window.of(found[1]))

        def fetch_shared(self, scope):
            with self._transaction():
                return self._shared.get(scope, "{}")

        def select(self, query, position, limit, at):
            return selected(self._records(), query, position, limit, at)

        def _records(self):
            with self._transaction():
                return [record for record, _ in self._sessions.values()]

        def count(self, query, at):
            return len(self.select(query, None, None, at))

        def remove_expired(self, at, limit):
            with self._transaction():
                expired = [k for k, (record, _) in self._sessions.items() if at.is_expired(record)]
                for key in expired[:limit]:
                    del self._sessions[key]
                return len(expired[:limit])

        def stats(self, at):
            return StoreStats.of(self._records(), at)

        def scan(self, after, limit):
            return scanned(self._records(), after, limit)

        def scan_shared(self, after, limit):
            with self._transaction():
                return scanned_shared(self._shared, after, limit)

        def check(self):
            self._records()  # nothing can go wrong in a dictionary that is open

        def close(self):
            self._closed = True

Run the contract suite of ``session_store.testing`` over it: that is what makes it a back end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from session_store.core import codec
from session_store.core.decisions import SharedScope
from session_store.core.operations import (
    Moment,
    Operation,
    checked_apply,
    checked_create,
    checked_delete,
)
from session_store.core.queries import (
    HEAD,
    WHOLE,
    Filter,
    Page,
    Position,
    Query,
    StoreStats,
    Window,
    check_complete,
    checked_filter,
    checked_limit,
    checked_window,
    from_cursor,
    position_of,
    scanned,
    scanned_shared,
    selected,
    to_cursor,
)
from session_store.core.records import (
    EntryFields,
    SessionRecord,
    StoredVersion,
    checked_key,
    to_head,
    to_session,
)
from session_store.errors import SessionNotFoundError
from session_store.session import Applied, Changes, Session, SessionKey

__all__ = [
    "Moment",
    "Page",
    "Query",
    "SessionRepository",
    "StoreStats",
    "Window",
    "scanned",
    "scanned_shared",
    "selected",
]


class SessionRepository(ABC):
    """Durable sessions. Safe to use from several threads; each call is one transaction.

    ``at`` says what time it is and what counts as expired. An expired session is absent: it is
    not found, not listed, and its key is free, whether or not ``remove_expired`` came by.
    Every method may raise ``StoreUnavailableError`` and ``CorruptStoreError``; when a write raises
    anything but ``DurabilityUnknownError`` (it is there) or ``OutcomeUnknownError`` (it may be),
    nothing of it was written.
    """

    def create(self, session: Session, at: Moment) -> Applied:
        """Store ``session`` as it stands, with its history.

        ``SessionExistsError`` when a live session has its key: nothing is ever overwritten.
        """
        return _answered(self.commit((checked_create(session, at),)))

    def load(self, key: SessionKey, at: Moment, window: Window = WHOLE) -> Session:
        """The session with its history, or the ``window`` of it, in the order of ``seq``.

        ``SessionNotFoundError`` when no live session has the key. ``CorruptStoreError`` when an
        entry is missing: no part of a history is ever taken for all of it.
        """
        found = self.fetch(checked_key(key), checked_window(window))
        if found is None or at.is_expired(found[0]):
            raise SessionNotFoundError(key)
        check_complete(*found, window)
        return to_session(*found)

    def apply(
        self, key: SessionKey, changes: Changes, at: Moment, expected_version: int | None = None
    ) -> Applied:
        """Change a live session: the one way to do so. Either all of it is stored or nothing.

        Documents are merged key by key and entries get the next ``seq``s inside the transaction,
        so two writers never lose each other's work. ``version`` grows by 1, ``updated_at`` is now.
        Entries that are stored already are not stored twice; when all of a call's are, nothing is
        written and the answer is the first one's.

        ``SessionNotFoundError``; ``StaleSessionError`` when ``expected_version`` is given and
        passed by; ``ConflictError`` for an ``entry_id`` with other content;
        ``IllegalTransitionError``; ``InvalidValueError``.
        """
        return _answered(self.commit((checked_apply(key, changes, at, expected_version),)))

    def delete(self, key: SessionKey, at: Moment, expected_version: int | None = None) -> bool:
        """Remove a session and its history for good; whether a live one was there.

        ``StaleSessionError`` when it is, and ``expected_version`` is given and passed by.
        """
        return self.commit((checked_delete(key, at, expected_version),))[0] is not None

    def list(self, query: Query, at: Moment) -> Page:
        """One page of the heads of live sessions that match, newest first.

        ``InvalidValueError`` for a limit, cursor or condition that can't be asked for.
        """
        conditions, limit = checked_filter(query), checked_limit(query.limit)
        found = self.select(conditions, from_cursor(query.cursor), limit + 1, at)
        heads = tuple(map(to_head, found[:limit]))
        if len(found) <= limit:
            return Page(sessions=heads)
        last = position_of(found[limit - 1], query.order_by)
        return Page(sessions=heads, cursor=to_cursor(last))

    def load_shared(self, app_name: str, user_id: str | None = None) -> dict[str, Any]:
        """The document shared by the sessions of an app, or of one user in it; ``{}`` at first."""
        app = codec.identifier(app_name, "app_name")
        user = "" if user_id is None else codec.identifier(user_id, "user_id")
        document: dict[str, Any] = codec.decode(self.fetch_shared((app, user)), "shared state")
        return document

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # For back ends ------------------------------------------------------------------------------

    @abstractmethod
    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        """Carry out ``operations`` in order, all or none, and return the answer of each.

        For each: read the record of its key, the entries it names and the shared documents it
        changes; ``decide``; store the ``Decision``. Durable on return.
        """

    @abstractmethod
    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        """The record of ``key``, expired or not, with the ``window`` of its history; or ``None``.

        Both are of one moment: a reader never sees half a write. An entry is an ``EntryRecord``, or
        a plain tuple of what it holds.
        """

    @abstractmethod
    def fetch_shared(self, scope: SharedScope) -> str:
        """The JSON text of a shared document, ``{}`` when there is none."""

    @abstractmethod
    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        """Live records that match ``query``, by time and key downwards from ``position``."""

    @abstractmethod
    def count(self, query: Filter, at: Moment) -> int:
        """How many live sessions match ``query``."""

    @abstractmethod
    def remove_expired(self, at: Moment, limit: int) -> int:
        """Remove up to ``limit`` expired sessions in one transaction; how many it removed.

        Whether a session is expired is checked inside the transaction. Fewer than ``limit`` means
        that none is left but those which somebody is writing to.
        """

    @abstractmethod
    def stats(self, at: Moment) -> StoreStats:
        """Counts and size, without reading documents or payloads."""

    @abstractmethod
    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        """What is stored, expired or not: the versions of up to ``limit`` sessions after a key.

        In the order of app, session id and user, byte by byte. Fewer than ``limit`` is the end.
        """

    @abstractmethod
    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        """The shared documents, in the same way, in the order of app and user."""

    def fetch_many(
        self, keys: Sequence[SessionKey], *, with_history: bool = True
    ) -> dict[SessionKey, tuple[SessionRecord, Sequence[EntryFields]]]:
        """What ``fetch`` finds of each key, whole or without history. Each session is of one
        moment. Override it where hundreds at once cost less."""
        window = WHOLE if with_history else HEAD
        found = {key: self.fetch(key, window) for key in keys}
        return {key: stored for key, stored in found.items() if stored}

    @abstractmethod
    def check(self) -> None:
        """Raise what a write would meet now; return when it would be stored.

        Nothing that is seen changes. It may wait as long as a write would.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what the repository opened. Everything acknowledged is durable already.

        Afterwards every call raises ``StoreUnavailableError``; to close again does nothing.
        """


def _answered(answers: tuple[Applied | None, ...]) -> Applied:
    (answer,) = answers
    if answer is None:
        raise TypeError("commit() must answer a create or apply with an Applied")
    return answer
