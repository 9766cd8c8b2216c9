"""A construct finds its rows as the statement by hand did whose place it took.

``statements_by_hand.json`` has the text of each shape, as the store sent it before its statements
were constructs. Both are explained by the same database, so that no release of one is expected.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias, cast

import psycopg
import pytest
from sqlalchemy import not_

from session_store.backends.sql import lists, statements
from session_store.backends.sql.postgresql.store import PostgresDialect, open_postgres
from session_store.backends.sql.prepared import prepared
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import SqliteDialect, open_sqlite
from tests.backends.shapes import shapes
from tests.servers.stores import PostgresStore

BY_HAND: dict[str, dict[str, str]] = json.loads(
    Path(__file__).with_name("statements_by_hand.json").read_text()
)
Plan: TypeAlias = Callable[[str], str]
"""How a database would find the rows of a text."""


def different(plan: Plan, dialect: Any, by_hand: dict[str, str]) -> dict[str, tuple[str, str]]:
    found = {
        name: (plan(by_hand[name]), plan(prepared(one.construct, dialect.compiler).text))
        for name, one in shapes(dialect).items()
    }
    return {name: plans for name, plans in found.items() if plans[0] != plans[1]}


@pytest.fixture
def sqlite_plan(tmp_path: Path) -> Iterator[tuple[Plan, SqliteDialect]]:
    path = tmp_path / "sessions.db"
    open_sqlite(path).close()
    dialect = SqliteDialect(path, "FULL", 1)
    with closing(connected(path, 1)) as connection:
        dialect.prepare(connection)

        def plan(text: str) -> str:
            values = dict.fromkeys(re.findall(r":(\w+)", text))
            rows = connection.execute(
                f"EXPLAIN QUERY PLAN {text}", values or [None] * text.count("?")
            )
            return " | ".join(row[3] for row in rows)

        yield plan, dialect


def test_each_shape_is_explained(sqlite_plan: tuple[Plan, SqliteDialect]) -> None:
    assert set(shapes(sqlite_plan[1])) == set(BY_HAND["sqlite"])


def test_sqlite_finds_the_rows_of_each_as_before(sqlite_plan: tuple[Plan, SqliteDialect]) -> None:
    assert different(*sqlite_plan, BY_HAND["sqlite"]) == {}


def test_a_condition_that_is_negated_otherwise_is_noticed(
    sqlite_plan: tuple[Plan, SqliteDialect], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy's own NOT gives a page to the index of another time."""
    monkeypatch.setattr(statements, "negated", not_)
    for cached in (lists._page, lists._count):
        cached.cache_clear()
    found = different(*sqlite_plan, BY_HAND["sqlite"])
    for cached in (lists._page, lists._count):
        cached.cache_clear()
    assert "page all by created_at, idle, first, limit 51" in found


@pytest.fixture
def postgres_plan(postgres_store: PostgresStore) -> Iterator[tuple[Plan, PostgresDialect]]:
    """One for all values, as of a statement that is sent often."""
    with open_postgres(postgres_store.url) as store:
        dialect = cast("PostgresDialect", store._dialect)
        with psycopg.connect(postgres_store.url, autocommit=True) as connection:
            connection.execute("SET plan_cache_mode = force_generic_plan")
            connection.execute("SET enable_seqscan = off")  # of empty tables all is one page

            def plan(text: str) -> str:
                names = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", text)))
                for number, name in enumerate(names, 1):
                    text = re.sub(rf":{name}\b", f"${number}", text)
                count = len(names) or len(set(re.findall(r"\$\d+", text)))
                connection.execute(f"PREPARE shape AS {text}")
                values = f"({', '.join(['NULL'] * count)})" if count else ""
                rows = connection.execute(f"EXPLAIN (COSTS OFF) EXECUTE shape{values}").fetchall()
                connection.execute("DEALLOCATE shape")
                return "\n".join(re.sub(r"\$\d+", "$", row[0]) for row in rows)

            yield plan, dialect


def test_postgresql_finds_the_rows_of_each_as_before(
    postgres_plan: tuple[Plan, PostgresDialect],
) -> None:
    assert different(*postgres_plan, BY_HAND["postgresql"]) == {}
