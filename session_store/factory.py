"""From settings to a running service: the one place where the environment decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from session_store.service import (
    InMemorySessionService,
    PersistentSessionService,
    SessionService,
)
from session_store.settings import Settings

if TYPE_CHECKING:
    from session_store.transfer.archive import ArchivePolicy


def create_session_service(settings: Settings | None = None) -> SessionService:
    """The service that ``settings`` describe, by default those of ``.env`` and the environment.

    Without persistence, or for ``memory://``, an ``InMemorySessionService``; else a
    ``PersistentSessionService``. ``SettingsError`` names what is wrong and what can be used.
    """
    settings = Settings.load() if settings is None else settings
    if _in_memory(settings):
        return InMemorySessionService(**_common(settings))
    return PersistentSessionService(
        settings.storage_type,
        settings.storage_path,
        auto_save=settings.auto_save,
        storage_url=settings.storage_url,
        archive=archive_of(settings),
        **_common(settings),
        **options_of(settings),
    )


def _in_memory(settings: Settings) -> bool:
    return not settings.persistence_enabled or settings.storage.type == "memory"


def _common(settings: Settings) -> dict[str, Any]:
    minutes = settings.cleanup_interval_minutes
    return {
        "expiration_hours": settings.expiration_hours,
        "expiration_policy": settings.expiration_policy,
        "cleanup_interval": None if minutes is None else timedelta(minutes=minutes),
    }


def archive_of(settings: Settings) -> ArchivePolicy | None:
    """Where they say that sessions go at their end."""
    if settings.archive_path is None:
        return None
    from session_store.transfer.archive import ArchivePolicy

    return ArchivePolicy(
        path=settings.archive_path,
        completed_after=_days(settings.archive_completed_days),
        retention=_days(settings.archive_retention_days),
    )


def _days(days: float | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


def options_of(settings: Settings) -> dict[str, Any]:
    """Those for the back end of their storage."""
    match settings.storage.type:
        case "sqlite":
            return {"synchronous": settings.sqlite_synchronous, "pool_size": settings.pool_size}
        case "postgresql":
            return {
                "schema": settings.postgres_schema,
                "table_prefix": settings.postgres_table_prefix,
                "pool_size": settings.pool_size,
                "timeout": settings.postgres_timeout_seconds,
                "transaction_pooler": settings.postgres_pooler,
            }
        case _:
            return {}
