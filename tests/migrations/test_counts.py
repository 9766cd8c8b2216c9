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
from session_store.backends.sql.postgres import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.errors import StoreUnavailableError
from session_store.session import SessionKey, Status
from session_store.testing.given import change, create, deletion, messages
from tests.backends.counted import Database, File
from tests.migrations.support import downgrade, revision_in, upgrade
from tests.servers.postgres import PostgresServer

BEFORE = "0003"
ROLE = "session_store_test_application"


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
        connection.execute(f"CREATE ROLE {ROLE}")
        try:
            yield lambda privilege: connection.execute(f"GRANT {privilege} TO {ROLE}")
        finally:
            connection.execute(f"DROP OWNED BY {ROLE} CASCADE")
            connection.execute(f"DROP ROLE {ROLE}")


def as_role(url: str, statement: str) -> None:
    with psycopg.connect(url, options=f"-c role={ROLE}") as connection:
        connection.execute(statement)


def test_who_may_write_sessions_goes_on(postgres_url: str, grant: Callable[[str], object]) -> None:
    database = Database(postgres_url)
    upgrade(postgres_url, BEFORE)
    grant("INSERT ON sessions")
    upgrade(postgres_url)
    database.run("SELECT setval(pg_get_serial_sequence('session_counts', 'id'), 1000, false)")
    as_role(postgres_url, database.insert(1, 5, "running"))
    assert database.check() == (5, 5)


def test_who_may_read_sessions_may_read_how_many(
    postgres_url: str, grant: Callable[[str], object]
) -> None:
    upgrade(postgres_url, BEFORE)
    grant("SELECT ON sessions")
    upgrade(postgres_url)
    as_role(postgres_url, "SELECT total FROM session_counts")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        as_role(postgres_url, "DELETE FROM session_counts")


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


def test_nor_is_it_counted_by_an_owner_who_sees_some_only(
    postgres_url: str, grant: Callable[[str], object]
) -> None:
    upgrade(postgres_url, BEFORE)
    grant("ALL ON SCHEMA public")
    Database(postgres_url).run(
        f"ALTER TABLE sessions OWNER TO {ROLE}",
        f"ALTER TABLE {schema.VERSION_TABLE} OWNER TO {ROLE}",
        "ALTER TABLE sessions ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE sessions FORCE ROW LEVEL SECURITY",
    )
    with pytest.raises(StoreUnavailableError):
        upgrade(f"{postgres_url}?options=-c%20role%3D{ROLE}")
    assert revision_in(postgres_url) == BEFORE
