"""``session_counts`` on PostgreSQL: rows that are put together, and nobody who waits for that."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from itertools import count, islice
from pathlib import Path

import psycopg
import pytest

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.session import SessionKey, Status
from session_store.testing.given import at, change, create, messages
from tests.backends.counted import Database
from tests.servers.postgres import PostgresServer
from tests.servers.stores import PostgresStore


@pytest.fixture
def database(postgres_store: PostgresStore, tmp_path: Path) -> Database:
    postgres_store.begin(tmp_path)
    return Database(postgres_store.url)


def next_change(database: Database, number: int) -> None:
    database.run(f"SELECT setval(pg_get_serial_sequence('session_counts', 'id'), {number}, false)")


def rows(database: Database) -> int:
    return int(database.run("SELECT count(*) FROM session_counts")[0][0])


def test_emptying_the_table_is_counted(database: Database) -> None:
    database.run(database.insert(1, 100, "running"))
    database.run("TRUNCATE sessions CASCADE")
    assert database.check() == (0, 0)
    with database.open() as store:
        assert store.stats(at()).total_sessions == 0


def test_a_turn_and_a_statement_of_many_rows_are_one_change_at_most(database: Database) -> None:
    next_change(database, 1)
    database.run("DELETE FROM session_counts", database.insert(1, 1000, "created"))
    assert rows(database) == 1
    with database.open() as store:
        key = SessionKey("app", "by hand", "s1")
        change(store, key, entries=messages("first"))
        assert rows(database) == 2
        for n in range(5):
            change(store, key, entries=messages(f"{n}"), state={"n": n})
        assert store.remove_expired(at(100, idle_cutoff=0), 1000) == 999
    assert rows(database) == 3
    assert database.check() == (1, 1)


def test_every_thousandth_change_puts_the_rows_together(database: Database) -> None:
    next_change(database, 10_600)
    with closing(database.connect()) as connection:
        connection.autocommit = True
        for n in range(500):
            connection.execute(database.insert(n, n, "running"))
    assert rows(database) <= 101
    assert database.check() == (500, 500)


def test_no_writer_waits_for_the_one_that_puts_them_together(database: Database) -> None:
    """Nor do two of those wait for each other."""
    database.run(database.insert(1, 10, "running"))
    with closing(database.connect()) as first, closing(database.connect()) as second:
        for number, connection in ((2000, first), (3000, second)):
            next_change(database, number)
            connection.execute("SET lock_timeout = '1s'")
            connection.execute(database.insert(number, number, "created"))
        database.run("SET lock_timeout = '1s'", database.insert(11, 12, "running"))
        assert database.check() == (12, 12)
        second.commit()
        assert database.check() == (13, 12)
        first.rollback()
    assert database.check() == (13, 12)


def test_above_read_committed_they_are_left_to_the_next(database: Database) -> None:
    database.run(database.insert(1, 10, "running"))
    with closing(database.connect()) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.execute("SELECT count(*) FROM sessions")
        next_change(database, 2000)
        database.run(database.insert(11, 11, "created"))
        next_change(database, 3000)
        connection.execute(database.insert(12, 12, "created"))
        connection.commit()
    assert database.check() == (12, 10)


def test_the_path_of_who_writes_does_not_matter(database: Database) -> None:
    database.run(
        "CREATE TEMP TABLE session_counts (id bigint, total bigint, running bigint)",
        "SET LOCAL search_path = pg_catalog",
        database.insert(1, 5, "running").replace("INTO sessions", "INTO public.sessions"),
    )
    assert database.check() == (5, 5)


def test_connections_that_are_ended_leave_what_was_committed(
    database: Database, postgres_server: PostgresServer
) -> None:
    stop = threading.Event()

    def write(first: int) -> None:
        numbers = count(first)
        while not stop.is_set():
            with suppress(psycopg.Error), closing(database.connect()) as connection:
                for n in islice(numbers, 50):
                    connection.execute(database.insert(n, n, "running"))
                    connection.commit()

    threads = [threading.Thread(target=write, args=(n * 10**6,)) for n in range(4)]
    for thread in threads:
        thread.start()
    ended = sum(postgres_server.terminate_backends() for _ in range(10) if not stop.wait(0.1))
    stop.set()
    for thread in threads:
        thread.join()
    assert ended > 10
    assert database.check() > (50, 50)


def test_who_sees_some_sessions_is_told_of_those(
    own_postgres_server: PostgresServer, postgres_store: PostgresStore, database: Database
) -> None:
    role = "session_store_test_tenant"
    with database.open() as store:
        for app in (role, "other"):
            for n in range(3):
                create(store, SessionKey(app, "ada", f"{n}"), status=Status.RUNNING)
    with psycopg.connect(postgres_store.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        try:
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
            connection.execute("CREATE POLICY own ON sessions USING (app_name = current_user)")
            connection.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY")
            with open_postgres(f"{database.url}?options=-c%20role%3D{role}") as tenant:
                stats = tenant.stats(at())
            assert (stats.total_sessions, stats.active_sessions) == (3, 3)
        finally:
            connection.execute("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY")
            connection.execute("DROP POLICY IF EXISTS own ON sessions")
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
    with database.open() as store:
        assert store.stats(at()).total_sessions == 6
