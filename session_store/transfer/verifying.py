"""``verify_store``: everything is read, and what is wrong is said with its place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from session_store.backends import Storage, sqlite_file
from session_store.errors import (
    CorruptStoreError,
    InvalidValueError,
    StoreUnavailableError,
    TransferError,
)
from session_store.operations import checked_put
from session_store.records import EntryFields, SessionRecord, Stamp
from session_store.repository import SessionRepository
from session_store.transfer import sources
from session_store.transfer.exporting import canonical
from session_store.transfer.sessions import STORED, Batches, Progress, no_progress, shared, stamps

MOST: Final = 100
"""Lines of SQLite's own check."""


@dataclass(slots=True)
class VerifyReport:
    """What was read, and each thing that is wrong, in words."""

    sessions: int = 0
    entries: int = 0
    shared: int = 0
    wrong: list[str] = field(default_factory=list)


def verify_store(
    storage: Storage, *, on_progress: Progress = no_progress, **options: Any
) -> VerifyReport:
    """Read all of a store: whether each value is one that a store keeps, numbers have no gaps,
    counts and checksums are right. A store is not changed by it."""
    report = VerifyReport()
    if storage.type == "sqlite":
        file = sqlite_file(str(storage.path))
        if file.is_file():
            report.wrong += _of_file(file)
    try:
        with sources.opened(storage, **options) as source:
            _Reading(source.repository, report).run(on_progress)
    except CorruptStoreError as error:
        report.wrong.append(str(error))
    return report


def _of_file(file: Path) -> list[str]:
    """What SQLite says of its pages, indexes and foreign keys."""
    place = f"{file.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(place, uri=True, timeout=30)) as connection:
            pages = connection.execute(f"PRAGMA integrity_check({MOST})").fetchall()
            found = [f"{file}: {text}" for (text,) in pages if text != "ok"]
            keys = connection.execute("PRAGMA foreign_key_check").fetchall()
            return [*found, *(f"{table}: row {row} has no {to}" for table, row, to, _ in keys)]
    except sqlite3.DatabaseError as error:
        return [f"{file}: {error}"]


class _Reading:
    def __init__(self, repository: SessionRepository, report: VerifyReport) -> None:
        self._repository, self._report = repository, report

    def run(self, on_progress: Progress) -> None:
        total, done, count = sum(1 + stamp.last_seq for stamp in self._stamps()), 0, 0
        batches = Batches[Stamp](lambda stamp: stamp.last_seq)
        for batch in batches.of(self._stamps()):
            self._check_batch(batch)
            count += len(batch)
            done += sum(1 + stamp.last_seq for stamp in batch)
            on_progress(done, total)
        self._check_shared()
        self._check_count(count)

    def _stamps(self) -> Iterator[Stamp]:
        try:
            yield from stamps(self._repository)
        except CorruptStoreError as error:
            self._wrong(f"the list of sessions ends early: {error}")

    def _check_batch(self, batch: Sequence[Stamp]) -> None:
        keys = [stamp.key for stamp in batch]
        try:
            found = self._repository.fetch_many(keys)
        except CorruptStoreError as error:
            if len(keys) == 1:
                self._wrong(f"session {keys[0]}: {error}")
                return
            for stamp in batch:
                self._check_batch([stamp])
            return
        for record, entries in found.values():
            self._check(record, entries)

    def _check(self, record: SessionRecord, entries: Sequence[EntryFields]) -> None:
        self._report.sessions += 1
        self._report.entries += len(entries)
        seqs = [entry[0] for entry in entries]
        if seqs != list(range(1, record.last_seq + 1)):
            gaps = sorted(set(range(1, record.last_seq + 1)).symmetric_difference(seqs))
            self._wrong(
                f"session {record.key}: its last seq is {record.last_seq}, and it has "
                f"{len(seqs)} entries; missing or too many: {gaps[:10]}"
            )
            return
        try:
            checked_put(record, entries, STORED)
        except (InvalidValueError, CorruptStoreError) as error:
            self._wrong(f"session {record.key}: {error}")

    def _check_shared(self) -> None:
        try:
            for one in shared(self._repository):
                self._report.shared += 1
                try:
                    canonical(one)
                except TransferError as error:
                    self._wrong(str(error))
        except CorruptStoreError as error:
            self._wrong(f"the shared documents: {error}")

    def _check_count(self, found: int) -> None:
        """Where nobody writes meanwhile, what statistics say is what was found."""
        try:
            counted = self._repository.stats(STORED).total_sessions
        except (CorruptStoreError, StoreUnavailableError) as error:
            self._wrong(f"the counts: {error}")
            return
        if counted != found and counted != sum(1 for _ in self._stamps()):
            self._wrong(f"session_counts has {counted:,} sessions, and there are {found:,}")

    def _wrong(self, what: str) -> None:
        if what not in self._report.wrong[-MOST:]:  # the list of sessions is read twice
            self._report.wrong.append(what)
