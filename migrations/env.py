"""How Alembic reaches a store: of the environment or ``.env``, or a connection that is passed in.

Ours is a library in other people's databases: the version table has its own name, tables that are
not ours are not looked at, and a host's logging stays as it is.

What can be said is said by ``alembic -x name=value``, by the configuration's ``attributes``, or in
the section of the ini file: ``url`` (there ``sqlalchemy.url``), ``schema``, ``prefix``. Attributes
may also hold a ``connection``, or a ``file``, an SQLite store, with the ``names`` of its tables,
and ``on_set_aside``, which is told of rows that could not stay where they were.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from configparser import InterpolationError
from logging.config import fileConfig
from pathlib import Path
from typing import Any

from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData

from session_store.backends import NO_DRIVER, sqlite_file
from session_store.backends.sql import schema
from session_store.backends.sql.names import PLAIN, Names
from session_store.backends.sql.postgresql import layout as postgres_layout
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.backends.sql.sqlite.file import located
from session_store.backends.sql.sqlite.upgrade import upgrading
from session_store.backends.sql.tables import tables_of
from session_store.cli.target import NOWHERE, Target, target
from session_store.errors import SchemaError, SessionStoreError, SettingsError

config = context.config

done: list[str] = []
"""The revisions that were applied or undone."""


def applied(step: Any, **_: Any) -> None:
    done.append(", ".join(step.up_revision_ids))


def said(name: str, in_file: str) -> str | None:
    arguments = context.get_x_argument(as_dictionary=True)
    try:
        in_section = config.get_main_option(in_file)
    except InterpolationError:
        raise SettingsError(f"write %% for each % of {in_file} in the ini file") from None
    return arguments.get(name) or config.attributes.get(name) or in_section


def wanted(url: str | None = None) -> Target:
    return target(
        url or said("url", in_file="sqlalchemy.url"),
        said("schema", in_file="schema"),
        said("prefix", in_file="prefix"),
    )


def options(names: Names) -> dict[str, Any]:
    return {
        "names": names,
        "version_table": f"{names.prefix}{schema.VERSION_TABLE}",
        "version_table_schema": names.schema,
        # A migration that fails leaves nothing of itself, on SQLite too, where it is not the
        # default.
        "transactional_ddl": True,
        "on_version_apply": [applied, *config.attributes.get("on_version_apply", ())],
        "on_set_aside": config.attributes.get("on_set_aside"),
    }


def only(metadata: MetaData) -> Callable[[str | None, str, Any], bool]:
    """Leaves everybody else's tables out of the comparison."""
    tables = {table.name for table in metadata.tables.values()}
    ours: dict[str, set[Any]] = {"schema": {metadata.schema}, "table": tables}
    return lambda name, type_, _: type_ not in ours or name in ours[type_]


def configure(connection: Connection, names: Names) -> None:
    dialect = connection.dialect
    # Alembic calls the default schema None.
    own_schema = None if names.schema == dialect.default_schema_name else names.schema
    metadata = tables_of(names._replace(schema=own_schema), dialect.name).metadata
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=only(metadata),
        include_schemas=own_schema is not None,
        compare_server_default=True,
        render_as_batch=dialect.name == "sqlite",
        transaction_per_migration=True,
        **options(names),
    )


def run_on(connection: Connection) -> None:
    """In the caller's transaction, if there is one."""
    names = wanted(NOWHERE[connection.dialect.name]).names
    configure(connection, names)
    do(connection, names, "the database")


def run_on_file(path: Path, names: Names, patience: float = schema.PATIENCE) -> None:
    with upgrading(path, patience, names) as connection:
        configure(connection, names)
        do(connection, names, str(path))


def run_on_server(url: PostgresUrl, names: Names) -> None:
    try:
        from session_store.backends.sql.postgresql import upgrade as server
    except ImportError:
        raise SettingsError(NO_DRIVER) from None

    patience = config.attributes.get("patience", server.PATIENCE)
    with server.connection_to(url) as connection:
        configure(connection, names)
        if compares() or only_looks():
            do(connection, names, url.shown)
        else:
            with server.alone(url, patience):
                server.patiently(lambda: do(connection, names, url.shown), connection, patience)


def do(connection: Connection, names: Names, place: str) -> None:
    """What was asked for, unless on PostgreSQL another program's tables are in the way."""
    if connection.dialect.name == "postgresql" and not only_looks():
        look = postgres_layout.layout(lambda text: rows(connection, text), names, place)
        if compares():
            look.check_current(known(), (*schema.TABLES, schema.VIEW))
        else:
            look.check_upgradable(known())
            make_schema(connection, names.schema)
    destination = context.get_context().opts.get("destination_rev")
    if done and str(destination).startswith(("+", "-")):  # +2 would now be two more
        raise SchemaError(f"{', '.join(done)} is done, the rest was locked out: run that again")
    context.run_migrations()


def compares() -> bool:
    """By ``check`` or ``revision --autogenerate``."""
    return "revision_context" in context.get_context().opts


def only_looks() -> bool:
    """By ``current``."""
    return bool(context.get_context().opts.get("dont_mutate"))


def make_schema(connection: Connection, name: str | None) -> None:
    """Only when it is missing: IF NOT EXISTS asks for the privilege to make one even when not."""
    query = f"SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '{name}'"
    if name is not None and not rows(connection, query):
        connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')


def rows(connection: Connection, query: str) -> Sequence[Any]:
    return connection.exec_driver_sql(query).fetchall()


def known() -> list[str]:
    """The revisions that there are, the oldest first."""
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    return [script.revision for script in scripts][::-1]


def run_migrations_online() -> None:
    given = config.attributes
    if "connection" in given:
        run_on(given["connection"])
    elif "file" in given:
        run_on_file(given["file"], given.get("names", PLAIN), given["patience"])
    else:
        storage, names = wanted()
        if storage.url is not None:
            run_on_server(storage.url, names)
        else:
            run_on_file(located(sqlite_file(str(storage.path))), names)


def run_migrations_offline() -> None:
    """One transaction, whole or not at all for those who run it by hand."""
    storage, names = wanted()
    context.configure(dialect_name=storage.type, literal_binds=True, **options(names))
    with context.begin_transaction():
        if storage.type == "postgresql":
            context.execute(f"SET LOCAL lock_timeout = '{schema.LOCK_TIMEOUT}'")
        if names.schema is not None and not context.get_starting_revision_argument():
            context.execute(f'CREATE SCHEMA IF NOT EXISTS "{names.schema}"')
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
