"""Our tables and statements as CockroachDB's dialect of SQLAlchemy compiles them. Nothing is run:
``docs/scale.md`` says what that leaves open.

Its dialect is no dependency of ours, as it wants SQLAlchemy 2.0; nor is PostgreSQL's own parser:

    uv run --with sqlalchemy-cockroachdb --with "sqlalchemy<2.1" --with pglast \
        pytest tests/test_cockroachdb.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import getmembers, isfunction
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, Table, create_mock_engine, text
from sqlalchemy.schema import ExecutableDDLElement

from session_store.backends.sql import statements as sql
from session_store.backends.sql.names import Names
from session_store.backends.sql.postgresql.engine import EngineDialect
from session_store.backends.sql.statements import Statement
from session_store.backends.sql.tables import Base
from session_store.core.operations import Moment, checked_apply
from session_store.core.queries import Filter, Position, Window
from session_store.session import Changes
from session_store.testing.given import KEY, NOW, messages

POSTGRES = EngineDialect("nowhere", Names(), 1.0, local=True)
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"

DOCUMENTS = {"metadata", "state", "agent_states", "document", "payload"}
LOCKED = ("FIND", "FIND_HEAD", "SHARED")
CONSTANTS = {
    name: value
    for name, value in vars(sql).items()
    if isinstance(value, str) and name.isupper() and not name.startswith("_")
}
BUILDERS = [
    name
    for name, value in getmembers(sql, isfunction)
    if value.__module__ == sql.__name__ and not name.startswith("_")
]

WINDOWS = (Window(), Window(last=20), Window(last=1, after=3, kind="message"))
FILTERS = (
    Filter(),
    Filter(app_name="app"),
    Filter(app_name="app", user_id="ada", statuses=("running", "paused")),
    Filter(session_id="s1", order_by="created_at", metadata=(("title", "x"), ("n", 0.0))),
    Filter(created_after=NOW, created_before=NOW, updated_after=NOW, updated_before=NOW),
)
MOMENTS = (Moment(NOW), Moment(NOW, idle_cutoff=NOW), Moment(NOW, age_cutoff=NOW))
POSITIONS = (None, Position(NOW, "app", "s1", "ada"))


def built() -> Iterator[Statement]:
    """What the builders make of every kind of question."""
    for ids in (("a",), ("a", "b")):
        yield sql.known_entries(KEY, ids, POSTGRES)
    for window in WINDOWS:
        yield sql.history(1, window)
        yield sql.load(KEY, window)
    for at, version in product(MOMENTS, (None, 1)):
        changes = Changes(entries=messages("a"))
        yield sql.turn(checked_apply(KEY, changes, at, version), POSTGRES)
    for query, at in product(FILTERS, MOMENTS):
        yield sql.count(query, at, POSTGRES)
        for position, limit in product(POSITIONS, (None, 51)):
            yield sql.select(query, position, limit, at, POSTGRES)
    for lock in ("", POSTGRES.row_lock):
        yield sql.find_heads([KEY, KEY], lock)
    yield from sql.load_many([KEY, KEY])
    for after in (None, KEY):
        yield sql.scan(after, 10)
        yield sql.scan_shared(after and ("app", "ada"), 10)
    for at in MOMENTS:
        for counted in (False, True):
            yield sql.stats(at, POSTGRES, counted=counted)
        yield from sql.remove_expired(at, POSTGRES)


BUILT = tuple(built())
TEXTS = sorted(
    {
        *CONSTANTS.values(),
        *(CONSTANTS[name] + POSTGRES.row_lock for name in LOCKED),
        *(statement.text for statement in BUILT),
        POSTGRES.sweep_lock,
    }
)


def sent(statement: str) -> str:
    """What psycopg's cursors are given: ``%(name)s`` for each parameter."""
    return POSTGRES._for_cursors(statement)


@pytest.fixture
def cockroachdb() -> Dialect:
    module = pytest.importorskip(
        "sqlalchemy_cockroachdb.psycopg",
        reason="sqlalchemy-cockroachdb is not installed; it needs SQLAlchemy 2.0",
        exc_type=ImportError,
    )
    dialect: Dialect = module.CockroachDBDialect_psycopg()
    return dialect


@pytest.fixture
def ddl(cockroachdb: Dialect) -> list[str]:
    """Everything that creating our tables would send."""
    made: list[str] = []

    def keep(element: ExecutableDDLElement, *_: Any, **__: Any) -> None:
        made.append(str(element.compile(dialect=cockroachdb)).strip())

    engine = create_mock_engine("cockroachdb+psycopg://", keep)
    Base.metadata.create_all(engine, checkfirst=False)
    return made


@pytest.fixture
def parse() -> Any:
    return pytest.importorskip(
        "pglast", reason="pglast, PostgreSQL's own parser, is not installed"
    ).parse_sql


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_each_table_is_created_with_its_constraints_and_indexes(
    table: Table, ddl: list[str]
) -> None:
    (create,) = (each for each in ddl if each.startswith(f"CREATE TABLE {table.name} "))
    for constraint in table.constraints:
        assert f"CONSTRAINT {constraint.name} " in create
    for index in table.indexes:
        if index.info.get("dialect") == "sqlite":
            continue
        columns = ", ".join(index.columns.keys())
        assert any(f"INDEX {index.name} ON {table.name} ({columns})" in each for each in ddl)


def test_nothing_is_left_in_it_that_only_postgresql_has(ddl: list[str]) -> None:
    """JSON is another name of JSONB there, which does not give back what it was given."""
    every = "\n".join(each for each in ddl if not each.startswith("COMMENT"))
    assert not re.search(r"JSON|COLLATE|COMPRESSION|WITH \(|DO \$", every)
    assert {*re.findall(r"(\w+) TEXT NOT NULL", every)} == DOCUMENTS


def test_its_ddl_is_sql(ddl: list[str], parse: Any) -> None:
    for statement in ddl:
        assert len(parse(statement)) == 1


def test_every_statement_is_sent_as_its_dialect_would_send_it(cockroachdb: Dialect) -> None:
    """So no parameter is missed, and nothing is taken for one."""
    for statement in TEXTS:
        assert sent(statement) == str(text(statement).compile(dialect=cockroachdb))


def test_every_statement_is_sql(parse: Any) -> None:
    """By PostgreSQL's grammar; there is none of CockroachDB's in Python."""
    for statement in TEXTS:
        assert len(parse(re.sub(r"%\(\w+\)s", "$1", sent(statement)))) == 1, statement


def test_each_builder_gives_the_values_that_its_text_names() -> None:
    for text_, values in BUILT:
        named = set(re.findall(r"%\((\w+)\)s", sent(text_)))
        given = {name for name, value in values.items() if value is not None}
        assert named - {"limit"} == given - {"limit"}, text_


def test_the_page_says_of_each_statement_which_shards_it_needs() -> None:
    page = PAGE.read_text()
    missing = [name for name in (*CONSTANTS, *BUILDERS) if f"| `{name}`" not in page]
    assert not missing
