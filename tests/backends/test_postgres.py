"""What is peculiar to PostgreSQL: how it is opened, asked, and whose connections are used."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, event

from session_store import SessionService, open_repository
from session_store.backends.sql.postgresql.engine import open_engine
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.errors import (
    CorruptStoreError,
    SchemaError,
    SettingsError,
    StoreUnavailableError,
)
from session_store.session import SessionKey
from session_store.testing import Reopen, RepositoryContract
from session_store.testing.given import (
    KEY,
    NOW,
    OTHERS,
    at,
    change,
    contents,
    count,
    create,
    listed,
    load,
    messages,
    seqs,
)
from session_store.testing.oddities import VALUES
from tests.backends.processes import exit_code, forked
from tests.servers.stores import reopening, upgrade

SECRET = "a word that nobody may read"


@pytest.fixture
def connection(store: SqlRepository, url: str) -> Iterator[psycopg.Connection]:
    """Beside the store's own."""
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=3)
    yield made
    made.dispose()


def others(connection: psycopg.Connection, what: str) -> list[Any]:
    """``what`` of the connections that the store has open."""
    query = f"SELECT {what} FROM pg_stat_activity WHERE application_name = 'session_store'"
    return [row[0] for row in connection.execute(query + " AND datname = current_database()")]


class TestOpening:
    def test_it_is_opened_by_its_url(self, url: str) -> None:
        with open_repository(url) as store:
            create(store)
        with open_repository(url.replace("postgresql:", "postgres:")) as store:
            assert load(store).key == KEY

    def test_a_database_without_tables_names_the_command(self, postgres_url: str) -> None:
        with pytest.raises(SchemaError, match="session-store db upgrade"):
            open_repository(postgres_url)
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute("SELECT 1 FROM pg_stat_user_tables").fetchall() == []

    def test_a_database_of_another_encoding_is_refused(self, postgres_url: str) -> None:
        name = postgres_url.rpartition("/")[2] + "_latin"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            make = f"CREATE DATABASE {name} ENCODING LATIN1 LOCALE 'C' TEMPLATE template0"
            connection.execute(make)
            try:
                with pytest.raises(StoreUnavailableError, match="UTF8"):
                    open_repository(postgres_url + "_latin")
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @pytest.mark.parametrize(
        "options",
        [{"pool_size": 0}, {"timeout": 0}, {"schema": "a b"}, {"table_prefix": "a-"}],
    )
    def test_wrong_options_are_refused(self, url: str, options: dict[str, Any]) -> None:
        with pytest.raises(SettingsError):
            open_postgres(url, **options)

    def test_opening_leaves_no_connection_behind_when_it_fails(self, postgres_url: str) -> None:
        with pytest.raises(SchemaError):
            open_repository(postgres_url)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            assert others(connection, "pid") == []


class TestConnections:
    def test_they_carry_our_name_and_their_deadlines(
        self, store: SqlRepository, connection: psycopg.Connection
    ) -> None:
        assert others(connection, "application_name") == ["session_store"]
        with store._runner.pool.connection() as own:
            for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
                assert own.execute(f"SHOW {name}").fetchone() == ("27s",)
            given = own.info.get_parameters()
            wanted = {"connect_timeout": "10", "tcp_user_timeout": "30000", "keepalives_idle": "30"}
            assert given | wanted == given

    def test_what_the_url_says_comes_first(self, url: str) -> None:
        address = f"{url}?application_name=mine&options=-c%20statement_timeout%3D5s"
        with open_postgres(address) as store, store._runner.pool.connection() as own:
            assert own.execute("SHOW application_name").fetchone() == ("mine",)
            assert own.execute("SHOW statement_timeout").fetchone() == ("5s",)

    def test_there_are_no_more_than_the_pool_may_have(
        self, url: str, connection: psycopg.Connection, store: SqlRepository
    ) -> None:
        store.close()
        with open_postgres(url, pool_size=2) as small, ThreadPoolExecutor(8) as threads:
            assert list(threads.map(lambda _: count(small), range(64))) == [0] * 64
            assert 1 <= len(others(connection, "pid")) <= 2
        until = time.monotonic() + 5
        while others(connection, "pid"):
            assert time.monotonic() < until

    def test_a_lock_that_is_not_given_back_ends_in_an_error(
        self, url: str, connection: psycopg.Connection
    ) -> None:
        with open_postgres(url, timeout=0.3) as store:
            create(store)
            with connection.transaction():
                connection.execute("SELECT 1 FROM sessions FOR UPDATE")
                with pytest.raises(StoreUnavailableError, match=r"longer than 0\.3 s"):
                    change(store)
                assert load(store).version == 1
            assert change(store).version == 2

    def test_each_write_is_one_transaction_and_leaves_none_open(
        self, store: SqlRepository, connection: psycopg.Connection
    ) -> None:
        create(store)
        change(store, entries=messages("a", "b"))
        assert others(connection, "state") == ["idle"]

    def test_settings_of_the_database_change_nothing(self, postgres_url: str) -> None:
        upgrade(postgres_url)
        values = {
            "timezone": "'Asia/Kolkata'",
            "datestyle": "'SQL, DMY'",
            "default_transaction_isolation": "serializable",
        }
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            for name, value in values.items():
                database = connection.info.dbname
                connection.execute(f"ALTER DATABASE {database} SET {name} = {value}")
        with open_postgres(postgres_url) as store:
            create(store, history=["a"])
            assert load(store).created_at == NOW
            assert load(store).created_at.tzname() == "UTC"

    def test_a_database_that_is_set_read_only_is_only_read(self, postgres_url: str) -> None:
        upgrade(postgres_url)
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with open_postgres(postgres_url) as store:
            with pytest.raises(StoreUnavailableError, match="read-only"):
                create(store)
            assert count(store) == 0

    def test_the_size_has_partitions_in_it(self, postgres_url: str) -> None:
        upgrade(postgres_url)
        with open_postgres(postgres_url) as store:
            create(store, history=["x" * 1000] * 500)
            before = store.stats(at()).size_bytes
            with psycopg.connect(postgres_url) as connection:
                connection.execute(PARTITION, prepare=False)
            change(store, entries=messages("after"))
            assert before is not None
            assert abs((store.stats(at()).size_bytes or 0) - before) < 0.3 * before


PARTITION = """
ALTER TABLE session_entries RENAME TO flat;
CREATE TABLE session_entries (LIKE flat, PRIMARY KEY (session, seq)) PARTITION BY HASH (session);
CREATE TABLE part_0 PARTITION OF session_entries FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF session_entries FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO session_entries SELECT * FROM flat;
DROP TABLE flat"""


class TestEngine:
    """A caller's own engine."""

    def test_it_is_used_and_left_open(self, engine: Engine) -> None:
        with open_engine(engine) as store:
            create(store, history=["a"])
            assert (load(store).last_seq, store.pool_size) == (1, 3)
        with pytest.raises(StoreUnavailableError, match="closed"):
            load(store)
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar() == 1

    def test_it_opens_a_repository_and_a_service(self, engine: Engine) -> None:
        with SessionService(open_repository(engine), cleanup_interval=None) as service:
            service.create_session(user_id="ada", session_id="s1")
            assert service.get_session("s1").user_id == "ada"

    def test_its_connections_come_back_as_they_were(self, engine: Engine) -> None:
        with open_engine(engine) as store:
            for _ in range(3):
                create(store, SessionKey("app", "ada", os.urandom(4).hex()))
        with engine.connect() as connection:
            inner: Any = connection.connection.driver_connection
            assert inner.autocommit is False
            settings = "current_setting('statement_timeout')"
            row = connection.exec_driver_sql(f"SELECT '{{\"a\": 1}}'::json, {settings}")
            assert row.one() == ({"a": 1}, "0")

    def test_a_lost_connection_is_replaced(self, engine: Engine, url: str) -> None:
        with open_engine(engine) as store:
            create(store)
            with psycopg.connect(url, autocommit=True) as connection:
                ended = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
                connection.execute(
                    ended + "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            assert change(store, entries=messages("a")).version == 2

    def test_a_full_pool_is_a_typed_error(self, url: str) -> None:
        driver = url.replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(driver, pool_size=1, max_overflow=0, pool_timeout=0.05)
        full = pytest.raises(StoreUnavailableError, match="pool_size")
        with open_engine(engine) as store, engine.connect(), full:
            count(store)
        engine.dispose()

    def test_an_engine_of_another_driver_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="psycopg"):
            open_repository(create_engine("sqlite://"))

    def test_its_password_is_not_shown(self) -> None:
        engine = create_engine("postgresql+psycopg://u:secret@127.0.0.1:1/db?sslpassword=secret")
        with pytest.raises(
            StoreUnavailableError, match=r"postgresql://127\.0\.0\.1:1/db"
        ) as raised:
            open_engine(engine)
        assert "secret" not in str(raised.value)


class TestContractOnAnEngine(RepositoryContract):
    @pytest.fixture
    def repository(self, engine: Engine) -> Iterator[SqlRepository]:
        with open_engine(engine) as store:
            yield store

    @pytest.fixture
    def reopen(self, engine: Engine) -> Iterator[Reopen]:
        with reopening(lambda: open_engine(engine)) as reopen:
            yield reopen


class TestForks:
    def test_a_fork_amid_the_work_of_threads_harms_nobody(self, store: SqlRepository) -> None:
        create(store)
        with ThreadPoolExecutor(4) as threads:
            names = [f"{n}" for n in range(200)]
            appended = [threads.submit(change, store, entries=messages(name)) for name in names]
            children = [forked(lambda: load(store)) for _ in range(5)]
            assert [exit_code(child) for child in children] == [0] * 5
            for future in appended:
                future.result()
        assert seqs(load(store)) == list(range(1, 201))


class TestLabels:
    def test_they_are_compared_exactly(self, store: SqlRepository) -> None:
        create(store, metadata={"a\0b": 1, "text": "v\0w", "n": 0.1 + 0.2, "\\u0000": "\\\0\\"})
        for same in ({"a\0b": 1}, {"text": "v\0w"}, {"n": 0.1 + 0.2}, {"\\u0000": "\\\0\\"}):
            assert count(store, metadata=same) == 1
        for other in ({"a": 1}, {"text": "v"}, {"n": 0.3}, {"\0": "\\\0\\"}, {"text": "v\\u0000w"}):
            assert count(store, metadata=other) == 0

    @pytest.mark.parametrize(
        "key", ['a"b', "a'b", "$.a", "a.b", "a[0]", "%", "%s", ":a", "", "')--"]
    )
    def test_a_key_is_never_a_path_or_a_statement(self, store: SqlRepository, key: str) -> None:
        create(store, metadata={key: 1})
        create(store, OTHERS[0], metadata={"a": {"b": 1}, "b": 1})
        assert [head.key for head in listed(store, metadata={key: 1})] == [KEY]

    def test_odd_values_are_found(self, store: SqlRepository) -> None:
        scalars = {n: v for n, v in VALUES.items() if not isinstance(v, dict | list)}
        create(store, metadata=scalars)
        assert [n for n, v in scalars.items() if count(store, metadata={n: v}) != 1] == []


class TestNames:
    @pytest.mark.parametrize(
        "names",
        [
            {"schema": "chat"},
            {"table_prefix": "chat_"},
            {"schema": "user", "table_prefix": "order_"},
        ],
    )
    def test_tables_may_have_other_names(self, postgres_url: str, names: Any) -> None:
        """Two stores in one database, of which one has the usual names."""
        upgrade(postgres_url)
        upgrade(postgres_url, **names)
        with open_postgres(postgres_url) as one, open_postgres(postgres_url, **names) as other:
            create(one, history=["one"], state={"n": 1})
            change(one, app_state={"a": 1})
            before = contents(one)
            assert count(other) == 0
            create(other, history=["other"])
            change(other, user_state={"b": 1}, entries=messages("b"))
            assert listed(other)[0].last_seq == 2
            assert other.stats(at()).total_sessions == 1
            assert other.remove_expired(at(100, idle_cutoff=50), 10) == 1
            assert contents(one) == before


class TestErrors:
    @pytest.mark.parametrize(
        ("damage", "error"),
        [
            ("UPDATE session_entries SET created_at = 'infinity'", CorruptStoreError),
            ("UPDATE sessions SET state = '[]'", CorruptStoreError),
            ("ALTER TABLE sessions RENAME COLUMN state TO renamed", SchemaError),
            ("ALTER TABLE session_entries RENAME TO renamed", SchemaError),
        ],
    )
    def test_what_cannot_be_read_is_an_error(
        self, postgres_url: str, damage: str, error: type[Exception]
    ) -> None:
        upgrade(postgres_url)
        with open_postgres(postgres_url) as store:
            create(store, history=[SECRET], state={"secret": SECRET})
            with psycopg.connect(postgres_url) as connection:
                connection.execute(damage)
            with pytest.raises(error) as raised:
                load(store)
        assert SECRET not in str(raised.value)
        assert raised.value.__cause__ is None

    def test_a_constraint_does_not_come_out_as_the_drivers_error(
        self, store: SqlRepository, connection: psycopg.Connection
    ) -> None:
        create(store, history=[SECRET])
        connection.execute("UPDATE session_entries SET seq = 2")
        with pytest.raises(CorruptStoreError, match="pk_session_entries") as raised:
            change(store, entries=messages(SECRET))
        assert SECRET not in str(raised.value)
        assert load(store, last=0).version == 1

    def test_a_role_that_may_only_read_is_told(self, postgres_url: str) -> None:
        upgrade(postgres_url)
        role = postgres_url.rpartition("/")[2] + "_reader"
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reading'")
            try:
                connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
                address = connection.info
                reader = (
                    f"postgresql://{role}:reading@{address.host}:{address.port}/{address.dbname}"
                )
                with open_postgres(reader) as store:
                    assert count(store) == 0
                    with pytest.raises(StoreUnavailableError, match="privilege"):
                        create(store)
            finally:
                connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}", prepare=False)


def test_pools_of_a_process_that_goes_do_not_stay(url: str) -> None:
    """Connections that nobody closes are the server's to end when their process is gone."""

    def leave() -> None:
        store = open_postgres(url, pool_size=3)
        create(store)

    assert exit_code(forked(leave)) == 0
    with open_postgres(url) as store:
        assert count(store) == 1


@pytest.mark.parametrize("at_once", [8])
def test_statements_are_few(store: SqlRepository, at_once: int) -> None:
    """pg_stat_statements shows a handful, whatever the values and however many there are."""
    create(store)
    for n in range(at_once):
        change(store, entries=messages(*(f"{n}-{m}" for m in range(n + 1))), state={"n": n})
    with store._runner.pool.connection() as connection:
        assert len(connection.statements._names) <= 12


def test_events_of_an_engine_are_not_ours(engine: Engine) -> None:
    """Hosts that log statements through SQLAlchemy don't get conversations into their logs."""
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: seen.append(args[2]))
    with open_engine(engine) as store:
        create(store, history=[SECRET])
    assert seen == []
