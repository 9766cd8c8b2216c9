"""A process of the soak: it appends, reads, deletes and sweeps in two stores, until it is killed.

Each line that it reports is a fact: ``add store session n`` that this entry is acknowledged,
``delete store session`` that it is about to delete it, ``deleted store session`` that it did.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final, TypeVar

from session_store.core.operations import Moment
from session_store.core.queries import Query, Window
from session_store.errors import SessionExistsError, SessionStoreError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.session import Changes, NewEntry, Session, SessionKey, Status

Answer = TypeVar("Answer")
Opening = Callable[[], SessionRepository]

APP: Final = "soak"
LENGTH: Final = 200
"""Entries after which a session is old, and the next one is begun."""
KEPT: Final = 4
SHORT: Final = timedelta(seconds=1)
PATIENCE: Final = 120.0
"""Seconds for which a call is made again, as after a server's crash, before it counts as lost."""


def moment() -> Moment:
    return Moment(datetime.now(UTC))


def key(user: str, session: str) -> SessionKey:
    return SessionKey(APP, user, session)


def shared_key() -> SessionKey:
    """Of a session that all write to; every minute it is another one."""
    return key("shared", f"{time.time() // 60:.0f}")


def persist(call: Callable[[], Answer]) -> Answer:
    """Again until it works: each call is one that may be repeated."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except StoreUnavailableError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def new_session(key: SessionKey, lives: timedelta | None = None) -> Session:
    now = datetime.now(UTC)
    return Session.model_construct(
        **key._asdict(),
        status=Status.RUNNING,
        version=1,
        last_seq=0,
        created_at=now,
        updated_at=now,
        expires_at=None if lives is None else now + lives,
        metadata={"title": "soaking"},
    )


class Worker:
    """One of them, in one store."""

    def __init__(self, name: str, user: str, store: SessionRepository, report: int) -> None:
        self._name, self._user, self._store, self._report = name, user, store, report
        self._chance, self._born = random.Random(), f"{os.getpid()}-{time.time_ns()}"
        self._own: list[SessionKey] = []
        self._length = 0
        self._shared, self._shared_length = shared_key(), 0
        self._begin(self._shared)
        self._begin_own()
        self._forget_older()

    def step(self) -> None:
        """One call, or two."""
        calls = [self._append, self._append_shared, self._look, self._list, self._expire]
        self._chance.choices(calls, weights=[75, 8, 8, 5, 4])[0]()

    def _say(self, *words: object) -> None:
        os.write(self._report, " ".join(map(str, words)).encode() + b"\n")

    def _begin(self, key: SessionKey) -> None:
        with suppress(SessionExistsError):
            persist(lambda: self._store.create(new_session(key), moment()))

    def _begin_own(self) -> None:
        self._own.append(key(self._user, f"{self._born}-{time.time_ns()}"))
        self._length = 0
        self._begin(self._own[-1])

    def _append(self) -> None:
        if self._length >= LENGTH:
            self._begin_own()
            if len(self._own) > KEPT:
                self._delete(self._own.pop(0))
        self._add(self._own[-1], self._length)
        self._length += 1

    def _append_shared(self) -> None:
        if self._shared != shared_key():
            self._shared, self._shared_length = shared_key(), 0
            self._begin(self._shared)
        self._add(self._shared, self._shared_length)
        self._shared_length += 1

    def _add(self, key: SessionKey, number: int) -> None:
        text = "x" * self._chance.randrange(1000)
        entry = NewEntry(payload={"text": text}, entry_id=f"{self._born} {number}")
        changes = Changes(entries=(entry,), state={self._user: number})
        persist(lambda: self._store.apply(key, changes, moment()))
        self._say("add", self._name, f"{key.user_id}/{key.session_id}", self._born, number)

    def _look(self) -> None:
        """At its own session, which nobody else writes to."""
        key = self._own[-1]
        found = persist(lambda: self._store.load(key, moment(), Window(last=20)))
        if found.last_seq != self._length:
            self._say("wrong", f"{key} has {found.last_seq} entries, not {self._length}")

    def _list(self) -> None:
        persist(lambda: self._store.list(Query(app_name=APP, user_id=self._user), moment()))
        persist(lambda: self._store.stats(moment()))

    def _expire(self) -> None:
        short = key("short", f"{self._born}-{time.time_ns()}")
        with suppress(SessionExistsError):
            persist(lambda: self._store.create(new_session(short, SHORT), moment()))
        persist(lambda: self._store.remove_expired(moment(), 100))

    def _delete(self, key: SessionKey) -> None:
        words = self._name, f"{key.user_id}/{key.session_id}"
        self._say("delete", *words)
        persist(lambda: self._store.delete(key, moment()))
        self._say("deleted", *words)

    def _forget_older(self) -> None:
        """What those who were killed before it have left."""
        query = Query(app_name=APP, user_id=self._user, limit=100)
        page = persist(lambda: self._store.list(query, moment()))
        for head in page.sessions[KEPT:]:
            self._delete(head.key)


def work(user: str, openings: dict[str, Opening], report: int) -> None:
    """For ever; an error that is none of the expected ones is reported, and ends it."""
    try:
        workers = [
            Worker(name, user, persist(opening), report) for name, opening in openings.items()
        ]
        for _ in count():
            for worker in workers:
                worker.step()
    except SessionStoreError as error:
        os.write(report, f"wrong {type(error).__name__}: {error}\n".encode())
        raise
