"""What is moved in these tests: sessions of every odd kind; and how to see all that a store has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from session_store.core.operations import Apply, checked_apply
from session_store.core.records import EntryRecord, SessionRecord
from session_store.errors import StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.session import Changes, NewCheckpoint, SessionKey, Status
from session_store.testing.given import KEY, OTHERS, after, at, change, create, exact, messages
from session_store.testing.oddities import VALUES
from session_store.transfer.sessions import sessions, shared
from tests.conftest import BACKENDS
from tests.service.support import Wrapped

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DURABLE = ("file", "sqlite", "postgresql")
LONG = KEY._replace(session_id="long")
ODD = SessionKey("app \u00e9", "user \U0001f600", "id/with %2F and \u202e")


class Failing(Wrapped):
    """The third commit does not come through."""

    commits = 0

    def commit(self, operations: Any) -> Any:
        self.commits += 1
        if self.commits == 3:
            raise StoreUnavailableError("gone")
        return super().commit(operations)


def clock() -> datetime:
    return NOW


def stock(repository: SessionRepository) -> None:
    """Fill it: odd values, checkpoints, a rewind, shared documents, expired sessions, one id of
    two users, a long history."""
    for key in (KEY, *OTHERS):
        create(repository, key, history=["a", {"b": 1.0}], state={"z": 1, "a": [-0.0]})
    create(repository, ODD, history=VALUES.values(), metadata={"v": [*VALUES.values()]})
    create(repository, LONG, history=range(300))
    create(repository, KEY._replace(session_id="empty"))
    create(repository, KEY._replace(session_id="over"), history="abc", expires_at=after(-9))
    change(repository, checkpoint=NewCheckpoint(checkpoint_id="c", label="\u00e9"), state={"w": 1})
    change(repository, entries=messages("x", "y"), agent_states={"planner": {"n": 2**53}})
    change(repository, rewind_to=3, entries=messages("again"))
    change(repository, OTHERS[0], status=Status.COMPLETED, expires_at=after(99))
    change(repository, app_state={"a": "\u0000"}, user_state={"u": 1e300})


def raw(
    repository: SessionRepository, key: SessionKey = KEY
) -> tuple[SessionRecord, tuple[EntryRecord, ...]]:
    """A session's records, to write others like them."""
    record, entries = repository.fetch_many([key])[key]
    return record, tuple(map(EntryRecord._make, entries))


def held(repository: SessionRepository) -> list[str]:
    """All that it stores, exactly."""
    found = [
        exact((one.record, [tuple(entry) for entry in one.entries])) for one in sessions(repository)
    ]
    return [*found, *(exact(tuple(one)) for one in shared(repository))]


def conversation(number: int, length: int = 3) -> list[Apply]:
    """Changes of a session, each with an entry."""
    key = KEY._replace(session_id=f"n{number:05}")
    return [
        checked_apply(key, Changes(entries=messages(f"{number}-{n}")), at(n), None)
        for n in range(1, length + 1)
    ]


def many(repository: SessionRepository, count: int, length: int = 3) -> None:
    for number in range(count):
        key = KEY._replace(session_id=f"n{number:05}")
        create(repository, key, history=[f"{key.session_id} {n}" for n in range(length)])


def opened(kind: str, directory: Path) -> SessionRepository:
    return BACKENDS[kind].open_in(directory)


def files_in(directory: Path) -> Iterator[str]:
    return (path.name for path in sorted(directory.iterdir()))
