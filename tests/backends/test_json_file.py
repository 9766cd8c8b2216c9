"""The JSON file's own promises about saving: what is shared, what is refused, what readers see."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from session_store.backends.json_file.file_lock import FileLock
from session_store.backends.json_file.format import revision_in
from session_store.backends.json_file.repository import JsonFileRepository
from session_store.errors import (
    ConflictError,
    CorruptStoreError,
    DiskFullError,
    SessionExistsError,
    StoreUnavailableError,
)
from session_store.session import SessionKey
from session_store.testing.given import (
    OTHERS,
    at,
    change,
    contents,
    create,
    ids,
    load,
    message,
    messages,
)

KEYS = [SessionKey("app", "ada", f"s{n}") for n in range(8)]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[JsonFileRepository]:
    with JsonFileRepository(tmp_path) as opened:
        yield opened


def revision(repository: JsonFileRepository) -> int:
    return revision_in(repository.path.read_bytes()) or 0


@contextmanager
def locked(repository: JsonFileRepository) -> Iterator[None]:
    """As if another process were saving."""
    with FileLock(Path(f"{repository.path}.lock"), 30).held(time.monotonic()):
        yield


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file can grow past ``limit`` bytes: a write that tries gets EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_stats_tell_the_size_of_the_file(repository: JsonFileRepository) -> None:
    create(repository)
    assert repository.stats(at()).size_bytes == repository.path.stat().st_size


def test_saves_at_the_same_time_share_one_write(repository: JsonFileRepository) -> None:
    create(repository)
    with ThreadPoolExecutor(8) as threads, locked(repository):
        saves = [threads.submit(change, repository, entries=messages(f"m{n}")) for n in range(8)]
        while len(repository._group._waiting) < len(saves):
            time.sleep(0.001)
    assert [len(save.result().entries) for save in saves] == [1] * 8
    assert (revision(repository), load(repository).last_seq) == (2, 8)


def test_eight_busy_threads_write_fewer_files_than_they_save(
    repository: JsonFileRepository,
) -> None:
    def save(key: SessionKey) -> None:
        create(repository, key)
        for name in range(24):
            change(repository, key, entries=messages(str(name)))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(save, KEYS))
    assert all(load(repository, key).last_seq == 24 for key in KEYS)
    assert revision(repository) < 200


def test_a_call_that_is_refused_leaves_the_others_of_its_group(
    repository: JsonFileRepository,
) -> None:
    create(repository, history="a")
    with ThreadPoolExecutor(8) as threads, locked(repository):
        good = [threads.submit(change, repository, entries=messages(f"m{n}")) for n in range(3)]
        exists = threads.submit(create, repository)
        conflict = threads.submit(change, repository, entries=(message("e1", "other"),))
        while len(repository._group._waiting) < 5:
            time.sleep(0.001)
    assert sorted(ids(one.result())[0] for one in good) == ["m0", "m1", "m2"]
    assert isinstance(exists.exception(), SessionExistsError)
    assert isinstance(conflict.exception(), ConflictError)
    assert (set(ids(load(repository))), revision(repository)) == ({"e1", "m0", "m1", "m2"}, 2)


def test_where_the_write_fails_every_call_of_the_group_is_told(
    repository: JsonFileRepository,
) -> None:
    create(repository)
    before = contents(repository)
    with ThreadPoolExecutor(8) as threads, full_disk(100):
        with locked(repository):
            saves = [threads.submit(create, repository, key) for key in OTHERS]
            while len(repository._group._waiting) < len(saves):
                time.sleep(0.001)
        errors = [save.exception() for save in saves]
    assert [type(error) for error in errors] == [DiskFullError] * 3
    assert len(set(map(id, errors))) == 3
    assert contents(repository) == before
    assert [create(repository, key).version for key in OTHERS] == [1, 1, 1]


def test_what_changes_nothing_is_not_written(repository: JsonFileRepository) -> None:
    create(repository)
    change(repository, entries=messages("a"))
    before = repository.path.stat()
    change(repository, entries=messages("a"))
    assert repository.delete(OTHERS[0], at()) is False
    assert repository.remove_expired(at(), 10) == 0
    assert repository.commit(()) == ()
    with pytest.raises(SessionExistsError):
        create(repository)
    assert repository.path.stat() == before


def test_removing_what_expired_is_one_save(repository: JsonFileRepository) -> None:
    for key in KEYS:
        create(repository, key)
    before = revision(repository)
    assert repository.remove_expired(at(9, idle_cutoff=1), 5) == 5
    assert (revision(repository), repository.stats(at()).total_sessions) == (before + 1, 3)


def test_a_full_disk_says_so_and_the_next_save_works(repository: JsonFileRepository) -> None:
    create(repository)
    before = contents(repository)
    with full_disk(100), pytest.raises(StoreUnavailableError, match="disk is full") as raised:
        change(repository, entries=messages("a"))
    assert str(repository.path) in str(raised.value)
    assert contents(repository) == before
    assert not list(repository.path.parent.glob("*.tmp"))
    assert ids(change(repository, entries=messages("a"))) == ["a"]


def test_a_lock_that_stays_taken_is_reported(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path, lock_timeout=0.02) as repository:
        create(repository)
        with locked(repository):
            with pytest.raises(StoreUnavailableError, match=r"sessions\.json\.lock was locked"):
                change(repository, entries=messages("a"))
            assert load(repository).entries == ()
        change(repository, entries=messages("a"))


def test_a_file_that_vanishes_is_not_begun_anew(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path) as repository:
        create(repository)
        change(repository, entries=messages("a"))
        repository.path.unlink()
        for call in (load, create):
            with pytest.raises(CorruptStoreError, match="vanished"):
                call(repository)
    assert not repository.path.exists()


def test_readers_in_other_threads_see_whole_saves(repository: JsonFileRepository) -> None:
    create(repository)
    done = threading.Event()

    def read() -> int:
        seen = 0
        while not done.is_set():
            session = load(repository)
            assert session.state.get("n", 0) == len(session.entries) == session.version - 1
            seen = len(session.entries)
            time.sleep(0.0005)
        return seen

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        for n in range(1, 31):
            change(repository, entries=messages(str(n)), state={"n": n})
        done.set()
    assert all(reader.result() > 0 for reader in readers)
