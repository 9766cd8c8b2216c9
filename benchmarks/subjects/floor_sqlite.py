"""The floor on SQLite: ``sqlite3``, which keeps the statements of a connection prepared."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.bulk import SqliteTables
from benchmarks.content import Document, Key
from benchmarks.modes import Mode
from benchmarks.subjects.by_hand import INSERT_ENTRY, SCHEMA, ByHand, Row, encoded

BUMP = """UPDATE sessions SET version = version + 1, last_seq = last_seq + 1, updated_at = ?
WHERE id = ? RETURNING last_seq"""
STATE = "SELECT state FROM sessions WHERE id = ?"

READER = """
import json, sqlite3
c = sqlite3.connect({file!r}, isolation_level=None)
c.execute("PRAGMA synchronous={synchronous}")
head = c.execute("SELECT * FROM sessions WHERE id = ?", ({session_id!r},)).fetchone()
documents = [json.loads(text) for text in head[9:]]
rows = c.execute("SELECT data FROM entries WHERE session_id = ? ORDER BY seq", ({session_id!r},))
entries = [json.loads(data) for (data,) in rows]
"""


class SqliteFloor(ByHand):
    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self._file = _file(place)
        self._own, self._opened = threading.local(), list[sqlite3.Connection]()

    @classmethod
    def make(cls, mode: Mode, place: str) -> None:
        connection = sqlite3.connect(_file(place))
        connection.execute("PRAGMA journal_mode=WAL")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.close()

    def connection(self) -> sqlite3.Connection:
        """One for each thread."""
        found: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if found is None:
            found = sqlite3.connect(
                self._file, timeout=30, isolation_level=None, check_same_thread=False
            )
            found.execute(f"PRAGMA synchronous={self.mode.synchronous}")
            self._own.connection = found
            self._opened.append(found)
        return found

    def run(self, statement: str, values: Row = ()) -> sqlite3.Cursor:
        return self.connection().execute(statement, values)

    def transaction(self, work: Callable[[], Any]) -> Any:
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            answer = work()
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return answer

    def turn(self, held: Key, message: Document) -> None:
        def append() -> None:
            (seq,) = self.run(BUMP, (time.time(), held.session_id)).fetchone()
            self.run(INSERT_ENTRY, (held.session_id, seq, data))

        data = encoded(message)
        self.transaction(append)

    def state_for_update(self, session_id: str) -> str:
        (state,) = self.run(STATE, (session_id,)).fetchone()
        return str(state)

    def tables(self) -> SqliteTables:
        return SqliteTables(self.connection())

    def tidy(self) -> None:
        for statement in SqliteTables.tidy:
            self.run(statement).fetchall()

    def reader(self, key: Key) -> str:
        return READER.format(
            file=self._file, synchronous=self.mode.synchronous, session_id=key.session_id
        )

    def close(self) -> None:
        for connection in self._opened:
            connection.close()


def _file(place: str) -> str:
    return f"{place}/floor.db"
