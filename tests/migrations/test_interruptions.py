"""An upgrade that fails or is killed at any statement leaves whole revisions; the next goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from session_store.backends.sql import schema
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionStoreError
from tests.migrations.support import before_statement, killed_at, revision_in, upgrade
from tests.migrations.test_sqlite_revisions import definitions, revision_of


def failed_at(number: int, url: str) -> bool:
    """Whether a statement of the upgrade failed before it was done."""

    def fail(statement: str) -> str:
        if statement == "COMMIT":
            raise ConnectionAbortedError
        return "SELECT no_such_column"

    with before_statement(number, fail):
        try:
            upgrade(url)
        except (SessionStoreError, ConnectionAbortedError):
            return True
    return False


@pytest.mark.parametrize("interrupted_at", [killed_at, failed_at])
def test_on_postgresql(postgres_url: str, interrupted_at: Callable[[int, str], bool]) -> None:
    ours = [*schema.TABLES, schema.VIEW, schema.VERSION_TABLE]
    query = """SELECT (SELECT count(*) FROM pg_class WHERE relname = ANY(%s)),
                      (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)"""
    whole = (
        {None: (0, 0)}
        | dict.fromkeys(schema.REVISIONS, (5, 0))
        | {"0004": (6, 4), "0005": (6, 4), "0006": (7, 4)}
    )
    swept: dict[str | None, int] = {None: 0}
    at = None
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        while interrupted_at(swept[at] + 1, postgres_url):
            swept[at] += 1
            at = revision_in(postgres_url)
            assert connection.execute(query, [ours]).fetchone() == whole[at]
            swept.setdefault(at, 0)
    assert revision_in(postgres_url) == schema.HEAD
    assert swept[None] > 50
    assert list(swept) == [None, *schema.REVISIONS[: len(swept) - 1]]


def test_on_sqlite(tmp_path: Path) -> None:
    """Killed at any statement: see ``tests/faults``."""
    path = tmp_path / "sessions.db"
    statements = 0
    while failed_at(statements + 1, f"sqlite:///{path}"):
        statements += 1
        assert not path.exists()
    assert statements > 10
    with open_sqlite(tmp_path / "uninterrupted.db"):
        assert definitions(path) == definitions(tmp_path / "uninterrupted.db")
    assert revision_of(path) == schema.HEAD
    assert sorted(os.listdir(tmp_path)) == ["sessions.db", "uninterrupted.db"]
