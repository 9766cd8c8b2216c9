"""What leaves the store for the archive is in it before it is gone, and is found and restored."""

from __future__ import annotations

import os
import random
import stat
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.memory import MemoryRepository
from session_store.core.operations import Moment
from session_store.errors import (
    SessionExistsError,
    SessionNotFoundError,
    SettingsError,
    StoreUnavailableError,
    TransferError,
)
from session_store.factory import create_session_service
from session_store.repository import SessionRepository
from session_store.service import PersistentSessionService
from session_store.session import Status
from session_store.settings import Settings
from session_store.testing.given import KEY, OTHERS, after, at, change, create, load, messages
from session_store.transfer import archive as module
from session_store.transfer import files
from session_store.transfer.archive import (
    Archive,
    ArchivePolicy,
    archive_due,
    archive_sessions,
    restore_session,
)
from session_store.transfer.importing import import_sessions
from session_store.transfer.sessions import stored_versions
from tests.backends.places import quick_directory
from tests.backends.processes import forked, kill
from tests.conftest import BACKENDS
from tests.service.support import Wrapped
from tests.transfer.support import LONG, clock, held, many, stock

EXPIRED = KEY._replace(session_id="over")
"""The one of ``stock`` that has its own end, before now."""

ALL = at(500, idle_cutoff=200)
"""A moment at which everything is expired."""


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive")


@pytest.fixture
def memory() -> MemoryRepository:
    repository = MemoryRepository()
    stock(repository)
    return repository


def keys(repository: SessionRepository) -> set[str]:
    return {version.key.session_id for version in stored_versions(repository)}


def test_expired_sessions_move_to_a_file_that_is_an_export(
    repository: SessionRepository, archive: Archive
) -> None:
    stock(repository)
    before = [one for one in held(repository) if "'over'" in one]
    report = archive_sessions(repository, archive, at(), clock=clock)
    assert (report.sessions, report.entries, report.files, report.kept) == (1, 3, 1, 0)
    assert keys(repository) == {"s1", "s2", "long", "empty", "id/with %2F and \u202e"}
    (path,) = archive.paths()
    assert path.relative_to(archive.directory).parts[:2] == ("2026", "01")
    with MemoryRepository() as other:
        import_sessions(path, other)
        assert held(other) == before
    assert report.bytes == path.stat().st_size


def test_every_kind_of_session_is_archived_whole(
    repository: SessionRepository, archive: Archive
) -> None:
    stock(repository)
    before = [one for one in held(repository) if not one.startswith("(('app'")]
    archive_sessions(repository, archive, ALL)
    assert keys(repository) == set()
    assert repository.load_shared("app") == {"a": "\0"}
    with MemoryRepository() as other:
        import_sessions(archive.paths()[0], other)
        assert held(other) == before


def test_completed_sessions_move_when_they_are_old_enough(
    repository: SessionRepository, archive: Archive
) -> None:
    for number, seconds in enumerate((10, 20, 30)):
        key = KEY._replace(session_id=f"{number}")
        create(repository, key, history="ab")
        change(repository, key, moment=at(seconds), status=Status.COMPLETED)
    create(repository, KEY._replace(session_id="running"), history="a")
    report = archive_sessions(repository, archive, at(50), completed_before=after(21))
    assert report.sessions == 2
    assert keys(repository) == {"2", "running"}


def test_what_is_not_due_stays_and_makes_no_file(
    memory: MemoryRepository, archive: Archive
) -> None:
    assert archive_sessions(memory, archive, at(-10)).files == 0
    assert archive.paths() == []


def test_many_sessions_are_in_several_files(
    memory: MemoryRepository, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FILE_SESSIONS", 30)
    many(memory, 100)
    told: list[tuple[int, int]] = []
    report = archive_sessions(memory, archive, ALL, on_progress=lambda *how: told.append(how))
    assert (report.sessions, report.files) == (108, 4)
    assert told == [(30, 108), (60, 108), (90, 108), (108, 108)]
    assert keys(memory) == set()
    assert len({one.record.key for one in archive.heads()}) == 108


class Between(Wrapped):
    """Something happens between the writing of the file and the removal of its sessions."""

    def __init__(self, inner: SessionRepository, happens: Callable[[SessionRepository], Any]):
        super().__init__(inner)
        self._happens: Callable[[SessionRepository], Any] | None = happens

    def commit(self, operations: Any) -> Any:
        happens, self._happens = self._happens, None
        if happens:
            happens(self.inner)
        return super().commit(operations)


def anew(repository: SessionRepository) -> None:
    """Another session of the same key and version."""
    repository.delete(KEY, at())
    create(repository, KEY, seconds=100, history="new", version=5)


@pytest.mark.parametrize(
    "happens", [lambda one: change(one, entries=messages("late")), anew], ids=["changed", "anew"]
)
def test_what_was_written_meanwhile_stays(
    repository: SessionRepository, archive: Archive, happens: Callable[[SessionRepository], Any]
) -> None:
    stock(repository)
    report = archive_sessions(Between(repository, happens), archive, ALL)
    assert (report.sessions, report.kept) == (7, 1)
    assert load(repository, KEY).entries[-1].entry_id in ("late", "e3")
    assert [version.key for version in repository.scan(None, 10)] == [KEY]


def test_what_is_removed_meanwhile_is_no_error(memory: MemoryRepository, archive: Archive) -> None:
    report = archive_sessions(Between(memory, lambda one: one.delete(KEY, at())), archive, ALL)
    assert (report.sessions, report.kept) == (7, 1)


def test_nothing_is_removed_when_the_file_is_not_what_was_written(
    memory: MemoryRepository, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaging(path: Any, *arguments: Any, **options: Any) -> int:
        size = real(path, *arguments, **options)
        with open(path, "r+b") as file:
            file.truncate(size - 40)
        return size

    real = files.write
    monkeypatch.setattr(files, "write", damaging)
    before = held(memory)
    with pytest.raises(TransferError):
        archive_sessions(memory, archive, ALL)
    assert held(memory) == before


def test_nothing_is_removed_when_the_disk_is_full(
    memory: MemoryRepository, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    before = held(memory)
    archive.lock()
    (archive.directory / "2026" / "01").mkdir(parents=True)
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        archive_sessions(memory, archive, ALL, clock=clock)
    monkeypatch.undo()
    assert held(memory) == before
    assert archive.paths() == []


def test_what_was_archived_and_not_removed_is_archived_again(
    memory: MemoryRepository, archive: Archive
) -> None:
    class Failing(Wrapped):
        def commit(self, operations: Any) -> Any:
            raise StoreUnavailableError("gone")

    with pytest.raises(StoreUnavailableError):
        archive_sessions(Failing(memory), archive, ALL)
    assert archive_sessions(memory, archive, ALL).sessions == 8
    assert len(archive.paths()) == 2
    assert archive.find("long").path == archive.paths()[0]


def test_a_process_that_is_killed_loses_no_session() -> None:
    with quick_directory() as directory, BACKENDS["sqlite"].open_in(directory) as repository:
        many(repository, 2000)
        archive = Archive(directory / "archive")
        chance = random.Random(3)
        for _ in range(10):
            pid = forked(lambda: archive_sessions(repository, archive, ALL))
            time.sleep(chance.uniform(0.02, 0.3))
            kill(pid)
            stored = keys(repository)
            archived = {one.record.session_id for one in archive.heads()}
            assert len(stored | archived) == 2000
        archive_sessions(repository, archive, ALL)
        assert keys(repository) == set()


def test_files_are_for_their_owner_only(memory: MemoryRepository, archive: Archive) -> None:
    before = os.umask(0)
    try:
        archive_sessions(memory, archive, ALL)
    finally:
        os.umask(before)
    for path in (archive.directory, *archive.directory.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


# Finding and restoring ----------------------------------------------------------------------------


def test_an_archived_session_is_found_and_loaded(
    memory: MemoryRepository, archive: Archive
) -> None:
    before = [one for one in held(memory) if "'long'" in one]
    archive_sessions(memory, archive, ALL)
    found = archive.find("long")
    stored = archive.load(found)
    with MemoryRepository() as other:
        import_sessions(found.path, other, on_conflict="skip")
        assert [one for one in held(other) if "'long'" in one] == before
    assert (stored.record.last_seq, len(stored.entries)) == (300, 300)


def test_an_id_of_several_users_asks_for_one(memory: MemoryRepository, archive: Archive) -> None:
    archive_sessions(memory, archive, ALL)
    with pytest.raises(TransferError, match="'bob'"):
        archive.find("s1")
    assert archive.find("s1", user_id="bob").record.key == OTHERS[1]
    assert archive.find("s1", app_name="other app").record.key == OTHERS[2]
    with pytest.raises(TransferError, match="no session 'none'"):
        archive.find("none")


@pytest.mark.parametrize("content", [None, b"", b"damaged", b"{}\n"])
def test_an_index_that_is_missing_or_damaged_is_made_anew(
    memory: MemoryRepository, archive: Archive, content: bytes | None
) -> None:
    archive_sessions(memory, archive, ALL)
    before = [one.record for one in archive.heads()]
    (index,) = archive.directory.rglob("*.index.*")
    whole = index.read_bytes()
    index.unlink()
    if content is not None:
        index.write_bytes(content)
    found = [one.record for one in archive.heads()]
    assert [one.key for one in found] == [one.key for one in before]
    assert index.read_bytes() == whole
    assert len(before) == 8


def test_a_session_is_restored_and_goes_on(repository: SessionRepository, archive: Archive) -> None:
    stock(repository)
    archive_sessions(repository, archive, ALL)
    moment = at(1000, idle_cutoff=900)
    put = restore_session(
        repository, archive, archive.find("s1", app_name="app", user_id="ada"), moment
    )
    session = load(repository, KEY, moment)
    assert (session.version, session.updated_at) == (put.record.version, moment.now)
    answer = change(repository, KEY, moment=moment, entries=messages("goes on"))
    assert answer.entry.seq == session.last_seq + 1
    assert keys(repository) == {"s1"}


def test_an_end_of_its_own_that_is_over_does_not_come_back(
    memory: MemoryRepository, archive: Archive
) -> None:
    archive_sessions(memory, archive, at())
    restore_session(memory, archive, archive.find("over"), at())
    assert load(memory, EXPIRED, at()).expires_at is None


def test_a_session_that_the_store_has_is_not_replaced(
    memory: MemoryRepository, archive: Archive
) -> None:
    archive_sessions(memory, archive, at())
    create(memory, EXPIRED, history="new")
    before = held(memory)
    with pytest.raises(SessionExistsError):
        restore_session(memory, archive, archive.find("over"), at())
    assert held(memory) == before


def test_a_session_that_would_be_gone_at_once_is_not_restored(
    memory: MemoryRepository, archive: Archive
) -> None:
    archive_sessions(memory, archive, ALL)
    with pytest.raises(TransferError, match="absolute"):
        restore_session(memory, archive, archive.find("long"), at(1000, age_cutoff=900))
    assert keys(memory) == set()


# The cleanup --------------------------------------------------------------------------------------


def test_retention_removes_old_files_with_their_indexes(
    memory: MemoryRepository, archive: Archive
) -> None:
    moment = Moment(datetime(2026, 1, 2, tzinfo=UTC))
    policy = ArchivePolicy(path=str(archive.directory), retention=timedelta(days=30))
    many(memory, 3)
    archive_sessions(memory, archive, ALL, clock=lambda: moment.now)
    later = [moment.now + timedelta(days=days) for days in (29, 31)]
    pruned = [archive_due(memory, policy, Moment(now)).pruned for now in later]
    assert pruned == [0, 1]
    assert not [*archive.directory.rglob("*.zst")]


def service(tmp_path: Path, now: list[datetime], **options: Any) -> PersistentSessionService:
    return PersistentSessionService(
        "sqlite",
        tmp_path / "sessions.db",
        expiration_hours=1,
        cleanup_interval=None,
        clock=lambda: now[0],
        archive=ArchivePolicy(path=str(tmp_path / "archive"), completed_after=timedelta(minutes=5)),
        **options,
    )


def test_the_cleanup_archives_instead_of_deleting(tmp_path: Path) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    with service(tmp_path, now) as sessions:
        for name in ("idle", "done"):
            sessions.create_session(user_id="ada", session_id=name)
            sessions.append(name, {"text": name})
        sessions.complete_session("done")
        now[0] += timedelta(minutes=6)
        assert sessions.cleanup_expired_sessions() == 1
        now[0] += timedelta(hours=2)
        assert sessions.cleanup_expired_sessions() == 1
        with pytest.raises(SessionNotFoundError):
            sessions.get_session("idle")
        assert sessions.get_storage_stats()["total_sessions"] == 0
        archive = Archive(tmp_path / "archive")
        assert {one.record.session_id for one in archive.heads()} == {"idle", "done"}
        assert sessions.cleanup_expired_sessions() == 0


def test_what_is_not_saved_yet_waits_with_the_cleanup(tmp_path: Path) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    with service(tmp_path, now, auto_save=False) as sessions:
        sessions.create_session(user_id="ada", session_id="s1")
        sessions.force_save()
        now[0] += timedelta(hours=2)
        sessions.create_session(user_id="ada", session_id="s2")
        assert sessions.cleanup_expired_sessions() == 0
        sessions.force_save()
        assert sessions.cleanup_expired_sessions() == 1


def test_the_hourly_cleanup_archives(tmp_path: Path) -> None:
    settings = Settings.load(
        None,
        {
            "SESSION_STORAGE_PATH": str(tmp_path / "store"),
            "SESSION_EXPIRATION_HOURS": "0.00001",
            "SESSION_CLEANUP_INTERVAL_MINUTES": "0.001",
            "SESSION_ARCHIVE_PATH": str(tmp_path / "archive"),
            "SESSION_ARCHIVE_COMPLETED_DAYS": "7",
            "SESSION_ARCHIVE_RETENTION_DAYS": "never",
        },
    )
    with create_session_service(settings) as sessions:
        sessions.create_session(user_id="ada", session_id="s1")
        archive, until = Archive(tmp_path / "archive"), time.monotonic() + 20
        while not archive.paths() and time.monotonic() < until:
            time.sleep(0.01)
    assert archive.find("s1").record.key.user_id == "ada"


def test_an_archive_without_zstd_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("backports", "backports.zstd", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match=r"session-store\[zstd\]"):
        service(tmp_path, [datetime(2026, 1, 1, tzinfo=UTC)])


def test_a_store_that_is_stopping_does_not_begin_a_file(
    memory: MemoryRepository, archive: Archive
) -> None:
    assert archive_sessions(memory, archive, ALL, stopping=lambda: True).files == 0


def test_one_process_at_a_time_archives(
    memory: MemoryRepository, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    lock = archive.lock()
    with lock.held(lock.deadline()), pytest.raises(StoreUnavailableError, match="locked"):
        archive_sessions(memory, archive, ALL)
    assert LONG.session_id in keys(memory)
