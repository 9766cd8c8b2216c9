"""What a cleanup costs those who write meanwhile, on PostgreSQL.

    session-store db upgrade --url postgresql://…/scratch
    python benchmarks/postgres_sweep.py --url postgresql://…/scratch

Sweepers and writers are processes of their own. The database must be one whose sessions may go.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event

import psycopg

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.core.operations import Moment
from session_store.session import Changes, NewEntry, SessionKey

BATCH = 1000
NOW = datetime(2026, 3, 1, tzinfo=UTC)
EXPIRING = Moment(NOW, idle_cutoff=NOW - timedelta(days=7))

SEED = """
WITH made AS (
    INSERT INTO sessions (app_name, user_id, session_id, status, version, last_seq,
                          created_at, updated_at, metadata, state, agent_states)
    SELECT 'app', 'user ' || n %% 5000, kind || ' ' || n, 'running', 4, 3,
           %(now)s - age, %(now)s - age + n * interval '1 second', '{}', '{"step":1}', '{}'
    FROM (VALUES ('old', %(expired)s, interval '30 days'), ('live', %(live)s, interval '1 day'))
         AS kinds (kind, number, age), generate_series(1, number) AS n
    RETURNING id, created_at)
INSERT INTO session_entries (session, seq, entry_id, kind, version, created_at, payload)
SELECT id, seq, 'e' || seq, 'message', seq + 1, created_at,
       json_build_object('role', 'user', 'text', repeat('hello ', 40))
FROM made, generate_series(1, 3) AS seq"""


RUNNING = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - query_start)), 0)
FROM pg_stat_activity
WHERE state = 'active' AND application_name = 'session_store' AND datname = current_database()"""


@dataclass(frozen=True)
class Result:
    """Counts, and the slowest of each kind of call in ms."""

    expired: int
    removed: int
    left: int
    writes: int
    lost_entries: int
    deadlocks: int
    slowest_write: float
    median_write: float
    slowest_statement: float
    seconds: float

    @property
    def is_right(self) -> bool:
        """Each expired session removed once, no live one touched, nobody in anybody's way."""
        return (self.removed, self.left, self.lost_entries, self.deadlocks) == (
            self.expired,
            0,
            0,
            0,
        )


def run(url: str, expired: int, sweepers: int = 4, writers: int = 8) -> Result:
    """Remove ``expired`` sessions of three entries while the writers append to their own."""
    seed(url, expired, live=writers * 10)
    before, began = deadlocks(url), time.perf_counter()
    context = multiprocessing.get_context("spawn")
    workers = sweepers + writers + 1
    with context.Manager() as manager, ProcessPoolExecutor(workers, mp_context=context) as pool:
        stop, ready = manager.Event(), manager.Barrier(writers + 1, timeout=60)
        watching = pool.submit(watch, url, stop)
        writing = [pool.submit(write, url, writer, stop, ready) for writer in range(writers)]
        try:
            ready.wait()
            removed = sum(pool.map(sweep, [url] * sweepers))
        finally:
            stop.set()
        seconds = time.perf_counter() - began
        written = [work.result() for work in writing]
    times = sorted(duration for durations in written for duration in durations)
    return Result(
        expired=expired,
        removed=removed,
        left=rows(url, "SELECT count(*) FROM sessions WHERE session_id LIKE 'old %%'"),
        writes=len(times),
        lost_entries=len(times) + writers * 30 - rows(url, "SELECT count(*) FROM session_entries"),
        deadlocks=deadlocks(url) - before,
        slowest_write=times[-1] * 1000,
        median_write=times[len(times) // 2] * 1000,
        slowest_statement=watching.result() * 1000,
        seconds=seconds,
    )


def seed(url: str, expired: int, live: int) -> None:
    values = {"now": NOW, "expired": expired, "live": live}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE sessions, session_entries, shared_states")
        connection.execute(SEED, values)
        connection.execute("VACUUM ANALYZE")


def sweep(url: str) -> int:
    """How many sessions this sweeper removed."""
    removed = 0
    with open_postgres(url) as store:
        while batch := store.remove_expired(EXPIRING, BATCH):
            removed += batch
    return removed


def watch(url: str, stop: Event) -> float:
    """The seconds that a statement of the store was seen to take at most."""
    longest = 0.0
    with psycopg.connect(url, autocommit=True, application_name="watch") as connection:
        while not stop.wait(0.01):
            ((seconds,),) = connection.execute(RUNNING).fetchall()
            longest = max(longest, float(seconds))
    return longest


def write(url: str, writer: int, stop: Event, ready: Barrier) -> list[float]:
    """The seconds of each append to the writer's own ten sessions, once all writers are there."""
    durations: list[float] = []
    with open_postgres(url, pool_size=1) as store:
        ready.wait()
        while not stop.is_set():
            number = writer * 10 + len(durations) % 10 + 1
            key = SessionKey("app", f"user {number}", f"live {number}")
            entry = NewEntry(payload="hello", entry_id=f"{len(durations)}")
            began = time.perf_counter()
            store.apply(key, Changes(entries=(entry,)), Moment(NOW))
            durations.append(time.perf_counter() - began)
    return durations


def deadlocks(url: str) -> int:
    return rows(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def rows(url: str, query: str) -> int:
    with psycopg.connect(url) as connection:
        ((number,),) = connection.execute(query, {}).fetchall()
        return int(number)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True)
    parser.add_argument("--expired", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args(arguments)
    for _ in range(wanted.rounds):
        result = run(wanted.url, wanted.expired)
        print(json.dumps(asdict(result) | {"is_right": result.is_right}), flush=True)


if __name__ == "__main__":
    main()
