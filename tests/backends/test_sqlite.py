"""What is peculiar to SQLite: its settings, files, plans and errors. The contract has the rest."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.file import building, connected
from session_store.backends.sql.sqlite.layout import APPLICATION_ID
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SettingsError, StoreUnavailableError
from session_store.testing import Reopen, RepositoryContract
from session_store.testing.given import at, count, create
from tests.servers.stores import reopening


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqlRepository]:
    with open_sqlite(path) as opened:
        yield opened


class TestSettings:
    @pytest.mark.parametrize(
        "options", [{"synchronous": "OFF"}, {"pool_size": 0}, {"busy_timeout": -1}]
    )
    def test_wrong_options_are_refused_before_anything_is_made(
        self, path: Path, options: dict[str, Any]
    ) -> None:
        with pytest.raises(SettingsError):
            open_sqlite(path, **options)
        assert not path.exists()

    def test_waiting_for_a_connection_ends(self, path: Path) -> None:
        with open_sqlite(path, pool_size=1, busy_timeout=0.05) as store:
            with (
                store._runner.pool.connection(),
                pytest.raises(StoreUnavailableError, match="pool_size"),
            ):
                count(store)
            assert count(store) == 0

    def test_waiting_for_another_process_ends(self, path: Path) -> None:
        with open_sqlite(path, busy_timeout=0.05) as store, closing(connected(path, 1)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match=r"busy for 0\.05 s"):
                create(store)
            assert count(store) == 0
            other.execute("COMMIT")
            create(store)


class TestFiles:
    def test_directories_and_files_are_for_their_owner_only(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            with open_sqlite(tmp_path / "new" / "sessions.db") as store:
                create(store)
                modes = {
                    file.name: oct(file.stat().st_mode) for file in (tmp_path / "new").iterdir()
                }
        finally:
            os.umask(before)
        assert modes == dict.fromkeys(
            ("sessions.db", "sessions.db-wal", "sessions.db-shm"), "0o100600"
        )
        assert oct((tmp_path / "new").stat().st_mode) == "0o40700"

    def test_the_mode_does_not_depend_on_the_umask(self, path: Path) -> None:
        before = os.umask(0o777)
        try:
            with building(path) as draft:
                assert oct(draft.new.stat().st_mode) == "0o100600"
            open_sqlite(path).close()
        finally:
            os.umask(before)
        assert oct(path.stat().st_mode) == "0o100600"

    def test_nothing_is_left_beside_a_closed_store(self, path: Path) -> None:
        with open_sqlite(path) as store:
            create(store)
        assert os.listdir(path.parent) == ["sessions.db"]

    def test_the_file_carries_our_mark(self, store: SqlRepository, path: Path) -> None:
        with closing(connected(path, 1)) as connection:
            mark = connection.execute("PRAGMA application_id").fetchone()
        assert mark == (APPLICATION_ID,)

    @pytest.mark.parametrize("name", ["a b.db", "100%.db", "a?b#c.db", "ü.db", "'\".db"])
    def test_odd_names(self, tmp_path: Path, name: str) -> None:
        for _ in range(2):
            with open_sqlite(tmp_path / name) as store:
                assert store.path == tmp_path / name
        assert os.listdir(tmp_path) == [name]

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
        with open_sqlite(tmp_path / "link.db") as store:
            create(store)
        with open_sqlite(tmp_path / "real.db") as store:
            assert count(store) == 1

    def test_a_relative_path_means_the_same_file_later(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with open_sqlite("sessions.db") as store:
            monkeypatch.chdir("/")
            create(store)
        assert (tmp_path / "sessions.db").exists()

    def test_what_cannot_be_a_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path, tmp_path / "file" / "sessions.db", tmp_path / ("x" * 300)):
            with pytest.raises(StoreUnavailableError, match=str(tmp_path)):
                open_sqlite(path)
        with pytest.raises(SettingsError):
            open_sqlite("nul\0.db")

    def test_size_counts_the_log(self, store: SqlRepository, path: Path) -> None:
        create(store, history=["x" * 10_000])
        log = path.with_name("sessions.db-wal")
        assert store.stats(at()).size_bytes == path.stat().st_size + log.stat().st_size


class TestContractBesideOthers(RepositoryContract):
    """With a prefix, in the file of a host, which has a table of that name."""

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Iterator[SqlRepository]:
        with closing(sqlite3.connect(tmp_path / "theirs.db")) as host, host:
            host.execute("CREATE TABLE sessions (theirs INTEGER)")
        with open_sqlite(tmp_path / "theirs.db", table_prefix="chat_") as store:
            yield store

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Iterator[Reopen]:
        with reopening(lambda: open_sqlite(tmp_path / "theirs.db", table_prefix="chat_")) as reopen:
            yield reopen


class TestOpening:
    def test_closing_twice_is_fine(self, store: SqlRepository) -> None:
        store.close()
