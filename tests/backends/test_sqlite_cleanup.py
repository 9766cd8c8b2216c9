"""The cleanup over SQLite: erased text is in no file, the log stays small, nobody waits for it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite import store as sqlite
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import SqliteDialect, open_sqlite
from session_store.session import SessionKey
from session_store.testing.given import (
    at,
    create,
)

SECRET = "a word that nobody may read"
EXPIRING = at(100, idle_cutoff=50)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlRepository]:
    with open_sqlite(path) as opened:
        yield opened


@pytest.fixture
def connection(path: Path, store: SqlRepository) -> Iterator[sqlite3.Connection]:
    """Beside the store's own."""
    with closing(connected(path, 1)) as opened:
        yield opened


class TestCleanup:
    def fill(self, store: SqlRepository, number: int) -> None:
        for n in range(number):
            create(store, SessionKey("app", "ada", f"s{n}"), history=[f"{SECRET} {n}"] * 20)

    def test_a_reader_does_not_hold_the_cleanup_up(
        self,
        store: SqlRepository,
        connection: sqlite3.Connection,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(sqlite, "_TIDY_WAIT", 0.01)
        self.fill(store, 3)
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sessions").fetchone()
        assert store.remove_expired(EXPIRING, 10) == 3
        connection.execute("COMMIT")
        assert store.remove_expired(EXPIRING, 10) == 0
        assert SECRET.encode() not in contents(path)

    def test_a_log_that_cannot_be_emptied_is_a_warning(
        self,
        store: SqlRepository,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.fill(store, 1)

        def fails(*_: object) -> None:
            raise sqlite3.OperationalError

        monkeypatch.setattr(SqliteDialect, "tidy", fails)
        with caplog.at_level(logging.WARNING):
            assert store.remove_expired(EXPIRING, 10) == 1
        assert "log" in caplog.text


def contents(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())
