"""``session-store backup``: a copy of one moment of a store in use."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from session_store import PersistentSessionService
from session_store.backends import open_repository, storage_of
from session_store.backends.json_file.repository import accept_edited_file
from session_store.cli.main import main
from session_store.errors import (
    CorruptStoreError,
    SettingsError,
    StoreUnavailableError,
    TransferError,
)
from session_store.maintenance import backup_store
from session_store.testing.given import change, create, messages
from tests.backends.test_sqlite_legacy import TABLE
from tests.cli.support import files_in
from tests.maintenance.support import PLACES, smashed
from tests.transfer.support import held, stock


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    """A store in a file, with odd content."""
    with open_repository(request.param) as repository:
        stock(repository)
    return str(request.param)


def in_store(place: str) -> list[str]:
    with open_repository(place) as repository:
        return held(repository)


def names(directory: str) -> list[str]:
    return sorted(os.listdir(directory))


def test_a_copy_is_a_store_with_the_same_in_it(place: str) -> None:
    before = files_in(Path())
    report = backup_store(storage_of(place), PLACES[place])
    assert {name: files_in(Path())[name] for name in before} == before
    assert (Path(report.path), report.bytes) == (
        Path(report.path).absolute(),
        Path(report.path).stat().st_size,
    )
    assert in_store(PLACES[place]) == in_store(place)


def test_a_copy_is_one_file_for_its_owner_only(place: str) -> None:
    old = os.umask(0)
    try:
        report = backup_store(storage_of(place), f"new/{PLACES[place]}")
    finally:
        os.umask(old)
    copy = Path(report.path)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(Path("new").stat().st_mode) == 0o700
    assert names(str(copy.parent)) == [copy.name]


def test_a_copy_while_the_store_is_open_has_what_is_in_its_log(place: str) -> None:
    with open_repository(place) as repository:
        change(repository, entries=messages("just now"))
        backup_store(storage_of(place), PLACES[place])
        assert in_store(PLACES[place]) == held(repository)


def test_writers_go_on_between_the_steps_of_a_copy_and_are_not_in_it() -> None:
    with open_repository("a.db") as repository:
        create(repository, history=["x" * 1000] * 9000)
        before, told = held(repository), []

        def write(done: int, total: int) -> None:
            told.append(done)
            change(repository, entries=messages(f"at {len(told)} {done}"))

        backup_store(storage_of("a.db"), "b.db", on_progress=write)
        assert len(told) > 3
        assert in_store("b.db") == before


def test_a_copy_is_readable_where_nothing_can_be_written() -> None:
    with open_repository("a.db") as repository:
        stock(repository)
    backup_store(storage_of("a.db"), "b.db")
    with closing(sqlite3.connect("file:b.db?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (8,)
    assert "b.db-wal" not in names(".")


def test_a_copy_is_never_made_over_a_file_unless_that_is_meant(place: str) -> None:
    backup_store(storage_of(place), PLACES[place])
    before = files_in(Path())
    with open_repository(place) as repository:
        change(repository, entries=messages("later"))
    with pytest.raises(TransferError, match="is there already"):
        backup_store(storage_of(place), PLACES[place])
    assert {name: files_in(Path())[name] for name in before if place not in name} == {
        name: content for name, content in before.items() if place not in name
    }
    backup_store(storage_of(place), PLACES[place], overwrite=True)
    assert in_store(PLACES[place]) == in_store(place)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_copy_over_the_store_itself_is_refused(place: str, overwrite: bool) -> None:
    before = files_in(Path())
    with pytest.raises(TransferError, match="is the store itself"):
        backup_store(storage_of(place), place, overwrite=overwrite)
    assert files_in(Path()) == before


@pytest.mark.parametrize("name", ["b.db-wal", "b.db-journal"])
def test_the_log_of_another_database_is_never_taken_for_the_copys(name: str) -> None:
    with open_repository("a.db") as repository:
        stock(repository)
    Path(name).write_bytes(b"stale")
    with pytest.raises(TransferError, match=name):
        backup_store(storage_of("a.db"), "b.db", overwrite=True)
    assert not Path("b.db").exists()


def test_an_older_save_is_never_taken_for_the_copys() -> None:
    with open_repository("a") as repository:
        stock(repository)
    Path("b").mkdir()
    Path("b/sessions.json.bak").write_text("{}")
    with pytest.raises(TransferError, match=r"sessions\.json\.bak is there"):
        backup_store(storage_of("a"), "b")
    assert names("b") == ["sessions.json.bak"]


def test_a_damaged_store_is_not_copied() -> None:
    with open_repository("a.db") as repository:
        stock(repository)
    smashed("a.db", "session_entries")
    with pytest.raises(CorruptStoreError, match="session-store repair"):
        backup_store(storage_of("a.db"), "b.db")
    assert names(".") == ["a.db"]


def test_an_edited_file_is_not_copied_before_it_is_accepted() -> None:
    with open_repository("a") as repository:
        create(repository, history=["helo"])
    file = Path("a/sessions.json")
    file.write_text(file.read_text().replace("helo", "hello"))
    with pytest.raises(CorruptStoreError, match="session-store accept"):
        backup_store(storage_of("a"), "b")
    accept_edited_file(file)
    assert backup_store(storage_of("a"), "b").path.endswith("b/sessions.json")


def test_another_programs_database_is_not_copied() -> None:
    with closing(sqlite3.connect("a.db")) as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(CorruptStoreError, match="another program's"):
        backup_store(storage_of("a.db"), "b.db")
    assert names(".") == ["a.db"]


def test_a_store_of_an_older_release_is_copied_as_it_is() -> None:
    with closing(sqlite3.connect("a.db")) as connection:
        connection.executescript(TABLE)
    backup_store(storage_of("a.db"), "b.db")
    with closing(sqlite3.connect("b.db")) as connection:
        (table,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'sessions'")
    assert "last_seq" not in table[0]
    with open_repository("b.db") as repository:
        assert held(repository) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_store_that_is_not_there_is_not_made(place: str) -> None:
    with pytest.raises(StoreUnavailableError, match="is the path right"):
        backup_store(storage_of(place), PLACES[place])
    assert names(".") == []


@pytest.mark.parametrize("target", ["copy.json", "copy.db"])
def test_a_json_file_is_copied_only_to_where_it_can_be_opened(target: str) -> None:
    with open_repository("a") as repository:
        stock(repository)
    with pytest.raises(SettingsError, match="such as copy"):
        backup_store(storage_of("a"), target)
    assert in_store("a") == in_store(str(Path(backup_store(storage_of("a"), "c").path).parent))


def test_a_servers_database_is_left_to_its_own_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "b", "--store", "postgresql://app:secret@db.example/app"]) == 1
    error = capsys.readouterr().err
    assert "pg_dump" in error
    assert "session-store export" in error
    assert "secret" not in error
    with pytest.raises(SettingsError, match="in memory"):
        backup_store(storage_of("memory://"), "b")


def test_the_command_says_where_the_copy_is(capsys: pytest.CaptureFixture[str]) -> None:
    with PersistentSessionService("sqlite", "a.db") as service:
        service.create_session(user_id="ada")
        assert main(["backup", "nightly", "--store", "a.db"]) == 0
        assert main(["backup", "b.db", "--store", "a.db", "--json"]) == 0
    text, line = capsys.readouterr().out.splitlines()
    size = Path("nightly/sessions.db").stat().st_size
    assert text == f"{Path('nightly/sessions.db').absolute()}: {size:,} bytes, whole and checked"
    assert json.loads(line) == {"path": str(Path("b.db").absolute()), "bytes": size}
