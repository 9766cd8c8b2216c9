"""What the application says of a database at its start, and what an upgrade refuses to touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command

from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.backends.sql.postgresql.layout import check_current
from session_store.errors import SchemaError
from tests.migrations.support import catalog, config, downgrade, upgrade, with_revision

ADK = """CREATE TABLE {} (
    app_name varchar(128), user_id varchar(128), id varchar(128), state jsonb,
    create_time timestamp, update_time timestamp, PRIMARY KEY (app_name, user_id, id))"""
"""As the DatabaseSessionService of google-adk makes it."""


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def check(url: str, names: Names = Names()) -> None:  # noqa: B008
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = on")
        check_current(connection, names, "postgresql://db.example/app")


def refused(url: str, names: Names = Names()) -> str:  # noqa: B008
    with pytest.raises(SchemaError) as raised:
        check(url, names)
    return str(raised.value)


@pytest.mark.parametrize(
    "names", [Names(), Names("zz9", ""), Names(None, "yy8_"), Names("zz9", "yy8_")], ids=str
)
def test_current_tables_are_accepted(postgres_url: str, names: Names) -> None:
    upgrade(postgres_url, schema=names.schema, prefix=names.prefix)
    check(postgres_url, names)


def test_it_takes_two_statements(postgres_url: str) -> None:
    upgrade(postgres_url)
    sent = []

    class Counting(psycopg.Connection[Any]):
        def execute(self, query: Any, *args: Any, **options: Any) -> psycopg.Cursor[Any]:
            sent.append(query)
            return super().execute(query, *args, **options)

    with Counting.connect(postgres_url, autocommit=True) as connection:
        check_current(connection, Names(), "here")
    assert len(sent) == 2


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (Names(), ""),
        (Names("zz9", ""), " --schema zz9"),
        (Names("zz9", "yy8_"), " --schema zz9 --prefix yy8_"),
    ],
)
def test_an_empty_database_is_told_the_command(
    postgres_url: str, names: Names, options: str
) -> None:
    assert refused(postgres_url, names) == (
        "postgresql://db.example/app has no session tables: "
        f"run `session-store db upgrade{options}`"
    )


def test_tables_that_were_removed_are_missing_again(postgres_url: str) -> None:
    upgrade(postgres_url)
    downgrade(postgres_url, "base")
    assert "has no session tables" in refused(postgres_url)


def test_an_older_revision_is_told_the_command(postgres_url: str) -> None:
    upgrade(postgres_url, schema.REVISIONS[0])
    assert refused(postgres_url) == (
        f"postgresql://db.example/app is at revision {schema.REVISIONS[0]}, and this release needs "
        f"{schema.HEAD}: run `session-store db upgrade`"
    )


def test_a_newer_revision_asks_for_the_newer_release(postgres_url: str, tmp_path: Path) -> None:
    upgrade(postgres_url, revisions=with_revision(tmp_path / "newer", "pass"))
    before = catalog(postgres_url)
    assert "install the newer session-store" in refused(postgres_url)
    with pytest.raises(SchemaError, match="is at revision 9999, which this release does not know"):
        upgrade(postgres_url)
    assert catalog(postgres_url) == before


def test_another_programs_table_is_named_and_left_alone(postgres_url: str) -> None:
    run(postgres_url, ADK.format("sessions"), "INSERT INTO sessions VALUES ('a', 'u', 's', '{}')")
    before = catalog(postgres_url)
    said = refused(postgres_url)
    for part in ("another program's table (google-adk)", "SESSION_POSTGRES_SCHEMA", "--prefix"):
        assert part in said
    with pytest.raises(SchemaError, match="google-adk"):
        upgrade(postgres_url, schema=None)
    assert catalog(postgres_url) == before
    upgrade(postgres_url, prefix="yy8_")
    check(postgres_url, Names(None, "yy8_"))


def test_another_programs_table_in_our_schema_is_refused_before_anything_is_made(
    postgres_url: str,
) -> None:
    run(postgres_url, "CREATE SCHEMA zz9", ADK.format("zz9.sessions"))
    before = catalog(postgres_url, Names("zz9", ""))
    with pytest.raises(SchemaError, match=r'"zz9".sessions in .* is another program'):
        upgrade(postgres_url, schema="zz9")
    assert catalog(postgres_url, Names("zz9", "")) == before
    upgrade(postgres_url)  # in another schema, whose sessions are ours
    check(postgres_url)


@pytest.mark.parametrize(
    "name", ["session_entries", "shared_states", "session_quarantine", "session_overview"]
)
def test_each_of_our_names_may_be_anothers(postgres_url: str, name: str) -> None:
    run(postgres_url, f"CREATE TABLE {name} (theirs int)")
    said = f"{name} in .* is another program's table \\(unknown\\)"
    with pytest.raises(SchemaError, match=said):
        upgrade(postgres_url)
    with pytest.raises(SchemaError, match=said):
        check(postgres_url)


def test_a_table_of_ours_that_is_missing_is_named(postgres_url: str) -> None:
    upgrade(postgres_url)
    run(postgres_url, "DROP TABLE shared_states")
    assert "lacks shared_states: restore a backup" in refused(postgres_url)


def test_the_view_may_be_missing_while_the_application_runs(postgres_url: str) -> None:
    upgrade(postgres_url)
    run(postgres_url, "DROP VIEW session_overview")
    check(postgres_url)


def test_tables_without_a_record_can_be_recorded(postgres_url: str) -> None:
    upgrade(postgres_url)
    run(postgres_url, f"DROP TABLE {schema.VERSION_TABLE}")
    assert f"session-store db stamp {schema.HEAD}" in refused(postgres_url)
    with pytest.raises(SchemaError, match="db stamp"):
        upgrade(postgres_url)
    command.stamp(config(postgres_url), schema.HEAD)
    check(postgres_url)
