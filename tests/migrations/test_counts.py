"""Revision 0004, which begins to count: on stores that are full, in use, or written by roles that
may not do much."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, exc

from session_store.backends.sql import schema
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.errors import StoreUnavailableError
from session_store.session import SessionKey, Status
from session_store.testing.given import at, change, create, deletion, messages
from tests.backends.counted import Database, File
from tests.migrations.support import downgrade, revision_in, upgrade
from tests.servers.postgres import PostgresServer

BEFORE = "0003"
ROLE = "Session-Store-test"
"""A name that SQL has to quote."""


@pytest.mark.parametrize("names", [{}, {"schema": "zz9", "prefix": "yy8_"}], ids=str)
def test_what_a_store_holds_is_counted(postgres_url: str, names: dict[str, str]) -> None:
    upgrade(postgres_url, BEFORE, **names)
    table = "zz9.yy8_{}" if names else "{}"
    database = Database(postgres_url)
    for n, status in enumerate(("running", "created", "failed")):
        insert = database.insert(n * 100, n * 100 + 9, status)
        database.run(insert.replace("INTO sessions", f"INTO {table.format('sessions')}"))
    upgrade(postgres_url, **names)
    kept = f"SELECT total, running FROM {table.format('session_counts')}"
    assert database.run(kept) == [(30, 10)]


def test_a_file_that_is_opened_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    place = File(path)
    for n in range(2):
        with place.open() as store:
            create(store, SessionKey("app", "ada", f"{n}"), status=Status.RUNNING)
        downgrade(f"sqlite:///{path}", BEFORE)
        place.run(place.insert(n * 100, n * 100 + 9, "created"))
    with place.open() as store:
        assert place.check() == (22, 2)
        create(store, history=["a"])
        assert place.check() == (23, 2)


def busy(store: SqlRepository, name: str, stop: threading.Event) -> None:
    """Makes sessions, sets them running and removes some."""
    for n in count():
        if stop.is_set():
            return
        create(store, SessionKey("app", name, f"{n}"))
        change(store, SessionKey("app", name, f"{n}"), entries=messages("a"))
        if n % 3 == 0:
            store.commit([deletion(SessionKey("app", name, f"{n // 2}"))])


def test_what_is_written_meanwhile_is_counted_once(postgres_url: str) -> None:
    """By an application that began before there was anything that counts."""
    upgrade(postgres_url)
    stop = threading.Event()
    with open_postgres(postgres_url) as store, ThreadPoolExecutor(4) as threads:
        downgrade(postgres_url, BEFORE)
        working = [threads.submit(busy, store, name, stop) for name in ("ada", "bob", "eve")]
        time.sleep(0.3)
        try:
            upgrade(postgres_url)
            time.sleep(0.3)
        finally:
            stop.set()
        for each in working:
            each.result()
    total, running = Database(postgres_url).check()
    assert 30 < running <= total


@pytest.fixture
def grant(
    own_postgres_server: PostgresServer, postgres_url: str
) -> Iterator[Callable[[str], object]]:
    """Gives a privilege to a role that owns nothing."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE ROLE "{ROLE}"')
        try:
            yield lambda privilege: connection.execute(f'GRANT {privilege} TO "{ROLE}"')
        finally:
            connection.execute(f'DROP OWNED BY "{ROLE}" CASCADE')
            connection.execute(f'DROP ROLE "{ROLE}"')


def as_role(url: str, statement: str) -> None:
    with psycopg.connect(url, options=f"-c role={ROLE}") as connection:
        connection.execute(statement)


@pytest.mark.parametrize("granted_at", [BEFORE, "head"])
def test_who_may_write_sessions_needs_nothing_else(
    postgres_url: str, grant: Callable[[str], object], granted_at: str
) -> None:
    database = Database(postgres_url)
    upgrade(postgres_url, granted_at)
    grant("INSERT, TRUNCATE ON sessions, session_entries")
    upgrade(postgres_url)
    database.run("SELECT setval(pg_get_serial_sequence('session_counts', 'id'), 1000, false)")
    as_role(postgres_url, database.insert(1, 5, "running"))
    assert database.check() == (5, 5)
    as_role(postgres_url, "TRUNCATE sessions, session_entries")
    assert database.check() == (0, 0)


MISCOUNT = """CREATE TEMP TABLE own (status text);
CREATE TRIGGER own AFTER INSERT ON own REFERENCING NEW TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION session_counts_keep()"""


@pytest.mark.parametrize("harm", ["DELETE FROM session_counts", MISCOUNT])
def test_nor_can_they_write_another_number(
    postgres_url: str, grant: Callable[[str], object], harm: str
) -> None:
    upgrade(postgres_url)
    grant("ALL ON sessions")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(postgres_url, harm)


def test_who_may_read_sessions_may_read_how_many(
    postgres_url: str, grant: Callable[[str], object]
) -> None:
    upgrade(postgres_url, BEFORE)
    grant("SELECT ON sessions")
    upgrade(postgres_url)
    as_role(postgres_url, "SELECT total FROM session_counts")


def test_who_may_not_is_told_so(postgres_url: str, grant: Callable[[str], object]) -> None:
    """A role that was made later, by somebody who did not know of the counts."""
    upgrade(postgres_url)
    tables = f"sessions, session_entries, {schema.VERSION_TABLE}"
    grant(f"SELECT, INSERT, UPDATE, DELETE ON {tables}")
    with open_postgres(f"{postgres_url}?options=-c%20role%3D{ROLE}") as store:
        create(store)
        with pytest.raises(StoreUnavailableError, match="lacks a privilege"):
            store.stats(at())
    assert Database(postgres_url).check() == (1, 0)


def upgraded_from_a_snapshot(url: str) -> None:
    """By a host whose transactions see what there was when they began."""
    engine = create_engine(
        f"postgresql+psycopg{url.removeprefix('postgresql')}", isolation_level="REPEATABLE READ"
    )
    try:
        with engine.begin() as connection:
            upgrade(url, connection=connection)
    finally:
        engine.dispose()


def test_a_host_that_might_count_too_few_is_refused(postgres_url: str) -> None:
    upgrade(postgres_url, BEFORE)
    with pytest.raises(exc.DBAPIError, match="READ COMMITTED"):
        upgraded_from_a_snapshot(postgres_url)
    assert revision_in(postgres_url) == BEFORE


def test_it_may_make_all_the_tables(postgres_url: str) -> None:
    upgraded_from_a_snapshot(postgres_url)
    assert revision_in(postgres_url) == schema.HEAD


def give_to_role(url: str) -> None:
    """The tables of before, as their owner."""
    owner = f'OWNER TO "{ROLE}"'
    Database(url).run(
        f"ALTER TABLE sessions {owner}", f"ALTER TABLE {schema.VERSION_TABLE} {owner}"
    )


def test_an_owner_upgrades(postgres_url: str, grant: Callable[[str], object]) -> None:
    upgrade(postgres_url, BEFORE)
    grant("CREATE ON SCHEMA public")
    give_to_role(postgres_url)
    upgrade(f"{postgres_url}?options=-c%20role%3D{ROLE}", "0004")
    Database(postgres_url).run(Database(postgres_url).insert(1, 3, "running"))
    assert Database(postgres_url).check() == (3, 3)


def test_one_who_sees_some_sessions_only_does_not(
    postgres_url: str, grant: Callable[[str], object]
) -> None:
    upgrade(postgres_url, BEFORE)
    grant("CREATE ON SCHEMA public")
    give_to_role(postgres_url)
    Database(postgres_url).run(
        "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE sessions FORCE ROW LEVEL SECURITY",
    )
    with pytest.raises(StoreUnavailableError):
        upgrade(f"{postgres_url}?options=-c%20role%3D{ROLE}")
    assert revision_in(postgres_url) == BEFORE
