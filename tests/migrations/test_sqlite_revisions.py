"""The revisions on SQLite: up, down, beside other people's tables, and equal to the models."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.backends.sql.sqlite import upgrade as sqlite_upgrade
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.backends.sql.tables import tables_of
from session_store.backends.sql.tables_ddl import VIEW
from session_store.testing.given import count, create, load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def config(path: Path) -> Config:
    """Alembic as the command line has it, without its process."""
    made = schema.config()
    made.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    return made


@contextmanager
def connection_to(path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def definitions(path: Path) -> dict[str, str]:
    """Each table, index, trigger and view with its text, whose spaces mean nothing."""
    query = "SELECT name, sql FROM sqlite_master WHERE sql <> '' AND name <> 'sqlite_sequence'"
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(query).fetchall()
    return {name: re.sub(r"\s+", " ", sql.replace('"', "")) for name, sql in found}


def pragma(path: Path, name: str) -> Any:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def differences(connection: Connection) -> list[Any]:
    models = tables_of(Names(), "sqlite").metadata
    options = {"include_name": lambda name, type_, _: type_ != "table" or name in models.tables}
    context = MigrationContext.configure(connection, opts=options)
    found: list[Any] = compare_metadata(context, models)
    return found


class TestRevisions:
    def test_each_goes_up_down_and_up(self, config: Config, path: Path) -> None:
        states: dict[str, dict[str, str]] = {}
        for revision in schema.REVISIONS:
            command.upgrade(config, revision)
            states[revision] = definitions(path)
        for revision in schema.REVISIONS[-2::-1]:
            command.downgrade(config, revision)
            assert definitions(path) == states[revision]
        command.downgrade(config, "base")
        assert set(definitions(path)) == {schema.VERSION_TABLE}
        assert pragma(path, "application_id") == 0
        command.upgrade(config, "head")
        assert definitions(path) == states[schema.HEAD]

    def test_they_make_what_the_models_say(self, config: Config, path: Path) -> None:
        command.upgrade(config, "head")
        with connection_to(path) as connection:
            assert differences(connection) == []
        command.check(config)

    def test_the_models_make_what_they_say(self, config: Config, path: Path) -> None:
        command.upgrade(config, "head")
        modelled = path.with_name("modelled.db")
        with connection_to(modelled) as connection:
            tables_of(Names()).metadata.create_all(connection)
        migrated = definitions(path)
        del migrated[schema.VERSION_TABLE]
        assert definitions(modelled) == migrated
        assert definitions(modelled)["session_overview"] == re.sub(
            r"\s+", " ", Names().placed(VIEW)
        )

    def test_a_check_would_notice_a_difference(self, config: Config, path: Path) -> None:
        command.upgrade(config, "head")
        with connection_to(path) as connection:
            connection.execute(text("DROP INDEX ix_sessions_user"))
            assert differences(connection) != []

    def test_everything_is_named_and_commented(self) -> None:
        for table in tables_of(Names()).metadata.tables.values():
            assert table.comment
            assert [column.name for column in table.columns if not column.comment] == []
            assert [each for each in table.constraints if not each.name] == []
            assert all(str(index.name).startswith(f"ix_{table.name}_") for index in table.indexes)

    def test_a_failing_one_leaves_nothing(self, tmp_path: Path, path: Path) -> None:
        shutil.copytree(schema.migrations(), tmp_path / "migrations")
        (tmp_path / "migrations" / "versions" / "9999_failing.py").write_text(FAILING)
        with open_sqlite(path) as store:
            create(store, history=["kept"])
        before = definitions(path)
        config = Config()
        config.set_main_option("script_location", str(tmp_path / "migrations"))
        config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
        with pytest.raises(ZeroDivisionError):
            command.upgrade(config, "head")
        assert definitions(path) == before
        with open_sqlite(path) as store:
            assert load(store).last_seq == 1

    def test_a_store_behind_is_upgraded_when_it_is_opened(self, config: Config, path: Path) -> None:
        with open_sqlite(path) as store:
            create(store, history=["kept"])
        for revision in ("0001", "base"):
            command.downgrade(config, revision)
            with open_sqlite(path) as store:
                assert count(store) == (revision != "base")
            assert revision_of(path) == schema.HEAD


def revision_of(path: Path) -> str | None:
    with connection_to(path) as connection:
        options = {"version_table": schema.VERSION_TABLE}
        return MigrationContext.configure(connection, opts=options).get_current_revision()


FAILING = """
from alembic import op
revision, down_revision = "9999", "0006"
def upgrade():
    op.execute("DELETE FROM sessions")
    op.drop_table("session_entries")
    1 / 0
"""


class TestOtherPeoplesDatabases:
    def test_their_tables_are_not_looked_at(self, config: Config, path: Path) -> None:
        command.upgrade(config, "head")
        with connection_to(path) as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
            connection.execute(text("CREATE TABLE theirs (id INTEGER PRIMARY KEY)"))
        command.check(config)

    def test_a_connection_that_is_passed_in_is_used(self, path: Path) -> None:
        config = schema.config()
        with sqlite_upgrade.upgrading(path) as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        with open_sqlite(path) as store:
            create(store)

    def test_what_it_did_is_undone_with_its_transaction(self, path: Path) -> None:
        def upgrade_and_fail() -> None:
            config = schema.config()
            with sqlite_upgrade.upgrading(path) as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            upgrade_and_fail()
        assert os.listdir(path.parent) == []
