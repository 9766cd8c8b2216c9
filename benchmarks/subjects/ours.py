"""This library, called as an application calls it: by the service.

Only a database is filled past it, which is not measured.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from benchmarks import bulk
from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode
from benchmarks.subject import Subject
from session_store import (
    AsyncSessionService,
    NewEntry,
    PersistentSessionService,
    Session,
    SessionHead,
)

READER = """
from session_store import PersistentSessionService
service = PersistentSessionService({kind!r}, {place!r}, cleanup_interval=None, **{options!r})
entries = service.get_session({session_id!r}, user_id={user_id!r}).entries
"""


class Ours(Subject):
    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self.service = PersistentSessionService(
            mode.kind, place, cleanup_interval=None, **options(mode)
        )

    @classmethod
    def make(cls, mode: Mode, place: str) -> None:
        if mode.kind == "postgresql":
            command = [sys.executable, "-m", "session_store", "db", "upgrade", "--url", place]
            subprocess.run(command, check=True, capture_output=True)

    def fill(self, seeds: Iterable[Seed]) -> None:
        if self.mode.kind == "file":
            self._fill_file(seeds)
        else:
            bulk.fill(self.mode, self.place, seeds)

    def _fill_file(self, seeds: Iterable[Seed]) -> None:
        """With one save, by a service for which nothing is expired; then ours has read it, which is
        no part of the call that is measured next."""
        clock = _At()
        with PersistentSessionService(
            "file", self.place, None, auto_save=False, cleanup_interval=None, clock=clock
        ) as service:
            for seed in seeds:
                clock.now = datetime.fromtimestamp(seed.updated, UTC)
                user, session = seed.key
                service.create_session(
                    user_id=user, session_id=session, metadata=seed.metadata, state=seed.state
                )
                entries = [_entry(entry) for entry in seed.entries]
                service.append(session, entries, user_id=user)
        self.service.get_session_count()

    def message(self, utterance: Document) -> Document:
        """The store gives an entry its id and its time."""
        return {"role": utterance["role"], "text": utterance["text"]}

    def turn(self, held: Key, message: Document) -> object:
        return self.service.append(held.session_id, message, user_id=held.user_id)

    def set_state(self, held: Key, name: str, value: Document) -> object:
        return self.service.update_state(held.session_id, {name: value}, user_id=held.user_id)

    def load(self, held: Key) -> Session:
        return self.service.get_session(held.session_id, user_id=held.user_id)

    def load_last(self, held: Key, count: int) -> Session:
        return self.service.get_session(held.session_id, user_id=held.user_id, last=count)

    def create(self, key: Key) -> object:
        return self.service.create_session(user_id=key.user_id, session_id=key.session_id)

    def newest(self, user_id: str, count: int) -> tuple[SessionHead, ...]:
        return self.service.list_sessions(user_id=user_id, limit=count).sessions

    def newest_ids(self, user_id: str, count: int) -> tuple[SessionHead, ...]:
        """There is no call for less."""
        return self.newest(user_id, count)

    def delete(self, key: Key) -> object:
        return self.service.delete_session(key.session_id, user_id=key.user_id)

    def remove_expired(self) -> int:
        return self.service.cleanup_expired_sessions()

    def reader(self, key: Key) -> str:
        return READER.format(
            kind=self.mode.kind, place=self.place, options=options(self.mode), **key._asdict()
        )

    def count(self, answer: Any) -> int:
        return len(answer.entries) if isinstance(answer, Session) else len(answer)

    async def awaited_turn(self, held: Key, message: Document) -> None:
        await self._facade.append(held.session_id, message, user_id=held.user_id)

    @cached_property
    def _facade(self) -> AsyncSessionService:
        return AsyncSessionService(self.service)

    def close(self) -> None:
        self.service.close()


def options(mode: Mode) -> dict[str, Any]:
    return {"synchronous": mode.synchronous} if mode.kind == "sqlite" else {}


def _entry(entry: Document) -> NewEntry:
    return NewEntry(payload={"role": entry["role"], "text": entry["text"]}, entry_id=entry["id"])


class _At:
    """The clock of a service that is told what time it is."""

    now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now
