"""The service: what applications call. Reading and writing, expiry and cleanup, start and end.

Every call is one transaction of the repository and durable when it returns, unless ``auto_save``
is off. Nothing is cached that the store can answer: two workers see the same sessions.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Self

from session_store.backends import Storage, open_storage, storage_at, storage_of
from session_store.backends.buffered import BufferedRepository
from session_store.clock import Clock, utc_now
from session_store.core.expiration import (
    DEFAULT_EXPIRATION_HOURS,
    ExpirationPolicy,
    check_age,
    check_expiration,
    check_interval,
)
from session_store.core.operations import Moment
from session_store.core.queries import StoreStats
from session_store.errors import SettingsError
from session_store.repository import SessionRepository
from session_store.service.checkpoints import SessionCheckpoints
from session_store.service.cleanup import Archive, Cleaner, Stopping, remove_expired
from session_store.service.metrics import metered, watch
from session_store.session import DEFAULT_APP_NAME

HOURLY: Final = timedelta(hours=1)

CUSTOM: Final = Storage("custom", None)
"""What the statistics say about a repository that the application opened itself."""

_SIZE_NAMES: Final = {
    "file": "file_size_bytes",
    "sqlite": "db_size_bytes",
    "postgresql": "db_size_bytes",
}


class SessionService(SessionCheckpoints):
    """Sessions over any repository; the service closes it at its own end.

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
        check_interval(cleanup_interval)
        counted = metered(repository, storage.type)
        super().__init__(
            counted if auto_save else BufferedRepository(counted),
            expiration_hours=expiration_hours,
            expiration_policy=expiration_policy,
            clock=clock,
        )
        self.storage = storage
        self.auto_save = auto_save
        self.is_closed = False
        self._archive = archive
        self._cleaner = Cleaner(self._sweep, cleanup_interval) if cleanup_interval else None
        watch(self._stats, storage.type)
        atexit.register(self.close)

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
        key = None if session_id is None else self._key(session_id, user_id, app_name)
        return buffer.discard(key)

    def check(self) -> None:
        """Raise what a write would meet now: not writable, full, out of reach, another schema…

        Return when it would be stored. Nothing that is seen changes.
        """
        self.repository.check()

    @property
    def is_cleanup_failing(self) -> bool:
        """Whether the last run of the cleanup thread ended with an error."""
        return self._cleaner is not None and self._cleaner.is_failing

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
        } | self._size(stats.size_bytes)

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _stats(self) -> StoreStats:
        return self.repository.stats(self._moment())

    def _buffer(self) -> BufferedRepository | None:
        return self.repository if isinstance(self.repository, BufferedRepository) else None

    def _size(self, size_bytes: int | None) -> dict[str, int]:
        name = _SIZE_NAMES.get(self.storage.type, "size_bytes")
        return {} if size_bytes is None else {name: size_bytes}

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


class InMemorySessionService(SessionService):
    """Sessions in the memory of this process: gone when it ends."""

    def __init__(
        self,
        expiration_hours: float | None = DEFAULT_EXPIRATION_HOURS,
        *,
        expiration_policy: ExpirationPolicy = "idle",
        cleanup_interval: timedelta | None = HOURLY,
        clock: Clock = utc_now,
    ) -> None:
        storage = storage_of("memory://")
        super().__init__(
            open_storage(storage),
            storage=storage,
            expiration_hours=expiration_hours,
            expiration_policy=expiration_policy,
            cleanup_interval=cleanup_interval,
            clock=clock,
        )


class PersistentSessionService(SessionService):
    """Sessions that outlive the process: in a JSON file, in SQLite or in PostgreSQL.

    ``storage_type``: ``file`` (``storage_path`` is the directory of ``sessions.json``), ``sqlite``
    (the ``.db`` file, or the directory of ``sessions.db``) or ``postgresql`` (its URL).
    ``storage_url`` in their place: any URL of ``open_repository``. ``options`` go to the back end.
    """

    def __init__(
        self,
        storage_type: str = "file",
        storage_path: str | os.PathLike[str] = "./data/sessions",
        expiration_hours: float | None = DEFAULT_EXPIRATION_HOURS,
        auto_save: bool = True,
        *,
        storage_url: str | None = None,
        expiration_policy: ExpirationPolicy = "idle",
        cleanup_interval: timedelta | None = HOURLY,
        archive: Archive | None = None,
        clock: Clock = utc_now,
        **options: Any,
    ) -> None:
        storage = storage_of(storage_url) if storage_url else storage_at(storage_type, storage_path)
        if storage.type == "memory":
            raise SettingsError("memory does not persist; use InMemorySessionService")
        check_expiration(expiration_hours, expiration_policy)  # before it is opened
        check_interval(cleanup_interval)
        super().__init__(
            open_storage(storage, **options),
            storage=storage,
            expiration_hours=expiration_hours,
            expiration_policy=expiration_policy,
            cleanup_interval=cleanup_interval,
            auto_save=auto_save,
            archive=archive,
            clock=clock,
        )
