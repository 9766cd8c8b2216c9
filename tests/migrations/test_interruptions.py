"""An upgrade that fails or is killed at any statement leaves whole revisions; the next goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from session_store.backends.sql import schema
from session_store.backends.sql.sqlite import open_sqlite
from session_store.errors import SessionStoreError
from tests.backends.processes import exit_code, forked
from tests.migrations.support import revision_in, upgrade
from tests.migrations.test_sqlite_revisions import definitions, revision_of

KILLED = 9


@contextmanager
def before_statement(number: int, act: Callable[[str], str]) -> Iterator[list[str]]:
    """Let ``act`` say what is sent in place of one statement of SQLAlchemy; COMMIT is one, too."""
    sent: list[str] = []

    def at(statement: str) -> str:
        sent.append(statement)
        return act(statement) if len(sent) == number else statement

    def execute(_: Any, __: Any, statement: str, values: Any, *___: Any) -> tuple[str, Any]:
        changed = at(statement)
        return changed, values if changed == statement else ()

    def commit(_: Any) -> None:
        at("COMMIT")

    event.listen(Engine, "before_cursor_execute", execute, retval=True)
    event.listen(Engine, "commit", commit)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", execute)
        event.remove(Engine, "commit", commit)


def killed_at(number: int, url: str) -> bool:
    """Whether the process was killed before its upgrade was done."""

    def work() -> None:
        with before_statement(number, lambda _: os._exit(KILLED)):
            upgrade(url)

    code = exit_code(forked(work))
    assert code in (0, KILLED)
    return code == KILLED


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
        {None: (0, 0)} | dict.fromkeys(schema.REVISIONS, (5, 0)) | {"0004": (6, 4), "0005": (6, 4)}
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


@pytest.mark.parametrize("interrupted_at", [killed_at, failed_at])
def test_on_sqlite(tmp_path: Path, interrupted_at: Callable[[int, str], bool]) -> None:
    path = tmp_path / "sessions.db"
    statements = 0
    while interrupted_at(statements + 1, f"sqlite:///{path}"):
        statements += 1
        assert not path.exists()
    assert statements > 10
    with open_sqlite(tmp_path / "uninterrupted.db"):
        assert definitions(path) == definitions(tmp_path / "uninterrupted.db")
    assert revision_of(path) == schema.HEAD
    assert sorted(os.listdir(tmp_path)) == ["sessions.db", "uninterrupted.db"]
