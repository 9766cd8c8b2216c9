"""The floor on PostgreSQL: psycopg, every statement prepared, a turn in one statement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks.bulk import PostgresTables
from benchmarks.content import Document, Key
from benchmarks.modes import Mode
from benchmarks.subjects.by_hand import SCHEMA, ByHand, Row, encoded

TURN = """WITH bumped AS (
    UPDATE sessions SET version = version + 1, last_seq = last_seq + 1, updated_at = %s
    WHERE id = %s RETURNING id, last_seq)
INSERT INTO entries SELECT id, last_seq, %s FROM bumped"""
STATE = "SELECT state FROM sessions WHERE id = %s FOR UPDATE"

READER = """
import json, psycopg
c = psycopg.connect({url!r}, autocommit=True)
head = c.execute("SELECT * FROM sessions WHERE id = %s", ({session_id!r},)).fetchone()
documents = [json.loads(text) for text in head[9:]]
rows = c.execute("SELECT data FROM entries WHERE session_id = %s ORDER BY seq", ({session_id!r},))
entries = [json.loads(data) for (data,) in rows]
"""


class PostgresFloor(ByHand):
    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self._own, self._opened = threading.local(), list[psycopg.Connection]()

    @classmethod
    def make(cls, mode: Mode, place: str) -> None:
        with psycopg.connect(place) as connection:
            for statement in SCHEMA:
                connection.execute(statement.encode())

    def connection(self) -> psycopg.Connection:
        """One for each thread."""
        found: psycopg.Connection | None = getattr(self._own, "connection", None)
        if found is None:
            found = psycopg.connect(self.place, autocommit=True, prepare_threshold=0)
            self._own.connection = found
            self._opened.append(found)
        return found

    def run(self, statement: str, values: Row = ()) -> psycopg.Cursor:
        return self.connection().execute(_placed(statement), values)

    def transaction(self, work: Callable[[], Any]) -> Any:
        with self.connection().transaction():
            return work()

    def turn(self, held: Key, message: Document) -> None:
        self.run(TURN, (time.time(), held.session_id, encoded(message)))

    def state_for_update(self, session_id: str) -> str:
        row = self.run(STATE, (session_id,)).fetchone()
        assert row
        return str(row[0])

    def tables(self) -> PostgresTables:
        return PostgresTables(self.connection())

    def tidy(self) -> None:
        for statement in ("VACUUM (ANALYZE) sessions", "VACUUM (ANALYZE) entries", "CHECKPOINT"):
            self.run(statement)

    def reader(self, key: Key) -> str:
        return READER.format(url=self.place, session_id=key.session_id)

    def close(self) -> None:
        for connection in self._opened:
            connection.close()


def _placed(statement: str) -> bytes:
    return statement.replace("?", "%s").encode()
