"""What the tests of the service share: a clock to set, places to store, calls of every method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from session_store import InMemorySessionService, PersistentSessionService, SessionService
from session_store.backends.memory import MemoryRepository
from session_store.core.decisions import SharedScope
from session_store.core.operations import Moment, Operation, checked_create
from session_store.core.queries import Filter, Position, StoreStats, Window
from session_store.core.records import EntryFields, SessionRecord, StoredVersion
from session_store.repository import SessionRepository
from session_store.session import Applied, Session, SessionKey, Status

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@dataclass
class Store:
    """A place for the sessions of one test; the services opened on it are closed after it."""

    type: str
    directory: Path
    clock: FakeClock
    url: str = ""
    services: list[SessionService] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.directory / "store.db" if self.type == "sqlite" else self.directory

    @property
    def place(self) -> str:
        """What a service takes for ``storage_path``."""
        return self.url or str(self.path)

    def open(self, **options: Any) -> SessionService:
        """A service on this place. ``memory`` and ``buffered`` begin empty each time."""
        options = {"clock": self.clock, "cleanup_interval": None, **options}
        service = self._opened(options)
        self.services.append(service)
        return service

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for service in self.services:
            service.close()

    def _opened(self, options: dict[str, Any]) -> SessionService:
        if self.type == "memory":
            return InMemorySessionService(**options)
        if self.type == "buffered":
            return SessionService(MemoryRepository(), auto_save=False, **options)
        return PersistentSessionService(self.type, self.place, **options)


class Wrapped(SessionRepository):
    """A repository that passes everything on; subclasses say what goes wrong on the way."""

    def __init__(self, inner: SessionRepository | None = None) -> None:
        self.inner = MemoryRepository() if inner is None else inner

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        return self.inner.commit(operations)

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        return self.inner.fetch(key, window)

    def fetch_shared(self, scope: SharedScope) -> str:
        return self.inner.fetch_shared(scope)

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        return self.inner.select(query, position, limit, at)

    def count(self, query: Filter, at: Moment) -> int:
        return self.inner.count(query, at)

    def remove_expired(self, at: Moment, limit: int) -> int:
        return self.inner.remove_expired(at, limit)

    def stats(self, at: Moment) -> StoreStats:
        return self.inner.stats(at)

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        return self.inner.scan(after, limit)

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        return self.inner.scan_shared(after, limit)

    def fetch_many(
        self, keys: Sequence[SessionKey], *, with_history: bool = True
    ) -> dict[SessionKey, tuple[SessionRecord, Sequence[EntryFields]]]:
        return self.inner.fetch_many(keys, with_history=with_history)

    def check(self) -> None:
        self.inner.check()

    def close(self) -> None:
        self.inner.close()


def create_many(service: SessionService, count: int, user_id: str = "ada") -> list[str]:
    """The ids of ``count`` new sessions, made a second apart in one transaction; oldest first."""
    now = service._clock()
    ids = [f"s{number:05}" for number in range(count)]
    times = [now - timedelta(seconds=count - number) for number in range(count)]
    service.repository.commit(
        [
            checked_create(_running(id_, user_id, time), Moment(now))
            for id_, time in zip(ids, times, strict=True)
        ]
    )
    service.force_save()
    return ids


def _running(session_id: str, user_id: str, at: datetime) -> Session:
    return Session(
        app_name="default",
        user_id=user_id,
        session_id=session_id,
        status=Status.RUNNING,
        version=1,
        last_seq=0,
        created_at=at,
        updated_at=at,
    )


def payloads(session: Session) -> list[Any]:
    return [entry.payload for entry in session.entries]


def seqs(session: Session) -> list[int]:
    return [entry.seq for entry in session.entries]


def ids(heads: Iterable[Any]) -> list[str]:
    return [head.session_id for head in heads]


Call = Callable[..., object]

WRITES: dict[str, Call] = {
    "append": lambda s, id_, **who: s.append(id_, {"text": "hi"}, **who),
    "add_artifact": lambda s, id_, **who: s.add_artifact(id_, "report", {"n": 1}, **who),
    "update_state": lambda s, id_, **who: s.update_state(id_, {"step": 2}, **who),
    "update_agent_state": lambda s, id_, **who: s.update_agent_state(id_, "coach", {"n": 1}, **who),
    "update_session_metadata": lambda s, id_, **who: s.update_session_metadata(
        id_, {"title": "new"}, **who
    ),
    "update_session": lambda s, id_, **who: s.update_session(
        id_, state={"step": 3}, agent_states={"coach": {"n": 2}}, metadata={"title": "all"}, **who
    ),
    "touch_session": lambda s, id_, **who: s.touch_session(id_, **who),
    "create_checkpoint": lambda s, id_, **who: s.create_checkpoint(id_, **who),
    "pause_session": lambda s, id_, **who: s.pause_session(id_, **who),
    "resume_session": lambda s, id_, **who: s.resume_session(id_, **who),
    "complete_session": lambda s, id_, **who: s.complete_session(id_, **who),
    "fail_session": lambda s, id_, **who: s.fail_session(id_, reason="lost", **who),
    "restore_checkpoint": lambda s, id_, **who: s.restore_checkpoint(id_, "start", **who),
}
"""One call of each method that changes a session by its id; all legal on a ``ready_session``."""

CALLS: dict[str, Call] = {
    "get_session": lambda s, id_, **who: s.get_session(id_, **who),
    "fork_session": lambda s, id_, **who: s.fork_session(id_, new_session_id="fork", **who),
    "delete_session": lambda s, id_, **who: s.delete_session(id_, **who),
    **WRITES,
}
"""One call of each method that takes a session's id."""


def ready_session(service: SessionService, **key: Any) -> Session:
    """A session on which every call of ``CALLS`` is legal: created, with a checkpoint ``start``."""
    created = service.create_session(metadata={"title": "talk"}, state={"step": 1}, **key)
    app_name, user_id, session_id = created.key
    service.create_checkpoint(session_id, checkpoint_id="start", user_id=user_id, app_name=app_name)
    return service.get_session(session_id, user_id=user_id, app_name=app_name)
