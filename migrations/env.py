"""How Alembic reaches a store: of the environment or ``.env``, or a connection that is passed in.

Ours is a library in other people's databases: the version table has its own name, tables that are
not ours are not looked at, and a host's logging stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from logging.config import fileConfig
from pathlib import Path
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, create_engine, make_url

from session_store.backends import Storage, sqlite_file, storage_of
from session_store.backends.sql.database_file import located
from session_store.backends.sql.schema import VERSION_TABLE
from session_store.backends.sql.sqlite_upgrade import upgrading
from session_store.backends.sql.tables import Base
from session_store.errors import SessionStoreError, SettingsError
from session_store.settings import Settings

config = context.config


def include_name(name: str | None, type_: str, _parents: Any) -> bool:
    return type_ != "table" or name in Base.metadata.tables


OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "version_table": VERSION_TABLE,
    "include_name": include_name,
    # A migration that fails leaves nothing of itself, on SQLite too, where it is not the default.
    "transactional_ddl": True,
    "transaction_per_migration": True,
}


def database() -> Path | URL:
    """That of ``alembic -x url=…``, of the ini file, or of the settings, in this order."""
    argument = context.get_x_argument(as_dictionary=True).get("url")
    url = argument or config.get_main_option("sqlalchemy.url")
    if url and url.startswith("postgres"):
        return make_url(url).set(drivername="postgresql+psycopg")
    storage = storage_of(url) if url else configured()
    if storage.type != "sqlite" or not storage.path:
        raise SettingsError("name a database: SESSION_STORAGE_URL=sqlite:////srv/app/sessions.db")
    return located(sqlite_file(storage.path))


def configured() -> Storage:
    settings = Settings.load()
    if settings.storage_url:
        return storage_of(settings.storage_url)
    return Storage(settings.storage_type, settings.storage_path)


@contextmanager
def connected() -> Iterator[Connection]:
    """The connection that was passed in, in its transaction; or one to the store."""
    given = config.attributes
    if "connection" in given:
        yield given["connection"]
    elif "file" in given:
        with upgrading(given["file"], given["patience"]) as connection:
            yield connection
    elif isinstance(target := database(), Path):
        with upgrading(target) as connection:
            yield connection
    else:
        engine = create_engine(target, poolclass=NullPool, hide_parameters=True)
        with engine.connect() as connection:
            yield connection


def run_migrations_offline() -> None:
    dialect = "sqlite" if isinstance(database(), Path) else "postgresql"
    context.configure(dialect_name=dialect, literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    with connected() as connection:
        batch = connection.dialect.name == "sqlite"
        context.configure(connection=connection, render_as_batch=batch, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()


def configure_logging() -> None:
    """For the command line only, which has no host; an ini file need not say anything about it."""
    is_wanted = config.config_file_name and config.file_config.has_section("loggers")
    if is_wanted and not logging.getLogger().handlers:
        fileConfig(str(config.config_file_name), disable_existing_loggers=False)


def run_from_the_command_line() -> None:
    """Alembic prints a ``CommandError`` as one line."""
    configure_logging()
    try:
        run()
    except SessionStoreError as error:
        raise CommandError(str(error)) from None


def run() -> None:
    if context.is_offline_mode():
        run_migrations_offline()
    else:
        run_migrations_online()


if config.cmd_opts:
    run_from_the_command_line()
else:
    run()
