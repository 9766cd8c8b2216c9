"""google-adk: its ``DatabaseSessionService``, on SQLite with WAL, which it leaves to the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.events import Event, EventActions
from google.adk.sessions import DatabaseSessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types
from sqlalchemy.exc import OperationalError

from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode
from benchmarks.subject import AsyncSubject
from benchmarks.subjects import peer
from benchmarks.subjects.by_hand import encoded

APP = "benchmarks"
NOTHING = GetSessionConfig(num_recent_events=0)

INSERT_APP = "INSERT INTO app_states (app_name, state, update_time) VALUES (?, '{}', ?)"
INSERT_USER = """INSERT INTO user_states (app_name, user_id, state, update_time)
VALUES (?, ?, '{}', ?)"""
INSERT_SESSION = """INSERT INTO sessions (app_name, user_id, id, state, create_time, update_time)
VALUES (?, ?, ?, ?, ?, ?)"""
INSERT_EVENT = """INSERT INTO events
(id, app_name, user_id, session_id, invocation_id, timestamp, event_data)
VALUES (?, ?, ?, ?, 'one', ?, ?)"""
ONCE = " ON CONFLICT DO NOTHING"

READER = """
import asyncio
from google.adk.sessions import DatabaseSessionService

async def read():
    async with DatabaseSessionService({url!r}) as service:
        found = await service.get_session(
            app_name={app!r}, user_id={user_id!r}, session_id={session_id!r})
        return found.events

entries = asyncio.run(read())
"""


class Adk(AsyncSubject):
    refusals = (StaleSessionError, OperationalError)

    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self._engine = peer.engine(mode, place)
        self.service = DatabaseSessionService(db_engine=self._engine)
        self.wait(self.service.prepare_tables())

    def fill(self, seeds: Iterable[Seed]) -> None:
        kept = list(seeds)
        now = peer.stamp(kept[0].updated)
        users = sorted({seed.key.user_id for seed in kept})
        self._insert(INSERT_APP + ONCE, [(APP, now)])
        self._insert(INSERT_USER + ONCE, ((APP, user, now) for user in users))
        self._insert(INSERT_SESSION, map(_session_row, kept))
        self._insert(INSERT_EVENT, (_event_row(seed, one) for seed in kept for one in seed.entries))

    def _insert(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        peer.insert(self.mode, self.place, statement, rows)

    async def hold(self, key: Key) -> Any:
        """At the revision that is stored, without which a turn is refused as stale."""
        return await self.service.get_session(**_names(key), config=NOTHING)

    def message(self, utterance: Document) -> Event:
        return _event(utterance)

    async def turn(self, held: Any, message: Any) -> None:
        await self.service.append_event(held, message)

    async def set_state(self, held: Any, name: str, value: Document) -> None:
        """The only way is an event that does it."""
        actions = EventActions(state_delta={name: value})
        event = Event(author="user", invocation_id="one", actions=actions)
        await self.service.append_event(held, event)

    async def load(self, held: Any) -> Any:
        return await self._loaded(held)

    async def load_last(self, held: Any, count: int) -> Any:
        return await self._loaded(held, config=GetSessionConfig(num_recent_events=count))

    async def _loaded(self, held: Any, **options: Any) -> Any:
        key = Key(held.user_id, held.id)
        return (await self.service.get_session(**_names(key), **options)).events

    async def create(self, key: Key) -> None:
        await self.service.create_session(**_names(key))

    async def newest(self, user_id: str, count: int) -> Any:
        """It has no limit: all of the user's, the newest last."""
        found = await self.service.list_sessions(app_name=APP, user_id=user_id)
        return found.sessions[-count:]

    async def delete(self, key: Key) -> None:
        await self.service.delete_session(**_names(key))

    def reader(self, key: Key) -> str:
        return READER.format(url=peer.url(self.mode, self.place), app=APP, **key._asdict())

    def count(self, answer: Any) -> int:
        return len(answer)

    def close(self) -> None:
        self.wait(self._engine.dispose())
        super().close()


def _names(key: Key) -> dict[str, str]:
    return {"app_name": APP, "user_id": key.user_id, "session_id": key.session_id}


def _event(entry: Document) -> Any:
    role = "user" if entry["role"] == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=entry["text"])])
    return Event(
        id=entry["id"],
        timestamp=entry["ts"],
        author=entry["role"],
        invocation_id="one",
        content=content,
    )


def _session_row(seed: Seed) -> Sequence[Any]:
    updated = peer.stamp(seed.updated)
    return (APP, *seed.key, encoded(seed.state), updated, updated)


def _event_row(seed: Seed, entry: Document) -> Sequence[Any]:
    text = _event(entry).model_dump_json(exclude_none=True)
    return (entry["id"], APP, *seed.key, peer.stamp(seed.updated), text)
