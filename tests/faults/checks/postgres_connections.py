"""PostgreSQL and the way to it fail: connections end, answers are lost, servers crash or hang."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from contextlib import ExitStack, contextmanager
from itertools import count as count_from
from itertools import cycle
from typing import Any, Final
from unittest.mock import patch

import psycopg

from session_store.backends.sql.postgresql import connecting
from session_store.backends.sql.postgresql.connecting import StoreConnection
from session_store.backends.sql.postgresql.statements import Answer, PostgresStatements
from session_store.backends.sql.postgresql.store import PostgresDialect, open_postgres
from session_store.errors import SessionStoreError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import (
    KEY,
    at,
    change,
    count,
    create,
    ids,
    load,
    message,
    messages,
    seqs,
)
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.together import refusal
from tests.servers.postgres import PostgresServer

Call = Callable[..., object]

DEADLINE = 1.0
WRITERS = 4

_OTHERS = (
    "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() "
    "AND backend_type = 'client backend'"
)


def own_server() -> str | None:
    named = os.environ.get("SESSION_STORE_TEST_POSTGRES_URL")
    return "the PostgreSQL is the user's own, which is not stopped" if named else None


@contextmanager
def no_second_try() -> Iterator[None]:
    """A connection that the server ended is used, and its error reported."""
    with (
        patch.object(PostgresDialect, "attempts", lambda *_: 1),
        patch.object(StoreConnection, "is_alive", lambda _: True),
    ):
        yield


@contextmanager
def a_failed_commit_is_taken_for_done() -> Iterator[None]:
    with patch.object(PostgresDialect, "is_committed", lambda *_: True):
        yield


@contextmanager
def a_failed_commit_is_repeated_unasked() -> Iterator[None]:
    with patch.object(PostgresDialect, "is_committed", lambda *_: False):
        yield


@contextmanager
def asynchronous_commit() -> Iterator[None]:
    """The server acknowledges what is in its memory only."""
    ours = connecting.settings

    def theirs(timeout: float) -> dict[str, str]:
        return ours(timeout) | {"synchronous_commit": "off"}

    with patch.object(connecting, "settings", theirs):
        yield


@contextmanager
def no_deadline_of_the_client() -> Iterator[None]:
    def answer(connection: StoreConnection, _: float) -> Any:
        return connection._answer(time.monotonic() + 1e6)

    with (
        patch.object(StoreConnection, "wait", psycopg.Connection.wait),
        patch.object(StoreConnection, "answer", answer),
    ):
        yield


@check(
    "P1",
    "connections that are ended between two calls are not noticed",
    stores=["postgresql"],
    trials=(20, 100),
    broken=[no_second_try],
)
def ended_between(place: Place, trials: int) -> Outcomes:
    with place.open() as store, psycopg.connect(place.url, autocommit=True) as other:
        create(store)
        for n in range(trials):
            ended = end_others(other)
            try:
                right = load(store).last_seq == n
                ended *= end_others(other)
                right &= change(store, entries=messages(f"{n}"), state={"n": n}).entry.seq == n + 1
            except SessionStoreError as error:
                yield f"{n}: {error}"
            else:
                yield None if right and ended else f"{n}: lost, doubled, or nothing was ended"


@check(
    "P1",
    "connections that are ended inside a call, before any statement: it is done, and done once",
    stores=["postgresql"],
    trials=(20, 100),
    broken=[a_failed_commit_is_taken_for_done],
)
def ended_inside(place: Place, trials: int) -> Outcomes:
    with place.open() as store, psycopg.connect(place.url, autocommit=True) as other:
        calls, at_statement = cycle(CALLS.items()), 1
        name, (prepare, call, is_done) = next(calls)
        for n in range(trials):
            key = SessionKey("app", "ada", f"{n}")
            prepare(store, key)
            with ending_before(at_statement, other) as ended:
                answer = call(store, key)
            right = is_done(store, key, answer)
            yield None if right else f"{name} is lost or doubled, ended before {at_statement}"
            at_statement += 1
            if not ended:
                name, (prepare, call, is_done) = next(calls)
                at_statement = 1


def _is_absent(store: SessionRepository, key: SessionKey, was_there: object) -> bool:
    return was_there is True and refusal(lambda: load(store, key)) == "SessionNotFoundError"


CALLS: Final[
    dict[str, tuple[Callable[..., object], Callable[..., object], Callable[..., bool]]]
] = {
    "a turn": (
        create,
        lambda store, key: change(store, key, entries=messages("a")),
        lambda store, key, _: ids(load(store, key)) == ["a"] and load(store, key).version == 2,
    ),
    "a change": (
        create,
        lambda store, key: change(store, key, state={"a": 1}, expected_version=1),
        lambda store, key, _: load(store, key).version == 2 and load(store, key).state == {"a": 1},
    ),
    "a creation": (
        lambda *_: None,
        lambda store, key: create(store, key, history="ab"),
        lambda store, key, _: seqs(load(store, key)) == [1, 2],
    ),
    "a deletion": (create, lambda store, key: store.delete(key, at()), _is_absent),
}
"""What prepares for a call, the call, and whether it was done once."""


@check(
    "P2",
    "a COMMIT whose answer is lost counts once",
    stores=["postgresql"],
    trials=(20, 100),
    broken=[a_failed_commit_is_repeated_unasked],
)
def lost_answers(place: Place, trials: int) -> Outcomes:
    with (
        place.servers.proxy() as proxy,
        open_postgres(proxy.reroute(place.url), timeout=10) as store,
    ):
        create(store)
        for n in range(trials):
            proxy.cut_after_commit()
            if n % 2:
                change(store, state={"n": n})
            else:
                change(store, entries=messages(f"{n}"))
            session = load(store)
            names = [f"{i}" for i in range(0, n + 1, 2)]
            right = (session.version, ids(session)) == (n + 2, names)
            right &= proxy.fired["cut_after_commit"] == n + 1
            yield None if right else f"after {n + 1} writes the version is {session.version}"


@check(
    "P3",
    "a backend killed, and an immediate stop, under load: nothing acknowledged is lost",
    stores=["postgresql"],
    trials=(2, 20),
    broken=[asynchronous_commit],
    needs=[own_server],
)
def crashes(place: Place, trials: int) -> Outcomes:
    with place.open(timeout=10) as store:
        for n in range(trials):
            key = SessionKey("app", "ada", f"{n}")
            create(store, key)
            with writing(store, key) as done:
                time.sleep(0.5)
                _crash(place.servers.postgres, stop=bool(n % 2))
            found = amiss(store, done, key)
            yield "; ".join(found[:3]) if found else None


def _crash(server: PostgresServer, *, stop: bool) -> None:
    if stop:
        server.restart("immediate")
    else:
        server.kill_backend(server.backend_pids()[0])
        server.wait_until_ready()


@check(
    "P4",
    "a call on which nothing comes back ends within its deadline",
    stores=["postgresql"],
    trials=(8, 100),
    broken=[no_deadline_of_the_client],
)
def black_holes(place: Place, trials: int) -> Outcomes:
    """Of each four calls three are on open connections, and one makes its own."""
    with ExitStack() as stack:
        proxy = stack.enter_context(place.servers.proxy())
        address = proxy.reroute(place.url)
        options: dict[str, Any] = {"timeout": DEADLINE, "pool_size": trials}
        store = stack.enter_context(open_postgres(address, **options))
        create(store)
        threads = stack.enter_context(ThreadPoolExecutor(trials))
        list(threads.map(lambda _: load(store), range(trials)))  # connections are made before
        proxy.swallow()
        calls: list[Call] = [
            load,
            change,
            count,
            lambda _: open_postgres(address, timeout=DEADLINE),
        ]
        began = time.monotonic()
        running = [threads.submit(calls[n % 4], store) for n in range(trials)]
        ended = [_ended_in_time(call, began + 2.5 + DEADLINE) for call in running]
        proxy.heal()
        yield from ended
        yield None if load(store).version == 1 else "something was written"


def _ended_in_time(call: Future[object], until: float) -> str | None:
    """libpq gives a connection two seconds to come about, whatever it is told."""
    try:
        error = call.exception(timeout=max(0.0, until - time.monotonic()))
    except StillRunning:
        return "a call still waits"
    return None if isinstance(error, StoreUnavailableError) else f"a call ended with {error!r}"


def end_others(connection: psycopg.Connection[Any]) -> int:
    """How many connections of this database were ended; returns when they have."""
    ended = connection.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}").rowcount
    while connection.execute(f"SELECT 1 {_OTHERS}").rowcount:
        time.sleep(0.001)
    return ended


@contextmanager
def ending_before(number: int, other: psycopg.Connection[Any]) -> Iterator[list[int]]:
    """End all connections before the store's statement of that number; how many, if it comes."""
    numbers, ended, run = count_from(1), list[int](), PostgresStatements.run

    def ran(statements: PostgresStatements, text: str, values: Sequence[Any]) -> Answer:
        if next(numbers) == number:
            ended.append(end_others(other))
        return run(statements, text, values)

    with patch.object(PostgresStatements, "run", ran):
        yield ended


@contextmanager
def writing(store: SessionRepository, key: SessionKey = KEY) -> Iterator[list[str]]:
    """While writers append, by turns of one statement and of several; what was acknowledged."""
    stop, done = threading.Event(), list[str]()

    def write(writer: int) -> None:
        n = 0
        while not stop.is_set():
            name, n = f"{writer}-{n}", n + 1
            more = {"state": {f"{writer}": n}} if n % 3 else {}
            try:
                change(store, key, entries=[message(name)], **more)
            except SessionStoreError:
                continue
            done.append(name)

    with ThreadPoolExecutor(WRITERS) as threads:
        working = [threads.submit(write, writer) for writer in range(WRITERS)]
        try:
            yield done
        finally:
            stop.set()
        for each in working:
            each.result()


def amiss(store: SessionRepository, done: list[str], key: SessionKey = KEY) -> list[str]:
    """What is lost of the acknowledged, doubled, or out of order."""
    session = load(store, key, at(1))
    stored = ids(session)
    found = [f"{name} is lost" for name in sorted(set(done) - set(stored))]
    if seqs(session) != list(range(1, len(stored) + 1)) or len(set(stored)) != len(stored):
        found.append("entries are doubled, or their numbers have gaps")
    if len(done) < WRITERS:
        found.append("hardly anything was written")
    return found
