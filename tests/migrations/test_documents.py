"""The SQL of the revisions, for people who run it without Python, and the page on the schema."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from docs import generate
from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.backends.sql.postgresql.layout import check_current
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.testing.given import create
from tests.migrations.support import ROOT, catalog, config, upgrade
from tests.migrations.test_sqlite_revisions import definitions
from tests.servers.postgres import PostgresServer

SQL = ROOT / "docs" / "sql"
DOCUMENTS = generate.documents()


def offline(url: str, revision: str = "head", **said: Any) -> str:
    made = config(url, **said)
    made.output_buffer = io.StringIO()
    move = command.downgrade if revision.endswith("base") else command.upgrade
    move(made, revision, sql=True)
    return made.output_buffer.getvalue()


def run_by_hand(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql)


def test_the_revisions_are_those_that_stores_are_opened_at() -> None:
    scripts = ScriptDirectory(str(schema.migrations())).walk_revisions()
    assert tuple(script.revision for script in scripts)[::-1] == schema.REVISIONS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_docs_say_is_current(path: Path) -> None:
    assert path.read_text() == DOCUMENTS[path], "run: python docs/generate.py"


def test_postgresqls_file_makes_a_store(postgres_server: PostgresServer, postgres_url: str) -> None:
    run_by_hand(postgres_url, (SQL / "postgresql.sql").read_text())
    by_alembic = postgres_server.create_database()
    upgrade(by_alembic)
    assert catalog(postgres_url) == catalog(by_alembic)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        check_current(connection, Names(), "a database")
    with open_postgres(postgres_url) as store:
        create(store, history=["hi"])


def test_its_sql_with_other_names_makes_the_same(postgres_url: str) -> None:
    said: dict[str, Any] = {"schema": "zz9", "prefix": "yy8_"}
    run_by_hand(postgres_url, offline("postgresql:///", **said))
    run_by_hand(postgres_url, offline("postgresql:///"))
    assert catalog(postgres_url, Names("zz9", "yy8_")) == catalog(postgres_url)
    run_by_hand(postgres_url, offline("postgresql:///", f"{schema.HEAD}:base", **said))
    left = set(catalog(postgres_url, Names("zz9", "yy8_"))["relations"])
    assert {name for name in left if not name.startswith(schema.VERSION_TABLE)} == set()


def test_all_of_it_is_one_transaction(postgres_url: str) -> None:
    run_by_hand(postgres_url, "CREATE TABLE shared_states (theirs int)")
    with pytest.raises(psycopg.errors.DuplicateTable):
        run_by_hand(postgres_url, (SQL / "postgresql.sql").read_text())
    assert set(catalog(postgres_url)["relations"]) == {"shared_states"}


def test_sqlites_file_makes_a_store(tmp_path: Path) -> None:
    opened, by_hand = tmp_path / "opened.db", tmp_path / "by hand.db"
    with closing(sqlite3.connect(by_hand)) as connection:
        connection.executescript((SQL / "sqlite.sql").read_text())
    with open_sqlite(opened):
        assert definitions(by_hand) == definitions(opened)
    with open_sqlite(by_hand) as store:
        create(store)
    with closing(sqlite3.connect(by_hand)) as connection:
        connection.executescript(offline("sqlite:///unused.db", "head:base"))
    assert set(definitions(by_hand)) <= {schema.VERSION_TABLE}  # older Alembics drop it
