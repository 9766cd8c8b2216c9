"""Several processes on one store in PostgreSQL: writers, sweepers, forks, a pooler."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import psycopg
from sqlalchemy import text

from benchmarks import postgres_sweep
from session_store.backends.sql import forks
from session_store.backends.sql.postgresql.connecting import StoreConnection
from session_store.backends.sql.postgresql.store import PostgresDialect, open_postgres
from session_store.backends.sql.prepared import prepared
from session_store.errors import StaleSessionError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import at, change, count, create, load, messages
from tests.backends.processes import exit_code, forked
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.together import PROCESSES, in_processes

SLOWEST_STATEMENT = 1.0
SIDES = 5
"""The parent of a fork, and its children."""
ROUNDS = 10
HELD = 1.5
"""Seconds for which a writer keeps an expired session from the sweepers."""

COME_BACK = "UPDATE sessions SET updated_at = %s WHERE session_id = 'old 1'"


@contextmanager
def no_lock_of_the_row() -> Iterator[None]:
    with without_in_texts(" FOR UPDATE"):
        yield


@contextmanager
def without_in_texts(part: str) -> Iterator[None]:
    """What is sent to the server lacks these words."""
    send = PostgresDialect.send

    def sent(
        dialect: PostgresDialect, connection: Any, text: str, values: Sequence[Any] = ()
    ) -> Any:
        return send(dialect, connection, text.replace(part, ""), values)

    with patch.object(PostgresDialect, "send", sent):
        yield


@contextmanager
def prepared_statements() -> Iterator[None]:
    """As psycopg has them by default, from the first call on."""
    connect = StoreConnection.connect

    def connected(**options: Any) -> Any:
        return connect(**options | {"prepare_threshold": 0})

    with patch.object(StoreConnection, "connect", connected):
        yield


@contextmanager
def a_lock_of_the_session() -> Iterator[None]:
    """Sweepers take turns by a lock that is not the transaction's."""
    begin = PostgresDialect.__init__

    def begun(dialect: PostgresDialect, *arguments: Any, **said: Any) -> None:
        begin(dialect, *arguments, **said)
        lock = prepared(dialect.sweep_lock, dialect.compiler).text
        dialect.sweep_lock = text(lock.replace("_xact_", "_"))

    with patch.object(PostgresDialect, "__init__", begun):
        yield


@contextmanager
def sweepers_that_wait_for_writers() -> Iterator[None]:
    with without_in_texts(" SKIP LOCKED"):
        yield


@contextmanager
def connections_are_inherited() -> Iterator[None]:
    with patch.object(forks, "watch", lambda _: None):
        yield


@check(
    "P5",
    "read-modify-write of 8 processes loses nothing, and no serialization error surfaces",
    stores=["postgresql"],
    trials=(80, 2000),
    broken=[no_lock_of_the_row],
    broken_trials=400,
)
def read_modify_write(place: Place, trials: int) -> Outcomes:
    turns = trials // PROCESSES

    def add(own: SessionRepository, _: int) -> None:
        for _ in range(turns):
            while not _incremented(own):
                pass

    with place.open() as store:
        create(store, state={"n": 0})
        yield from in_processes(place.open, add)
        lost = turns * PROCESSES - load(store).state["n"]
    yield from ["a change is lost"] * lost + [None] * (turns * PROCESSES - lost)


def _incremented(store: SessionRepository) -> bool:
    head = load(store, last=0)
    try:
        change(store, state={"n": head.state["n"] + 1}, expected_version=head.version)
    except StaleSessionError:
        return False
    return True


@check(
    "P6",
    "behind PgBouncer in transaction mode nothing fails, and no lock is left behind",
    stores=["postgresql"],
    trials=(400, 10_000),
    broken=[prepared_statements, a_lock_of_the_session],
)
def pooled(place: Place, trials: int) -> Outcomes:
    """More clients than the bouncer has connections; each turn is five operations."""
    turns = trials // PROCESSES // 5
    address = place.servers.pgbouncer.reroute(place.url)

    def work(own: SessionRepository, process: int) -> None:
        key = SessionKey("app", "ada", f"{process}")
        create(own, key)
        for n in range(turns):
            change(own, key, entries=messages(f"{n}"))
            assert load(own, key).last_seq == n + 1
            assert count(own, user_id="ada") >= 1
            change(own, key, state={"n": n}, expected_version=n * 2 + 2)
            own.remove_expired(at(), 10)

    yield from in_processes(partial(open_postgres, address, transaction_pooler=True), work)
    with psycopg.connect(place.url) as connection:
        query = (
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        yield from ["a lock is left behind"] * connection.execute(query).rowcount
    with place.open() as store:
        for process in range(PROCESSES):
            found = load(store, SessionKey("app", "ada", f"{process}")).last_seq == turns
            yield from [None if found else "entries are lost"] * turns * 5


@check(
    "P7",
    "8 sweepers at once remove every expired session once, and no statement takes over 1 s",
    stores=["postgresql"],
    trials=(2000, 60_000),
    broken=[sweepers_that_wait_for_writers],
)
def sweepers(place: Place, trials: int) -> Outcomes:
    """While a writer holds one of them, who is back in time."""
    postgres_sweep.seed(place.url, trials, live=80)
    with ExitStack() as stack:
        stop = threading.Event()
        threads = stack.enter_context(ThreadPoolExecutor(2))
        watching = threads.submit(postgres_sweep.watch, place.url, stop)
        writer = stack.enter_context(psycopg.connect(place.url, application_name="writer"))
        writer.execute(COME_BACK, [postgres_sweep.NOW])
        threads.submit(_commit_later, writer)
        removed = _swept(place)
        stop.set()
        slowest = watching.result()
    left = postgres_sweep.rows(place.url, "SELECT count(*) FROM sessions")
    wrong = abs(removed - (trials - 1)) + abs(left - 81)
    yield from ["a session is removed twice, not at all, or wrongly"] * wrong
    yield from [None] * (trials - wrong)
    yield f"a statement took {slowest:.1f} s" if slowest > SLOWEST_STATEMENT else None


def _commit_later(writer: psycopg.Connection[Any]) -> None:
    time.sleep(HELD)
    writer.commit()


def _swept(place: Place) -> int:
    """How many sessions 8 processes say that they have removed."""
    numbers = get_context("fork").Value("i", 0)

    def sweep(own: SessionRepository, _: int) -> None:
        while removed := own.remove_expired(postgres_sweep.EXPIRING, postgres_sweep.BATCH):
            with numbers.get_lock():
                numbers.value += removed

    in_processes(place.open, sweep)
    return int(numbers.value)


@check(
    "P10",
    "a store that was used before a fork gives right answers on both sides of it",
    stores=["postgresql"],
    trials=(100, 1000),
    broken=[connections_are_inherited],
    broken_trials=1000,
)
def forked_after_use(place: Place, trials: int) -> Outcomes:
    """All sides begin at the same moment, as those do that get in each other's way."""
    with place.open(timeout=5) as store:
        for fork in range(trials // SIDES // ROUNDS):
            right = get_context("fork").Value("i", 0)
            begin = get_context("fork").Barrier(SIDES, timeout=30)
            create(store, SessionKey("app", "parent", f"{fork}"))
            work = partial(_stored_and_found, store, fork, right, begin)
            children = [forked(partial(work, side)) for side in range(1, SIDES)]
            raised = _raised(partial(work, 0))
            codes = [exit_code(child) for child in children]
            number = right.value
            yield from [None] * number
            yield from [f"a wrong answer, or {raised!r}, {codes}"] * (SIDES * ROUNDS - number)


def _stored_and_found(
    store: SessionRepository, fork: int, right: Any, begin: Any, side: int
) -> None:
    begin.wait()
    for turn in range(ROUNDS):
        key = SessionKey("app", f"{side}", f"{fork}-{turn}")
        create(store, key, history=[[*key]])
        if [entry.payload for entry in load(store, key).entries] == [[*key]]:
            with right.get_lock():
                right.value += 1


def _raised(work: Callable[[], object]) -> Exception | None:
    """Any error: who reads the answer to another one's question may make anything of it."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 - handed on
        return error
    return None
