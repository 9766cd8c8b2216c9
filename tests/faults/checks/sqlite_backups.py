"""Backups of an SQLite store in use."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from session_store.backends.sql.sqlite import open_sqlite
from session_store.testing.given import ids, load
from session_store.transfer import sources
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.tools.writer import Writer, begin

PER_STORE = 25


@contextmanager
def copied_without_its_log() -> Iterator[None]:
    """As one copies a file."""
    with patch.object(sources, "duplicate", shutil.copy):
        yield


@check(
    "S8",
    "a backup under writers holds all that was acknowledged before it began, and is for its owner "
    "only",
    stores=["sqlite"],
    trials=(10, 200),
    broken=[copied_without_its_log],
)
def backups(place: Place, trials: int) -> Outcomes:
    for _ in range(0, trials, PER_STORE):
        store = place.another()
        begin(store.open)
        writer = Writer(store.open, 0)
        try:
            for number in range(min(trials, PER_STORE)):
                backup = store.directory / f"backup-{number}.db"
                yield _problem(store.database, backup, acknowledged=writer.wait(20))
        finally:
            writer.killed()


def _problem(file: Path, backup: Path, acknowledged: int) -> str | None:
    sources.duplicate(file, backup)
    mode = stat.S_IMODE(backup.stat().st_mode)
    if mode != 0o600:
        return f"its mode is {mode:o}"
    with open_sqlite(backup) as store:
        there = ids(load(store))
    fine = len(there) > acknowledged and there == [f"{n}" for n in range(len(there))]
    return None if fine else f"{len(there)} entries of {acknowledged + 1}"
