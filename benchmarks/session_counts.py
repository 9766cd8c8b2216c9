"""What it costs that the database keeps how many sessions there are, and what that saves.

    python benchmarks/session_counts.py                              SQLite, in a scratch directory
    python benchmarks/session_counts.py --url postgresql://…/empty   PostgreSQL

Ratios are of the same work in stores with the triggers and without them, in turn: the median, and
the middle half of all.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import psycopg
from alembic import command

from session_store.backends.sql import schema
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.core.operations import Create, Moment, checked_create
from session_store.session import Changes, NewEntry, Session, SessionKey, Status

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WITH, WITHOUT, CONTROL, UPSERT = "with_triggers", "without", "control", "upsert"
TURN = 20
"""Sessions of a store before it is another's turn: in turns of 1,000 two stores that are the same
differed by up to 1.3 x, which is more than what is looked for."""

COUNTED = "SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM {sessions}"
TOUCH = "UPDATE {sessions} SET version = version + 1, updated_at = '{now}' WHERE id % 20 = 0"
START = "UPDATE {sessions} SET status = CASE status WHEN 'running' THEN 'paused' ELSE 'running' END"

FILL = """
INSERT INTO {{sessions}} (app_name, user_id, session_id, status, version, last_seq, created_at,
                          updated_at, metadata, state, agent_states)
SELECT 'app', 'user ' || n % 5000, 'session ' || n,
       CASE n % 3 WHEN 0 THEN 'running' ELSE 'paused' END, 4, 3, {past}, {time},
       '{{{{"title":"a talk"}}}}', '{{{{"step":1}}}}', '{{{{}}}}'
FROM {rows}"""
"""The times of last writes, a second apart, are strewn over the table."""

ONE_ROW_A_CONNECTION = """
CREATE TABLE upsert.kept (writer int PRIMARY KEY, total bigint, running bigint);
CREATE OR REPLACE FUNCTION upsert.session_counts_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    more bigint := 0;
    starts bigint := CASE WHEN TG_OP = 'UPDATE' AND NEW.status = 'running' THEN 1 ELSE -1 END;
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        SELECT count(*), count(*) FILTER (WHERE status = 'running') INTO more, starts FROM changed;
    END IF;
    INSERT INTO upsert.kept VALUES (pg_backend_pid(), more, starts) ON CONFLICT (writer)
    DO UPDATE SET total = kept.total + excluded.total, running = kept.running + excluded.running;
    RETURN NULL;
END $$"""
"""The alternative: two connections never write the same row."""


class Place(Protocol):
    """Where there are stores, by their names."""

    def open(self, name: str) -> SqlRepository: ...

    def upgrade(self, name: str, revision: str = "head") -> None: ...

    def run(self, name: str, text: str) -> list[Any]:
        """What a statement finds; ``{sessions}`` is the table."""

    def fill(self, name: str, sessions: int) -> None: ...

    def turn_off(self, name: str) -> None:
        """The triggers."""


class Files:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self, name: str) -> SqlRepository:
        return open_sqlite(self._path(name))

    def upgrade(self, name: str, revision: str = "head") -> None:
        _migrate(revision, url=f"sqlite:///{self._path(name)}")

    def run(self, name: str, text: str) -> list[Any]:
        with closing(sqlite3.connect(self._path(name), isolation_level=None)) as connection:
            return connection.execute(
                text.format(sessions="sessions", now=f"{NOW:%FT%T}.000000Z")
            ).fetchall()

    def fill(self, name: str, sessions: int) -> None:
        more = f"VALUES (1) UNION ALL SELECT n + 1 FROM c LIMIT {sessions}"
        age = f"-' || (n * 7919 % {sessions}) || ' seconds"
        time_ = f"strftime('%Y-%m-%dT%H:%M:%S.000000Z', '{NOW:%F %T}', '{age}')"
        rows = f"(WITH RECURSIVE c(n) AS ({more}) SELECT n FROM c)"
        self.run(name, FILL.format(past="'2026-01-01T00:00:00.000000Z'", time=time_, rows=rows))

    def turn_off(self, name: str) -> None:
        for event in ("insert", "delete", "status"):
            self.run(name, f"DROP TRIGGER session_counts_{event}")

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.db"


class Server:
    """Each store is a schema of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, name: str) -> SqlRepository:
        return open_postgres(self.url, schema=name)

    def upgrade(self, name: str, revision: str = "head") -> None:
        _migrate(revision, url=self.url, schema=name)

    def run(self, name: str, text: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(text.format(sessions=f"{name}.sessions", now=NOW))
            return cursor.fetchall() if cursor.description else []

    def fill(self, name: str, sessions: int) -> None:
        time_ = f"timestamptz '{NOW}' - (n * 7919 % {sessions}) * interval '1 second'"
        rows = f"generate_series(1, {sessions}::bigint) AS n"
        self.run(name, FILL.format(past="timestamptz '2026-01-01'", time=time_, rows=rows))
        self.run(name, "VACUUM ANALYZE {sessions}")

    def turn_off(self, name: str) -> None:
        self.run(name, "ALTER TABLE {sessions} DISABLE TRIGGER USER")


def _migrate(revision: str, **said: Any) -> None:
    config = schema.config()
    config.attributes.update(said)
    (command.downgrade if revision == "0003" else command.upgrade)(config, revision)


# What it saves ------------------------------------------------------------------------------------


def statistics_of(place: Place, sessions: int, rounds: int) -> None:
    place.upgrade("filled")
    place.fill("filled", sessions)
    with place.open("filled") as store:
        for state in ("as filled and vacuumed", "5 % touched since"):
            for share in (0, 1, 5, 20):
                cutoff = NOW - timedelta(seconds=sessions * (100 - share) / 100)
                times = [ms(partial(store.stats, Moment(NOW, cutoff))) for _ in range(rounds)]
                show(f"stats of {sessions:,}, {share} % expired, {state}", times, "ms")
            counted = [ms(partial(place.run, "filled", COUNTED)) for _ in range(rounds)]
            show(f"... counting all, {state}", counted, "ms")
            place.run("filled", TOUCH)
    upgrade(place, rounds)


def upgrade(place: Place, rounds: int) -> None:
    """And the slowest write meanwhile."""
    took, waited = [], []
    with place.open("filled") as store:
        for n in range(rounds):
            place.upgrade("filled", "0003")
            with creating(store, f"{n}") as waits:
                took.append(ms(partial(place.upgrade, "filled")))
            waited.append(max(waits))
    show("upgrade from 0003", took, "ms")
    show("... the slowest create meanwhile", waited, "ms")


@contextmanager
def creating(store: SqlRepository, user: str) -> Iterator[list[float]]:
    """The ms of each create of a thread that makes sessions in the block."""
    waits, stop = [0.0], threading.Event()

    def work() -> None:
        while not stop.is_set():
            operation = creation(user, len(waits))
            waits.append(ms(partial(store.commit, [operation])))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        thread.join()


# What it costs ------------------------------------------------------------------------------------


def writes(place: Place, number: int) -> None:
    """So many sessions in each store, each made, set running by its first entry, given another;
    then swept in one call. The control is made as the store without triggers is."""
    names = (WITH, WITHOUT, CONTROL)
    figures: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as opened:
        stores = {name: opened.enter_context(prepared(place, name)) for name in names}
        for n in range(number // TURN):
            turn = n % len(names)
            took = {name: lives(stores[name], f"{n}") for name in names[turn:] + names[:turn]}
            for name, step in product((WITH, CONTROL), took[WITHOUT]):
                ratio = took[name][step] / took[WITHOUT][step]
                figures.setdefault((step, name), []).append(ratio)
    for (step, name), ratios in figures.items():
        show(f"{step}, {name} to {WITHOUT}", ratios[len(ratios) // 10 :], "x")


def prepared(place: Place, name: str) -> SqlRepository:
    place.upgrade(name)
    if name in (WITHOUT, CONTROL):
        place.turn_off(name)
    if name == UPSERT:
        place.run(name, ONE_ROW_A_CONNECTION)
    return place.open(name)


def lives(store: SqlRepository, user: str) -> dict[str, float]:
    later = Moment(NOW + timedelta(1), NOW + timedelta(1))

    def create() -> None:
        for n in range(TURN):
            store.commit([creation(user, n)])

    def append(entry_id: str) -> None:
        for n in range(TURN):
            entry = NewEntry(payload="hello", entry_id=entry_id)
            store.apply(SessionKey("app", user, f"{n}"), Changes(entries=(entry,)), Moment(NOW))

    steps: dict[str, Callable[[], object]] = {
        "create": create,
        "first entry": partial(append, "1"),
        "turn": partial(append, "2"),
        f"sweep of {TURN}": partial(store.remove_expired, later, TURN),
    }
    return {name: ms(step) for name, step in steps.items()}


def creation(user: str, n: int) -> Create:
    fields: dict[str, Any] = {"app_name": "app", "user_id": user, "session_id": f"{n}"}
    made = Session.model_construct(
        **fields, version=1, last_seq=0, status=Status.CREATED, created_at=NOW, updated_at=NOW
    )
    return checked_create(made, Moment(NOW))


def by_hand(place: Place, sessions: int) -> None:
    """One statement sets all of them running, or paused."""
    names = (WITHOUT, WITH) if isinstance(place, Files) else (WITHOUT, WITH, UPSERT)
    for name in names:
        if name == UPSERT:
            prepared(place, name).close()
        place.run(name, "DELETE FROM {sessions}")
        place.fill(name, sessions)
        show(f"UPDATE of {sessions:,}, {name}", [ms(partial(place.run, name, START))], "ms")


def ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def show(what: str, values: list[float], unit: str) -> None:
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    places = 3 if unit == "x" else 1
    spread = f"({low:.{places}f} to {high:.{places}f}, {len(values)} trials)"
    print(f"{what:50} {middle:.{places}f} {unit} {spread}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--url", help="of an empty database; SQLite without it")
    parser.add_argument("--sessions", type=int, default=1_000_000, help="to ask about")
    parser.add_argument("--by-hand", type=int, default=50_000, help="to set running at once")
    parser.add_argument("--number", type=int, default=1_000, help="of sessions made in each store")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        place = Server(options.url) if options.url else Files(Path(directory))
        writes(place, options.number)
        by_hand(place, options.by_hand)
        statistics_of(place, options.sessions, options.rounds)


if __name__ == "__main__":
    main()
