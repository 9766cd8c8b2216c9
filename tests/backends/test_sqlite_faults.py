"""SQLite files that are damaged or full: what can be read is kept, what cannot is an error."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from session_store.backends.sql.pool import ConnectionPool
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite import file as database_file
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import SqliteDialect, open_sqlite
from session_store.errors import (
    CorruptStoreError,
    DiskFullError,
    NotWritableError,
    OutcomeUnknownError,
    SchemaError,
    StoreUnavailableError,
)
from session_store.testing.given import (
    change,
    count,
    create,
    load,
    message,
    messages,
    seqs,
)

TEXT = "x" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a closed store with some history."""
    path = tmp_path_factory.mktemp("whole") / "sessions.db"
    with open_sqlite(path) as store:
        create(store, history=[TEXT] * 50)
    return path.read_bytes()


def run(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


@contextmanager
def untouched(path: Path) -> Iterator[None]:
    """The block changes nothing in the directory."""
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    yield
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


class TestDamage:
    def test_the_whole_file_is_no_damage(self, path: Path, whole: bytes) -> None:
        path.write_bytes(whole)
        with open_sqlite(path) as store:
            assert load(store).last_seq == 50

    @pytest.mark.parametrize("start", [0, 16, 100, 4096])
    def test_a_file_with_other_bytes_in_it(self, path: Path, whole: bytes, start: int) -> None:
        path.write_bytes(whole[:start] + b"\xff" * 4096 + whole[start + 4096 :])
        with untouched(path), pytest.raises(CorruptStoreError), open_sqlite(path) as store:
            load(store)

    def test_a_newer_releases_store(self, path: Path, whole: bytes) -> None:
        path.write_bytes(whole)
        run(path, "UPDATE session_store_alembic_version SET version_num = '9999'")
        with pytest.raises(SchemaError, match="newer release"):
            open_sqlite(path)

    def test_a_store_without_its_mark_is_one_still(self, path: Path, whole: bytes) -> None:
        """As ``.dump`` and ``.read`` leave it."""
        path.write_bytes(whole)
        run(path, "PRAGMA application_id = 0")
        with open_sqlite(path) as store:
            assert count(store) == 1


class TestCreation:
    def test_what_a_killed_builder_left_is_swept(self, path: Path) -> None:
        for name in ("0123", "0123-journal", "4567-wal"):
            (path.parent / f".session_store-{name}").write_text("left")
        open_sqlite(path).close()
        assert os.listdir(path.parent) == [path.name]

    def test_a_second_name_of_a_store_is_removed(self, path: Path) -> None:
        """Its builder was killed after the link and before the unlink."""
        open_sqlite(path).close()
        os.link(path, path.with_name(".session_store-89ab"))
        os.link(path, path.with_name("a copy of somebody's"))
        open_sqlite(path).close()
        assert sorted(os.listdir(path.parent)) == ["a copy of somebody's", path.name]

    def test_what_another_builds_is_not_swept(self, path: Path) -> None:
        with database_file.building(path.with_name("other.db")) as draft:
            open_sqlite(path).close()
            assert draft.new.exists()
        assert os.listdir(path.parent) == [path.name]

    def test_a_draft_that_vanishes_while_it_is_looked_at_is_no_error(self, path: Path) -> None:
        open_sqlite(path).close()
        os.link(path, path.with_name(".session_store-89ab"))
        path.with_name(".session_store-cdef").symlink_to("gone")  # listed, and not there
        open_sqlite(path).close()
        assert not path.with_name(".session_store-89ab").exists()

    def test_the_first_of_two_builders_wins(self, path: Path) -> None:
        with database_file.building(path) as draft:
            with open_sqlite(path) as store:
                create(store)
            draft.new.write_text("second")
            draft.publish()
        with open_sqlite(path) as store:
            assert count(store) == 1

    def test_a_file_system_without_hard_links(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuses(*_: object) -> None:
            raise PermissionError(errno.EPERM, "no hard links")

        monkeypatch.setattr(os, "link", refuses)
        with open_sqlite(path) as store:
            create(store)
        with database_file.building(path) as draft:
            draft.new.write_text("second")
            draft.publish()
        with open_sqlite(path) as store:
            assert count(store) == 1
        assert os.listdir(path.parent) == [path.name]

    @pytest.mark.parametrize("call", ["fsync", "link", "open", "mkdir"])
    def test_an_error_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        def fails(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "no space left")

        path = tmp_path / "new" / "sessions.db"
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            with pytest.raises(StoreUnavailableError, match="No space left"):
                open_sqlite(path)
        assert not path.parent.exists() or not os.listdir(path.parent)
        open_sqlite(path).close()


def run_check(path: Path) -> None:
    with closing(connected(path, 1)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_connection_that_can_only_read_is_not_kept(path: Path) -> None:
    """SQLite opens the file so when it can't be opened for writing just then."""
    with open_sqlite(path, pool_size=1) as store:
        read_only = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
        pool = cast("ConnectionPool", store._runner.pool)
        pool.drop_idle()
        pool.add(read_only)
        with pytest.raises(StoreUnavailableError, match="SQLITE_READONLY"):
            create(store)
        create(store)


class TestFullDisk:
    def fill(self, store: SqlRepository) -> int:
        """Append until the disk is full; how many entries were acknowledged."""
        acknowledged: list[int] = []

        def append() -> None:
            for n in range(10_000):
                change(store, entries=(message(f"{n}", TEXT),))
                acknowledged.append(n)

        with pytest.raises(StoreUnavailableError, match="full") as raised:
            append()
        assert TEXT not in str(raised.value)
        return len(acknowledged)

    def allow(self, store: SqlRepository, pages: int) -> None:
        """On the store's only connection."""
        with store._runner.pool.connection() as connection:
            connection.execute(f"PRAGMA max_page_count = {pages}")

    def test_a_full_database_keeps_what_it_has(self, path: Path) -> None:
        open_sqlite(path).close()
        with open_sqlite(path, pool_size=1) as store:
            self.allow(store, pages=40)
            create(store)
            number = self.fill(store)
            assert seqs(load(store)) == list(range(1, number + 1))
            self.allow(store, pages=400)
            change(store, entries=messages("more"))
            assert load(store).last_seq == number + 1
        run_check(path)


@pytest.mark.parametrize(
    ("code", "committing", "expected"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, True, OutcomeUnknownError),
        (sqlite3.SQLITE_IOERR_WRITE, False, StoreUnavailableError),
        (sqlite3.SQLITE_FULL, True, DiskFullError),
        (sqlite3.SQLITE_READONLY_DBMOVED, False, NotWritableError),
        (sqlite3.SQLITE_CANTOPEN, False, NotWritableError),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, False, StoreUnavailableError),
        (sqlite3.SQLITE_NOMEM, False, StoreUnavailableError),
        (sqlite3.SQLITE_CORRUPT_INDEX, False, CorruptStoreError),
    ],
)
def test_what_an_error_of_sqlite_means(
    path: Path, code: int, committing: bool, expected: type[Exception]
) -> None:
    error: Any = sqlite3.OperationalError(TEXT)
    error.sqlite_errorcode, error.sqlite_errorname = code, "SQLITE_SOMETHING"
    found = SqliteDialect(path, "FULL", 1).translated(error, committing=committing)
    assert type(found) is expected
    assert TEXT not in str(found)
    assert str(path) in str(found)
