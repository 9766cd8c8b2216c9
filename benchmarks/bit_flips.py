"""What flipped bits in an SQLite file become, and what a checksum in each entry's row would cost.

    python benchmarks/bit_flips.py              1,000 flips, 15 rounds
    python benchmarks/bit_flips.py --rounds 50

The checksum is a CRC-32 of the payload, in a column of its own, made when the entry is written and
compared when it is read: the least that could be called one. Times are of the processor; ratios are
of the same work with it and without it, in turn: the median, and the middle half of all.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from sqlalchemy import Select, insert, select, table
from sqlalchemy import column as column_named

from benchmarks.content import utterance
from session_store.backends.sql import statements
from session_store.backends.sql.names import PLAIN
from session_store.backends.sql.prepared import value
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.rows import RowFormat
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.backends.sql.tables import Tables, tables_of
from session_store.backends.sql.writing import Writing
from session_store.core.operations import Moment
from session_store.core.queries import Query
from session_store.core.records import EntryRecord
from session_store.errors import CorruptStoreError, SessionStoreError
from session_store.session import Changes, Entry, NewEntry, Session, SessionKey, Status

AT = Moment(datetime(2026, 3, 1, tzinfo=UTC))
SESSIONS, ENTRIES, LONG = 50, 20, 1000
APPENDS, LOADS = 50, 10


# The checksum. -----------------------------------------------------------------------------------


def checksum(payload: str) -> int:
    return zlib.crc32(payload.encode())


@contextmanager
def checked() -> Iterator[None]:
    """Stores write the column ``checksum``, and compare it."""

    def entries(self: RowFormat, rows: Iterable[Sequence[Any]]) -> list[EntryRecord]:
        to_time, crc32 = self._dialect.to_time, zlib.crc32
        found = []
        for seq, entry_id, kind, payload, created_at, version, checksum in rows:
            if crc32(payload.encode()) != checksum:
                raise CorruptStoreError(f"entry {seq} does not match its checksum")
            time = to_time(created_at, "created_at")
            found.append(EntryRecord(seq, entry_id, kind, payload, time, version))
        return found

    def append(self: Writing, session: int | None, new: Iterable[EntryRecord]) -> None:
        to_column = self._dialect.time
        rows = [
            entry._asdict()
            | {"session": session, "created_at": to_column(entry.created_at)}
            | {"checksum": checksum(entry.payload)}
            for entry in new
        ]
        if rows:
            self._run.run_many(statements.new_entry(self._tables), rows)

    entries_of = tables_of(PLAIN).entries
    names = (*(column.name for column in entries_of.c), "checksum")
    new = insert(table(entries_of.name, *map(column_named, names)))
    new = new.values({name: value(name) for name in names})

    def history(tables: Tables) -> Select[Any]:
        return select(
            *statements.columns(tables.entries, statements.ENTRY), column_named(names[-1])
        )

    statements._history.cache_clear()
    with (
        patch.object(RowFormat, "entries", entries),
        patch.object(Writing, "_append", append),
        patch.object(statements, "new_entry", lambda _: new),
        patch.object(statements, "_entries", history),
    ):
        yield
    statements._history.cache_clear()


def add_column(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE session_entries ADD COLUMN checksum INTEGER")


# What is stored. ---------------------------------------------------------------------------------


def key(number: int) -> SessionKey:
    return SessionKey("app", f"user {number % 7}", f"session {number}")


def fill(store: SqlRepository, number: int, entries: int) -> None:
    history = tuple(
        Entry(
            seq=seq,
            entry_id=f"{number}-{seq}",
            kind="message",
            payload=utterance(),
            created_at=AT.now,
            version=1,
        )
        for seq in range(1, entries + 1)
    )
    store.create(
        Session.model_construct(
            **key(number)._asdict(),
            status=Status.RUNNING,
            version=1,
            last_seq=entries,
            created_at=AT.now,
            updated_at=AT.now,
            metadata={"title": "a talk"},
            state={"step": 1, "topic": utterance()["text"]},
            entries=history,
        ),
        AT,
    )


def held(store: SqlRepository) -> list[str]:
    """All that it holds, read as applications read it."""
    heads = store.list(Query(limit=1000), AT).sessions
    return [repr(head) for head in heads] + [repr(store.load(key(n), AT)) for n in range(SESSIONS)]


# What flipped bits become. -----------------------------------------------------------------------


def flips(path: Path, number: int) -> Counter[str]:
    """What each of so many flips, each in a copy of its own, is to who reads everything."""
    data, found, chance = path.read_bytes(), Counter[str](), random.Random(5)
    copy = path.with_name("flipped.db")
    with open_sqlite(path) as store:
        expected = held(store)
    for _ in range(number):
        flipped, bit = bytearray(data), chance.randrange(8 * len(data))
        flipped[bit // 8] ^= 1 << bit % 8
        copy.write_bytes(flipped)
        found[_become(copy, expected)] += 1
    return found


def _become(path: Path, expected: list[str]) -> str:
    try:
        with open_sqlite(path) as store:
            return "nothing, in unused space or an index" if held(store) == expected else "SILENT"
    except CorruptStoreError:
        return "CorruptStoreError"
    except SessionStoreError as error:
        return f"another error of ours: {type(error).__name__}"
    except Exception as error:  # noqa: BLE001 - what gets through is what is counted
        return f"an error that is not ours: {type(error).__name__}"


# What it costs. ----------------------------------------------------------------------------------


def seconds(work: Callable[[], object], times: int) -> float:
    """Of the processor, which other work on the machine changes least."""
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def measured(stores: dict[str, SqlRepository], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Per operation and round: the seconds of each store."""
    numbers = iter(range(10**9))

    def append(store: SqlRepository) -> object:
        entry = NewEntry(payload=utterance(), entry_id=f"new {next(numbers)}")
        return store.apply(key(0), Changes(entries=(entry,)), AT)

    works: dict[str, tuple[Callable[[SqlRepository], object], int]] = {
        "an append": (append, APPENDS),
        "a load of 20 entries": (lambda store: store.load(key(1), AT), LOADS * 20),
        "a load of 1,000 entries": (lambda store: store.load(key(SESSIONS), AT), LOADS),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in works}
    for number in range(-1, rounds):
        for name, (work, times) in works.items():
            times_of = {}
            for kind in list(stores)[:: 1 if number % 2 else -1]:
                with checked() if kind == "with" else ExitStack():
                    times_of[kind] = seconds(lambda: work(stores[kind]), times)  # noqa: B023
            if number >= 0:
                found[name].append(times_of)
    return found


def report(name: str, rounds: list[dict[str, float]]) -> None:
    ratios = [each["with"] / each["without"] for each in rounds]
    low, middle, high = statistics.quantiles(ratios, n=4)
    micros = {kind: statistics.median(each[kind] for each in rounds) * 1e6 for kind in rounds[0]}
    print(
        f"{name}: {micros['without']:.0f} us, with a checksum {micros['with']:.0f} us: "
        f"{middle:.3f} x ({low:.3f} to {high:.3f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--directory", type=Path, help="where the stores are made")
    chosen = parser.parse_args()
    with TemporaryDirectory(dir=chosen.directory) as name, ExitStack() as stack:
        paths = {kind: Path(name, f"{kind}.db") for kind in ("without", "with")}
        for kind, path in paths.items():
            open_sqlite(path).close()
            if kind == "with":
                add_column(path)
            with checked() if kind == "with" else ExitStack(), open_sqlite(path) as store:
                for number in range(SESSIONS):
                    fill(store, number, ENTRIES)
            with checked() if kind == "with" else ExitStack():
                print(f"{kind} a checksum, {chosen.flips:,} flipped bits are:")
                for outcome, times in flips(path, chosen.flips).most_common():
                    print(f"  {times:,}  {outcome}")
        stores = {kind: stack.enter_context(open_sqlite(path)) for kind, path in paths.items()}
        for kind, store in stores.items():
            with checked() if kind == "with" else ExitStack():
                fill(store, SESSIONS, LONG)
        for operation, rounds in measured(stores, chosen.rounds).items():
            report(operation, rounds)
        sizes = {kind: path.stat().st_size for kind, path in paths.items()}
        print(f"bytes of the file: {sizes['without']:,}, with a checksum {sizes['with']:,}")


if __name__ == "__main__":
    main()
