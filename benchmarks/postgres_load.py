"""What one PostgreSQL carries: turns and loads per second, their latency, WAL, bytes on disk.

    session-store db upgrade --url postgresql://…/scratch
    python benchmarks/postgres_load.py --url postgresql://…/scratch --json load.json

Every size of the store is measured with every number of processes, each with a connection of its
own. The database must be one whose sessions may go, with nobody else on the server, whose WAL is
counted. Takes about 15 minutes; ``--sizes``, ``--processes``, ``--seconds``, ``--rounds`` bound it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import md5
from itertools import product
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from uuid import uuid4

import psycopg

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.core.operations import Moment
from session_store.core.queries import Window
from session_store.demo.conversations import load
from session_store.repository import SessionRepository
from session_store.session import Changes, NewEntry, SessionKey

CHUNK = 50_000
SHARED = 97
"""Of each hundred sessions number 0 has 100 entries and is loaded, 1 to 96 are written to, six by
each of 16 processes, and the first hundred's number 97 by all of them."""

FILL = """
WITH made AS (
    INSERT INTO sessions (app_name, user_id, session_id, status, version, last_seq,
                          created_at, updated_at, metadata, state, agent_states)
    SELECT 'app', 'user-' || n / 10, md5(n::text), 'running', entries, entries,
           now() - interval '30 days' + n * interval '2 seconds',
           now() - interval '30 days' + n * interval '2 seconds' + random() * interval '1 hour',
           json_build_object('title', 'Session ' || n, 'source', 'web'),
           json_build_object('topic', 'work', 'step', n %% 7), '{}'
    FROM (SELECT n, CASE n %% 100 WHEN 0 THEN 100 ELSE 3 + n %% 8 END AS entries
          FROM generate_series(%(first)s, %(end)s - 1) AS n) AS numbers
    RETURNING id, last_seq, created_at)
INSERT INTO session_entries (session, seq, entry_id, kind, version, created_at, payload)
SELECT id, seq, gen_random_uuid()::text, 'message', seq, created_at,
       json_build_object('role', 'user', 'text',
                         (%(texts)s::text[])[1 + (id + seq) %% cardinality(%(texts)s::text[])])
FROM made, generate_series(1, last_seq) AS seq"""

RELATIONS = """
SELECT c.relname, CASE c.relkind WHEN 'r' THEN pg_table_size(c.oid) ELSE pg_relation_size(c.oid) END
FROM pg_class c
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE coalesce(i.indrelid, c.oid) IN ('sessions'::regclass, 'session_entries'::regclass)
ORDER BY 1"""
COUNTS = """
SELECT (SELECT count(*) FROM sessions), count(*), avg(octet_length(CAST(payload AS text)))
FROM session_entries"""
GAUGE = """
SELECT pg_current_wal_insert_lsn() - '0/0', wal_fpi, blks_hit + blks_read
FROM pg_stat_wal, pg_stat_database WHERE datname = current_database()"""
CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'session_store'"


class Share(NamedTuple):
    """What one process works on."""

    worker: int
    sessions: int
    texts: Sequence[str]

    def own(self) -> SessionKey:
        return key_of(random.randrange(self.sessions // 100) * 100 + 1 + self._slot())

    def long(self) -> SessionKey:
        return key_of(random.randrange(self.sessions // 100) * 100)

    def _slot(self) -> int:
        return self.worker * 6 + random.randrange(6)


Operation = Callable[[SessionRepository, Share], object]


def turn(store: SessionRepository, share: Share) -> object:
    return append(store, share.own(), share)


def turn_on_one(store: SessionRepository, share: Share) -> object:
    return append(store, key_of(SHARED), share)


def load_20(store: SessionRepository, share: Share) -> object:
    return store.load(share.long(), now(), Window(last=20))


def load_100(store: SessionRepository, share: Share) -> object:
    return store.load(share.long(), now())


OPERATIONS: dict[str, Operation] = {
    "turn, own sessions": turn,
    "turn, one session": turn_on_one,
    "load last 20": load_20,
    "load all 100": load_100,
}


class Worked(NamedTuple):
    """The seconds of each call of one process, and the CPU that the process used."""

    durations: list[float]
    cpu: float


class Gauge(NamedTuple):
    """What the server has done so far: bytes of WAL, images of whole pages in it, blocks that it
    looked at."""

    wal: int
    full_pages: int
    blocks: int


class Round(NamedTuple):
    """One cell, once."""

    durations: list[float]
    seconds: float
    cpu: float
    done: Gauge


@dataclass(frozen=True)
class Cell:
    """Medians over rounds, the spread of the rate, latencies of all calls; per call: CPU of the
    client in us, WAL in bytes, images of whole pages in it, blocks that the server looked at."""

    sessions: int
    operation: str
    processes: int
    calls: int
    rate: float
    rate_least: float
    rate_most: float
    p50_ms: float
    p99_ms: float
    client_us: float
    wal: float
    full_pages: float
    blocks: float


@dataclass(frozen=True)
class Size:
    """Bytes on disk. A session's own are those of ``sessions`` and its indexes."""

    sessions: int
    entries: int
    payload: float
    session_bytes: float
    entry_bytes: float
    relations: dict[str, int]


def now() -> Moment:
    return Moment(datetime.now(UTC))


def key_of(number: int) -> SessionKey:
    session_id = md5(str(number).encode(), usedforsecurity=False).hexdigest()
    return SessionKey("app", f"user-{number // 10}", session_id)


def append(store: SessionRepository, key: SessionKey, share: Share) -> object:
    payload = {"role": "user", "text": random.choice(share.texts)}
    entry = NewEntry(payload=payload, entry_id=str(uuid4()))
    return store.apply(key, Changes(entries=(entry,)), now())


def utterances() -> list[str]:
    """A few hundred, spread over all conversations."""
    return [turn.text for talk in load(1000) for turn in talk.turns][::16]


# One process ------------------------------------------------------------------------------------


class Process:
    """What each process of a pool holds."""

    store: SessionRepository
    start: Barrier


def prepare(url: str, start: Barrier) -> None:
    Process.store, Process.start = open_postgres(url, pool_size=1), start


def work(name: str, share: Share, seconds: float) -> Worked:
    operation, durations = OPERATIONS[name], list[float]()
    operation(Process.store, share)
    Process.start.wait()
    cpu, began = time.process_time(), time.perf_counter()
    ended = began
    while ended - began < seconds:
        last = ended
        operation(Process.store, share)
        ended = time.perf_counter()
        durations.append(ended - last)
    return Worked(durations, time.process_time() - cpu)


# All of them ------------------------------------------------------------------------------------


def run(url: str, name: str, shares: Sequence[Share], seconds: float) -> Round:
    context, processes = multiprocessing.get_context("spawn"), len(shares)
    prepared = (url, context.Barrier(processes))
    before = gauge(url)
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=prepare, initargs=prepared
    ) as pool:
        futures = [pool.submit(work, name, share, seconds) for share in shares]
        done = [future.result() for future in futures]
    after = gauge(url)
    durations = [duration for worked in done for duration in worked.durations]
    return Round(
        durations=durations,
        seconds=median(sum(worked.durations) for worked in done),
        cpu=sum(worked.cpu for worked in done),
        done=Gauge(*(new - old for new, old in zip(after, before, strict=True))),
    )


def measured(url: str, shares: Sequence[Share], options: argparse.Namespace) -> Iterator[Cell]:
    """All cells of one size. Each runs once a round, in turn with the others."""
    cells = list(product(options.operations, options.processes))
    rounds = [
        [run(url, name, shares[:processes], options.seconds) for name, processes in cells]
        for _ in range(options.rounds)
    ]
    for (name, processes), done in zip(cells, zip(*rounds, strict=True), strict=True):
        yield summed_up(shares[0].sessions, name, processes, done)


def summed_up(sessions: int, operation: str, processes: int, rounds: Sequence[Round]) -> Cell:
    rates = [len(each.durations) / each.seconds for each in rounds]
    durations = sorted(duration for each in rounds for duration in each.durations)
    wal, full_pages, blocks = (
        median(each.done[n] / len(each.durations) for each in rounds) for n in range(3)
    )
    return Cell(
        sessions=sessions,
        operation=operation,
        processes=processes,
        calls=len(durations),
        rate=median(rates),
        rate_least=min(rates),
        rate_most=max(rates),
        p50_ms=durations[len(durations) // 2] * 1e3,
        p99_ms=durations[len(durations) * 99 // 100] * 1e3,
        client_us=median(each.cpu / len(each.durations) for each in rounds) * 1e6,
        wal=wal,
        full_pages=full_pages,
        blocks=blocks,
    )


def gauge(url: str) -> Gauge:
    """A connection hands in its counts when it ends."""
    while ask(url, CLIENTS) != [(0,)]:
        time.sleep(0.05)
    return Gauge(*map(int, ask(url, GAUGE)[0]))


def fill(url: str, first: int, end: int, texts: Sequence[str]) -> None:
    """Add the sessions ``first`` up to ``end``."""
    with psycopg.connect(url, autocommit=True) as connection:
        if first == 0:
            connection.execute("TRUNCATE sessions, session_entries, shared_states")
        for start in range(first, end, CHUNK):
            part = {"first": start, "end": min(start + CHUNK, end), "texts": list(texts)}
            connection.execute(FILL, part)
        connection.execute("VACUUM (ANALYZE) sessions, session_entries")


def size_of(url: str) -> Size:
    relations = {str(name): int(size) for name, size in ask(url, RELATIONS)}
    ((sessions, entries, payload),) = ask(url, COUNTS)
    of_entries = sum(size for name, size in relations.items() if "session_entries" in name)
    return Size(
        sessions=sessions,
        entries=entries,
        payload=float(payload),
        session_bytes=(sum(relations.values()) - of_entries) / sessions,
        entry_bytes=of_entries / entries,
        relations=relations,
    )


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


# Reporting --------------------------------------------------------------------------------------


HEADING = """
| sessions | call | processes | calls/s | p50 ms | p99 ms | client us | WAL B | pages | blocks |
|---|---|---|---|---|---|---|---|---|---|"""


def show(cell: Cell) -> None:
    print(
        f"| {cell.sessions:,} | {cell.operation} | {cell.processes} | {cell.rate:.0f} "
        f"({cell.rate_least:.0f}-{cell.rate_most:.0f}) | {cell.p50_ms:.2f} | {cell.p99_ms:.1f} "
        f"| {cell.client_us:.0f} | {cell.wal:.0f} | {cell.full_pages:.2f} | {cell.blocks:.0f} |",
        flush=True,
    )


def show_size(size: Size) -> None:
    print(
        f"\n{size.sessions:,} sessions, {size.entries:,} entries of {size.payload:.0f} B: "
        f"{size.session_bytes:.0f} B a session, {size.entry_bytes:.0f} B an entry on disk"
    )
    for name, number in size.relations.items():
        print(f"    {name}: {number / 2**20:.1f} MB")


def show_growth(cells: Sequence[Cell]) -> None:
    """A call in the largest store, as a multiple of one in the smallest."""
    print("\n| call | processes | p50 | client us | blocks |\n|---|---|---|---|---|")
    found = {(cell.operation, cell.processes, cell.sessions): costs(cell) for cell in cells}
    least, most = (choose(cell.sessions for cell in cells) for choose in (min, max))
    for name, processes in dict.fromkeys(key[:2] for key in found):
        pairs = zip(found[name, processes, most], found[name, processes, least], strict=True)
        ratios = (f"{large / small:.2f} x" for large, small in pairs)
        print(f"| {name} | {processes} | {' | '.join(ratios)} |")


def costs(cell: Cell) -> tuple[float, ...]:
    return cell.p50_ms, cell.client_us, cell.blocks


def wanted(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--processes", type=int, nargs="+", choices=range(1, 17), default=[1, 2, 4, 8, 16]
    )
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options, texts, filled = wanted(arguments), utterances(), 0
    cells, sizes = list[Cell](), list[Size]()
    print(HEADING)
    for sessions in sorted(options.sizes):
        fill(options.url, filled, sessions, texts)
        filled = sessions
        sizes.append(size_of(options.url))
        shares = [Share(worker, sessions, texts) for worker in range(max(options.processes))]
        for cell in measured(options.url, shares, options):
            cells.append(cell)
            show(cell)
    for size in sizes:
        show_size(size)
    show_growth(cells)
    if options.json:
        found = {"cells": list(map(asdict, cells)), "sizes": list(map(asdict, sizes))}
        options.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
