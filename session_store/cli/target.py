"""Which database a migration is about: that of its arguments, or else of the settings."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from session_store.backends import Storage, storage_of
from session_store.backends.sql.names import Names, checked_names
from session_store.errors import SettingsError
from session_store.settings import Settings

NOWHERE: Final = {"postgresql": "postgresql:///", "sqlite": "sqlite:///sessions.db"}
"""A URL by dialect, for SQL that is only written."""


class Target(NamedTuple):
    """A database that Alembic versions, and what the tables are called in it."""

    storage: Storage
    names: Names

    @property
    def place(self) -> str:
        """As it may be shown."""
        return str(self.storage.path)


def target(url: str | None, schema: str | None = None, prefix: str | None = None) -> Target:
    """What is ``None`` comes from the environment or ``.env``.

    ``SettingsError`` when that is no database.
    """
    given = {"POSTGRES_SCHEMA": schema, "POSTGRES_TABLE_PREFIX": prefix}
    if url is not None:
        given |= {"STORAGE_URL": url, "STORAGE_TYPE": _database(storage_of(url)).type}
    overrides = {f"SESSION_{name}": value for name, value in given.items() if value is not None}
    settings = Settings.load(environ={**os.environ, **overrides})
    storage = _database(settings.storage)
    if storage.type == "postgresql":
        return Target(storage, Names(settings.postgres_schema, settings.postgres_table_prefix))
    if schema:
        raise SettingsError("a schema is for PostgreSQL; leave it out")
    return Target(storage, checked_names(None, prefix or ""))


def _database(storage: Storage) -> Storage:
    if storage.type in NOWHERE and storage.path:
        return storage
    raise SettingsError(
        "name a database: SESSION_STORAGE_URL=postgresql://user@host/database, or "
        "sqlite:////srv/app/sessions.db"
    )
