"""Several that migrate at once, and applications that use the tables meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import create_engine, event

from session_store.backends.sql import schema
from session_store.backends.sql.postgresql import upgrade as postgres_upgrade
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.errors import SchemaError, StoreUnavailableError
from session_store.testing.given import create
from tests.backends.processes import exit_code, forked
from tests.migrations.support import (
    MADE_UP,
    catalog,
    revision_in,
    taking_turns,
    upgrade,
    with_revision,
)
from tests.servers.pgbouncer import PgBouncer

PROCESSES = 8

ADD_COLUMN = "op.add_column(own('sessions'), sa.Column('mood', sa.Text()), schema=schema())"
ADD_INDEX = (
    "with op.get_context().autocommit_block(): op.create_index(own('ix_sessions_status'),"
    " own('sessions'), ['status'], schema=schema(), postgresql_concurrently=True)"
)


def upgraded_by_many(url: str) -> list[int]:
    """How each of the processes ended that upgraded at the same time."""
    return [exit_code(pid) for pid in [forked(lambda: upgrade(url)) for _ in range(PROCESSES)]]


@contextmanager
def reading(url: str) -> Iterator[psycopg.Connection[Any]]:
    """An application that has read from the tables and not ended its transaction."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT count(*) FROM sessions")
        yield connection


@contextmanager
def in_background(*arguments: Any, **said: Any) -> Iterator[Future[None]]:
    """An upgrade in a thread."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(upgrade, *arguments, **said)


def test_behind_pgbouncer_too(pgbouncer: PgBouncer, postgres_url: str) -> None:
    assert upgraded_by_many(pgbouncer.reroute(postgres_url)) == [0] * PROCESSES
    with psycopg.connect(postgres_url) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert connection.execute(query).fetchone() == (0,)
    assert revision_in(postgres_url) == schema.HEAD


def test_who_waits_too_long_for_another_process_is_told(postgres_url: str) -> None:
    with (
        postgres_upgrade.alone(PostgresUrl(postgres_url)),
        pytest.raises(StoreUnavailableError, match=r"migrating .* for 0.2 s") as raised,
    ):
        upgrade(postgres_url, patience=0.2)
    assert "tester" not in str(raised.value)
    assert revision_in(postgres_url) is None
    upgrade(postgres_url)


def test_they_read_while_the_index_of_users_is_made_anew(postgres_url: str) -> None:
    upgrade(postgres_url, "0004")
    made = []

    def read(*arguments: Any) -> None:
        if arguments[2].startswith("CREATE INDEX"):
            made.append(arguments[2])
            with psycopg.connect(postgres_url, options="-c lock_timeout=500") as other:
                other.execute("SELECT count(*) FROM sessions")

    engine = create_engine(f"postgresql+psycopg{postgres_url.removeprefix('postgresql')}")
    event.listen(engine, "after_cursor_execute", read)
    with engine.begin() as connection:
        upgrade(postgres_url, "0005", connection=connection)
    engine.dispose()
    assert len(made) == 1


def test_a_reader_that_never_ends_is_reported(postgres_url: str, tmp_path: Path) -> None:
    upgrade(postgres_url)
    newer = with_revision(tmp_path / "newer", ADD_COLUMN)
    before = catalog(postgres_url)
    with (
        reading(postgres_url),
        pytest.raises(StoreUnavailableError, match="was not changed: other transactions"),
    ):
        upgrade(postgres_url, revisions=newer, patience=0.1)
    assert catalog(postgres_url) == before


def test_two_steps_that_are_locked_out_after_one_do_not_become_three(
    postgres_url: str, tmp_path: Path
) -> None:
    upgrade(postgres_url, schema.REVISIONS[0])
    newer = with_revision(tmp_path / "newer", ADD_COLUMN)
    with reading(postgres_url), pytest.raises(SchemaError, match="0002 is done, the rest"):
        upgrade(postgres_url, "+2", revisions=newer)
    assert revision_in(postgres_url) == "0002"


def test_deadlines_for_applications_do_not_end_a_migration(
    postgres_url: str, tmp_path: Path
) -> None:
    upgrade(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            database = Identifier(connection.info.dbname)
            connection.execute(
                SQL("ALTER DATABASE {} SET {} = '100ms'").format(database, SQL(name))
            )
    slow = (
        "op.execute('SELECT pg_sleep(0.3)'); import time; time.sleep(0.3); op.execute('SELECT 1')"
    )
    upgrade(postgres_url, revisions=with_revision(tmp_path / "newer", slow))
    assert revision_in(postgres_url) == MADE_UP


def test_an_index_can_be_built_while_another_process_waits_to_migrate(
    postgres_url: str, tmp_path: Path
) -> None:
    upgrade(postgres_url)
    newer = with_revision(tmp_path / "newer", ADD_INDEX)
    ended = [
        exit_code(pid)
        for pid in [forked(lambda: upgrade(postgres_url, revisions=newer)) for _ in range(2)]
    ]
    assert ended == [0, 0]
    assert "ix_sessions_status" in catalog(postgres_url)["relations"]


def test_an_open_application_keeps_working_through_an_upgrade(
    postgres_url: str, tmp_path: Path
) -> None:
    upgrade(postgres_url)
    newer = with_revision(tmp_path / "newer", ADD_COLUMN)
    with open_postgres(postgres_url) as store:
        create(store)
        with taking_turns(store):
            upgrade(postgres_url, revisions=newer)
