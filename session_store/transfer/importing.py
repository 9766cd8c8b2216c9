"""``import_sessions``: an export, or an older program's file, into a store.

All of it is checked before anything is written. Then it is written in batches, each all or none;
to import the same file again finishes what a killed process began, and else changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from session_store.backends import Storage
from session_store.clock import Clock, utc_now
from session_store.core import codec
from session_store.core.operations import Moment, Operation, Put, Share
from session_store.core.records import EntryRecord, SessionRecord, StoredVersion
from session_store.errors import (
    SessionExistsError,
    SettingsError,
    StaleSessionError,
    TransferError,
)
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.transfer import files, sources
from session_store.transfer.checking import Item, items
from session_store.transfer.files import ExportFile
from session_store.transfer.sessions import (
    STORED,
    Batches,
    Named,
    Progress,
    Shared,
    Stored,
    checked,
    is_newer,
    no_progress,
    same,
    sessions,
    shared,
)

OnConflict: TypeAlias = Literal["fail", "skip", "replace", "newer"]
"""What becomes of a session that the store has too, with other content: nothing is written at all;
the store's stays; the file's takes its place; the one that was written last, by ``updated_at`` and
then ``version``, stays."""

Read: TypeAlias = Callable[[], Iterator[Item]]


@dataclass(slots=True)
class ImportReport:
    """How many sessions were new, took the place of others, were left out for those that the store
    has, or were there already; entries and shared documents that were written."""

    added: int = 0
    replaced: int = 0
    skipped: int = 0
    unchanged: int = 0
    entries: int = 0
    shared: int = 0


def import_sessions(
    path: str | os.PathLike[str],
    repository: SessionRepository,
    *,
    on_conflict: OnConflict = "fail",
    on_progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> ImportReport:
    """Store what an export holds; ``-`` is the standard input.

    A ``sessions.json`` and an SQLite file of this package, or of the program before it, are read
    too. ``ExportFormatError`` for a file that is not whole and right, ``TransferError`` where a
    session is in the way: nothing was written then. Shared documents have no version: ``newer``
    leaves those of the store.
    """
    check_policy(on_conflict)
    with files.opened(path) as file, _source(file, Path(path)) as read:
        importer = _Importer(repository, on_conflict, clock)
        watch = _Watch(file, on_progress)
        importer.check(watch.over(read, 0))
        return importer.write(watch.over(read, 1))


def check_policy(on_conflict: str) -> None:
    if on_conflict not in get_args(OnConflict):
        raise SettingsError(f"on_conflict is of {get_args(OnConflict)}, not {on_conflict!r}")


class _Watch:
    """Tells how many of a file's bytes were read, which is done twice."""

    def __init__(self, file: ExportFile, on_progress: Progress) -> None:
        self._file, self._tell = file, on_progress

    def over(self, read: Read, pass_: int) -> Iterator[Item]:
        size = self._file.size
        for item in read():
            yield item
            self._tell(size * pass_ + min(self._file.position, size), 2 * size)


class _Importer:
    def __init__(
        self, repository: SessionRepository, on_conflict: OnConflict, clock: Clock
    ) -> None:
        self._repository, self._policy, self._clock = repository, on_conflict, clock
        self.report = ImportReport()

    def check(self, found: Iterator[Item]) -> None:
        """Look at everything; nothing is written."""
        conflicts = Named()
        for batch in _batches(found):
            if self._policy == "fail":
                self._operations(batch, conflicts)
        if conflicts.count:
            raise TransferError(
                f"the store has {conflicts.count:,} of these with other content: {conflicts}; "
                "nothing was written. Say what to do with them: skip, replace or newer"
            )

    def write(self, found: Iterator[Item]) -> ImportReport:
        self.report = ImportReport()
        for batch in _batches(found):
            operations = self._operations(batch, Named())
            try:
                self._repository.commit(operations)
            except (SessionExistsError, StaleSessionError) as error:
                raise TransferError(
                    f"somebody else wrote session {error.key} meanwhile; import the file again"
                ) from None
        return self.report

    def _operations(self, batch: Sequence[Item], conflicts: Named) -> list[Operation]:
        """What is to be written of a batch, counted in the report."""
        puts = [_put(item) for item in batch if isinstance(item, Stored)]
        heads = self._repository.fetch_many([put.key for put in puts], with_history=False)
        there = self._there(puts, {key: record for key, (record, _) in heads.items()})
        self.report.unchanged += len(there)
        operations: list[Operation] = []
        for put in puts:
            head = heads.get(put.key)
            chosen = None
            if put.key not in there:
                chosen = self._chosen(put, head and head[0], conflicts)
            if chosen:
                operations.append(chosen)
                self.report.entries += len(chosen.entries)
        for item in batch:
            if isinstance(item, Shared) and self._is_set(item, conflicts):
                operations.append(Share(*item.scope, item.document, Moment(self._clock())))
                self.report.shared += 1
        return operations

    def _chosen(self, put: Put, head: SessionRecord | None, conflicts: Named) -> Put | None:
        if head is None:
            self.report.added += 1
            return put
        if self._policy == "fail":
            conflicts.add(put.key)
        new, old = StoredVersion.of(put.record), StoredVersion.of(head)
        if self._policy == "replace" or (self._policy == "newer" and is_newer(new, old)):
            self.report.replaced += 1
            return Put(put.record, put.entries, put.at, replaces=old)
        self.report.skipped += 1
        return None

    def _there(
        self, puts: Sequence[Put], heads: Mapping[SessionKey, SessionRecord]
    ) -> set[SessionKey]:
        """The keys of those that are stored already, just as they are."""
        alike = {
            put.key: put
            for put in puts
            if put.key in heads and StoredVersion.of(heads[put.key]) == StoredVersion.of(put.record)
        }
        found = self._repository.fetch_many(list(alike)) if alike else {}
        return {key for key, stored in found.items() if same(alike[key], Stored(*stored))}

    def _is_set(self, item: Shared, conflicts: Named) -> bool:
        known = codec.decode(self._repository.fetch_shared(item.scope), "a shared document")
        if codec.encode(known, "it") == item.document:
            return False
        if known and self._policy == "fail":
            conflicts.add(f"shared document of {item.scope}")
        return not known or self._policy == "replace"


def _put(item: Stored) -> Put:
    """The write of what was checked when it was read."""
    return Put(item.record, tuple(map(EntryRecord._make, item.entries)), STORED)


def _batches(found: Iterator[Item]) -> Iterator[Sequence[Item]]:
    """Of bounded size: what is in memory already can be weighed."""
    batches = Batches[Item](lambda item: len(item.entries) if isinstance(item, Stored) else 0)
    for batch in batches.of(found):
        batches.saw([item for item in batch if isinstance(item, Stored)])
        yield batch


# What may be imported ---------------------------------------------------------------------------


@contextmanager
def _source(file: ExportFile, path: Path) -> Iterator[Read]:
    """How to read a file's sessions, again and again."""
    head = file.head()
    if head == b"" or head.lstrip().startswith((b'{"type"', b'{"format"')):
        yield lambda: items(file)
    elif head.startswith(sources.SQLITE_MAGIC):
        with sources.opened(Storage("sqlite", str(path))) as source:
            yield lambda: _stored_in(source.repository)
    elif b'"sessions"' in head or b'"checksum"' in head:
        table = _table(path)
        yield lambda: _stored_in(table)
    else:
        yield lambda: items(file)


def _table(path: Path) -> SessionRepository:
    """The sessions of a ``sessions.json`` of any name, in memory."""
    from session_store.backends.json_file import atomic_file
    from session_store.backends.json_file.format import decode
    from session_store.backends.memory import MemoryRepository

    data, _ = atomic_file.read(path) or (b"", None)
    contents, _ = decode(data, path, {})
    repository = MemoryRepository()
    puts: list[Operation] = [_put(Stored(*stored)) for stored in contents.table]
    now: Final = Moment(utc_now())
    puts += [Share(*scope, text, now) for scope, text in contents.table.shared.items()]
    repository.commit(puts)
    return repository


def _stored_in(repository: SessionRepository) -> Iterator[Item]:
    for stored in sessions(repository):
        put = checked(stored)
        yield Stored(put.record, put.entries)
    yield from shared(repository)
