"""The check finds each fault that a write would meet, and passes again when it is gone."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.sql import schema
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import (
    CorruptStoreError,
    DiskFullError,
    NotWritableError,
    SchemaError,
    SessionStoreError,
    StoreClosedError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from session_store.repository import SessionRepository
from session_store.testing.given import create, message
from tests.backends.test_json_file import full_disk
from tests.backends.test_json_file_processes import read_only
from tests.servers.postgres import PostgresServer

Opened = Callable[..., SessionRepository]

IN_FILES: dict[str, Opened] = {
    "file": JsonFileRepository,
    "sqlite": lambda directory, **options: open_sqlite(directory / "sessions.db", **options),
}


@pytest.fixture(params=IN_FILES)
def opened(request: pytest.FixtureRequest) -> Opened:
    return IN_FILES[request.param]


def check(store: SessionRepository) -> type[SessionStoreError] | None:
    try:
        store.check()
    except SessionStoreError as error:
        return type(error)
    return None


def test_a_check_leaves_no_file(opened: Opened, tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        create(store)
        store.check()
        before = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
        for _ in range(5):
            store.check()
        after = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
        assert after.keys() == before.keys()
        growing = {"sessions.db-wal"}
        assert all(after[name] == before[name] for name in after.keys() - growing)


def test_a_check_leaves_no_row(url: str, tmp_path: Path) -> None:
    count = "SELECT count(*) FROM shared_states"
    with open_sqlite(tmp_path / "s.db") as store, closing(sqlite3.connect(store.path or "")) as db:
        store.check()
        assert db.execute(count).fetchone() == (0,)
    with open_postgres(url) as store, psycopg.connect(url) as database:
        store.check()
        assert database.execute(count).fetchone() == (0,)


def test_a_closed_store_is_told_from_a_broken_one(opened: Opened, tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.close()
    assert check(store) is StoreClosedError


def test_no_room_for_a_save_is_found_before_a_save_meets_it(opened: Opened, tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        create(store, history=["x" * 100_000] * 10)
        with full_disk(200_000):
            assert check(store) is DiskFullError
        assert check(store) is None
        assert not list(tmp_path.glob("*.tmp")) + list(tmp_path.glob(".session_store-*"))


@contextmanager
def small_file_system(directory: Path) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("a small file system can't be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


def test_a_full_file_system_is_found(opened: Opened, tmp_path: Path) -> None:
    with small_file_system(tmp_path), opened(tmp_path) as store:
        create(store)
        assert check(store) is None
        ballast = tmp_path / "ballast"
        with pytest.raises(OSError, match="No space"):
            ballast.write_bytes(bytes(4_000_000))
        assert check(store) is DiskFullError
        ballast.unlink()
        assert check(store) is None


def test_a_place_that_can_not_be_written_is_found(opened: Opened) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        with opened(directory) as store:
            create(store)
            store.check()
            for path in directory.iterdir():
                path.chmod(0o400)
            with read_only(directory):
                assert check(store) is NotWritableError
            assert check(store) is None


def test_a_lock_that_another_process_holds_is_found(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path, lock_timeout=0.1) as store:
        create(store)
        with store._lock.held(store._lock.deadline()):
            assert check(store) is StoreUnavailableError
        assert check(store) is None
    with open_sqlite(tmp_path / "s.db", busy_timeout=0.1) as store:
        with closing(sqlite3.connect(tmp_path / "s.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            assert check(store) is StoreUnavailableError
        assert check(store) is None


def test_a_damaged_or_vanished_file_is_found(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path) as store:
        create(store)
        text = store.path.read_text()
        store.path.write_text(text.replace('"ada"', '"eve"'))
        assert check(store) is CorruptStoreError
        store.path.unlink()
        assert check(store) is CorruptStoreError
    with open_sqlite(tmp_path / "s.db") as store:
        os.rename(tmp_path / "s.db", tmp_path / "moved.db")
        assert check(store) is NotWritableError


def test_a_schema_of_another_release_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with open_sqlite(path) as store, closing(sqlite3.connect(path)) as other:
        for revision in ("0004", "9999"):
            other.execute("UPDATE session_store_alembic_version SET version_num = ?", (revision,))
            other.commit()
            assert check(store) is SchemaError


class TestPostgres:
    @pytest.fixture
    def store(self, url: str) -> Iterator[SqlRepository]:
        with open_postgres(url) as store:
            create(store)
            yield store

    def change(self, url: str, *statements: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def test_a_schema_of_another_release_is_found(self, store: SqlRepository, url: str) -> None:
        version = "UPDATE session_store_alembic_version SET version_num = "
        self.change(url, f"{version}'0004'")
        assert check(store) is SchemaError
        self.change(url, f"{version}'{schema.HEAD}'")
        assert check(store) is None

    def test_a_database_that_only_reads_is_found(self, store: SqlRepository, url: str) -> None:
        database = url.rpartition("/")[2].partition("?")[0]
        setting = f'ALTER DATABASE "{database}" SET default_transaction_read_only'
        self.change(url, f"{setting} = on")
        store._runner.pool.drop_idle()
        assert check(store) is NotWritableError
        self.change(url, "SET default_transaction_read_only = off", f"{setting} = off")
        store._runner.pool.drop_idle()
        assert check(store) is None

    def test_a_missing_privilege_is_found(
        self, store: SqlRepository, url: str, postgres_server: PostgresServer
    ) -> None:
        self.change(
            url,
            "CREATE ROLE reader LOGIN PASSWORD 'reader'",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
        )
        try:
            database = url.rpartition("/")[2].partition("?")[0]
            mine = postgres_server.url(database, user="reader", password="reader")
            with open_postgres(mine) as reading:
                assert check(reading) is NotWritableError
        finally:
            self.change(url, "DROP OWNED BY reader", "DROP ROLE reader")

    def test_a_server_that_is_gone_is_found(
        self, store: SqlRepository, own_postgres_server: PostgresServer
    ) -> None:
        own_postgres_server.stop()
        try:
            assert check(store) is StoreUnreachableError
        finally:
            own_postgres_server.start()
            own_postgres_server.wait_until_ready()
        assert check(store) is None

    def test_a_check_is_a_durable_write_of_the_log(self, store: SqlRepository, url: str) -> None:
        def flushed() -> Any:
            with psycopg.connect(url) as connection:
                return connection.execute("SELECT pg_current_wal_flush_lsn()").fetchone()

        before = flushed()
        store.check()
        assert flushed() > before


def test_the_log_of_sqlite_grows_by_pages_and_not_without_end(tmp_path: Path) -> None:
    with open_sqlite(tmp_path / "s.db") as store:
        create(store, history=[message("a").payload])
        for _ in range(2000):
            store.check()
        assert (tmp_path / "s.db-wal").stat().st_size < 8_000_000
