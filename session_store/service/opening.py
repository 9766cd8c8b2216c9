"""Services that open their store themselves: in memory, or where sessions outlive the process."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from session_store.backends import open_storage, storage_at, storage_of
from session_store.clock import Clock, utc_now
from session_store.core.expiration import (
    DEFAULT_EXPIRATION_HOURS,
    ExpirationPolicy,
    check_expiration,
    check_interval,
)
from session_store.errors import SettingsError
from session_store.service.cleanup import HOURLY, Archive
from session_store.service.service import SessionService


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
