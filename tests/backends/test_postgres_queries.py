"""How PostgreSQL finds the rows of each statement: by an index, whatever the store holds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from hashlib import md5
from typing import Any, cast

import pytest

from session_store.backends.sql import lists, statements
from session_store.backends.sql.postgresql.connecting import StoreConnection, connected
from session_store.backends.sql.postgresql.store import PostgresDialect, open_postgres
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.backends.sql.prepared import Construct, prepared
from session_store.backends.sql.statements import Statement
from session_store.core.operations import Moment
from session_store.core.queries import Position, Query, Window, checked_filter
from session_store.session import SessionKey, Status
from session_store.testing.given import NOW, after, at
from tests.servers.postgres import PostgresServer
from tests.servers.stores import PostgresStore, upgrade

SESSIONS = int(os.environ.get("SESSION_STORE_TEST_SESSIONS", "30000"))


def key(number: int) -> SessionKey:
    """Of a user with 1,000 sessions. Its id is long, as real ones are."""
    return SessionKey("app", "user 0", md5(f"{number}".encode()).hexdigest() * 3)


KEY = key(7)
EXPIRING = {"idle_cutoff": -SESSIONS + 100}

FILL = f"""
INSERT INTO sessions (app_name, user_id, session_id, status, version, last_seq, created_at,
                      updated_at, expires_at, metadata, state, agent_states)
SELECT CASE WHEN n %% 10 = 0 THEN 'other' ELSE 'app' END,
       'user ' || CASE WHEN n %% 30 = 7 THEN 0 ELSE n END, repeat(md5(n::text), 3),
       (ARRAY['created', 'running', 'paused', 'completed', 'failed'])[1 + n %% 5], 4, 3,
       %(now)s - n * interval '1 second', %(now)s - n * interval '1 second',
       CASE WHEN n %% 50 = 0 THEN %(now)s + (n - 300) * interval '1 second' END,
       json_build_object('title', 'talk ' || n), json_build_object('text', repeat('x', 300)), '{{}}'
FROM generate_series(1, {SESSIONS}) AS n"""
SHARED = f"""
INSERT INTO shared_states (app_name, user_id, updated_at, document)
SELECT 'app', 'user ' || n, %(now)s, '{{}}' FROM generate_series(1, {SESSIONS}) AS n"""
ENTRIES = """
INSERT INTO session_entries (session, seq, entry_id, kind, version, created_at, payload)
SELECT id, seq, 'e' || seq, 'message', seq + 1, created_at, '{"text":"hello"}'
FROM sessions, generate_series(1, 3) AS seq"""


@pytest.fixture(scope="module")
def filled(postgres_server: PostgresServer) -> Iterator[StoreConnection]:
    url = postgres_server.create_database()
    upgrade(url)
    with connected(PostgresUrl(url), timeout=600) as connection:
        for text in (FILL, SHARED):
            connection.execute(text, {"now": NOW})
        connection.execute(ENTRIES)
        connection.execute("VACUUM ANALYZE")
        yield connection
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def dialect(postgres_store: PostgresStore) -> Iterator[PostgresDialect]:
    with open_postgres(postgres_store.url) as store:
        yield cast("PostgresDialect", store._dialect)


@pytest.fixture
def plan(filled: StoreConnection, dialect: PostgresDialect) -> Any:
    """How PostgreSQL means to find the rows of a statement, without doing it."""

    def explained(construct: Construct, values: Any) -> str:
        rows = sent(filled, dialect, "EXPLAIN (COSTS OFF) ", Statement(construct, values))
        return "\n".join(row[0] for row in rows)

    return explained


def sent(
    connection: StoreConnection, dialect: PostgresDialect, before: str, statement: Statement
) -> list[Any]:
    """The rows of a statement with something before its text."""
    made = prepared(statement.construct, dialect.compiler)
    rows: list[Any] = dialect.send(
        connection, f"{before}{made.text}", made.ordered(statement.values)
    ).fetchall()
    return rows


def page(
    moment: Moment, position: Position | None, dialect: PostgresDialect, **conditions: Any
) -> Statement:
    query = checked_filter(Query(**conditions))
    return lists.page(query, position, 51, moment, dialect)


POSITIONS = (None, Position(after(-500), *key(500)))


class TestPages:
    @pytest.mark.parametrize("cutoffs", [{}, {"idle_cutoff": -20_000}, {"age_cutoff": -20_000}])
    @pytest.mark.parametrize("order", ["updated_at", "created_at"])
    @pytest.mark.parametrize(
        "conditions", [{}, {"app_name": "app"}, {"status": ["running", "paused"]}]
    )
    def test_a_page_is_read_from_the_index_of_its_order(
        self, plan: Any, dialect: PostgresDialect, conditions: Any, order: str, cutoffs: Any
    ) -> None:
        for position in POSITIONS:
            found = plan(*page(at(**cutoffs), position, dialect, **conditions, order_by=order))
            assert f"ix_sessions_{order}" in found, found
            assert "Seq Scan" not in found

    @pytest.mark.parametrize("position", POSITIONS)
    @pytest.mark.parametrize(
        "who", [{"app_name": "app", "user_id": "user 0"}, {"user_id": "user 8"}]
    )
    def test_a_users_page_is_read_from_the_index_of_users(
        self, plan: Any, dialect: PostgresDialect, position: Position | None, who: Any
    ) -> None:
        found = plan(*page(at(), position, dialect, **who))
        assert "ix_sessions_user" in found, found
        assert "Seq Scan" not in found

    @pytest.mark.parametrize("who", [{"app_name": "app"}, {}])
    def test_of_a_users_1000_sessions_about_a_page_is_read(
        self, filled: StoreConnection, dialect: PostgresDialect, who: Any
    ) -> None:
        for position in POSITIONS:
            statement = page(at(**EXPIRING), position, dialect, user_id="user 0", **who)
            found = analyzed(filled, dialect, statement)
            assert 51 <= sum(rows_read(found)) < 100, found

    def test_a_session_is_found_without_its_user(self, plan: Any, dialect: PostgresDialect) -> None:
        found = plan(*page(at(), None, dialect, app_name="app", session_id=KEY.session_id))
        assert "uq_sessions_key" in found, found
        assert "Seq Scan" not in found


def analyzed(
    connection: StoreConnection, dialect: PostgresDialect, statement: Statement
) -> dict[str, Any]:
    """What PostgreSQL has done to answer it."""
    ((explained,),) = sent(connection, dialect, "EXPLAIN (ANALYZE, FORMAT JSON) ", statement)
    return cast("dict[str, Any]", json.loads(explained)[0]["Plan"])


def rows_read(plan: dict[str, Any]) -> Iterator[float]:
    """By each scan."""
    if "Scan" in plan["Node Type"]:
        yield (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    for child in plan.get("Plans", ()):
        yield from rows_read(child)


class TestCounts:
    @pytest.mark.parametrize("cutoffs", [{}, EXPIRING, {"age_cutoff": -SESSIONS + 100}])
    def test_statistics_read_what_is_kept_and_the_expired(
        self, filled: StoreConnection, dialect: PostgresDialect, cutoffs: Any
    ) -> None:
        """100 of them are idle or too old, and 6 past an end of their own."""
        found = analyzed(filled, dialect, lists.stats(at(**cutoffs), dialect))
        assert 5 < sum(rows_read(found)) < 150, found
        assert found["Total Cost"] < 500, "it would be prepared as if all were counted"

    @pytest.mark.parametrize("conditions", [{}, {"app_name": "other"}, {"status": "running"}])
    @pytest.mark.parametrize("cutoffs", [{}, EXPIRING])
    def test_counting_reads_an_index_and_no_table(
        self, plan: Any, dialect: PostgresDialect, conditions: Any, cutoffs: Any
    ) -> None:
        query = checked_filter(Query(**conditions))
        found = plan(*lists.count(query, at(**cutoffs), dialect))
        assert "Seq Scan" not in found, found

    def test_a_users_sessions_are_counted_by_the_index_of_users(
        self, plan: Any, dialect: PostgresDialect
    ) -> None:
        query = checked_filter(Query(user_id="user 0", status=Status.RUNNING))
        found = plan(*lists.count(query, at(), dialect))
        assert "ix_sessions_user" in found, found

    @pytest.mark.parametrize("is_locked", [False, True])
    def test_a_shared_document_is_found_by_its_key(
        self, plan: Any, dialect: PostgresDialect, is_locked: bool
    ) -> None:
        construct = statements.shared_document(dialect.tables, is_locked=is_locked)
        found = plan(construct, {"app_name": "app", "user_id": ""})
        assert "pk_shared_states" in found, found


class TestKeys:
    @pytest.mark.parametrize("whole", [True, False])
    def test_a_session_is_found_by_its_key(
        self, plan: Any, dialect: PostgresDialect, whole: bool
    ) -> None:
        find = statements.find(dialect.tables, with_documents=whole, is_locked=True)
        found = plan(find, KEY._asdict())
        assert "Index Scan using uq_sessions_key" in found, found

    @pytest.mark.parametrize("whole", [True, False])
    def test_it_is_so_with_a_plan_for_all_keys(
        self, filled: StoreConnection, dialect: PostgresDialect, whole: bool
    ) -> None:
        """The server makes one for a statement that is sent often."""

        def scans(index: str) -> Any:
            query = f"SELECT pg_stat_get_xact_numscans('{index}'::regclass)"
            return filled.execute(query, prepare=False).fetchall()[0][0]

        with filled.transaction():
            filled.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            before = scans("ix_sessions_user")
            find = statements.find(dialect.tables, with_documents=whole)
            for n in range(10):
                assert dialect.execute(filled, find, key(7 + n * 30)._asdict()).fetchall()
            assert scans("ix_sessions_user") == before
            assert scans("uq_sessions_key") >= 10

    @pytest.mark.parametrize("window", [Window(), Window(last=2), Window(after=1, kind="message")])
    def test_a_history_is_read_in_its_order(
        self, plan: Any, dialect: PostgresDialect, window: Window
    ) -> None:
        found = plan(*statements.history(1, window, dialect))
        assert "pk_session_entries" in found, found
        assert "Sort" not in found

    @pytest.mark.parametrize("ids", [("e1",), ("e1", "e2", "x")])
    def test_entries_are_found_by_their_ids(
        self, plan: Any, dialect: PostgresDialect, ids: tuple[str, ...]
    ) -> None:
        found = plan(*statements.known_entries(KEY, ids, dialect))
        assert "Index Scan using " in found, found
        assert "Seq Scan" not in found

    @pytest.mark.parametrize(
        ("make", "values", "index"),
        [
            (partial(statements.change_session, with_documents=False), {"id": 7}, "pk_sessions"),
            (statements.remove_session, {"id": 7}, "pk_sessions"),
            (statements.remove_entries_after, {"id": 7, "keep": 1}, "pk_session_entries"),
        ],
    )
    def test_rows_are_written_by_their_keys(
        self, plan: Any, dialect: PostgresDialect, make: Any, values: Any, index: str
    ) -> None:
        fields = ("status", "version", "last_seq", "updated_at", "completed_at", "expires_at")
        found = plan(make(dialect.tables), dict.fromkeys(fields) | values)
        assert index in found, found


@pytest.mark.parametrize(
    ("cutoffs", "column"),
    [(EXPIRING, "updated_at"), ({"age_cutoff": -SESSIONS + 100}, "created_at")],
)
def test_the_expired_are_found_by_their_times(
    plan: Any, dialect: PostgresDialect, cutoffs: Any, column: str
) -> None:
    own, general = lists.remove_expired(at(**cutoffs), dialect)
    for statement, index in ((own, "ix_sessions_expires_at"), (general, f"ix_sessions_{column}")):
        found = plan(statement.construct, statement.values | {"limit": 1000})
        assert f"using {index}" in found, found
        assert "Seq Scan" not in found
        assert "SubPlan" not in found, "the rows to remove would be chosen again and again"
