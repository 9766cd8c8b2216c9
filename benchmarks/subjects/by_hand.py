"""What the two floors have in common: two tables, JSON by the standard library, SQL by hand.

The floor is what an application without a library would write, and nothing that it could do
without: no checks, no idempotence, no versions to compare, no errors of its own.
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from benchmarks.bulk import Tables
from benchmarks.content import DAY, Document, Key, Seed
from benchmarks.subject import Subject

WEEK = 7 * DAY

SCHEMA = (
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY, user_id TEXT NOT NULL, status TEXT NOT NULL, version INTEGER NOT NULL,
        last_seq INTEGER NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        updated_at DOUBLE PRECISION NOT NULL, completed_at DOUBLE PRECISION,
        expires_at DOUBLE PRECISION, metadata TEXT NOT NULL, state TEXT NOT NULL,
        agent_states TEXT NOT NULL)""",
    "CREATE INDEX sessions_of_a_user ON sessions (user_id, updated_at)",
    "CREATE INDEX sessions_by_age ON sessions (updated_at)",
    """CREATE TABLE entries (
        session_id TEXT NOT NULL, seq INTEGER NOT NULL, data TEXT NOT NULL,
        PRIMARY KEY (session_id, seq))""",
)
SESSION = (
    "id, user_id, status, version, last_seq, created_at, updated_at, metadata, state, agent_states"
)
ENTRY = "session_id, seq, data"
INSERT_SESSION = "INSERT INTO sessions VALUES (?, ?, 'running', 1, ?, ?, ?, NULL, NULL, ?, ?, '{}')"
INSERT_ENTRY = "INSERT INTO entries VALUES (?, ?, ?)"
SAVE_STATE = "UPDATE sessions SET state = ?, updated_at = ?, version = version + 1 WHERE id = ?"
HEAD = """SELECT id, user_id, status, version, last_seq, created_at, updated_at, completed_at,
                 expires_at, metadata, state, agent_states FROM sessions"""
ONE = f"{HEAD} WHERE id = ?"
NEWEST = f"{HEAD} WHERE user_id = ? ORDER BY updated_at DESC LIMIT ?"
NEWEST_IDS = (
    "SELECT id, updated_at FROM sessions WHERE user_id = ? ORDER BY updated_at DESC LIMIT ?"
)
HISTORY = "SELECT data FROM entries WHERE session_id = ? ORDER BY seq"
LAST = "SELECT data FROM entries WHERE session_id = ? ORDER BY seq DESC LIMIT ?"
DELETE_ENTRIES = "DELETE FROM entries WHERE session_id = ?"
DELETE_SESSION = "DELETE FROM sessions WHERE id = ?"
REMOVE_ENTRIES = (
    "DELETE FROM entries WHERE session_id IN (SELECT id FROM sessions WHERE updated_at < ?)"
)
REMOVE_SESSIONS = "DELETE FROM sessions WHERE updated_at < ?"

Row = Sequence[Any]


class ByHand(Subject):
    """Everything but how a statement runs, and the two calls in which the engines differ."""

    @abstractmethod
    def run(self, statement: str, values: Row = ()) -> Any:
        """The cursor of one prepared statement."""

    @abstractmethod
    def transaction(self, work: Callable[[], Any]) -> Any: ...

    @abstractmethod
    def state_for_update(self, session_id: str) -> str: ...

    @abstractmethod
    def tables(self) -> Tables: ...

    @abstractmethod
    def tidy(self) -> None:
        """Leave nothing to do of what was filled in, as ``bulk`` does for ours."""

    def fill(self, seeds: Iterable[Seed]) -> None:
        kept, tables = list(seeds), self.tables()

        def both() -> None:
            tables.insert("sessions", SESSION, map(_session_row, kept))
            tables.insert("entries", ENTRY, chain.from_iterable(map(_entry_rows, kept)))

        self.transaction(both)
        self.tidy()

    def set_state(self, held: Key, name: str, value: Document) -> None:
        def change() -> None:
            state = json.loads(self.state_for_update(held.session_id))
            state[name] = value
            self.run(SAVE_STATE, (encoded(state), time.time(), held.session_id))

        self.transaction(change)

    def load(self, held: Key) -> list[Document]:
        decoded(self.run(ONE, (held.session_id,)).fetchone())
        return [json.loads(data) for (data,) in self.run(HISTORY, (held.session_id,)).fetchall()]

    def load_last(self, held: Key, count: int) -> list[Document]:
        decoded(self.run(ONE, (held.session_id,)).fetchone())
        rows = self.run(LAST, (held.session_id, count)).fetchall()
        return [json.loads(data) for (data,) in reversed(rows)]

    def create(self, key: Key) -> None:
        now = time.time()
        self.run(INSERT_SESSION, (key.session_id, key.user_id, 0, now, now, "{}", "{}"))

    def newest(self, user_id: str, count: int) -> list[Row]:
        return [decoded(row) for row in self.run(NEWEST, (user_id, count)).fetchall()]

    def newest_ids(self, user_id: str, count: int) -> list[Row]:
        rows: list[Row] = self.run(NEWEST_IDS, (user_id, count)).fetchall()
        return rows

    def delete(self, key: Key) -> None:
        def both() -> None:
            self.run(DELETE_ENTRIES, (key.session_id,))
            self.run(DELETE_SESSION, (key.session_id,))

        self.transaction(both)

    def remove_expired(self) -> int:
        cutoff = (time.time() - WEEK,)

        def both() -> int:
            self.run(REMOVE_ENTRIES, cutoff)
            return int(self.run(REMOVE_SESSIONS, cutoff).rowcount)

        removed: int = self.transaction(both)
        return removed

    def count(self, answer: Any) -> int:
        return len(answer)


encoded = json.JSONEncoder(separators=(",", ":")).encode


def decoded(row: Row) -> Row:
    """A head with its three documents."""
    return (*row[:9], *map(json.loads, row[9:]))


def _session_row(seed: Seed) -> Row:
    user, session = seed.key
    documents = encoded(seed.metadata), encoded(seed.state), "{}"
    return (session, user, "running", 1, len(seed.entries), *[seed.updated] * 2, *documents)


def _entry_rows(seed: Seed) -> Iterator[Row]:
    for seq, entry in enumerate(seed.entries, 1):
        yield seed.key.session_id, seq, encoded(entry)
