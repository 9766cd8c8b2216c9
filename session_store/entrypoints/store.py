"""The store that a command is about: that of ``--store``, or else of the settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from session_store.backends import Storage, storage_of
from session_store.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from session_store.settings import Settings


def add_store_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        metavar="URL",
        help="the store: its URL, its directory, or its .db file; default: the settings of the "
        "environment and .env",
    )


def settings_of(store: str | None) -> Settings:
    """The settings, with ``store`` in place of where they say. ``SettingsError`` without a store
    that lasts."""
    from session_store.settings import Settings

    given = {} if store is None else _given(storage_of(store), store)
    settings = Settings.load(environ={**os.environ, **given})
    if not settings.persistence_enabled or settings.storage.type == "memory":
        raise SettingsError("what is in memory is another process's own; name a store with --store")
    return settings


def _given(storage: Storage, url: str) -> dict[str, str]:
    """A memory's type is no setting; it is refused by its URL."""
    types = {} if storage.type == "memory" else {"SESSION_STORAGE_TYPE": storage.type}
    return {"SESSION_PERSISTENCE_ENABLED": "true", "SESSION_STORAGE_URL": url, **types}
