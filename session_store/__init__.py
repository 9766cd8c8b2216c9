"""Durable sessions for conversational applications: memory, a JSON file, SQLite, PostgreSQL.

    from session_store import create_session_service

    with create_session_service() as service:
        service.create_session(user_id="ada", session_id="s1")
        service.append("s1", {"role": "user", "text": "Hello"})

``import session_store`` loads no database library: a back end is imported when it is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from session_store.backends import open_repository
from session_store.errors import (
    AmbiguousSessionError,
    CheckpointNotFoundError,
    ConflictError,
    CorruptStoreError,
    DiskFullError,
    DurabilityUnknownError,
    IllegalTransitionError,
    InvalidValueError,
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
from session_store.queries import Page, Query, Window
from session_store.repository import Moment, SessionRepository
from session_store.service import (
    InMemorySessionService,
    PersistentSessionService,
    SessionService,
)
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

if TYPE_CHECKING:
    from session_store.aio import AsyncSessionService
    from session_store.factory import create_session_service
    from session_store.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "REMOVED",
    "AmbiguousSessionError",
    "Applied",
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
    "AsyncSessionService": "session_store.aio",
    "Settings": "session_store.settings",
    "create_session_service": "session_store.factory",
}
"""Names whose modules import more than a synchronous service needs (anyio, python-dotenv)."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
