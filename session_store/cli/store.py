"""The store that a command is about: that of ``--store``, or else of the settings.

A command changes nothing but what it is asked to: it neither makes a store nor upgrades one, and
no cleaner runs beside it. What has expired is absent, as it is for the application.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from session_store.backends import Storage, open_storage, storage_of
from session_store.errors import SettingsError, StoreUnavailableError

if TYPE_CHECKING:
    import argparse
    from datetime import datetime

    from session_store.repository import SessionRepository
    from session_store.service import SessionService
    from session_store.settings import Settings

FILES: Final = ("sessions.json", "sessions.json.bak")


def add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the store: its URL, its directory, or its .db file; default: the settings of the "
        "environment and .env",
    )


def add_expired_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archived",
        action="store_true",
        help="sessions in the archive of SESSION_ARCHIVE_PATH, instead of those in the store",
    )
    parser.add_argument(
        "--with-expired",
        action="store_true",
        help="also sessions that have expired and wait for the cleanup; without, what the "
        "application sees by its SESSION_EXPIRATION_HOURS",
    )


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[SessionService]:
    """A service on the store, for as long as the body runs."""
    from session_store.service import SessionService

    settings = settings_of(arguments.store)
    is_archive = getattr(arguments, "archived", False)
    everything = is_archive or getattr(arguments, "with_expired", False)
    options = _of_expiry(settings, everything=everything)
    storage = settings.storage
    repository = _archive(settings) if is_archive else open_storage(storage, **_options(settings))
    with SessionService(repository, storage=storage, cleanup_interval=None, **options) as service:
        yield service


def settings_of(store: str | None) -> Settings:
    """The settings, with ``store`` in place of where they say. ``SettingsError`` without a store
    that lasts."""
    from session_store.settings import Settings

    given = {} if store is None else _given(storage_of(store), store)
    settings = Settings.load(environ={**os.environ, **given})
    if not settings.persistence_enabled or settings.storage.type == "memory":
        raise SettingsError("what is in memory is another process's own; name a store with --store")
    return settings


def _archive(settings: Settings) -> SessionRepository:
    from session_store.transfer.archive import Archive
    from session_store.transfer.archived import ArchiveRepository

    if settings.archive_path is None:
        raise SettingsError("say where the archive is: SESSION_ARCHIVE_PATH=/srv/archive")
    return ArchiveRepository(Archive(settings.archive_path))


def _given(storage: Storage, url: str) -> dict[str, str]:
    """A memory's type is no setting; it is refused by its URL."""
    types = {} if storage.type == "memory" else {"SESSION_STORAGE_TYPE": storage.type}
    return {"SESSION_PERSISTENCE_ENABLED": "true", "SESSION_STORAGE_URL": url, **types}


def _options(settings: Settings) -> dict[str, Any]:
    from session_store.factory import options_of

    options = options_of(settings)
    if settings.storage.type == "sqlite":
        options["as_is"] = True
    if settings.storage.type == "file":
        _check_there(Path(str(settings.storage.path)))
    return options


def _check_there(directory: Path) -> None:
    """Opening would make the directory."""
    if directory.is_file():
        raise SettingsError(
            f"{directory} is a file; name its directory, or a file that ends in .db"
        )
    if not any(os.path.lexists(directory / name) for name in FILES):
        raise StoreUnavailableError(f"there is no store {directory / FILES[0]}; is the path right?")


def _of_expiry(settings: Settings, *, everything: bool) -> dict[str, Any]:
    """Nothing has expired yet at the beginning of time."""
    if everything:
        return {"expiration_hours": None, "clock": _beginning}
    return {
        "expiration_hours": settings.expiration_hours,
        "expiration_policy": settings.expiration_policy,
    }


def _beginning() -> datetime:
    from datetime import UTC, datetime

    return datetime.min.replace(tzinfo=UTC)
