"""Opening a store that a crash, a disk or a person has damaged; accepting what a person edited."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from session_store.backends.json_file.repository import JsonFileRepository, accept_edited_file
from session_store.errors import CorruptStoreError, StoreUnavailableError
from session_store.testing.given import (
    OTHERS,
    change,
    contents,
    create,
    ids,
    load,
    messages,
)
from tests.backends.places import quick_directory

Damage = Callable[[bytes], bytes]

USELESS: dict[str, Damage] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "foreign": lambda data: b'{"name": "another program"}',
    "a newer release's": lambda data: data.replace(b"session-store/1", b"session-store/2"),
}
WARNING = "session_store.backends.json_file.recovery"


class Store:
    """A directory with a store of three saves, the main file at revision 3, its backup at 2."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.main, self.backup = directory / "sessions.json", directory / "sessions.json.bak"
        with self.open() as repository:
            create(repository)
            change(repository, entries=messages("m1"))
            self.older = contents(repository)
            change(repository, entries=messages("m2"))
            self.newer = contents(repository)

    def open(self) -> JsonFileRepository:
        return JsonFileRepository(self.directory)

    def contents(self) -> list[str]:
        with self.open() as repository:
            return contents(repository)

    def damage(self, path: Path, damage: Damage) -> None:
        path.write_bytes(damage(path.read_bytes()))

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.iterdir()}

    def aside(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.directory.glob("*.corrupt-*"))]

    def save_works(self) -> bool:
        with self.open() as repository:
            return create(repository, OTHERS[0]).version == 1


@pytest.fixture
def store() -> Iterator[Store]:
    with quick_directory() as directory:
        yield Store(directory)


def test_an_older_file_gives_way_to_its_newer_backup(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = store.backup.read_bytes(), store.main.read_bytes()
    store.main.write_bytes(older)
    store.backup.write_bytes(newer)
    assert store.contents() == store.newer
    assert store.aside() == [older]
    assert "is older than its backup" in caplog.text


def test_a_newer_backup_that_is_damaged_is_not_used(store: Store) -> None:
    older, newer = store.backup.read_bytes(), store.main.read_bytes()
    store.main.write_bytes(older)
    store.backup.write_bytes(newer[:-20])
    assert store.contents() == store.older
    assert store.aside() == []


def test_the_warning_says_what_happened_and_where_the_rest_is(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.main.write_bytes(b"{")
    with store.open():
        pass
    (record,) = caplog.records
    (aside,) = store.directory.glob("sessions.json.corrupt-*Z")
    assert (record.name, record.levelno) == (WARNING, logging.WARNING)
    for part in (str(store.main), "revision 2 ", str(store.backup), "lost", str(aside)):
        assert part in record.getMessage()


def test_an_opening_that_repairs_nothing_says_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.contents() == store.newer
    assert not caplog.records


def test_three_corrupt_files_are_kept(store: Store) -> None:
    for number in range(5):
        store.main.write_bytes(b"corrupt %d" % number)
        assert store.contents() == store.older
    assert store.aside() == [b"corrupt 2", b"corrupt 3", b"corrupt 4"]


def test_without_a_backup_the_error_says_what_to_do(store: Store) -> None:
    store.main.write_bytes(b"")
    store.backup.unlink()
    with pytest.raises(CorruptStoreError, match=r"there is no backup.*put a good copy there"):
        store.open()


def test_damage_under_an_open_store_is_reported_by_every_call(store: Store) -> None:
    with store.open() as repository:
        good = store.main.read_bytes()
        store.main.write_bytes(good[:-20])
        before = store.files()
        for call in (load, create, contents):
            with pytest.raises(CorruptStoreError):
                call(repository)
        assert store.files() == before
        store.main.write_bytes(good)
        assert contents(repository) == store.newer


def test_an_edit_under_an_open_store_is_not_overwritten(store: Store) -> None:
    with store.open() as repository:
        store.main.write_bytes(store.main.read_bytes().replace(b'"m2"', b'"m3"'))
        with pytest.raises(CorruptStoreError, match="session-store accept"):
            change(repository, entries=messages("x"))
        assert accept_edited_file(store.main) == 1
        assert ids(load(repository)) == ["m1", "m3"]


def test_an_edited_file_is_accepted(store: Store) -> None:
    found = json.loads(store.main.read_bytes())
    found["sessions"]["app/ada/s1"]["entries"][0]["payload"] = "edited"
    del found["sessions"]["app/ada/s1"]["entries"][1]
    store.main.write_text(json.dumps(found))
    kept = store.backup.read_bytes()
    with pytest.raises(CorruptStoreError, match="session-store accept"):
        store.open()
    assert accept_edited_file(store.main) == 1
    assert store.backup.read_bytes() == kept
    with store.open() as repository:
        session = load(repository)
        assert [entry.payload for entry in session.entries] == ["edited"]
        assert (session.version, repository._snapshot.contents.revision) == (3, 4)
    assert store.save_works()


def test_a_restored_and_edited_older_file_stays_the_newer_one(store: Store) -> None:
    older = store.backup.read_bytes()
    with store.open() as repository:
        change(repository, entries=messages("m3"))
        change(repository, entries=messages("m4"))
    store.main.write_bytes(older.replace(b'"m1"', b'"m9"'))
    accept_edited_file(store.main)
    with store.open() as repository:
        assert [entry.payload for entry in load(repository).entries] == ["m9"]


def test_accepting_a_whole_file_changes_nothing(store: Store) -> None:
    before = store.files()
    assert accept_edited_file(str(store.main)) == 1
    assert store.files() == before


@pytest.mark.parametrize("damage", USELESS.values(), ids=list(USELESS))
def test_what_can_not_be_accepted_is_left(store: Store, damage: Damage) -> None:
    store.damage(store.main, damage)
    before = store.files()
    with pytest.raises(CorruptStoreError, match=r"sessions\.json"):
        accept_edited_file(store.main)
    assert store.files() == before


def test_accepting_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"there is no .*sessions\.json"):
        accept_edited_file(tmp_path / "sessions.json")
    assert not list(tmp_path.iterdir())
