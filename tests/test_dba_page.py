"""docs/dba.md: every SQL block runs on a store, which goes on working afterwards."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.errors import StoreUnavailableError
from session_store.session import SessionKey, Status
from session_store.testing.given import KEY, at, change, count, create, load, messages, seqs
from tests.servers.binaries import postgres_folders
from tests.servers.fixtures import do_without
from tests.servers.postgres import PostgresServer
from tests.servers.stores import upgrade

PAGE = Path(__file__).parent.parent.joinpath("docs", "dba.md").read_text()
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
BACKUP = re.findall(r"```sh\n(.*?)```", PAGE[PAGE.index("## Backup") :], re.DOTALL)[:2]
COUNTS = re.findall(r"```sql\n(.*?)```", PAGE[PAGE.index("## How many") :], re.DOTALL)[:3]
APART = PAGE[PAGE.index("## Row-level") :].split("```sql\n")[1].split("```")[0]
PRIVILEGES = re.findall(r"```sql\n(.*?)```", PAGE[PAGE.index("## Privileges") :], re.DOTALL)[:4]
NEEDS_AN_EXTENSION = "FROM pg_stat_statements"
ROLES = ("session_store_owner", "session_store_app", "session_store_reader", "app")


@pytest.fixture
def connection(
    own_postgres_server: PostgresServer, postgres_url: str
) -> Iterator[psycopg.Connection]:
    """To a new store. Roles are the whole server's, so it must be one of ours."""
    upgrade(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as opened:
        yield opened
        for role in ROLES:
            there = opened.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
            if there.fetchone():
                opened.execute(f"DROP OWNED BY {role} CASCADE")
                opened.execute(f"DROP ROLE {role}")


def run(connection: psycopg.Connection, block: str) -> None:
    connection.execute(block, prepare=False)


def test_every_block_runs_and_the_store_goes_on(
    connection: psycopg.Connection, postgres_url: str
) -> None:
    with open_postgres(postgres_url) as store:
        for n in range(20):
            create(store, SessionKey("app", "ada", f"{n}"), history=["a", "b"])
        create(store)
        connection.execute("UPDATE sessions SET updated_at = now() WHERE session_id = 's1'")
        for block in BLOCKS:
            if NEEDS_AN_EXTENSION not in block:
                run(connection, block)
        assert count(store) == 1, "the blocks on retention have removed the others"
        change(store, entries=messages("a", "b"))
        assert seqs(load(store)) == [1, 2]
        kind = "SELECT relkind = 'p' FROM pg_class WHERE relname = 'session_entries'"
        assert connection.execute(kind).fetchall() == [(True,)], "it is partitioned now"


def test_the_page_has_the_blocks_that_this_test_is_about() -> None:
    assert len(BLOCKS) == PAGE.count("```sql") >= 30
    assert sum(NEEDS_AN_EXTENSION in block for block in BLOCKS) == 1


def test_an_application_needs_no_more_privileges_than_the_page_gives(
    connection: psycopg.Connection, postgres_url: str
) -> None:
    for block in PRIVILEGES:
        run(connection, block)
    with open_postgres(f"{postgres_url}?options=-c%20role%3Dsession_store_app") as store:
        create(store, history=["a"])
        change(store, entries=messages("b"), state={"n": 1}, app_state={"m": 2})
        assert load(store).last_seq == 2
        assert store.stats(at()).total_sessions == count(store) == 1
        assert store.remove_expired(at(100, idle_cutoff=50), 10) == 1
    with open_postgres(f"{postgres_url}?options=-c%20role%3Dsession_store_owner") as store:
        create(store, KEY)


def test_those_who_only_look_see_no_content(
    connection: psycopg.Connection, postgres_url: str
) -> None:
    for block in PRIVILEGES:
        run(connection, block)
    with psycopg.connect(postgres_url, options="-c role=session_store_reader") as reader:
        assert reader.execute("SELECT * FROM session_overview").fetchall() == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("SELECT state FROM sessions")
    with pytest.raises(StoreUnavailableError, match="privilege"):
        open_postgres(f"{postgres_url}?options=-c%20role%3Dsession_store_reader")


def test_a_role_that_sees_its_own_sessions_is_told_of_those(
    connection: psycopg.Connection, postgres_url: str
) -> None:
    for block in (*PRIVILEGES, APART, "CREATE ROLE app IN ROLE session_store_app"):
        run(connection, block)
    with open_postgres(postgres_url) as store:
        create(store, SessionKey("other", "ada", "1"), status=Status.RUNNING)
    with open_postgres(f"{postgres_url}?options=-c%20role%3Dapp") as store:
        create(store, SessionKey("app", "ada", "1"))
        stats = store.stats(at())
    assert (stats.total_sessions, stats.active_sessions) == (1, 0)
    kept = "SELECT sum(total), sum(running) FROM session_counts"
    assert connection.execute(kept).fetchone() == (2, 1)
    with psycopg.connect(postgres_url, options="-c role=app") as bound:
        assert bound.execute(kept).fetchone() == (None, None)


def test_counts_that_differ_are_seen_and_made_right(
    connection: psycopg.Connection, postgres_url: str
) -> None:
    difference, triggers, again = COUNTS
    with open_postgres(postgres_url) as store:
        create(store, SessionKey("app", "ada", "1"))
        run(connection, "ALTER TABLE sessions DISABLE TRIGGER USER")
        create(store, SessionKey("app", "ada", "2"), status=Status.RUNNING)
    assert connection.execute(difference).fetchone() == (1, 2, 0, 1)
    assert {on for _, on in connection.execute(triggers)} == {"D"}
    run(connection, again)
    assert connection.execute(difference).fetchone() == (2, 2, 1, 1)
    assert [on for _, on in connection.execute(triggers)] == ["O"] * 4


def test_a_backup_is_the_whole_store(
    own_postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    folder = next((each for each in postgres_folders() if (each / "pg_dump").exists()), None)
    if folder is None:
        do_without("there is no pg_dump")
    upgrade(postgres_url)
    with open_postgres(postgres_url) as store:
        create(store, KEY, history=["a"], status=Status.RUNNING)
    other = own_postgres_server.create_database()
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "URL": postgres_url, "OTHER_URL": other}
    for block in BACKUP:
        subprocess.run(["bash", "-ec", block], cwd=tmp_path, env=variables, check=True)
    with open_postgres(other) as store:
        create(store, SessionKey("app", "ada", "more"))
        assert seqs(load(store, KEY)) == [1]
        stats = store.stats(at())
    assert (stats.total_sessions, stats.active_sessions) == (2, 1)
    own_postgres_server.drop_database(other)
