"""openai-agents: its sessions on SQLite and on SQLAlchemy. They have a history, and nothing else:
no state, no creation before the first item, no lists."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, ClassVar

from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, SQLAlchemySession
from sqlalchemy.exc import OperationalError

from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode
from benchmarks.subject import AsyncSubject
from benchmarks.subjects import peer
from benchmarks.subjects.by_hand import encoded

INSERT_SESSION = """INSERT INTO agent_sessions (session_id, created_at, updated_at)
VALUES (?, ?, ?)"""
INSERT_MESSAGE = """INSERT INTO agent_messages (session_id, message_data, created_at)
VALUES (?, ?, ?)"""

ON_SQLITE = """
import asyncio
from agents import SQLiteSession
entries = asyncio.run(SQLiteSession({session_id!r}, {file!r}).get_items())
"""
ON_SQLALCHEMY = """
import asyncio
from agents.extensions.memory import SQLAlchemySession

async def read():
    session = SQLAlchemySession.from_url({session_id!r}, url={url!r})
    found = await session.get_items()
    await session.engine.dispose()
    return found

entries = asyncio.run(read())
"""
SCHEMA = Key("nobody", "schema")


class OnSqlite(AsyncSubject):
    """It sets WAL itself, and leaves ``synchronous`` at FULL."""

    refusals: ClassVar[tuple[type[Exception], ...]] = (sqlite3.OperationalError,)

    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self.held(SCHEMA)

    def fill(self, seeds: Iterable[Seed]) -> None:
        kept = list(seeds)
        times = {seed.key: peer.stamp(seed.updated)[:19] for seed in kept}
        sessions = ((key.session_id, time, time) for key, time in times.items())
        messages = (
            (seed.key.session_id, encoded(_item(entry)), times[seed.key])
            for seed in kept
            for entry in seed.entries
        )
        peer.insert(self.mode, self.place, INSERT_SESSION, sessions)
        peer.insert(self.mode, self.place, INSERT_MESSAGE, messages)

    async def hold(self, key: Key) -> Any:
        """The object that stands for a session; it reads nothing, so one is enough."""
        return self._held.get(key) or self._session(key)

    def _session(self, key: Key) -> Any:
        return SQLiteSession(key.session_id, peer.file_of(self.place))

    def message(self, utterance: Document) -> Document:
        return _item(utterance)

    async def turn(self, held: Any, message: Any) -> None:
        await held.add_items([message])

    async def load(self, held: Any) -> Any:
        return await held.get_items()

    async def load_last(self, held: Any, count: int) -> Any:
        return await held.get_items(count)

    def reader(self, key: Key) -> str:
        return ON_SQLITE.format(file=peer.file_of(self.place), session_id=key.session_id)

    def count(self, answer: Any) -> int:
        return len(answer)

    def close(self) -> None:
        for session in self._held.values():
            session.close()
        super().close()


class Advanced(OnSqlite):
    """With branches and usage, in tables that are filled by its own calls."""

    def _session(self, key: Key) -> Any:
        return AdvancedSQLiteSession(
            session_id=key.session_id, db_path=peer.file_of(self.place), create_tables=True
        )

    def fill(self, seeds: Iterable[Seed]) -> None:
        """One call a session, which has a connection of its own."""
        for seed in seeds:
            session = self._session(seed.key)
            self.wait(session.add_items(list(map(_item, seed.entries))))
            session.close()


class OnEngine(OnSqlite):
    refusals = (OperationalError,)

    def __init__(self, mode: Mode, place: str) -> None:
        self._engine = peer.engine(mode, place)
        super().__init__(mode, place)
        self.wait(self._held[SCHEMA].get_items())

    def _session(self, key: Key) -> Any:
        made = key == SCHEMA
        return SQLAlchemySession(key.session_id, engine=self._engine, create_tables=made)

    def reader(self, key: Key) -> str:
        return ON_SQLALCHEMY.format(url=peer.url(self.mode, self.place), session_id=key.session_id)

    def close(self) -> None:
        self.wait(self._engine.dispose())
        AsyncSubject.close(self)


def _item(entry: Document) -> Document:
    return {"role": entry["role"], "content": entry["text"]}
