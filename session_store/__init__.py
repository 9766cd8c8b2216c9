"""Durable sessions for conversational applications: memory, a JSON file, SQLite, PostgreSQL.

    from session_store import create_session_service

    with create_session_service() as service:
        service.create_session(user_id="ada", session_id="s1")
        service.append("s1", {"role": "user", "text": "Hello"})

``import session_store`` loads nothing but the errors: a name is imported when it is first used, a
back end when it is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from session_store.errors import (
    AmbiguousSessionError,
    CheckpointNotFoundError,
    ConflictError,
    CorruptStoreError,
    DiskFullError,
    DurabilityUnknownError,
    IllegalTransitionError,
    InvalidValueError,
    ModelWriteError,
    NotWritableError,
    OutcomeUnknownError,
    SchemaError,
    SessionExistsError,
    SessionNotFoundError,
    SessionStoreError,
    SettingsError,
    StaleSessionError,
    StoreClosedError,
    StoreUnavailableError,
    StoreUnreachableError,
    TooLargeError,
)

if TYPE_CHECKING:
    from session_store.backends import open_repository
    from session_store.core.queries import Page, Query, Window
    from session_store.factory import create_session_service
    from session_store.repository import Moment, SessionRepository
    from session_store.service import (
        InMemorySessionService,
        PersistentSessionService,
        SessionService,
    )
    from session_store.service.aio import AsyncSessionService
    from session_store.session import (
        REMOVED,
        Applied,
        Changes,
        Entry,
        NewEntry,
        Session,
        SessionHead,
        SessionKey,
        Status,
    )
    from session_store.settings import Settings
    from session_store.transfer.archive import ArchivePolicy

__version__ = "0.1.0"

__all__ = [
    "REMOVED",
    "AmbiguousSessionError",
    "Applied",
    "ArchivePolicy",
    "AsyncSessionService",
    "Changes",
    "CheckpointNotFoundError",
    "ConflictError",
    "CorruptStoreError",
    "DiskFullError",
    "DurabilityUnknownError",
    "Entry",
    "IllegalTransitionError",
    "InMemorySessionService",
    "InvalidValueError",
    "ModelWriteError",
    "Moment",
    "NewEntry",
    "NotWritableError",
    "OutcomeUnknownError",
    "Page",
    "PersistentSessionService",
    "Query",
    "SchemaError",
    "Session",
    "SessionExistsError",
    "SessionHead",
    "SessionKey",
    "SessionNotFoundError",
    "SessionRepository",
    "SessionService",
    "SessionStoreError",
    "Settings",
    "SettingsError",
    "StaleSessionError",
    "Status",
    "StoreClosedError",
    "StoreUnavailableError",
    "StoreUnreachableError",
    "TooLargeError",
    "Window",
    "create_session_service",
    "open_repository",
]

_LAZY = {
    "ArchivePolicy": "session_store.transfer.archive",
    "AsyncSessionService": "session_store.service.aio",
    "open_repository": "session_store.backends",
    "create_session_service": "session_store.factory",
    "Page": "session_store.core.queries",
    "Query": "session_store.core.queries",
    "Window": "session_store.core.queries",
    "Moment": "session_store.repository",
    "SessionRepository": "session_store.repository",
    "InMemorySessionService": "session_store.service",
    "PersistentSessionService": "session_store.service",
    "SessionService": "session_store.service",
    "Applied": "session_store.session",
    "Changes": "session_store.session",
    "Entry": "session_store.session",
    "NewEntry": "session_store.session",
    "REMOVED": "session_store.session",
    "Session": "session_store.session",
    "SessionHead": "session_store.session",
    "SessionKey": "session_store.session",
    "Status": "session_store.session",
    "Settings": "session_store.settings",
}
"""Names whose modules import what ``session-store --help`` does without: most of its time would be
pydantic's. Each is imported when it is first used, and stays."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
