"""Fills our tables by SQL, as no application would: a million sessions, and no minutes.

What a row is stands in ``docs/schema.md``.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Any, ClassVar

import psycopg

from benchmarks.content import Key, Seed
from benchmarks.modes import Mode

Row = Sequence[Any]

BATCH = 10_000
SESSION = (
    "app_name, user_id, session_id, status, version, last_seq, created_at, updated_at,"
    " metadata, state, agent_states"
)
ENTRY = "session, seq, entry_id, kind, version, created_at, payload"
NEW = "SELECT user_id, session_id, id FROM sessions WHERE id > "


class Tables(ABC):
    """Tables of one database."""

    tidy: ClassVar[Sequence[str]]
    """Statements after which nothing is left to do of what was filled into ours."""

    @abstractmethod
    def insert(self, table: str, columns: str, rows: Iterable[Row]) -> None: ...

    @abstractmethod
    def rows(self, query: str) -> list[Any]: ...

    @abstractmethod
    def commit(self) -> None: ...

    def fill(self, seeds: Iterable[Seed]) -> None:
        """Ours."""
        rest = iter(seeds)
        while batch := list(islice(rest, BATCH)):
            ((newest,),) = self.rows("SELECT coalesce(max(id), 0) FROM sessions")
            self.insert("sessions", SESSION, map(_session, batch))
            ids = {Key(user, session): id_ for user, session, id_ in self.rows(f"{NEW}{newest}")}
            entries = (row for seed in batch for row in _entries(seed, ids[seed.key]))
            self.insert("session_entries", ENTRY, entries)
            self.commit()
        for statement in self.tidy:
            self.rows(statement)


class SqliteTables(Tables):
    tidy = ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        places = ", ".join("?" for _ in columns.split(","))
        self._connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)

    def rows(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()

    def commit(self) -> None:
        self._connection.commit()


class PostgresTables(Tables):
    tidy = ("VACUUM (ANALYZE) sessions", "VACUUM (ANALYZE) session_entries", "CHECKPOINT")

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, columns: str, rows: Iterable[Row]) -> None:
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def rows(self, query: str) -> list[Any]:
        cursor = self._connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []

    def commit(self) -> None:
        """Each statement is."""


def fill(mode: Mode, place: str, seeds: Iterable[Seed]) -> None:
    """The tables of the store at ``place``, which exist."""
    if mode.kind == "sqlite":
        with closing(sqlite3.connect(f"{place}/sessions.db")) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            SqliteTables(connection).fill(seeds)
    else:
        with psycopg.connect(place, autocommit=True) as connection:
            PostgresTables(connection).fill(seeds)


def _session(seed: Seed) -> Row:
    time, seq = _time(seed), len(seed.entries)
    documents = _encoded(seed.metadata), _encoded(seed.state), "{}"
    return ("default", *seed.key, "running", 1, seq, time, time, *documents)


def _entries(seed: Seed, session: int) -> Iterator[Row]:
    time = _time(seed)
    for seq, entry in enumerate(seed.entries, 1):
        payload = {"role": entry["role"], "text": entry["text"]}
        yield session, seq, entry["id"], "message", 1, time, _encoded(payload)


def _time(seed: Seed) -> str:
    return f"{datetime.fromtimestamp(seed.updated, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


_encoded = json.JSONEncoder(separators=(",", ":")).encode
