"""Several clients of one store: who repeats, who comes too late, who comes back in time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

from session_store import repository
from session_store.backends import memory
from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.memory import MemoryRepository
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.writing import Writing
from session_store.core.operations import Delete, Moment, checked_apply
from session_store.core.queries import Filter
from session_store.errors import SessionNotFoundError
from session_store.repository import SessionRepository
from session_store.session import Changes, SessionKey
from session_store.testing.given import BEGINNING, at, change, create, ids, load, message
from tests.backends.processes import exit_code, forked
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.together import PROCESSES, at_once, refusal

STORES = ("memory", "file", "sqlite", "postgresql")
EXPIRING = at(100, idle_cutoff=50)
LATER = 20
LATE, EARLY = at(10**9), at(-(10**9))


@contextmanager
def ids_are_not_looked_up() -> Iterator[None]:
    with (
        patch.object(memory, "_named", lambda *_: []),
        patch.object(Writing, "_known", lambda *_: None),
    ):
        yield


@contextmanager
def the_last_writer_wins() -> Iterator[None]:
    """Whatever version was expected."""

    def unchecked(key: SessionKey, changes: Changes, now: Moment, _: int | None) -> Any:
        return checked_apply(key, changes, now, None)

    with patch.object(repository, "checked_apply", unchecked):
        yield


@contextmanager
def who_is_newer_by_the_clock_wins() -> Iterator[None]:
    """A version that is expected in vain does not matter to who writes later."""

    def unchecked(key: SessionKey, changes: Changes, now: Moment, version: int | None) -> Any:
        return checked_apply(key, changes, now, version if now.now < at().now else None)

    with patch.object(repository, "checked_apply", unchecked):
        yield


@contextmanager
def what_was_expired_is_deleted_later() -> Iterator[None]:
    """Found in one transaction, and a millisecond later deleted in others."""

    def remove(store: SessionRepository, moment: Moment, limit: int) -> int:
        found = store.select(Filter(), None, None, BEGINNING)
        expired = [record.key for record in found if moment.is_expired(record)][:limit]
        time.sleep(0.001)
        deletions = [store.commit([Delete(key, BEGINNING)]) for key in expired]
        return sum(answer is not None for (answer,) in deletions)

    with (
        patch.object(MemoryRepository, "remove_expired", remove),
        patch.object(JsonFileRepository, "remove_expired", remove),
        patch.object(SqlRepository, "remove_expired", remove),
    ):
        yield


@check(
    "X3",
    "one entry_id from 8 clients is stored once, and with another payload it is a ConflictError",
    stores=STORES,
    trials=(160, 800),
    broken=[ids_are_not_looked_up],
)
def one_entry_id(place: Place, trials: int) -> Outcomes:
    names = [f"{n}" for n in range(trials // PROCESSES)]
    with place.open() as store:
        create(store)

        def append(own: SessionRepository, process: int) -> None:
            for name in names:
                assert ids(change(own, entries=[message(name)])) == [name]
                again = partial(change, own, entries=[message(name, f"other {process}")])
                assert refusal(again) == "ConflictError"

        yield from at_once(place, store, append)
        stored = ids(load(store))
    for name in names:
        right = stored.count(name) == 1
        yield from [None if right else f"{name} is there {stored.count(name)} times"] * PROCESSES


@check(
    "X4",
    "an expected_version that was passed by is a StaleSessionError, whatever the clocks say",
    stores=STORES,
    trials=(120, 1200),
    broken=[the_last_writer_wins, who_is_newer_by_the_clock_wins],
)
def stale_versions(place: Place, trials: int) -> Outcomes:
    """Of two clients, whose clocks are decades apart, each takes its turn to be too late."""
    ways: list[Callable[[int], dict[str, Any]]] = [
        lambda n: {"entries": [message(f"{n}")]},
        lambda n: {"state": {"n": n}},
        lambda n: {"entries": [message(f"{n}")], "user_state": {"n": n}},
    ]
    moments, offsets = (LATE, at(), EARLY), (-1, 1, -(10**6), 10**6)
    with place.open() as store:
        create(store)
        tries = islice(cycle((w, m, o) for o in offsets for m in moments for w in ways), trials)
        for n, (way, moment, offset) in enumerate(tries):
            before = load(store)
            late = partial(change, store, moment=moment, **way(n))
            raised = refusal(partial(late, expected_version=before.version + offset))
            intact = load(store) == before
            change(store, moment=moment, expected_version=before.version, **way(n))
            yield None if raised == "StaleSessionError" and intact else f"it was {raised or 'done'}"


@check(
    "X6",
    "a session that was touched in time is never swept away",
    stores=STORES,
    trials=(300, 10_000),
    broken=[what_was_expired_is_deleted_later],
    broken_trials=20_000,
)
def touched_in_time(place: Place, trials: int) -> Outcomes:
    """Each session is about to go when its user comes back; the sweeper never rests. It has some
    time for each of them: one is looked at when those after it have had their turn."""
    with place.open() as store, sweeping(place, store) as removed:
        touched, waiting = 0, deque[SessionKey]()
        for n in range(trials + LATER):
            if n < trials:
                key = SessionKey("app", "ada", f"{n}")
                create(store, key)
                time.sleep(0)  # so that a sweeper in another thread may come between
                with suppress(SessionNotFoundError):
                    change(store, key, moment=at(99))
                    touched += 1
                    waiting.append(key)
            if waiting and n >= LATER:
                yield _lost(store, waiting.popleft())
        yield from (_lost(store, key) for key in waiting)
    swept = removed()
    yield None if touched + swept == trials else "some were removed twice, or not at all"
    yield from [None] * swept


def _lost(store: SessionRepository, touched: SessionKey) -> str | None:
    is_there = store.delete(touched, BEGINNING)
    return None if is_there else f"{touched} was touched, and is gone"


@contextmanager
def sweeping(place: Place, store: SessionRepository) -> Iterator[Callable[[], int]]:
    """While another client removes what is expired; how many it were, when it is done."""
    shared = get_context("fork")
    number, stop = shared.Value("i", 0), shared.Event()

    def sweep(own: SessionRepository) -> None:
        last = False
        while not last:
            last = stop.is_set()
            number.value += own.remove_expired(EXPIRING, 10)

    def work() -> None:
        with place.open() as own:
            sweep(own)

    if place.store == "memory":
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(sweep, store)
            try:
                yield lambda: int(number.value)
            finally:
                stop.set()
            done.result()
        return
    child = forked(work)
    try:
        yield lambda: int(number.value)
    finally:
        stop.set()
        exit_code(child)
