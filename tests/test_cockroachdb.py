"""Our tables and statements as CockroachDB's dialect of SQLAlchemy compiles them. Nothing is run:
``docs/scale.md`` says what that leaves open.

Its dialect is no dependency of ours, as it wants SQLAlchemy 2.0; nor is PostgreSQL's own parser:

    uv run --with sqlalchemy-cockroachdb --with "sqlalchemy<2.1" --with pglast \
        pytest tests/test_cockroachdb.py
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Dialect, Table, create_mock_engine
from sqlalchemy.schema import ExecutableDDLElement

from session_store.backends.sql import bulk, lists, statements
from session_store.backends.sql.names import PLAIN
from session_store.backends.sql.postgresql.engine import EngineDialect
from session_store.backends.sql.prepared import Prepared, prepared
from session_store.backends.sql.statements import Statement
from session_store.backends.sql.tables import tables_of
from tests.backends.shapes import shapes

POSTGRES = EngineDialect("nowhere", PLAIN, 1.0, local=True)
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
METADATA = tables_of(PLAIN).metadata

DOCUMENTS = {"metadata", "state", "agent_states", "document", "payload", "content"}
PARTS = ("columns", "stored", "text", "values_of", "negated", "is_", "times")
USERS = ("puts_at_the_end", "one_by_one", "one", "together", "heads")
"""Functions that make parts of statements, by how they begin, and those that use statements."""
STATEMENTS = sorted(
    name
    for module in (statements, lists, bulk)
    for name, value in vars(module).items()
    if callable(value)
    and getattr(value, "__module__", "") == module.__name__
    and name[0].islower()
    and not name.startswith(PARTS)
    and name not in USERS
)
BUILT: dict[str, Statement] = shapes(POSTGRES)


def sent(statement: Statement) -> Prepared:
    """What psycopg's cursors are given: ``%s`` for each parameter."""
    return prepared(statement.construct, POSTGRES.compiler)


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
    METADATA.create_all(engine, checkfirst=False)
    return made


@pytest.fixture
def parse() -> Any:
    return pytest.importorskip(
        "pglast", reason="pglast, PostgreSQL's own parser, is not installed"
    ).parse_sql


@pytest.mark.parametrize("table", METADATA.sorted_tables, ids=lambda table: table.name)
def test_each_table_is_created_with_its_constraints_and_indexes(
    table: Table, ddl: list[str]
) -> None:
    (create,) = (each for each in ddl if each.startswith(f"CREATE TABLE {table.name} "))
    for constraint in table.constraints:
        if constraint.info.get("dialect") == "sqlite":
            continue
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


def test_every_statement_is_one_of_its_dialect_with_the_same_parameters(
    cockroachdb: Dialect,
) -> None:
    for name, statement in BUILT.items():
        compiled: Any = statement.construct.compile(dialect=cockroachdb)
        names = {each.removeprefix("p_") for each in compiled.params}
        assert names == set(sent(statement).names), name


def test_every_statement_is_sql(parse: Any) -> None:
    """By PostgreSQL's grammar; there is none of CockroachDB's in Python."""
    for name, statement in BUILT.items():
        assert len(parse(sent(statement).text.replace("%s", "$1").replace("%%", "%"))) == 1, name


def test_each_is_given_the_values_that_it_names() -> None:
    for name, statement in BUILT.items():
        made = sent(statement)
        assert {*made.names} - {*made.fixed} <= {*statement.values}, name


def test_the_page_says_of_each_statement_which_shards_it_needs() -> None:
    page = PAGE.read_text()
    assert [name for name in STATEMENTS if f"| `{name}`" not in page] == []
