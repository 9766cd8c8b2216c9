"""What revision 0006 takes: its time, the disk, and for how long others wait.

    python benchmarks/rows_that_cannot_mix.py                              SQLite, scratch directory
    python benchmarks/rows_that_cannot_mix.py --url postgresql://…/empty   PostgreSQL

Of sessions with documents of 300 bytes and six entries each; one in a thousand has an entry too
many, which is set aside.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from alembic import command

from session_store.backends.sql import schema

BEFORE, REVISION = "0005", "0006"
ENTRIES = 6
MB = 1 << 20

SESSIONS = """
INSERT INTO sessions (app_name, user_id, session_id, status, version, last_seq, created_at,
                      updated_at, metadata, state, agent_states)
SELECT 'app', 'user ' || n % 5000, 'session ' || (n * 7919 % {sessions}) || ' of ' || n,
       CASE n % 3 WHEN 0 THEN 'running' ELSE 'paused' END, 4, {entries}, {time}, {time},
       '{{"title":"a talk"}}', '{{"step":"{text}"}}', '{{}}'
FROM {rows}"""
HISTORY = """
INSERT INTO session_entries (session, seq, entry_id, kind, version, created_at, payload)
SELECT s.id, e.n, 'entry ' || e.n || ' of ' || s.id, 'message', 4, {time}, '{{"text":"{text}"}}'
FROM sessions s CROSS JOIN {rows} WHERE e.n <= {entries} OR s.id % 1000 = 0"""

READ = "SELECT version FROM sessions WHERE id = 1"
WRITE = "UPDATE sessions SET version = version + 1 WHERE id = 2"


def migrate(revision: str, url: str) -> None:
    config = schema.config()
    config.attributes.update(url=url, on_set_aside=print)
    command.upgrade(config, revision)


def fill(
    run: Callable[[str], object], rows: Callable[[int], str], time_: str, sessions: int
) -> None:
    values = {"sessions": sessions, "entries": ENTRIES, "time": time_, "text": "x" * 280}
    run(SESSIONS.format(rows=rows(sessions), **values))
    run(HISTORY.format(rows=rows(ENTRIES + 1).replace(") AS r", ") AS e"), **values))


# SQLite -------------------------------------------------------------------------------------------


def on_sqlite(path: Path, sessions: int) -> None:
    url = f"sqlite:///{path}"
    migrate(BEFORE, url)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        fill(connection.execute, _numbers, "'2026-01-01T00:00:00.000000Z'", sessions)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.stat().st_size
    with peak_of(path) as peak:
        took = timed(lambda: migrate(REVISION, url))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (free,) = connection.execute(
            "SELECT freelist_count * 4096 FROM pragma_freelist_count"
        ).fetchone()
        after = path.stat().st_size
        vacuum = timed(lambda: connection.execute("VACUUM"))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    print(f"upgrade of {sessions:,} sessions, during which all writers wait: {took:.1f} s")
    print(
        f"file: {before / MB:,.0f} MB before, {after / MB:,.0f} MB after, of it free "
        f"{free / MB:,.0f} MB"
    )
    print(f"most on disk meanwhile, with log and temporary files: {max(peak) / MB:,.0f} MB")
    print(f"VACUUM, if wanted: {vacuum:.1f} s, then {path.stat().st_size / MB:,.0f} MB")


def _numbers(last: int) -> str:
    more = f"VALUES (1) UNION ALL SELECT n + 1 FROM c LIMIT {last}"
    return f"(WITH RECURSIVE c(n) AS ({more}) SELECT n FROM c) AS r"


@contextmanager
def peak_of(path: Path) -> Iterator[list[int]]:
    """The bytes beside and in the file, again and again; temporary files have no name, so the free
    space of the disk is what tells of them."""
    free = shutil.disk_usage(path.parent).free + path.stat().st_size
    found = [0]

    def look() -> None:
        found.append(free - shutil.disk_usage(path.parent).free)

    with repeated(look):
        yield found


# PostgreSQL ---------------------------------------------------------------------------------------


def on_postgresql(url: str, sessions: int, rounds: int) -> None:
    migrate(BEFORE, url)
    with psycopg.connect(url, autocommit=True) as connection:
        fill(
            connection.execute,
            lambda last: f"(SELECT n::bigint FROM generate_series(1, {last}) AS n) AS r",
            "timestamptz '2026-01-01'",
            sessions,
        )
        connection.execute("VACUUM ANALYZE sessions, session_entries")
    for n in range(rounds):
        if n:
            config = schema.config()
            config.attributes.update(url=url)
            command.downgrade(config, BEFORE)
        upgrade_beside_others(url)


def upgrade_beside_others(url: str) -> None:
    reads, writes = [0.0], [0.0]
    with (
        psycopg.connect(url, autocommit=True) as reader,
        psycopg.connect(url, autocommit=True) as writer,
        repeated(lambda: reads.append(timed(lambda: reader.execute(READ)))),
        repeated(lambda: writes.append(timed(lambda: writer.execute(WRITE)))),
    ):
        took = timed(lambda: migrate("head", url))
    print(f"upgrade {took:.2f} s; a read waited {max(reads):.2f} s, a write {max(writes):.2f} s")


@contextmanager
def repeated(work: Callable[[], Any]) -> Iterator[None]:
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.005):
            work()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", help="of an empty database; SQLite without it")
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="on PostgreSQL")
    parser.add_argument("--directory", type=Path, help="where the file is made")
    options = parser.parse_args()
    if options.url:
        on_postgresql(options.url, options.sessions, options.rounds)
        return
    with TemporaryDirectory(dir=options.directory) as directory:
        on_sqlite(Path(directory, "sessions.db"), options.sessions)


if __name__ == "__main__":
    main()
