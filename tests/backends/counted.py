"""Stores of tests that compare what ``session_counts`` keeps with what a count finds."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.store import open_sqlite

KEPT = "SELECT sum(total), sum(running) FROM session_counts"
COUNTED = "SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM sessions"
BY_HAND = """
INSERT INTO sessions (app_name, user_id, session_id, status, version, last_seq, created_at,
                      updated_at, metadata, state, agent_states)
SELECT 'app', 'by hand', 's' || i, '{status}', 1, 0,
       '2024-01-01T00:00:00.000000Z', '2024-01-01T00:00:00.000000Z', '{{}}', '{{}}', '{{}}'
FROM {rows}"""


class Place(ABC):
    """A store, and a way past the library."""

    @abstractmethod
    def open(self) -> SqlRepository: ...

    @abstractmethod
    def connect(self) -> Any: ...

    @abstractmethod
    def rows(self, first: int, last: int) -> str:
        """Rows with each number, as ``i``."""

    def insert(self, first: int, last: int, status: str) -> str:
        """The statement of somebody who makes sessions by hand."""
        return BY_HAND.format(status=status, rows=self.rows(first, last))

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """What the last of them finds, in one transaction."""
        with closing(self.connect()) as connection, connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def check(self) -> tuple[int, int]:
        """What is kept, which is what is there."""
        kept, counted = self.run(f"{KEPT} UNION ALL {COUNTED}")
        assert kept == counted
        return int(counted[0]), int(counted[1])


class File(Place):
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> SqlRepository:
        return open_sqlite(self.path)

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30)

    def rows(self, first: int, last: int) -> str:
        more = f"VALUES ({first}) UNION ALL SELECT i + 1 FROM n WHERE i < {last}"
        return f"(WITH RECURSIVE n(i) AS ({more}) SELECT i FROM n)"


class Database(Place):
    def __init__(self, url: str) -> None:
        self.url = url

    def open(self) -> SqlRepository:
        return open_postgres(self.url)

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url)

    def rows(self, first: int, last: int) -> str:
        return f"generate_series({first}, {last}) AS i"
