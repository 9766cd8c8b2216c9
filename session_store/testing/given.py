"""What the promises are told with: a fixed clock, a session, short names for the port's calls."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from session_store.core.operations import (
    Apply,
    Create,
    Delete,
    Moment,
    checked_apply,
    checked_create,
)
from session_store.core.queries import Page, Query, Window, checked_filter
from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.session import (
    Applied,
    Changes,
    Entry,
    NewEntry,
    Session,
    SessionHead,
    SessionKey,
    Status,
)

NOW: Final = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
MICROSECOND: Final = 1e-6
BEGINNING: Final = Moment(datetime.min.replace(tzinfo=UTC))
"""A moment at which nothing is expired: it shows all that is stored."""

KEY: Final = SessionKey("app", "ada", "s1")
OTHERS: Final = (
    SessionKey("app", "ada", "s2"),
    SessionKey("app", "bob", "s1"),
    SessionKey("other app", "ada", "s1"),
)
"""Keys that share two parts of three with ``KEY``."""


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def at(
    seconds: float = 0, *, idle_cutoff: float | None = None, age_cutoff: float | None = None
) -> Moment:
    """A moment, with its cutoffs, in seconds after ``NOW``."""
    return Moment(
        after(seconds),
        None if idle_cutoff is None else after(idle_cutoff),
        None if age_cutoff is None else after(age_cutoff),
    )


def new_session(
    key: SessionKey = KEY,
    /,
    *,
    seconds: Any = 0,
    history: Any = (),
    **fields: Any,
) -> Session:
    """A session made at ``seconds``, with a ``history`` of these payloads; nothing is checked."""
    entries = tuple(
        Entry(
            seq=seq,
            entry_id=f"e{seq}",
            kind="message",
            payload=payload,
            created_at=after(seconds),
            version=1,
        )
        for seq, payload in enumerate(history, 1)
    )
    made: dict[str, Any] = {
        **key._asdict(),
        "status": Status.CREATED,
        "version": 1,
        "last_seq": len(entries),
        "created_at": after(seconds),
        "updated_at": after(seconds),
        "entries": entries,
    }
    return Session.model_construct(**made | fields)


def create(repository: SessionRepository, key: SessionKey = KEY, /, **fields: Any) -> Applied:
    """Store a ``new_session`` at the time it was made."""
    session = new_session(key, **fields)
    return repository.create(session, Moment(session.created_at))


def change(
    repository: SessionRepository,
    key: SessionKey = KEY,
    /,
    *,
    moment: Any = None,
    expected_version: Any = None,
    **changes: Any,
) -> Applied:
    """Apply these ``Changes``, a second after ``NOW`` if no ``moment`` is given."""
    return repository.apply(key, Changes(**changes), moment or at(1), expected_version)


def load(
    repository: SessionRepository,
    key: SessionKey = KEY,
    moment: Moment = BEGINNING,
    **window: Any,
) -> Session:
    return repository.load(key, moment, Window(**window))


def message(name: str, payload: Any = None) -> NewEntry:
    """A message whose id is ``name``, and its payload too if none is given."""
    return NewEntry(payload=name if payload is None else payload, entry_id=name)


def messages(*names: str) -> tuple[NewEntry, ...]:
    return tuple(map(message, names))


def ids(answer: Session | Applied) -> list[str]:
    return [entry.entry_id for entry in answer.entries]


def seqs(answer: Session | Applied) -> list[int]:
    return [entry.seq for entry in answer.entries]


def listed(
    repository: SessionRepository, moment: Moment = BEGINNING, /, **conditions: Any
) -> list[SessionHead]:
    """The heads on all pages of a query."""
    return [head for page in pages(repository, moment, **conditions) for head in page.sessions]


def pages(
    repository: SessionRepository, moment: Moment = BEGINNING, /, **conditions: Any
) -> Iterator[Page]:
    page = repository.list(Query(**conditions), moment)
    seen: set[str | None] = {None}
    yield page
    while page.cursor not in seen:  # a list that goes round must not go on for ever
        seen.add(page.cursor)
        page = repository.list(Query(**conditions, cursor=page.cursor), moment)
        yield page


def count(repository: SessionRepository, moment: Moment = BEGINNING, /, **conditions: Any) -> int:
    return repository.count(checked_filter(Query(**conditions)), moment)


def creation(key: SessionKey = KEY, moment: Moment | None = None, **fields: Any) -> Create:
    return checked_create(new_session(key, **fields), moment or at())


def application(
    key: SessionKey = KEY, *, expected_version: int | None = None, **changes: Any
) -> Apply:
    return checked_apply(key, Changes(**changes), at(1), expected_version)


def deletion(key: SessionKey = KEY) -> Delete:
    return Delete(key, at())


def exact(value: Any) -> str:
    """Equal for values that no JSON reader could tell apart: types, order of keys and ``-0.0``."""
    return repr(value)


def contents(repository: SessionRepository) -> list[str]:
    """All that a repository holds, expired or not, exactly."""
    sessions = [load(repository, head.key) for head in listed(repository, limit=1000)]
    scopes = {(key.app_name, user) for key in (KEY, *OTHERS) for user in (None, key.user_id)}
    shared = [repository.load_shared(*scope) for scope in sorted(scopes, key=repr)]
    return [*map(exact, sessions), *map(exact, shared)]


@contextmanager
def refused(
    repository: SessionRepository, error: type[SessionStoreError]
) -> Iterator[pytest.ExceptionInfo[SessionStoreError]]:
    """The block raises ``error``, and the repository holds what it held."""
    before = contents(repository)
    with pytest.raises(error) as raised:
        yield raised
    assert contents(repository) == before
