"""Sessions in one readable file, ``sessions.json``: no server, no dependency, for small stores.

The file is written whole by every save, so its cost grows with the store; callers at the same time
share one save. Readers use an immutable table in memory, after a look at the file's first bytes,
which tell whether another process has replaced it. The bytes are ``json_format``'s, the durable
replacement is ``atomic_file``'s, damage is ``json_recovery``'s.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from session_store.backends.json_file import atomic_file
from session_store.backends.json_file.file_lock import FileLock
from session_store.backends.json_file.format import Contents, decode_edited, encode, revision_in
from session_store.backends.json_file.group_commit import Call, GroupCommit
from session_store.backends.json_file.recovery import (
    EMPTY,
    Snapshot,
    backup_of,
    keep_original,
    loaded,
    recovered,
)
from session_store.backends.json_file.sections import is_intact
from session_store.backends.memory import Draft, SessionTable, Stored
from session_store.core.decisions import SharedScope
from session_store.core.operations import Moment, Operation
from session_store.core.queries import Filter, Position, StoreStats, Window
from session_store.core.records import SessionRecord, StoredVersion
from session_store.errors import (
    CorruptStoreError,
    NotWritableError,
    StoreClosedError,
    StoreUnavailableError,
)
from session_store.repository import SessionRepository
from session_store.session import Applied, SessionKey

LOCK_TIMEOUT: Final = 30.0

GROWTH: Final = 256 * 1024
"""Bytes by which the next save may be longer, when it is looked whether there is room for it."""

_log: Final = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


class JsonFileRepository(SessionRepository):
    """The port over ``{directory}/sessions.json``, for several threads and processes.

    ``lock_timeout``: seconds that a write waits for other processes. Opening repairs what a killed
    process or a bad disk left, with a warning; in a directory that can't be written it only reads.
    So it does with ``read_only``, and makes no directory.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        lock_timeout: float = LOCK_TIMEOUT,
        read_only: bool = False,
    ) -> None:
        self.path = Path(os.path.abspath(directory), "sessions.json")
        self._backup = backup_of(self.path)
        self._lock = _lock_of(self.path, lock_timeout)
        self._is_closed, self._is_read_only = False, read_only
        self._renew_locks()
        if not read_only:
            atomic_file.create_directory(self.path.parent)
        self._snapshot = loaded(self.path) if read_only else self._opened()
        _repositories.add(self)

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        return self._written(lambda table: table.commit(operations))

    def fetch(self, key: SessionKey, window: Window) -> Stored | None:
        stored = self._table().get(key)
        return stored and Stored(stored.record, window.of(stored.entries))

    def fetch_shared(self, scope: SharedScope) -> str:
        return self._table().shared.get(scope, "{}")

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        return self._table().select(query, position, limit, at)

    def count(self, query: Filter, at: Moment) -> int:
        return len(self.select(query, None, None, at))

    def remove_expired(self, at: Moment, limit: int) -> int:
        return self._written(lambda table: table.remove_expired(at, limit))

    def stats(self, at: Moment) -> StoreStats:
        current = self._current()
        size = current.fingerprint.size if current.fingerprint else 0
        return current.contents.table.stats(at, size)

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        return self._table().scan(after, limit)

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        return self._table().scan_shared(after, limit)

    def check(self) -> None:
        self._check_open()
        with self._lock.held(self._lock.deadline()):
            found = self._current().fingerprint
            atomic_file.reserve(self.path, (found.size if found else 0) + GROWTH)

    def close(self) -> None:
        self._is_closed = True
        self._snapshot = EMPTY

    def _opened(self) -> Snapshot:
        try:
            with self._lock.held(self._lock.deadline()):
                atomic_file.sweep(self.path)
                return recovered(self.path)
        except NotWritableError:
            return loaded(self.path)

    def _written(self, work: Callable[[SessionTable], _Answer]) -> _Answer:
        self._check_open()
        if self._is_read_only:
            raise StoreUnavailableError(f"{self.path} was opened to be read only")
        return self._group.run(work, self._lock.deadline())

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreClosedError(f"{self.path} is closed; open the store again")

    def _table(self) -> SessionTable:
        """Never changed once it is here, so it is read without a lock."""
        return self._current().contents.table

    def _current(self) -> Snapshot:
        """What the file holds now: from memory, unless another process has replaced it."""
        self._check_open()
        known = self._snapshot
        if atomic_file.fingerprint(self.path) == known.fingerprint:
            return known
        with self._publishing:
            known = self._snapshot
            if atomic_file.fingerprint(self.path) != known.fingerprint:
                known = self._snapshot = self._reloaded(known)
            return known

    def _reloaded(self, known: Snapshot) -> Snapshot:
        snapshot = loaded(self.path, known.fragments)
        if snapshot.fingerprint is None and known.fingerprint is not None:
            raise CorruptStoreError(
                f"{self.path} has vanished; open the store again to restore its backup"
            )
        return snapshot

    def _carry_out(self, calls: Sequence[Call[SessionTable]]) -> None:
        """With the lock held: all that the calls change becomes one save."""
        before = self._current()
        table = Draft(before.contents.table)
        for call in calls:
            call.run(table)
        if _differ(before.contents.table, table):
            self._save(before, table)

    def _save(self, before: Snapshot, table: Draft) -> None:
        """Where this raises, memory is not told: the next look at the file tells what holds."""
        after = Contents(table, before.contents.revision + 1)
        content, fragments = encode(table, after.revision, before.fragments, table.written)
        if before.contents.is_legacy:
            keep_original(self.path)
        written = atomic_file.replace(self.path, content, backup=self._backup)
        with self._publishing:
            self._snapshot = Snapshot(after, written, fragments)
        if _erases(before.contents.table, table):
            self._erase_from_backup(content)

    def _erase_from_backup(self, content: Sequence[bytes]) -> None:
        """What was deleted for good shall not stay in the backup until the next save."""
        try:
            atomic_file.replace(self._backup, content)
        except StoreUnavailableError as error:
            _log.warning("what was deleted is still in the backup, until the next save: %s", error)

    def _renew_locks(self) -> None:
        self._publishing = threading.Lock()
        self._group = GroupCommit(self._lock.held, self._carry_out)


def accept_edited_file(path: str | os.PathLike[str]) -> int:
    """Check an edited ``sessions.json`` and give it a right checksum; how many sessions it holds.

    ``CorruptStoreError`` says what is wrong, and leaves the file. The backup stays what it is: the
    save before the edit. Processes that have the store open go on with the edited sessions.
    """
    file = Path(os.path.abspath(path))
    if not os.path.lexists(file):
        raise StoreUnavailableError(f"there is no {file}; name the sessions.json to accept")
    lock = _lock_of(file, LOCK_TIMEOUT)
    with lock.held(lock.deadline()):
        data, _ = atomic_file.read(file) or (b"", None)
        contents = decode_edited(data, file)
        if not contents.is_legacy and not is_intact(data):
            content, _ = encode(contents.table, _next_revision(contents, file), {})
            atomic_file.replace(file, content)
    return len(list(contents.table))


def _next_revision(contents: Contents, path: Path) -> int:
    """Greater than the backup's too, or the next opening would take that for the newer one."""
    backup = atomic_file.fingerprint(backup_of(path))
    return max(contents.revision, revision_in(backup.head if backup else b"") or 0) + 1


def _lock_of(path: Path, timeout: float) -> FileLock:
    return FileLock(Path(f"{path}.lock"), timeout)


def _differ(before: SessionTable, after: Draft) -> bool:
    """A session that was written is another object: nothing is compared by content."""
    return before.shared != after.shared or any(
        after.get(key) is not before.get(key) for key in after.written
    )


def _erases(before: SessionTable, after: Draft) -> bool:
    return any(_is_erased(before.get(key), after.get(key)) for key in after.written)


def _is_erased(old: Stored | None, new: Stored | None) -> bool:
    """Whether a session was deleted, replaced by a new one of its key, or rewound."""
    if old is None or old is new:
        return False
    if new is None:
        return True
    end = old.record.last_seq
    return new.record.version <= old.record.version or (
        new.entries[end - 1 : end] != old.entries[end - 1 : end]
    )


_repositories: weakref.WeakSet[JsonFileRepository] = weakref.WeakSet()


def _renew_locks_after_fork() -> None:
    """A thread that held one of them is not in the child, and would never give it back."""
    for repository in _repositories:
        repository._renew_locks()


os.register_at_fork(after_in_child=_renew_locks_after_fork)
