"""PostgreSQL and the way to it fail: nothing acknowledged is lost, nothing is doubled.

The faults are real: a proxy that cuts and swallows, backends that are ended and killed, a server
that crashes under load.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import psycopg
import pytest

from session_store.backends.sql.postgresql.store import PostgresDialect, open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.errors import (
    CorruptStoreError,
    OutcomeUnknownError,
    SessionExistsError,
    SessionStoreError,
    StaleSessionError,
    StoreUnavailableError,
)
from session_store.testing.given import (
    KEY,
    at,
    change,
    count,
    create,
    ids,
    load,
    messages,
    seqs,
)
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

DEADLINE = 2.0


@pytest.fixture
def behind(proxy: Proxy, url: str) -> Iterator[SqlRepository]:
    """By way of the proxy."""
    with open_postgres(proxy.reroute(url), timeout=DEADLINE) as opened:
        yield opened


def acknowledged(write: Callable[[str], object], names: Iterator[str]) -> tuple[list[str], int]:
    """What was acknowledged of the writes of these names, and how many others failed by a typed
    error."""
    done, failed = [], 0
    for name in names:
        try:
            write(name)
            done.append(name)
        except SessionStoreError:
            failed += 1
    return done, failed


def keep_ending(url: str, stop: threading.Event) -> int:
    """End a connection of the store every few milliseconds; how many it were."""
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND datname = current_database() ORDER BY random() LIMIT 1"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        ended = 0
        while not stop.wait(0.005):
            ended += connection.execute(end).rowcount
        return ended


class TestLostAnswers:
    def test_a_commit_that_does_not_arrive_is_done_again(
        self, behind: SqlRepository, proxy: Proxy
    ) -> None:
        create(behind)
        for n in range(20):
            proxy.cut_before_commit()
            assert change(behind, entries=messages(f"{n}")).entry.seq == n + 1
        assert proxy.fired["cut_before_commit"] == 20
        assert ids(load(behind)) == [f"{n}" for n in range(20)]

    def test_no_kind_of_write_is_done_twice(self, behind: SqlRepository, proxy: Proxy) -> None:
        """Not even those that a repetition would refuse or repeat: creating, deleting, counting
        versions."""
        proxy.cut_after_commit()
        assert create(behind).version == 1
        proxy.cut_after_commit()
        assert change(behind, state={"n": 1}, expected_version=1).version == 2
        proxy.cut_after_commit()
        assert behind.delete(KEY, at()) is True
        assert proxy.fired["cut_after_commit"] == 3
        assert count(behind) == 0

    def test_a_write_that_is_refused_the_second_time_is_refused(
        self, behind: SqlRepository, store: SqlRepository, proxy: Proxy
    ) -> None:
        proxy.cut_before_commit()
        create(behind)
        with pytest.raises(SessionExistsError):
            create(behind)
        with pytest.raises(StaleSessionError):
            change(behind, expected_version=7)

    def test_where_nobody_knows_entries_are_written_again_under_their_ids(
        self, behind: SqlRepository, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PostgresDialect, "_outcome", lambda *_: "unknown")
        create(behind)
        for cut in (proxy.cut_after_commit, proxy.cut_before_commit):
            cut()
            change(behind, entries=messages(cut.__name__))
        assert ids(load(behind)) == ["cut_after_commit", "cut_before_commit"]

    def test_where_nobody_knows_anything_else_is_an_error_that_says_so(
        self, behind: SqlRepository, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(PostgresDialect, "_outcome", lambda *_: "unknown")
        create(behind)
        for cut in (proxy.cut_after_commit, proxy.cut_before_commit):
            cut()
            with pytest.raises(OutcomeUnknownError, match="entry_id"):
                change(behind, state={"n": 1})
        assert load(behind).version == 2

    def test_a_second_try_that_fails_does_not_say_that_nothing_is_there(
        self, behind: SqlRepository, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> str:
            proxy.refuse()
            return "unknown"

        monkeypatch.setattr(PostgresDialect, "_outcome", refuse)
        create(behind)
        proxy.cut_after_commit()
        with pytest.raises(OutcomeUnknownError):
            change(behind, entries=messages("a", "b"))
        proxy.heal()
        assert ids(load(behind)) == ["a", "b"]

    def test_nor_does_one_after_a_turn(
        self, behind: SqlRepository, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Which has no transaction that the server could be asked about."""
        create(behind)
        monkeypatch.setattr(PostgresDialect, "begin_writing", lambda *_: proxy.refuse())
        proxy.cut_after_commit()
        with pytest.raises(OutcomeUnknownError):
            change(behind, entries=messages("a"))
        proxy.heal()
        assert ids(load(behind)) == ["a"]

    def test_a_server_that_crashed_is_not_believed(
        self, store: SqlRepository, url: str, own_postgres_server: PostgresServer
    ) -> None:
        """It gives the number of a transaction away again, if that came to nothing."""
        dialect = cast("PostgresDialect", store._dialect)
        create(store)
        with store._runner.pool.connection() as connection:
            mark = dialect.begin_writing(connection)
            ((xid, _),) = mark.fetchall()
            own_postgres_server.restart("immediate")
        with psycopg.connect(url, autocommit=True) as other:
            status = ""
            while status != "committed":
                other.execute("UPDATE sessions SET version = version")
                try:
                    query = "SELECT pg_xact_status(CAST(%s AS xid8))"
                    status = other.execute(query, (xid,)).fetchall()[0][0]
                except psycopg.DataError:
                    continue  # that number is still to come
        lost = psycopg.OperationalError("lost")
        assert dialect.is_committed(lost, mark, store._runner.pool) is None


def test_the_driver_logs_nothing_of_it(
    store: SqlRepository, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Errors come out as ours, once."""
    create(store)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE sessions SET last_seq = 5")
        connection.execute(
            "INSERT INTO session_entries SELECT id, 6, 'x', 'x', 1, now(), '0' FROM sessions"
        )
        with pytest.raises(CorruptStoreError):
            change(store, entries=messages("a"))
        connection.execute("DELETE FROM session_entries")
        assert load(store, last=0).last_seq == 5
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        assert ended.rowcount >= 1
    assert change(store, entries=messages("a")).entry.seq == 6
    assert caplog.records == []


class TestBlackHoles:
    def test_one_that_swallows_the_start_of_a_connection_too(self, proxy: Proxy, url: str) -> None:
        proxy.swallow()
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="in time"):
            open_postgres(proxy.reroute(url) + "&connect_timeout=2")
        assert time.monotonic() - began < 6
        proxy.heal()

    def test_a_server_that_refuses_is_named_at_once(
        self, behind: SqlRepository, proxy: Proxy
    ) -> None:
        create(behind)
        proxy.refuse()
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="can't be reached"):
            load(behind)
        assert time.monotonic() - began < DEADLINE
        proxy.heal()
        assert load(behind).version == 1


class TestLostConnections:
    def test_ended_amid_calls_nothing_is_lost_or_doubled(
        self, store: SqlRepository, url: str
    ) -> None:
        create(store)
        stop = threading.Event()

        def write(writer: int) -> tuple[list[str], int]:
            names = (f"{writer}-{n}" for n in range(400))
            return acknowledged(lambda name: change(store, entries=messages(name)), names)

        with ThreadPoolExecutor(5) as threads:
            ending = threads.submit(keep_ending, url, stop)
            results = list(threads.map(write, range(4)))
            stop.set()
            assert ending.result() >= 100
        stored = ids(load(store))
        done = [name for names, _ in results for name in names]
        assert len(done) >= 300
        assert set(done) <= set(stored)
        assert len(set(stored)) == len(stored)
        assert seqs(load(store)) == list(range(1, len(stored) + 1))
