"""Several processes on one PostgreSQL store: nothing is lost, doubled or blocked for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select

from benchmarks import postgres_sweep
from session_store.backends.sql.names import Names as names_of
from session_store.backends.sql.postgresql.store import PostgresDialect, open_postgres
from session_store.backends.sql.prepared import prepared
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.runner import Statements
from session_store.errors import (
    SessionExistsError,
    StoreUnavailableError,
)
from session_store.session import SessionKey
from session_store.testing import Reopen, RepositoryContract
from session_store.testing.given import (
    KEY,
    OTHERS,
    application,
    at,
    change,
    count,
    create,
    ids,
    load,
    messages,
    seqs,
)
from tests.backends.processes import exit_code, forked
from tests.servers.pgbouncer import PgBouncer
from tests.servers.stores import PostgresStore, reopening

PROCESSES = 8
EXPIRING = at(100, idle_cutoff=50)


def in_processes(
    url: str, work: Callable[[SqlRepository, int], object], number: int = PROCESSES
) -> None:
    """Do ``work`` in so many processes, each with a store of its own."""

    def begin(which: int) -> None:
        with open_postgres(url, pool_size=2) as own:
            work(own, which)

    children = [forked(partial(begin, which)) for which in range(PROCESSES)]
    assert [exit_code(child, 120) for child in children] == [0] * PROCESSES


class TestWriting:
    def test_appends_of_several_processes_are_all_there_in_order(
        self, url: str, store: SqlRepository
    ) -> None:
        create(store)

        def append(own: SqlRepository, process: int) -> None:
            for n in range(100):
                change(own, entries=messages(f"{process}-{n}"))

        in_processes(url, append)
        session = load(store)
        assert seqs(session) == list(range(1, 801))
        for process in range(PROCESSES):
            mine = [name for name in ids(session) if name.startswith(f"{process}-")]
            assert mine == [f"{process}-{n}" for n in range(100)]

    def test_one_key_is_created_once(self, url: str, store: SqlRepository) -> None:
        def make(own: SqlRepository, process: int) -> None:
            for n in range(25):
                key = SessionKey("app", "ada", f"{n}")
                try:
                    create(own, key, history=[process])
                except SessionExistsError:
                    continue

        in_processes(url, make)
        assert count(store) == 25

    def test_a_first_write_to_a_shared_document_loses_no_other(
        self, url: str, store: SqlRepository
    ) -> None:
        """What is not there can't be locked."""

        def share(own: SqlRepository, process: int) -> None:
            for n in range(20):
                key = SessionKey(f"app {n}", "ada", f"{process}")
                create(own, key)
                change(own, key, app_state={f"{process}": n}, user_state={f"{process}": n})

        in_processes(url, share)
        for n in range(20):
            assert len(store.load_shared(f"app {n}")) == PROCESSES
            assert len(store.load_shared(f"app {n}", "ada")) == PROCESSES

    def test_commits_of_several_sessions_in_any_order_do_not_block_each_other(
        self, url: str, store: SqlRepository
    ) -> None:
        keys = [KEY, *OTHERS]
        for key in keys:
            create(store, key)

        def save(own: SqlRepository, process: int) -> None:
            for n in range(25):
                turned = keys[process % 4 :] + keys[: process % 4]
                own.commit([application(key, state={f"{process}-{n}": 1}) for key in turned])

        before = postgres_sweep.deadlocks(url)
        in_processes(url, save)
        assert [len(load(store, key).state) for key in keys] == [200] * 4
        assert postgres_sweep.deadlocks(url) == before


class TestSweeping:
    def test_sweepers_and_writers_are_in_nobodys_way(self, postgres_store: PostgresStore) -> None:
        result = postgres_sweep.run(postgres_store.url, 5000, sweepers=3, writers=2)
        assert result.is_right, result
        assert result.writes > 10

    def test_a_session_that_is_being_written_is_left_alone(
        self, store: SqlRepository, url: str
    ) -> None:
        for n in range(5):
            create(store, SessionKey("app", "ada", f"{n}"))
        with psycopg.connect(url) as writer:
            writer.execute("UPDATE sessions SET updated_at = now() WHERE session_id = '3'")
            assert store.remove_expired(EXPIRING, 10) == 4
        assert store.remove_expired(EXPIRING, 10) == 0
        assert count(store) == 1

    def test_a_sweeper_waits_for_its_turn_and_says_so_when_it_does_not_come(
        self, store: SqlRepository, url: str
    ) -> None:
        create(store)
        with open_postgres(url, timeout=0.3) as hurried, psycopg.connect(url) as sweeper:
            lock = hurried._dialect.sweep_lock
            assert lock is not None
            sweeper.execute(prepared(lock, hurried._dialect.compiler).text)
            with pytest.raises(StoreUnavailableError, match="another process"):
                hurried.remove_expired(EXPIRING, 10)
            with ThreadPoolExecutor(1) as thread:
                patient = thread.submit(store.remove_expired, EXPIRING, 10)
                sweeper.rollback()
                assert patient.result() == 1

    def test_stores_of_other_names_have_turns_of_their_own(self) -> None:
        names = [(None, ""), ("a", ""), (None, "a"), ("a", "b")]
        stores = [PostgresDialect("", names_of(*one), 1, local=False) for one in names]
        locks = {f"{one.sweep_lock}" for one in stores}
        assert len(locks) == 4


class TestContractBehindPgBouncer(RepositoryContract):
    """In transaction mode, where the next transaction may have another session."""

    @pytest.fixture
    def repository(
        self, pgbouncer: PgBouncer, postgres_store: PostgresStore, tmp_path: Path
    ) -> Iterator[SqlRepository]:
        postgres_store.begin(tmp_path)
        with self.opened(pgbouncer, postgres_store) as store:
            yield store

    @pytest.fixture
    def reopen(self, pgbouncer: PgBouncer, postgres_store: PostgresStore) -> Iterator[Reopen]:
        with reopening(lambda: self.opened(pgbouncer, postgres_store)) as reopen:
            yield reopen

    def opened(self, pgbouncer: PgBouncer, store: PostgresStore) -> SqlRepository:
        return open_postgres(pgbouncer.reroute(store.url), transaction_pooler=True, pool_size=8)


class TestPgBouncer:
    def test_without_the_setting_the_error_names_it(self, pgbouncer: PgBouncer, url: str) -> None:
        with pytest.raises(StoreUnavailableError, match="SESSION_POSTGRES_POOLER=true"):
            open_postgres(pgbouncer.reroute(url))

    def test_transactions_have_their_deadline(self, pgbouncer: PgBouncer, url: str) -> None:
        with open_postgres(pgbouncer.reroute(url), transaction_pooler=True, timeout=9) as store:

            def deadline(run: Statements) -> Any:
                return run.run(select(func.current_setting("statement_timeout")), {}).all()[0][0]

            assert store._runner.write(deadline) == "8100ms"
            assert store._runner.read(deadline) == "8100ms"
            assert store._runner.ask(deadline) == "0"
