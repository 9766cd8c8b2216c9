"""Backups of an SQLite store while processes write to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from unittest.mock import patch

from session_store.backends import storage_of
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionStoreError
from session_store.maintenance import backup_store
from session_store.testing.given import ids, load, seqs
from session_store.transfer import sources
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.tools.writer import Writer, begin

WRITERS = 3
APART = 1_000_000
"""Between the numbers of two writers."""

TURN = 20
"""Backups of one store, which grows meanwhile."""


@contextmanager
def copied_without_its_log() -> Iterator[None]:
    """As with `cp`: what is in the log is not in it, and a checkpoint may come in between."""

    def copied(file: Path, copy: Path, on_progress: Callable[[int, int], None]) -> None:
        shutil.copyfile(file, copy)

    with patch.object(sources, "duplicate", copied):
        yield


@check(
    "S8",
    "a backup under 3 writers is a whole store and holds everything acknowledged before it began",
    stores=["sqlite"],
    trials=(40, 1000),
    broken=[copied_without_its_log],
)
def backups(place: Place, trials: int) -> Outcomes:
    for start in range(0, trials, TURN):
        yield from islice(_backups(place.another()), min(TURN, trials - start))


def _backups(place: Place) -> Outcomes:
    begin(place.open)
    writers = [Writer(place.open, n * APART, pause=0.002) for n in range(WRITERS)]
    try:
        while True:
            acknowledged = [writer.wait(2) for writer in writers]
            copy = place.another().database
            try:
                backup_store(storage_of(str(place.database)), copy)
                yield _problem(copy, acknowledged)
            except SessionStoreError as error:
                yield f"no backup: {error}"
    finally:
        for writer in writers:
            writer.killed()


def _problem(copy: Path, acknowledged: list[int]) -> str | None:
    """What is wrong with a copy that began after these numbers."""
    if [path.name for path in copy.parent.iterdir()] != [copy.name]:
        return "it is more than one file"
    with open_sqlite(copy) as store:
        session = load(store)
    there = set(ids(session))
    wanted = (range(n * APART, last + 1) for n, last in enumerate(acknowledged))
    lost = [number for numbers in wanted for number in numbers if f"{number}" not in there]
    if lost:
        return f"{len(lost)} acknowledged entries are not in it"
    return None if seqs(session) == list(range(1, len(there) + 1)) else "it has gaps"
