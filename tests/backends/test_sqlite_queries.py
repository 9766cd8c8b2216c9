"""How SQLite answers: by which index, exactly, with errors of ours, and without what was erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.sql import lists, statements
from session_store.backends.sql.prepared import prepared
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import SqliteDialect, open_sqlite
from session_store.backends.sql.statements import Statement
from session_store.core.operations import Moment
from session_store.core.queries import Position, Query, checked_filter
from session_store.errors import CorruptStoreError, SchemaError, SessionStoreError
from session_store.session import SessionKey, Status
from session_store.testing.given import (
    KEY,
    NOW,
    OTHERS,
    after,
    at,
    change,
    count,
    create,
    listed,
    load,
    messages,
)

SECRET = "a word that nobody may read"
POSITIONS = (None, Position(NOW, "app", "s1", "ada"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlRepository]:
    with open_sqlite(path) as opened:
        yield opened


@pytest.fixture
def dialect(path: Path, store: SqlRepository) -> SqliteDialect:
    return SqliteDialect(path, "FULL", 1)


@pytest.fixture
def connection(path: Path, dialect: SqliteDialect) -> Iterator[sqlite3.Connection]:
    """Beside the store's own."""
    with closing(connected(path, 1)) as opened:
        dialect.prepare(opened)
        yield opened


def plan(connection: sqlite3.Connection, statement: Statement) -> str:
    """How SQLite would find the rows. It decides the same whether there are any: it keeps no
    statistics here."""
    made = prepared(statement.construct, SqliteDialect.compiler)
    rows = connection.execute(f"EXPLAIN QUERY PLAN {made.text}", made.ordered(statement.values))
    return " | ".join(row[3] for row in rows)


class TestPlans:
    @pytest.mark.parametrize("cutoffs", [{}, {"idle_cutoff": -9}, {"age_cutoff": -9}])
    @pytest.mark.parametrize("order", ["updated_at", "created_at"])
    @pytest.mark.parametrize(
        "conditions",
        [
            {},
            {"app_name": "app"},
            {"status": [Status.RUNNING, Status.PAUSED]},
            {"app_name": "app", "metadata": {"title": "x"}},
            {"created_after": after(-9), "updated_before": after(9)},
        ],
    )
    def test_a_page_is_read_from_the_index_of_its_order(
        self,
        connection: sqlite3.Connection,
        dialect: SqliteDialect,
        conditions: dict[str, Any],
        order: Any,
        cutoffs: dict[str, Any],
    ) -> None:
        query = checked_filter(Query(**conditions, order_by=order))
        for position in POSITIONS:
            found = plan(connection, lists.page(query, position, 51, at(**cutoffs), dialect))
            assert f"sessions USING INDEX ix_sessions_{order}" in found
            assert "TEMP B-TREE FOR ORDER BY" not in found, "it would sort everything"

    def test_a_users_page_is_read_from_the_index_of_users(
        self, connection: sqlite3.Connection, dialect: SqliteDialect
    ) -> None:
        query, moment = checked_filter(Query(app_name="app", user_id="ada")), at(idle_cutoff=-9)
        for position in POSITIONS:
            found = plan(connection, lists.page(query, position, 51, moment, dialect))
            assert "sessions USING INDEX ix_sessions_user (user_id=? AND updated_at>?" in found
            assert "TEMP B-TREE FOR ORDER BY" not in found, "it would sort all of the user's"

    def test_a_users_page_of_all_applications_is_read_from_it_too(
        self, connection: sqlite3.Connection, dialect: SqliteDialect
    ) -> None:
        query = checked_filter(Query(user_id="ada"))
        found = plan(connection, lists.page(query, None, 51, at(idle_cutoff=-9), dialect))
        assert "sessions USING INDEX ix_sessions_user (user_id=? AND updated_at>?" in found
        assert "TEMP B-TREE FOR ORDER BY" not in found, "it would sort all of the user's"

    def test_a_session_is_found_without_its_user(
        self, connection: sqlite3.Connection, dialect: SqliteDialect
    ) -> None:
        query = checked_filter(Query(app_name="app", session_id="s1"))
        found = plan(connection, lists.page(query, None, 2, at(idle_cutoff=-9), dialect))
        assert "sqlite_autoindex_sessions_1 (app_name=? AND session_id=?)" in found

    def test_counting_reads_one_index_and_no_row(
        self, connection: sqlite3.Connection, dialect: SqliteDialect
    ) -> None:
        for moment in (at(), at(idle_cutoff=-9), at(age_cutoff=-9)):
            running = checked_filter(Query(app_name="app", status="running"))  # type: ignore[arg-type]
            found = plan(connection, lists.count(running, moment, dialect))
            assert "sessions USING COVERING INDEX ix_sessions_updated_at" in found

    @pytest.mark.parametrize(
        ("cutoffs", "ways"), [({}, 1), ({"idle_cutoff": -9}, 2), ({"age_cutoff": -9}, 2)]
    )
    def test_statistics_read_what_is_kept_and_the_expired(
        self, connection: sqlite3.Connection, dialect: SqliteDialect, cutoffs: Any, ways: int
    ) -> None:
        found = plan(connection, lists.stats(at(**cutoffs), dialect))
        assert "SCAN session_counts" in found
        assert found.count("_at<?)") == found.count(" sessions USING ") == ways, found
        assert "SCAN sessions" not in found

    @pytest.mark.parametrize(
        ("cutoffs", "column"), [({"idle_cutoff": 0}, "updated"), ({"age_cutoff": 0}, "created")]
    )
    def test_the_expired_are_found_by_their_times(
        self, connection: sqlite3.Connection, dialect: SqliteDialect, cutoffs: Any, column: str
    ) -> None:
        own, general = lists.remove_expired(at(**cutoffs), dialect)
        for statement, name in ((own, "expires"), (general, column)):
            found = plan(
                connection, Statement(statement.construct, statement.values | {"limit": 9})
            )
            assert f"INDEX ix_sessions_{name}_at ({name}_at<?)" in found
            assert "SCAN sessions" not in found

    def test_a_history_is_read_in_its_order(
        self, connection: sqlite3.Connection, dialect: SqliteDialect
    ) -> None:
        for ids in (("a",), ("a", "b")):
            found = plan(connection, statements.known_entries(KEY, ids, dialect))
            assert "sqlite_autoindex_session_entries_2 (session=? AND entry_id=?)" in found
        for whole in (True, False):
            find = statements.find(dialect.tables, with_documents=whole)
            found = plan(connection, Statement(find, KEY._asdict()))
            assert "(app_name=? AND session_id=? AND user_id>? AND user_id<?)" in found


class TestLabels:
    def test_they_are_compared_exactly(self, store: SqlRepository) -> None:
        """As they are not by SQLite's JSON functions: those end at a NUL, and 0.1 + 0.2 is 0.3."""
        create(store, metadata={"a\0b": 1, "text": "v\0w", "n": 0.1 + 0.2, "big": 2**63 - 1})
        for same in ({"a\0b": 1}, {"text": "v\0w"}, {"n": 0.1 + 0.2}, {"big": 2**63 - 1}):
            assert count(store, metadata=same) == 1
        for other in ({"a": 1}, {"text": "v"}, {"n": 0.3}, {"big": float(2**63 - 1)}):
            assert count(store, metadata=other) == 0

    @pytest.mark.parametrize("key", ['a"b', "a'b", "$.a", "a.b", "a[0]", "%", "", "')--"])
    def test_a_key_is_never_a_path_or_a_statement(self, store: SqlRepository, key: str) -> None:
        create(store, metadata={key: 1})
        create(store, OTHERS[0], metadata={"a": {"b": 1}, "b": 1})
        assert [head.key for head in listed(store, metadata={key: 1})] == [KEY]

    def test_damaged_labels_are_an_error_not_a_session_less(
        self, store: SqlRepository, connection: sqlite3.Connection
    ) -> None:
        create(store, metadata={"a": 1})
        connection.execute("UPDATE sessions SET metadata = '{'")
        with pytest.raises(CorruptStoreError):
            count(store, metadata={"a": 1})


class TestErrors:
    """Rows that somebody has edited by hand, and statements that fail."""

    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE sessions SET created_at = 'yesterday'",
            "UPDATE sessions SET state = '{'",
            "UPDATE sessions SET state = CAST(x'7bff7d' AS TEXT)",
            "UPDATE session_entries SET payload = 'x'",
            "UPDATE session_entries SET created_at = ''",
        ],
    )
    def test_what_cannot_be_read_is_corrupt(
        self, store: SqlRepository, connection: sqlite3.Connection, damage: str
    ) -> None:
        create(store, history=[SECRET], state={"secret": SECRET})
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(damage)
        with pytest.raises(CorruptStoreError) as raised:
            load(store)
        assert_silent(raised.value)

    def test_a_constraint_does_not_come_out_as_the_drivers_error(
        self, store: SqlRepository, connection: sqlite3.Connection
    ) -> None:
        create(store, history=[SECRET])
        connection.execute("UPDATE session_entries SET seq = 2")
        with pytest.raises(CorruptStoreError, match="session_entries") as raised:
            change(store, entries=messages(SECRET))
        assert_silent(raised.value)
        assert load(store, last=0).version == 1

    def test_missing_tables_name_the_command(
        self, store: SqlRepository, connection: sqlite3.Connection
    ) -> None:
        connection.execute("DROP TABLE session_entries")
        with pytest.raises(SchemaError, match="session-store db upgrade") as raised:
            create(store, history=[SECRET], state={"secret": SECRET})
        assert_silent(raised.value)

    def test_a_failed_write_leaves_the_connection_usable(self, store: SqlRepository) -> None:
        for _ in range(20):
            with pytest.raises(SessionStoreError):
                change(store, SessionKey("no", "such", "session"))
        create(store)
        assert count(store) == 1


def assert_silent(error: BaseException | None) -> None:
    """Neither the error nor, where a log would print it, its cause tells the secret."""
    assert error is not None
    assert SECRET not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def test_stats_count_what_every_policy_calls_expired(store: SqlRepository) -> None:
    for n, (created, updated, own, status) in enumerate(
        [
            (0, 0, None, Status.RUNNING),
            (0, 20, None, Status.RUNNING),
            (20, 20, 25, Status.RUNNING),
            (20, 20, 99, Status.PAUSED),
            (20, 20, None, Status.RUNNING),
        ]
    ):
        times = {"updated_at": after(updated), "expires_at": own and after(own), "status": status}
        create(store, SessionKey("app", "ada", f"{n}"), seconds=created, **times)
    moments: list[Moment] = [at(30), at(30, idle_cutoff=10), at(30, age_cutoff=10)]
    counted = [store.stats(moment).model_dump(exclude={"size_bytes"}) for moment in moments]
    assert [tuple(one.values()) for one in counted] == [(5, 3, 1), (5, 2, 2), (5, 1, 3)]
