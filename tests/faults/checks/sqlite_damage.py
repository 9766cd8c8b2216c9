"""SQLite files that were cut off, overwritten, or are another program's."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from session_store.backends.sql.sqlite.layout import APPLICATION_ID
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import CorruptStoreError
from session_store.testing.given import contents, create
from tests.faults.broken_sqlite import any_database_is_ours, sizes_are_not_looked_at
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place

SIZES: Final = [0, 1, 99, 100, 511, 512, 4096, 8191, 40960, -4097, -1]
"""Those after which something else is missing; negative ones count from the end."""

FOREIGN: Final = [
    "CREATE TABLE notes (text)",
    "CREATE TABLE sessions (id INTEGER PRIMARY KEY, user TEXT)",
    "PRAGMA journal_mode = WAL; CREATE TABLE notes (text)",
    "PRAGMA user_version = 1",
    f"PRAGMA application_id = {APPLICATION_ID}",
]


def whole(place: Place) -> bytes:
    """The bytes of a closed store with some history."""
    with open_sqlite(place.database) as store:
        create(store, history=["x" * 1000] * 50)
    return place.database.read_bytes()


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def problem(path: Path) -> str | None:
    """Whether the store is refused, and left as it is."""
    before = files(path)
    try:
        with open_sqlite(path) as store:
            held = contents(store)
    except CorruptStoreError as error:
        if str(path) not in str(error):
            return f"the error does not name the file: {error}"
        return None if files(path) == before else "it was changed"
    except Exception as error:  # noqa: BLE001 - any other is what the check is to find
        return f"another error: {error!r}"
    return f"no error: {str(held)[:200]}"


@check(
    "S7",
    "a file that was cut off is a CorruptStoreError, and left as it is",
    stores=["sqlite"],
    trials=(30, 1000),
    broken=[sizes_are_not_looked_at],
)
def cut_off(place: Place, trials: int) -> Outcomes:
    data, chance = whole(place), random.Random(7)
    sizes = [*SIZES, *(chance.randrange(len(data)) for _ in range(trials - len(SIZES)))]
    for size in sizes:
        place.database.write_bytes(data[:size])
        wrong = problem(place.database)
        yield wrong and f"cut to {size} of {len(data)}: {wrong}"


@check(
    "S7",
    "another program's database is a CorruptStoreError, and left as it is",
    stores=["sqlite"],
    trials=(5, 5),
    broken=[any_database_is_ours],
)
def foreign(place: Place, trials: int) -> Outcomes:
    for script in FOREIGN:
        path = place.another().database
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
        wrong = problem(path)
        yield wrong and f"{script}: {wrong}"
