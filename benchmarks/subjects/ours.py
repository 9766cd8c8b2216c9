"""This library, called as an application calls it: by the service.

Only filling, which is not measured, goes past it: no application writes sessions of last month.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from functools import cached_property
from io import StringIO
from itertools import islice
from typing import Any

from benchmarks import bulk
from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode
from benchmarks.subject import Subject
from session_store import (
    AsyncSessionService,
    Entry,
    Moment,
    PersistentSessionService,
    Session,
    SessionHead,
    Status,
)
from session_store.operations import Create, checked_create
from session_store.session import DEFAULT_APP_NAME

BATCH = 1000

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
            from session_store.entrypoints.cli import main

            with redirect_stdout(StringIO()) as said, redirect_stderr(said):
                main(["db", "upgrade", "--url", place])

    def fill(self, seeds: Iterable[Seed]) -> None:
        if self.mode.kind != "file":
            bulk.fill(self.mode, self.place, seeds)
            return
        at, rest = Moment(datetime.now(UTC)), iter(seeds)
        while batch := [_create(seed, at) for seed in islice(rest, BATCH)]:
            self.service.repository.commit(batch)

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


def _create(seed: Seed, at: Moment) -> Create:
    updated = datetime.fromtimestamp(seed.updated, UTC)
    entries = tuple(
        Entry.model_construct(
            seq=seq,
            entry_id=entry["id"],
            kind="message",
            payload={"role": entry["role"], "text": entry["text"]},
            created_at=updated,
            version=1,
        )
        for seq, entry in enumerate(seed.entries, 1)
    )
    session = Session.model_construct(
        app_name=DEFAULT_APP_NAME,
        user_id=seed.key.user_id,
        session_id=seed.key.session_id,
        status=Status.RUNNING,
        version=1,
        last_seq=len(entries),
        created_at=updated,
        updated_at=updated,
        completed_at=None,
        expires_at=None,
        state=seed.state,
        agent_states={},
        metadata=seed.metadata,
        entries=entries,
    )
    return checked_create(session, at)
