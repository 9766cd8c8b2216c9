"""The servers that tests run against, and the faults between them and a client, are real."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.backends.processes import forked, kill
from tests.servers.daemon import LOOPBACK, NoServerError, free_port
from tests.servers.fixtures import required
from tests.servers.pgbouncer import PgBouncer, running_pgbouncer
from tests.servers.postgres import PostgresServer, answers, running_postgres
from tests.servers.proxy import Proxy, running_proxy


@pytest.fixture
def table(postgres_url: str) -> str:
    """A database with a table ``t`` of numbers ``n``."""
    run(postgres_url, "CREATE TABLE t (n int)")
    return postgres_url


@pytest.fixture
def client(proxy: Proxy, table: str) -> Iterator[psycopg.Connection]:
    """A connection by way of the proxy, that has been used."""
    with closing(psycopg.connect(proxy.reroute(table))) as connection:
        connection.execute("SELECT 1")
        connection.commit()
        yield connection


class TestPostgres:
    def test_databases_are_new_and_dropped_even_in_use(
        self, postgres_server: PostgresServer
    ) -> None:
        first, second = postgres_server.create_database(), postgres_server.create_database()
        run(first, "CREATE TABLE t (n int)")
        run(second, "CREATE TABLE t (n int)")
        with closing(psycopg.connect(first)):
            for url in (first, second):
                postgres_server.drop_database(url)
                assert not answers(url)

    def test_a_url_takes_parameters(self, postgres_server: PostgresServer) -> None:
        url = postgres_server.url(application_name="a b&c", options="-c statement_timeout=7")
        assert value(url, "SHOW application_name") == "a b&c"
        assert value(url, "SHOW statement_timeout") == "7ms"

    def test_terminated_backends_are_gone(
        self, postgres_server: PostgresServer, postgres_url: str
    ) -> None:
        with closing(psycopg.connect(postgres_url)) as connection:
            assert connection.info.backend_pid in postgres_server.backend_pids()
            assert postgres_server.terminate_backends() >= 1
            assert postgres_server.backend_pids() == []
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")

    def test_a_killed_backend_takes_all_with_it_and_nothing_committed(
        self, own_postgres_server: PostgresServer, table: str
    ) -> None:
        with closing(psycopg.connect(table)) as victim, closing(psycopg.connect(table)) as other:
            other.execute("INSERT INTO t VALUES (1)")
            other.commit()
            own_postgres_server.kill_backend(victim.info.backend_pid)
            with pytest.raises(psycopg.OperationalError):
                other.execute("SELECT 1")
        own_postgres_server.wait_until_ready()
        assert numbers(table) == [1]

    def test_only_a_clients_process_is_killed(self, own_postgres_server: PostgresServer) -> None:
        with pytest.raises(ValueError, match="no client"):
            own_postgres_server.kill_backend(os.getpid())

    def test_it_is_back_at_its_address_after_a_crash(
        self, own_postgres_server: PostgresServer, table: str
    ) -> None:
        run(table, "INSERT INTO t VALUES (1)")
        own_postgres_server.stop("immediate")
        try:
            with pytest.raises(psycopg.OperationalError, match="refused"):
                psycopg.connect(table)
        finally:
            own_postgres_server.start()
        assert numbers(table) == [1]

    @pytest.mark.usefixtures("own_postgres_server")
    def test_it_ends_with_killed_tests_and_leaves_nothing(self, tmp_path: Path) -> None:
        draft, told = tmp_path / "draft", tmp_path / "url"

        def work() -> None:
            with running_postgres() as server:
                draft.write_text(server.url())
                draft.rename(told)
                time.sleep(60)

        child = forked(work)
        wait_for(told.exists)
        url = told.read_text()
        data = Path(str(value(url, "SHOW data_directory")))
        assert data.is_dir()
        kill(child)
        # Without its data a server ends by itself, too, but not so soon.
        wait_for(lambda: not (data.exists() or listens(urlsplit(url).port)), timeout=6)


class TestWhichPostgres:
    def test_the_users_own_is_used_and_left_running(
        self, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SESSION_STORE_TEST_POSTGRES_URL", postgres_server.url())
        with running_postgres() as own:
            assert (own.port, own.is_ours) == (postgres_server.port, False)
            left = own.create_database()
            assert answers(left)
            with pytest.raises(PermissionError):
                own.stop()
        assert not answers(left)
        assert answers(postgres_server.url())

    def test_an_unreachable_one_is_no_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"postgresql://u:secret@127.0.0.1:{free_port()}/d"
        monkeypatch.setenv("SESSION_STORE_TEST_POSTGRES_URL", url)
        with pytest.raises(NoServerError, match="refused") as raised, running_postgres():
            pass
        assert "secret" not in str(raised.value)

    def test_what_was_tried_is_said(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("SESSION_STORE_TEST_POSTGRES_URL", raising=False)
        monkeypatch.setenv("SESSION_STORE_TEST_POSTGRES_BIN", str(tmp_path))
        with pytest.raises(NoServerError, match=str(tmp_path)), running_postgres():
            pass

    @pytest.mark.parametrize(
        ("setting", "end"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
    )
    def test_a_missing_server_skips_unless_servers_are_required(
        self,
        setting: str,
        end: type[BaseException],
        postgres_server: PostgresServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("SESSION_STORE_REQUIRE_SERVERS", setting)
        monkeypatch.setenv("SESSION_STORE_TEST_PGBOUNCER", "no-such-program")
        missing = running_pgbouncer(postgres_server)
        ends = (pytest.skip.Exception, pytest.fail.Exception)
        with pytest.raises(ends, match="no-such-program") as raised, required(missing):
            pass
        assert raised.type is end


class TestPgBouncer:
    def test_clients_share_a_connection_to_the_server(
        self, pgbouncer: PgBouncer, postgres_url: str
    ) -> None:
        assert len(set(backends_of_two(postgres_url))) == 2
        assert len(set(backends_of_two(pgbouncer.reroute(postgres_url)))) == 1

    def test_transactions_at_once_have_a_connection_each_and_the_rest_wait(
        self, pgbouncer: PgBouncer, postgres_url: str
    ) -> None:
        url = pgbouncer.reroute(postgres_url)
        with ExitStack() as stack:
            for _ in range(pgbouncer.pool_size):
                stack.enter_context(psycopg.connect(url)).execute("SELECT 1")
            with ThreadPoolExecutor(1) as pool:
                one_more = pool.submit(value, url, "SELECT 1")
                with pytest.raises(TimeoutError):
                    one_more.result(timeout=0.3)
                stack.close()
                assert one_more.result(timeout=10) == 1

    def test_it_refuses_parameters_that_it_does_not_know(
        self, pgbouncer: PgBouncer, postgres_server: PostgresServer
    ) -> None:
        options = {"options": "-c statement_timeout=1000"}
        assert answers(postgres_server.url(**options))
        with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
            psycopg.connect(pgbouncer.url(**options))


class TestProxy:
    def test_it_passes_everything_on(self, client: psycopg.Connection, proxy: Proxy) -> None:
        text = "x" * 5_000_000
        assert client.execute("SELECT %s::text", [text]).fetchone() == (text,)
        assert not proxy.fired

    def test_only_the_reply_to_a_commit_is_lost(
        self, client: psycopg.Connection, proxy: Proxy, table: str
    ) -> None:
        proxy.cut_after_commit()
        client.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.OperationalError):
            client.commit()
        assert numbers(table) == [1]
        assert proxy.fired == {"cut_after_commit": 1}

    def test_a_commit_that_never_arrives_is_not_done(
        self, client: psycopg.Connection, proxy: Proxy, table: str
    ) -> None:
        proxy.cut_before_commit()
        client.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.OperationalError):
            client.commit()
        assert numbers(table) == []
        assert proxy.fired == {"cut_before_commit": 1}

    def test_cuts_are_over_after_so_many_commits(self, proxy: Proxy, table: str) -> None:
        proxy.cut_after_commit(times=2)
        for n, lost in enumerate((True, True, False)):
            assert insert(proxy.reroute(table), n) is not lost
        assert numbers(table) == [0, 1, 2]
        assert proxy.fired == {"cut_after_commit": 2}

    def test_only_the_statement_is_a_commit(
        self, client: psycopg.Connection, proxy: Proxy, table: str
    ) -> None:
        proxy.cut_before_commit()
        client.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        assert client.execute("SELECT %s", ["COMMIT; COMMIT"]).fetchone() == ("COMMIT; COMMIT",)
        client.rollback()
        assert not proxy.fired

    def test_in_a_black_hole_old_and_new_connections_wait(
        self, client: psycopg.Connection, proxy: Proxy, postgres_server: PostgresServer, table: str
    ) -> None:
        proxy.swallow()
        with ThreadPoolExecutor(1) as pool:
            query = pool.submit(client.execute, "INSERT INTO t VALUES (1)")
            with pytest.raises(TimeoutError):
                query.result(timeout=0.3)
            with pytest.raises(psycopg.errors.ConnectionTimeout):
                psycopg.connect(proxy.reroute(table), connect_timeout=2)
            assert client.info.backend_pid in postgres_server.backend_pids()
            proxy.heal()
            assert isinstance(query.exception(timeout=10), psycopg.OperationalError)
        assert insert(proxy.reroute(table), 2)
        assert numbers(table) == [2]
        assert proxy.fired["swallow"] >= 2

    def test_a_server_does_not_see_a_client_end_in_a_black_hole(
        self, client: psycopg.Connection, proxy: Proxy, postgres_server: PostgresServer
    ) -> None:
        pid = client.info.backend_pid
        proxy.swallow()
        client.close()
        time.sleep(0.1)
        assert pid in postgres_server.backend_pids()
        proxy.heal()
        wait_for(lambda: pid not in postgres_server.backend_pids())

    def test_an_idle_connection_outlives_a_black_hole(
        self, client: psycopg.Connection, proxy: Proxy
    ) -> None:
        proxy.swallow()
        proxy.heal()
        assert client.execute("SELECT 1").fetchone() == (1,)

    def test_refusing_cuts_old_and_turns_away_new_connections(
        self, client: psycopg.Connection, proxy: Proxy, table: str
    ) -> None:
        proxy.refuse()
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(proxy.reroute(table))
        proxy.heal()
        assert insert(proxy.reroute(table), 1)
        assert proxy.fired == {"refuse": 1}

    @pytest.mark.parametrize("fault", [Proxy.heal, Proxy.swallow, Proxy.refuse])
    def test_nothing_is_left_of_it(
        self, fault: Callable[[Proxy], None], postgres_server: PostgresServer, table: str
    ) -> None:
        threads = set(threading.enumerate())
        with running_proxy(postgres_server.host, postgres_server.port) as proxy:
            url = proxy.reroute(table)
            with closing(psycopg.connect(url)):
                fault(proxy)
                assert set(threading.enumerate()) >= threads
        assert set(threading.enumerate()) == threads
        assert not answers(url)


def listens(port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def run(url: str, statement: LiteralString) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement)


def value(url: str, query: LiteralString) -> object:
    with psycopg.connect(url) as connection:
        (row,) = connection.execute(query)
        return row[0]


def numbers(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM t ORDER BY n")]


def insert(url: str, n: int) -> bool:
    """Whether the client was told that it is committed."""
    try:
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO t VALUES (%s)", [n])
    except psycopg.OperationalError:
        return False
    return True


def backends_of_two(url: str) -> list[int]:
    """The server processes that serve two clients, open at once, one after the other."""
    with closing(psycopg.connect(url)) as one, closing(psycopg.connect(url)) as other:
        pids = []
        for client in (one, other):
            pids += [pid for (pid,) in client.execute("SELECT pg_backend_pid()")]
            client.commit()
        return pids


def wait_for(condition: Callable[[], bool], timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
