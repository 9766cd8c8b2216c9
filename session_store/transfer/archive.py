"""Sessions that leave the store for files: expired ones, and those completed long ago.

``{archive}/2026/01/20260131T120000.000000Z-1f2e3d4c.jsonl.zst`` is an export. Beside it lies an
index, ``….index.jsonl.zst``, with the heads of its sessions, so that one is found without
reading them all; it is made anew where it is missing. Sessions are removed from the store only when
their file is written, synced and read back, and only in the state that is in it. A process that is
killed in between leaves them in both, and the next one archives them again.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from session_store.backends.json_file import atomic_file
from session_store.backends.json_file.file_lock import FileLock
from session_store.backends.json_file.session import record_from_json, typed
from session_store.clock import Clock, utc_now
from session_store.core.operations import Delete, Moment, Operation, Put
from session_store.core.queries import Filter, position_of, scan_order
from session_store.core.records import SessionRecord, StoredVersion
from session_store.errors import (
    CorruptStoreError,
    ExportFormatError,
    StaleSessionError,
    TransferError,
)
from session_store.repository import SessionRepository
from session_store.session import Status
from session_store.transfer import files
from session_store.transfer import format as lines
from session_store.transfer.checking import items
from session_store.transfer.exporting import ExportReport, written_lines
from session_store.transfer.sessions import (
    PAGE,
    STORED,
    Batches,
    Progress,
    Stored,
    checked,
    no_progress,
    stored_versions,
)

LEVEL: Final = 12
"""Of zstd. On the Chit-Chat conversations 19 makes files 11 % smaller in four times the time."""

FILE_SESSIONS: Final = 1000
"""Of one file, which is read whole for each of them."""

PATIENCE: Final = 30.0
"""Seconds to wait for another process that archives: workers begin their cleanups together."""

DELETED: Final = 500
"""Sessions that one transaction removes."""

_SUFFIX: Final = ".jsonl.zst"
_INDEX: Final = ".index.jsonl.zst"
_NAME: Final = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-[0-9a-f]{8}\.jsonl\.zst")
_TIME: Final = "%Y%m%dT%H%M%S.%fZ"


class Archived(NamedTuple):
    """A session in an archive: its head, of the documents ``metadata`` only, and the file."""

    record: SessionRecord
    path: Path


@dataclass(slots=True)
class ArchiveReport:
    """Sessions that left the store, with their entries, for so many files of so many bytes;
    ``kept`` were written to meanwhile and stayed. ``pruned`` files were past their retention."""

    sessions: int = 0
    entries: int = 0
    files: int = 0
    bytes: int = 0
    kept: int = 0
    pruned: int = 0


class Archive:
    """The files under a directory. ``SettingsError`` where zstd is missing."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        files.zstd()
        self.directory = Path(os.path.abspath(directory))

    # Writing ------------------------------------------------------------------------------------

    def lock(self) -> FileLock:
        """One process at a time archives into it."""
        atomic_file.create_directory(self.directory)
        return FileLock(self.directory / ".lock", PATIENCE)

    def write(
        self, found: Iterable[Stored], now: datetime
    ) -> tuple[list[StoredVersion], ExportReport]:
        """A new file of these sessions, durable and read back; what it holds of each."""
        path = self._new_path(now)
        atomic_file.create_directory(path.parent)
        heads: list[SessionRecord] = []
        report = ExportReport()

        def noted() -> Iterator[Stored]:
            for stored in found:
                put = checked(stored)
                heads.append(put.record)
                yield Stored(put.record, put.entries)

        report.bytes = files.write(path, written_lines(noted(), (), now, report), level=LEVEL)
        written = [StoredVersion.of(head) for head in heads]
        if [StoredVersion.of(one.record) for one in _stored(path)] != written:
            raise TransferError(f"{path} does not hold what was written to it; look at the disk")
        files.write(_index_of(path), map(_index_line, heads), level=LEVEL)
        return written, report

    def prune(self, before: datetime) -> int:
        """Remove the files that were written before a time; how many."""
        old = [path for path in self.paths() if _time_of(path) < before]
        for path in old:
            _index_of(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return len(old)

    def _new_path(self, now: datetime) -> Path:
        name = f"{now.astimezone(UTC).strftime(_TIME)}-{secrets.token_hex(4)}{_SUFFIX}"
        return self.directory / f"{now.year:04}" / f"{now.month:02}" / name

    # Reading ------------------------------------------------------------------------------------

    def paths(self) -> list[Path]:
        """All files, the newest first."""
        found = self.directory.glob(f"[0-9]*/[0-9]*/*{_SUFFIX}")
        return sorted((one for one in found if _NAME.fullmatch(one.name)), reverse=True)

    def heads(self) -> Iterator[Archived]:
        """Of all archived sessions, those of the newest file first."""
        for path in self.paths():
            yield from (Archived(record, path) for record in _indexed(path))

    def find(
        self, session_id: str, user_id: str | None = None, app_name: str | None = None
    ) -> Archived:
        """The session of an id, as it was archived last.

        ``TransferError`` when there is none, or when several users have one.
        """
        by_key: dict[object, Archived] = {}
        for one in self.heads():
            record = one.record
            if (
                record.session_id == session_id
                and user_id in (None, record.user_id)
                and app_name in (None, record.app_name)
            ):
                by_key.setdefault(record.key, one)
        if len(by_key) > 1:
            raise TransferError(
                f"{session_id!r} is archived of several: {_names(by_key)}; say whose"
            )
        if not by_key:
            raise TransferError(f"no session {session_id!r} is in the archive {self.directory}")
        return next(iter(by_key.values()))

    def content(self, path: Path) -> dict[StoredVersion, Stored]:
        """The whole sessions of a file."""
        return {StoredVersion.of(stored.record): stored for stored in _stored(path)}

    def load(self, archived: Archived) -> Stored:
        """The whole session."""
        try:
            return self.content(archived.path)[StoredVersion.of(archived.record)]
        except KeyError:
            raise TransferError(
                f"{archived.path} does not hold {archived.record.key}: remove its index"
            ) from None


def archive_sessions(
    repository: SessionRepository,
    archive: Archive,
    at: Moment,
    *,
    completed_before: datetime | None = None,
    stopping: Callable[[], bool] = lambda: False,
    on_progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> ArchiveReport:
    """Move what is expired ``at`` a moment, and what is completed and was last written before a
    time, from the store into the archive.

    ``StoreUnavailableError`` when another process is at it.
    """
    report, lock = ArchiveReport(), archive.lock()
    with lock.held(lock.deadline()):
        expired, done = repository.stats(at).expired_sessions, 0
        total = expired + _long_completed(repository, at, completed_before)
        due = _due(repository, at, expired, completed_before)
        while not stopping() and (chunk := list(islice(due, FILE_SESSIONS))):
            _move(repository, archive, sorted(chunk, key=_order), clock(), report)
            done += len(chunk)
            on_progress(done, max(done, total))
        repository.remove_expired(STORED, 1)  # removes none, and tidies up after those that went
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePolicy:
    """Where sessions go that the cleanup of a service removes; also completed ones, which were
    last written so long ago. Files are removed after ``retention``.

    ``SettingsError`` where zstd is missing: now, and not when the first cleanup comes.
    """

    path: str
    completed_after: timedelta | None = None
    retention: timedelta | None = None

    def __post_init__(self) -> None:
        Archive(self.path)

    def sweep(
        self,
        repository: SessionRepository,
        at: Moment,
        *,
        stopping: Callable[[], bool] = lambda: False,
        clock: Clock = utc_now,
    ) -> int:
        """What a cleanup does with an archive; how many sessions left the store."""
        return archive_due(repository, self, at, stopping=stopping, clock=clock).sessions


def archive_due(
    repository: SessionRepository,
    policy: ArchivePolicy,
    at: Moment,
    *,
    stopping: Callable[[], bool] = lambda: False,
    on_progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> ArchiveReport:
    """Move what is due by a policy, and prune; what was done."""
    archive, after = Archive(policy.path), policy.completed_after
    report = archive_sessions(
        repository,
        archive,
        at,
        completed_before=None if after is None else at.now - after,
        stopping=stopping,
        on_progress=on_progress,
        clock=clock,
    )
    if policy.retention is not None:
        report.pruned = archive.prune(at.now - policy.retention)
    return report


def restore_session(
    repository: SessionRepository, archive: Archive, archived: Archived, at: Moment
) -> Put:
    """Put a session back into the store as if it had been written to now. Its file stays.

    ``SessionExistsError`` when the store has one of its key, expired or not; ``TransferError``
    when it would be expired at once.
    """
    stored = archive.load(archived)
    expires = stored.record.expires_at
    record = stored.record._replace(
        version=stored.record.version + 1,
        updated_at=at.now,
        expires_at=expires if expires and expires > at.now else None,
    )
    if at.is_expired(record):
        raise TransferError(
            f"session {record.key} was created before sessions expire by "
            "SESSION_EXPIRATION_POLICY=absolute: it would be gone at once"
        )
    put = checked(Stored(record, stored.entries))
    repository.commit([put])
    return put


# Moving -----------------------------------------------------------------------------------------


def _due(
    repository: SessionRepository, at: Moment, expired: int, completed_before: datetime | None
) -> Iterator[StoredVersion]:
    """Expired ones, of which there are so many, are looked for by a scan."""
    if expired:
        yield from (version for version in stored_versions(repository) if at.is_expired(version))
    if completed_before is not None:
        yield from _completed(repository, at, completed_before)


def _completed(
    repository: SessionRepository, at: Moment, before: datetime
) -> Iterator[StoredVersion]:
    query, position = _completed_before(before), None
    while page := repository.select(query, position, PAGE, at):
        position = position_of(page[-1], query.order_by)
        yield from map(StoredVersion.of, page)


def _completed_before(time: datetime) -> Filter:
    return Filter(statuses=(Status.COMPLETED.value,), updated_before=time)


def _long_completed(repository: SessionRepository, at: Moment, before: datetime | None) -> int:
    """How many there are that have not expired."""
    return 0 if before is None else repository.count(_completed_before(before), at)


def _order(version: StoredVersion) -> tuple[str, str, str]:
    return scan_order(version.key)


def _move(
    repository: SessionRepository,
    archive: Archive,
    due: Sequence[StoredVersion],
    now: datetime,
    report: ArchiveReport,
) -> None:
    found = _unchanged(repository, due)
    first = next(found, None)
    if first is not None:
        written, made = archive.write(_after(first, found), now)
        gone = _removed(repository, written)
        report.sessions += gone
        report.entries += made.entries
        report.bytes += made.bytes
        report.files += 1
        report.kept += len(written) - gone


def _after(first: Stored, rest: Iterator[Stored]) -> Iterator[Stored]:
    yield first
    yield from rest


def _unchanged(repository: SessionRepository, due: Sequence[StoredVersion]) -> Iterator[Stored]:
    """Those that are still as they were when they were found to be due."""
    batches = Batches[StoredVersion](lambda version: version.last_seq)
    for batch in batches.of(due):
        found = repository.fetch_many([version.key for version in batch])
        same = [
            Stored(*found[version.key])
            for version in batch
            if version.key in found and StoredVersion.of(found[version.key][0]) == version
        ]
        batches.saw(same)
        yield from same


def _removed(repository: SessionRepository, written: Sequence[StoredVersion]) -> int:
    removed = 0
    for start in range(0, len(written), DELETED):
        removals = [
            Delete(version.key, STORED, expected=version) for version in written[start:][:DELETED]
        ]
        try:
            removed += _gone(repository.commit(removals))
        except StaleSessionError:
            removed += sum(_removed_alone(repository, one) for one in removals)
    return removed


def _removed_alone(repository: SessionRepository, removal: Operation) -> int:
    try:
        return _gone(repository.commit([removal]))
    except StaleSessionError:
        return 0


def _gone(answers: Sequence[Any]) -> int:
    return sum(answer is not None for answer in answers)


# Files ------------------------------------------------------------------------------------------


def _stored(path: Path) -> Iterator[Stored]:
    with files.opened(path) as file:
        yield from (item for item in items(file) if isinstance(item, Stored))


def _index_of(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(_SUFFIX) + _INDEX)


def _index_line(record: SessionRecord) -> bytes:
    return lines.head_line("head", record._replace(state="{}", agent_states="{}"))


def _indexed(path: Path) -> Iterator[SessionRecord]:
    """By the index; where that is missing or damaged, by the file, of which it is made anew."""
    index = _index_of(path)
    try:
        with files.opened(index) as file:
            found = [_head(line.text) for line in file.lines()]
        if not found:
            raise ValueError("no file is without a session")
    except (TransferError, CorruptStoreError, ValueError, KeyError, TypeError):
        found = [stored.record for stored in _stored(path)]
        files.write(index, map(_index_line, found), overwrite=True, level=LEVEL)
    yield from found


def _head(text: bytes) -> SessionRecord:
    body = lines.parsed(text)
    return record_from_json(body, typed(body["last_seq"], int, "last_seq"))


def _time_of(path: Path) -> datetime:
    found = _NAME.fullmatch(path.name)
    if found is None:
        raise ExportFormatError(str(path), 0, "is no archive's name")
    return datetime.strptime(found[1], _TIME).replace(tzinfo=UTC)


def _names(keys: Iterable[object]) -> str:
    return ", ".join(map(str, keys))
