"""The service: what applications call. Reading and writing, expiry and cleanup, start and end.

Every call is one transaction of the repository and durable when it returns, unless ``auto_save``
is off. Nothing is cached that the store can answer: two workers see the same sessions.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self, Unpack

from session_store.backends import Storage
from session_store.backends.buffered import BufferedRepository
from session_store.clock import Clock, utc_now
from session_store.core import codec
from session_store.core.checkpoints import checkpoint_of, restored
from session_store.core.expiration import (
    DEFAULT_EXPIRATION_HOURS,
    ExpirationPolicy,
    check_age,
    check_expiration,
    check_interval,
    moment_at,
)
from session_store.core.operations import Moment, checked_create
from session_store.core.queries import (
    MAX_PAGE,
    Filter,
    Page,
    Query,
    StoreStats,
    Window,
    checked_filter,
)
from session_store.core.records import to_session
from session_store.errors import AmbiguousSessionError, SessionNotFoundError, StaleSessionError
from session_store.repository import SessionRepository
from session_store.service.cleanup import HOURLY, Archive, Cleaner, Stopping, remove_expired
from session_store.service.creation import (
    NewEntries,
    fork_of,
    id_or_new,
    new_checkpoint,
    new_entries,
    new_session,
)
from session_store.service.keywords import Conditions, Expected, Owner
from session_store.service.metrics import metered, watch
from session_store.session import (
    ARTIFACT,
    CHECKPOINT,
    DEFAULT_APP_NAME,
    EVENT,
    MESSAGE,
    Applied,
    Changes,
    Patch,
    Removed,
    Session,
    SessionHead,
    SessionKey,
    Status,
)

CUSTOM: Final = Storage("custom", None)
"""What the statistics say about a repository that the application opened itself."""

_SIZE_NAMES: Final = {
    "file": "file_size_bytes",
    "sqlite": "db_size_bytes",
    "postgresql": "db_size_bytes",
}


class SessionService:
    """Sessions over any repository; the service closes it at its own end.

    A session is named by ``session_id``; where several users of an application hold that id,
    ``user_id`` must say whose. Writes take an ``expected_version`` for where building on an older
    state would be wrong, and answer with ``Applied``: status, version and the appended entries.
    What is given a session's id may raise ``SessionNotFoundError``, ``AmbiguousSessionError`` and
    ``InvalidValueError``; a write ``StaleSessionError`` when the ``expected_version`` is passed by.

    ``expiration_hours``: sessions idle for longer (``idle``) or older than that (``absolute``) are
    expired, and so absent; ``None`` keeps them until their own ``expires_at``.
    ``cleanup_interval``: how often expired sessions are removed in a thread of their own, first at
    the start, then with 10 % of jitter; ``None``: only by ``cleanup_expired_sessions``.
    ``archive``: expired sessions go there instead of being lost, to an ``ArchivePolicy``.
    ``storage`` is what the statistics say about where the sessions lie.
    """

    def __init__(
        self,
        repository: SessionRepository,
        *,
        storage: Storage = CUSTOM,
        expiration_hours: float | None = DEFAULT_EXPIRATION_HOURS,
        expiration_policy: ExpirationPolicy = "idle",
        cleanup_interval: timedelta | None = HOURLY,
        auto_save: bool = True,
        archive: Archive | None = None,
        clock: Clock = utc_now,
    ) -> None:
        check_expiration(expiration_hours, expiration_policy)
        check_interval(cleanup_interval)
        counted = metered(repository, storage.type)
        self.repository = counted if auto_save else BufferedRepository(counted)
        self.expiration_hours = expiration_hours
        self.expiration_policy = expiration_policy
        self.storage = storage
        self.auto_save = auto_save
        self.is_closed = False
        self._clock = clock
        self._archive = archive
        self._cleaner = Cleaner(self._sweep, cleanup_interval) if cleanup_interval else None
        watch(self._stats, storage.type)
        atexit.register(self.close)

    # Sessions -------------------------------------------------------------------------------------

    def create_session(
        self,
        *,
        user_id: str,
        session_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        metadata: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> Session:
        """A new session, of a made id if none is given. ``SessionExistsError`` when it is there."""
        key = SessionKey(app_name, user_id, id_or_new(session_id))
        at = self._moment()
        session = new_session(key, at.now, state, metadata, expires_at=expires_at)
        return self._create(session, at)

    def get_session(
        self,
        session_id: str,
        *,
        last: int | None = None,
        after: int | None = None,
        kind: str | None = None,
        **owner: Unpack[Owner],
    ) -> Session:
        """The session with its history: whole, or of it the entries after the ``seq`` ``after``,
        of one ``kind``, and of those the ``last`` n (0: none).

        ``SessionNotFoundError``; ``AmbiguousSessionError`` when only ``user_id`` can tell which.
        """
        key = self._key(session_id, **owner)
        return self.repository.load(key, self._moment(), Window(last, after, kind))

    def fork_session(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        new_session_id: str | None = None,
        expected_version: int | None = None,
        **owner: Unpack[Owner],
    ) -> Session:
        """A new session of the same user with a copy of this one, or of it up to a checkpoint."""
        source = self.get_session(session_id, **owner)
        if expected_version not in (None, source.version):
            raise StaleSessionError(source.key, expected_version or 0, source.version)
        key, at = source.key._replace(session_id=id_or_new(new_session_id)), self._moment()
        return self._create(fork_of(source, key, at.now, checkpoint_id), at)

    def delete_session(
        self, session_id: str, *, expected_version: int | None = None, **owner: Unpack[Owner]
    ) -> bool:
        """Remove a session and its history for good; whether it was there."""
        try:
            key = self._key(session_id, **owner)
        except SessionNotFoundError:
            return False
        return self.repository.delete(key, self._moment(), expected_version)

    # Lists and counts -----------------------------------------------------------------------------

    def list_sessions(
        self, *, limit: int = 50, cursor: str | None = None, **conditions: Unpack[Conditions]
    ) -> Page:
        """One page of heads, newest first; pass ``page.cursor`` on for the next page.

        Conditions: ``app_name``, ``user_id``, ``status`` (one or several), ``created_after``,
        ``created_before``, ``updated_after``, ``updated_before``, ``metadata`` (equal top-level
        values), ``order_by`` (``updated_at``, or ``created_at``, which stays put under writes).
        """
        query = Query(limit=limit, cursor=cursor, **conditions)
        return self.repository.list(query, self._moment())

    def pages(self, *, limit: int = MAX_PAGE, **conditions: Unpack[Conditions]) -> Iterator[Page]:
        """All pages of ``list_sessions``, one after the other."""
        page = self.list_sessions(limit=limit, **conditions)
        yield page
        while page.cursor:
            page = self.list_sessions(limit=limit, cursor=page.cursor, **conditions)
            yield page

    def get_all_user_sessions(
        self, user_id: str, *, app_name: str | None = None
    ) -> list[SessionHead]:
        """The heads of all sessions of a user, newest first."""
        user_id = codec.identifier(user_id, "user_id")  # None would mean: of all users
        return self._all(user_id=user_id, app_name=app_name)

    def get_active_sessions(
        self, *, user_id: str | None = None, app_name: str | None = None
    ) -> list[SessionHead]:
        """The heads of all running sessions, newest first."""
        return self._all(user_id=user_id, app_name=app_name, status=Status.RUNNING)

    def get_session_count(self, **conditions: Unpack[Conditions]) -> int:
        """How many live sessions there are, or match the conditions of ``list_sessions``."""
        return self.repository.count(checked_filter(Query(**conditions)), self._moment())

    # History and documents ------------------------------------------------------------------------

    def append(
        self,
        session_id: str,
        entries: NewEntries,
        *,
        kind: str = MESSAGE,
        entry_id: str | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Append one payload or ``NewEntry``, or a list of them as one batch: all or none.

        ``kind`` is that of bare payloads. With an ``entry_id`` of its own an entry may be sent
        again: it is stored once, and ``ConflictError`` says that other content came under it.
        """
        changes = Changes(entries=new_entries(entries, kind, entry_id))
        return self._apply(session_id, changes, **expected)

    def add_artifact(
        self,
        session_id: str,
        artifact_type: str,
        payload: Any,
        *,
        entry_id: str | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Append an artifact: an entry whose payload is ``{"type": …, "payload": …}``."""
        artifact = {"type": artifact_type, "payload": payload}
        changes = Changes(entries=new_entries(artifact, ARTIFACT, entry_id))
        return self._apply(session_id, changes, **expected)

    def update_state(
        self,
        session_id: str,
        state: Patch,
        *,
        app_state: Patch | None = None,
        user_state: Patch | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Set these top-level keys of the state, ``REMOVED`` removes one; others stay.

        ``app_state`` and ``user_state`` go to the shared documents in the same transaction.
        """
        changes = Changes(state=state, app_state=app_state or {}, user_state=user_state or {})
        return self._apply(session_id, changes, **expected)

    def update_agent_state(
        self, session_id: str, agent_name: str, state: Patch, **expected: Unpack[Expected]
    ) -> Applied:
        """Set these top-level keys of one agent's document; its others and other agents' stay."""
        return self._apply(session_id, Changes(agent_states={agent_name: state}), **expected)

    def update_session_metadata(
        self, session_id: str, metadata: Patch, **expected: Unpack[Expected]
    ) -> Applied:
        """Set these labels; others stay. A created session stays created."""
        return self._apply(session_id, Changes(metadata=metadata), **expected)

    def update_session(
        self,
        session_id: str,
        *,
        state: Patch | None = None,
        agent_states: Mapping[str, Patch] | None = None,
        metadata: Patch | None = None,
        expires_at: datetime | Literal[Removed.REMOVED] | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Several documents, and the session's own end, in one transaction; others stay."""
        changes = Changes(
            state=state or {},
            agent_states=agent_states or {},
            metadata=metadata or {},
            expires_at=expires_at,
        )
        return self._apply(session_id, changes, **expected)

    def touch_session(
        self,
        session_id: str,
        *,
        expires_at: datetime | Literal[Removed.REMOVED] | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Mark the session as used now; give, move or (``REMOVED``) take its own end."""
        return self._apply(session_id, Changes(expires_at=expires_at), **expected)

    def get_shared_state(
        self, *, user_id: str | None = None, app_name: str = DEFAULT_APP_NAME
    ) -> dict[str, Any]:
        """The document shared by all sessions of the app, or by those of one user in it."""
        return self.repository.load_shared(app_name, user_id)

    # Status and checkpoints -----------------------------------------------------------------------

    def pause_session(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        label: str | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Pause and take a checkpoint, in one transaction. ``IllegalTransitionError``."""
        checkpoint = new_checkpoint(checkpoint_id, label)
        changes = Changes(status=Status.PAUSED, checkpoint=checkpoint)
        return self._apply(session_id, changes, **expected)

    def resume_session(self, session_id: str, **expected: Unpack[Expected]) -> Applied:
        """Run a paused, failed or new session. ``IllegalTransitionError`` for any other."""
        return self._apply(session_id, Changes(status=Status.RUNNING), **expected)

    def complete_session(self, session_id: str, **expected: Unpack[Expected]) -> Applied:
        """End the session well. ``IllegalTransitionError`` when it is completed already."""
        return self._apply(session_id, Changes(status=Status.COMPLETED), **expected)

    def fail_session(
        self, session_id: str, *, reason: str | None = None, **expected: Unpack[Expected]
    ) -> Applied:
        """Mark the session as failed; a ``reason`` is kept as an event of type ``failed``."""
        event = {"type": "failed", "reason": reason}
        entries = new_entries(event, EVENT, None) if reason is not None else ()
        return self._apply(session_id, Changes(status=Status.FAILED, entries=entries), **expected)

    def create_checkpoint(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        label: str | None = None,
        **expected: Unpack[Expected],
    ) -> Applied:
        """Record status and documents as an entry; its ``entry_id`` is the checkpoint's id."""
        changes = Changes(checkpoint=new_checkpoint(checkpoint_id, label))
        return self._apply(session_id, changes, **expected)

    def restore_checkpoint(
        self,
        session_id: str,
        checkpoint_id: str,
        *,
        rewind: bool = False,
        expected_version: int | None = None,
        **owner: Unpack[Owner],
    ) -> Applied:
        """Bring back status and documents; with ``rewind`` drop the history after the checkpoint.

        ``CheckpointNotFoundError`` when the session has none of this id.
        """
        key, at = self._key(session_id, **owner), self._moment()
        session = self.repository.load(key, at, Window(kind=CHECKPOINT))
        entry = checkpoint_of(session, checkpoint_id)
        changes = Changes(restore=restored(entry), rewind_to=entry.seq if rewind else None)
        return self.repository.apply(key, changes, at, expected_version)

    # Expiry ---------------------------------------------------------------------------------------

    def cleanup_expired_sessions(
        self,
        max_age_hours: float | None = None,
        *,
        on_removed: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Remove what is expired now, or idle (or old, by the policy) for ``max_age_hours``.

        How many sessions it removed, in batches of 1,000, each its own transaction, after which
        ``on_removed`` is told how many these were.
        """
        check_age(max_age_hours)
        return self._sweep(max_age_hours=max_age_hours, on_removed=on_removed)

    def count_expired_sessions(self, max_age_hours: float | None = None) -> int:
        """How many sessions ``cleanup_expired_sessions`` would remove now."""
        check_age(max_age_hours)
        return self.repository.stats(self._moment(max_age_hours)).expired_sessions

    @property
    def is_cleanup_failing(self) -> bool:
        """Whether the last run of the cleanup thread ended with an error."""
        return self._cleaner is not None and self._cleaner.is_failing

    # The store ------------------------------------------------------------------------------------

    def force_save(self) -> int:
        """Write what ``auto_save=False`` holds back, all or none; how many changes it were.

        With ``auto_save`` every change is saved already, and it is 0.
        """
        buffer = self._buffer()
        return buffer.flush() if buffer else 0

    def discard_unsaved(
        self,
        session_id: str | None = None,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
    ) -> int:
        """Forget what ``auto_save=False`` holds back, or of one session only; how many changes.

        The way out when ``force_save`` fails because another process changed that session.
        """
        buffer = self._buffer()
        if buffer is None:
            return 0
        if session_id is None:
            return buffer.discard()
        return buffer.discard(self._key(session_id, user_id=user_id, app_name=app_name))

    def check(self) -> None:
        """Raise what a write would meet now: not writable, full, out of reach, another schema…

        Return when it would be stored. Nothing that is seen changes.
        """
        self.repository.check()

    def get_storage_stats(self) -> dict[str, Any]:
        """Where the sessions lie, how many, how large. Cheap: reads no session.

        ``total_sessions`` counts what is stored, with the ``expired_sessions`` that wait for the
        cleanup; ``active_sessions`` are running; ``unsaved_changes`` wait for ``force_save``.
        """
        stats = self._stats()
        buffer = self._buffer()
        return {
            "storage_type": self.storage.type,
            "storage_path": self.storage.path,
            "total_sessions": stats.total_sessions,
            "active_sessions": stats.active_sessions,
            "expired_sessions": stats.expired_sessions,
            "expiration_hours": self.expiration_hours,
            "expiration_policy": self.expiration_policy,
            "auto_save": self.auto_save,
            "unsaved_changes": buffer.unsaved if buffer else 0,
        } | _size(self.storage.type, stats.size_bytes)

    def close(self) -> None:
        """End the cleaner, save what is buffered, close the store. Again: nothing to do.

        When saving fails, it raises and the store stays open: repeat it.
        """
        if self._cleaner:
            self._cleaner.stop()
        self.force_save()
        self.repository.close()
        self.is_closed = True
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What they share ------------------------------------------------------------------------------

    def _key(
        self, session_id: str, *, user_id: str | None = None, app_name: str = DEFAULT_APP_NAME
    ) -> SessionKey:
        """The whole key; without ``user_id`` the one live session of that id in the app."""
        if user_id is not None:
            return SessionKey(app_name, user_id, session_id)
        conditions = Filter(
            app_name=codec.identifier(app_name, "app_name"),
            session_id=codec.identifier(session_id, "session_id"),
        )
        found = self.repository.select(conditions, None, 2, self._moment())
        if not found:
            raise SessionNotFoundError(SessionKey(app_name, "*", session_id))
        if len(found) > 1:
            raise AmbiguousSessionError(app_name, session_id)
        return found[0].key

    def _moment(self, max_age_hours: float | None = None) -> Moment:
        """The clock's reading and the cutoff of the policy, or of ``max_age_hours`` instead."""
        now = codec.utc(self._clock(), "the clock's time")
        hours = self.expiration_hours if max_age_hours is None else max_age_hours
        return moment_at(now, hours, self.expiration_policy)

    def _all(self, **conditions: Unpack[Conditions]) -> list[SessionHead]:
        """Newest first; read in the order of creation, which stays put while sessions are used."""
        conditions["order_by"] = "created_at"
        heads = [head for page in self.pages(**conditions) for head in page.sessions]
        return sorted(heads, key=_recency, reverse=True)

    def _apply(
        self,
        session_id: str,
        changes: Changes,
        *,
        expected_version: int | None = None,
        **owner: Unpack[Owner],
    ) -> Applied:
        key = self._key(session_id, **owner)
        return self.repository.apply(key, changes, self._moment(), expected_version)

    def _create(self, session: Session, at: Moment) -> Session:
        operation = checked_create(session, at)
        self.repository.commit((operation,))
        return to_session(operation.record, operation.entries)

    def _stats(self) -> StoreStats:
        return self.repository.stats(self._moment())

    def _buffer(self) -> BufferedRepository | None:
        return self.repository if isinstance(self.repository, BufferedRepository) else None

    def _sweep(
        self,
        stopping: Stopping = lambda: False,
        max_age_hours: float | None = None,
        on_removed: Callable[[int], None] = lambda _: None,
    ) -> int:
        at = self._moment(max_age_hours)
        if self._archive:
            return self._archived(self._archive, at, stopping)
        return remove_expired(self.repository, at, stopping=stopping, on_removed=on_removed)

    def _archived(self, archive: Archive, at: Moment, stopping: Stopping) -> int:
        """What ``auto_save=False`` holds back may be what keeps a session alive: then later."""
        buffer = self._buffer()
        if buffer and buffer.unsaved:
            return 0
        inner = buffer.inner if buffer else self.repository
        return archive.sweep(inner, at, stopping=stopping, clock=self._clock)


def _recency(head: SessionHead) -> tuple[datetime, str, str, str]:
    return head.updated_at, head.app_name, head.session_id, head.user_id


def _size(storage_type: str, size_bytes: int | None) -> dict[str, int]:
    name = _SIZE_NAMES.get(storage_type, "size_bytes")
    return {} if size_bytes is None else {name: size_bytes}
