"""Backups hold what was acknowledged; what is damaged on purpose is found, and rescued."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends import open_repository, storage_of
from session_store.backends.memory import MemoryRepository
from session_store.entrypoints.cli import main
from session_store.errors import CorruptStoreError, SettingsError, TransferError
from session_store.testing.given import KEY, at, create
from session_store.transfer.backup import backup_store
from session_store.transfer.repairing import RepairReport, repair_store
from session_store.transfer.verifying import VerifyReport, verify_store
from tests.backends.processes import exit_code, forked
from tests.servers.stores import PostgresStore
from tests.transfer.support import held, many, raw, stock
from tests.transfer.test_copy_processes import writing

PLACES = {"file": "store", "sqlite": "a.db"}


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("SESSION_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def filled(place: str, sessions: int = 0) -> list[str]:
    """What the store at ``place`` holds."""
    with open_repository(place) as repository:
        stock(repository)
        many(repository, sessions, 20)
        return held(repository)


def verified(place: str) -> VerifyReport:
    return verify_store(storage_of(place))


def repaired(place: str) -> tuple[RepairReport, list[str]]:
    with MemoryRepository() as repository:
        report = repair_store(storage_of(place), repository)
        return report, held(repository)


def run(place: str, *statements: str) -> None:
    """As somebody would who knows better."""
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


# Backups ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_backup_is_the_store_for_its_owner_only(directory: Path, kind: str) -> None:
    whole = filled(PLACES[kind])
    target = directory / "kept" / ("sessions.json" if kind == "file" else "kept.db")
    before = os.umask(0)
    try:
        size = backup_store(storage_of(PLACES[kind]), target)
    finally:
        os.umask(before)
    assert (target.stat().st_size, stat.S_IMODE(target.stat().st_mode)) == (size, 0o600)
    assert [one.name for one in target.parent.iterdir()] == [target.name]
    with open_repository("kept" if kind == "file" else "kept/kept.db") as repository:
        assert held(repository) == whole


def test_a_backup_under_writers_holds_what_was_acknowledged_before(directory: Path) -> None:
    with open_repository("a.db") as repository:
        many(repository, 10)
    log, stop = directory / "log", directory / "stop"

    def application() -> None:
        with open_repository("a.db") as repository:
            writing(repository, log, stop)

    pid = forked(application)
    try:
        for number in range(8):
            while not log.exists() or len(log.read_text().splitlines()) < 5 * number + 1:
                time.sleep(0.005)
            acknowledged = log.read_text().splitlines()
            backup_store(storage_of("a.db"), f"{number}.db")
            assert verified(f"{number}.db").wrong == []
            with open_repository(f"{number}.db") as repository:
                found = repository.fetch_many([one.key for one in repository.scan(None, 100)])
            there = {f"{key.session_id} {e[1]}" for key, (_, all_) in found.items() for e in all_}
            assert set(acknowledged) <= there
    finally:
        stop.touch()
        assert exit_code(pid) == 0


def test_a_backup_takes_no_file_that_is_there(directory: Path) -> None:
    filled("a.db")
    (directory / "kept.db").write_text("mine")
    with pytest.raises(TransferError, match="is there already"):
        backup_store(storage_of("a.db"), "kept.db")
    assert (directory / "kept.db").read_text() == "mine"


def test_no_backup_is_made_of_what_is_damaged_or_missing(directory: Path) -> None:
    filled("a.db", 200)
    corrupt(directory / "a.db", (3, 9))
    with pytest.raises(CorruptStoreError):
        backup_store(storage_of("a.db"), "kept.db")
    filled("store")
    (directory / "store" / "sessions.json").write_bytes(b"{")
    with pytest.raises(CorruptStoreError):
        backup_store(storage_of("store"), "kept.json")
    for place in ("none.db", "none"):
        with pytest.raises(TransferError, match="there is no"):
            backup_store(storage_of(place), "kept.db")
    with pytest.raises(SettingsError, match="pg_dump"):
        backup_store(storage_of("postgresql://nowhere/db"), "kept.db")
    assert not [name for name in os.listdir(directory) if "kept" in name or name.startswith(".")]


# Verifying ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "sqlite", "postgresql"])
def test_nothing_is_wrong_with_a_good_store(
    directory: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    place = PLACES.get(kind)
    if place is None:
        store: PostgresStore = request.getfixturevalue("postgres_store")
        store.begin(directory)
        place = store.url
    filled(place, 30)
    report = verified(place)
    assert report.wrong == []
    assert (report.sessions, report.shared) == (38, 2)


WRONG: dict[str, tuple[str, str]] = {
    "a gap": ("DELETE FROM session_entries WHERE seq = 150", r"'long'.*last seq is 300.*\[150\]"),
    "an entry too many": (
        "UPDATE sessions SET last_seq = 299 WHERE session_id = 'long'",
        r"'long'.*299.*\[300\]",
    ),
    "a payload that is no JSON": (
        "UPDATE session_entries SET payload = '{' WHERE seq = 200",
        r"'long'.*entries\[200\]",
    ),
    "a document that is no object": (
        "UPDATE sessions SET state = '[]' WHERE session_id = 'long'",
        "'long'.*state",
    ),
    "a time": ("UPDATE sessions SET updated_at = 'x' WHERE session_id = 'long'", "updated_at"),
    "an unknown status": ("UPDATE sessions SET status = 'x' WHERE session_id = 'long'", "status"),
    "an entry without a session": (
        "INSERT INTO session_entries SELECT 999, seq, entry_id, kind, version, created_at, payload "
        "FROM session_entries WHERE seq = 250",
        "session_entries: row .* has no sessions",
    ),
    "a count": ("UPDATE session_counts SET total = total + 1", "session_counts has 9"),
    "a shared document": ("UPDATE shared_states SET document = '1'", "shared document"),
    "a version": ("UPDATE session_entries SET version = 99 WHERE seq = 20", "version"),
}


@pytest.mark.parametrize(("statement", "told"), WRONG.values(), ids=list(WRONG))
def test_what_is_wrong_is_told_with_its_place(
    statement: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled("a.db")
    run("a.db", statement)
    report = verified("a.db")
    assert report.wrong
    import re

    assert re.search(told, "\n".join(report.wrong)), report.wrong
    assert main(["verify", "--store", "a.db"]) == 1
    assert "wrong: " in capsys.readouterr().out


def test_a_file_that_was_changed_does_not_match_its_checksum(directory: Path) -> None:
    filled("store")
    file = directory / "store" / "sessions.json"
    file.write_bytes(file.read_bytes().replace(b'"seq":2', b'"seq":3', 1))
    assert "checksum" in "".join(verified("store").wrong)


# Repairing ----------------------------------------------------------------------------------------


def corrupt(file: Path, pages: tuple[int, ...], size: int = 4096) -> None:
    """Overwrite these pages, counted from 0, as a bad disk does."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as opened:
        for page in pages:
            opened.seek(page * size)
            opened.write(random.Random(page).randbytes(size))


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_good_store_is_recovered_whole(kind: str) -> None:
    whole = filled(PLACES[kind])
    report, recovered = repaired(PLACES[kind])
    assert report.lost == []
    assert recovered == whole


def pages_of(file: Path, table: str) -> list[int]:
    """The leaf pages of a table, counted from 0, by a look into the pages themselves."""
    data = file.read_bytes()
    with closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    found: list[int] = []
    waiting = [root]
    while waiting:
        page = waiting.pop() - 1
        start = page * 4096
        if data[start] == 0x0D:
            found.append(page)
        elif data[start] == 0x05:
            cells = int.from_bytes(data[start + 3 : start + 5], "big")
            places = [start + 12 + 2 * n for n in range(cells)]
            offsets = [int.from_bytes(data[p : p + 2], "big") for p in places]
            waiting += [int.from_bytes(data[start + o :][:4], "big") for o in offsets]
            waiting.append(int.from_bytes(data[start + 8 : start + 12], "big"))
    return sorted(found)


def test_what_is_readable_of_damaged_pages_is_recovered(directory: Path) -> None:
    whole = filled("a.db", 300)
    with closing(sqlite3.connect("a.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    leaves = pages_of(directory / "a.db", "session_entries")
    damaged = random.Random(5).sample(leaves[1:-1], 6)
    corrupt(directory / "a.db", tuple(damaged))
    assert verified("a.db").wrong
    before = (directory / "a.db").read_bytes()
    report, recovered = repaired("a.db")
    assert (directory / "a.db").read_bytes() == before
    assert report.lost
    same = set(recovered) & set(whole)
    assert report.sessions == 308
    assert len(whole) - 40 < len(same) < len(whole)
    assert sum("session_entries: rows" in one for one in report.lost) >= 1
    named = [one for one in report.lost if one.startswith("session ")]
    assert len(named) == len(whole) - len(same)


def test_damaged_rows_of_sessions_leave_their_entries(directory: Path) -> None:
    filled("a.db", 300)
    with closing(sqlite3.connect("a.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    leaves = pages_of(directory / "a.db", "sessions")
    corrupt(directory / "a.db", (leaves[len(leaves) // 2],))
    with MemoryRepository() as repository:
        report = repair_store(storage_of("a.db"), repository)
        keys = [stamp.key for stamp in repository.scan(None, 1000)]
    orphans = [key for key in keys if key.app_name == "lost"]
    assert orphans
    assert len(keys) == 308 - 1 or len(keys) <= 308
    assert sum("which are now session" in one for one in report.lost) == len(orphans)
    assert any(one.startswith("sessions: rows") for one in report.lost)


def test_a_lost_entry_leaves_its_number() -> None:
    filled("a.db")
    run("a.db", "DELETE FROM session_entries WHERE seq IN (3, 5, 6, 300)")
    with MemoryRepository() as repository:
        report = repair_store(storage_of("a.db"), repository)
        record, entries = raw(repository, KEY._replace(session_id="long"))
    assert any("'long': 3, 5 to 6, 300 of its 300 entries" in one for one in report.lost)
    assert [entry.seq for entry in entries] == list(range(1, 301))
    assert [entry.seq for entry in entries if entry.kind == "lost"] == [3, 5, 6, 300]
    assert record.last_seq == 300


@pytest.mark.parametrize(
    "name", ["a payload that is no JSON", "a document that is no object", "a time", "a version"]
)
def test_what_is_wrong_is_left_out_and_told(name: str) -> None:
    whole = filled("a.db")
    run("a.db", WRONG[name][0])
    report, recovered = repaired("a.db")
    assert report.lost
    assert report.sessions == 8
    assert len(set(whole) - set(recovered)) <= 3


def test_a_file_that_can_not_be_read_at_all_is_told(directory: Path) -> None:
    filled("a.db")
    corrupt(directory / "a.db", (0,))
    with pytest.raises(CorruptStoreError):
        repaired("a.db")
    filled("store")
    for name in ("sessions.json", "sessions.json.bak"):
        (directory / "store" / name).write_bytes(b"nothing")
    with pytest.raises(CorruptStoreError, match="no session can be read"):
        repaired("store")


@pytest.mark.parametrize("keep_backup", [True, False])
def test_a_damaged_json_file_gives_what_it_still_has(directory: Path, keep_backup: bool) -> None:
    whole = filled("store")
    file = directory / "store" / "sessions.json"
    data = file.read_bytes()
    middle = data.index(b'"e150"')
    file.write_bytes(data[:middle] + b"\0\0\0" + data[middle + 3 :])
    if not keep_backup:
        (directory / "store" / "sessions.json.bak").unlink()
    report, recovered = repaired("store")
    assert any("long" in one for one in report.lost)
    missing = set(whole) - set(recovered)
    assert len(missing) == (0 if keep_backup else 1)


def test_a_truncated_json_file_gives_what_it_still_has(directory: Path) -> None:
    filled("store")
    file = directory / "store" / "sessions.json"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (directory / "store" / "sessions.json.bak").unlink()
    report, recovered = repaired("store")
    assert recovered
    assert "the shared documents" in report.lost


def test_nothing_is_recovered_into_a_store_that_holds_something() -> None:
    filled("a.db")
    with MemoryRepository() as repository:
        create(repository, KEY)
        before = held(repository)
        with pytest.raises(TransferError, match="not empty"):
            repair_store(storage_of("a.db"), repository)
        assert held(repository) == before
    with MemoryRepository() as repository, pytest.raises(SettingsError, match="backup"):
        repair_store(storage_of("postgresql://nowhere/db"), repository)


def test_random_damage_ends_in_a_rescue_or_a_typed_error(directory: Path) -> None:
    """Of 40 damaged files none makes it hang, none gives a session that was not there."""
    whole = set(filled("good.db", 40))
    with closing(sqlite3.connect("good.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size, chance = (directory / "good.db").stat().st_size, random.Random(11)
    rescued = 0
    for _ in range(40):
        shutil.copy("good.db", "bad.db")
        with open("bad.db", "r+b") as file:
            for _ in range(chance.randint(1, 20)):
                file.seek(chance.randrange(100, size))
                file.write(chance.randbytes(chance.randint(1, 200)))
        try:
            report, recovered = repaired("bad.db")
        except CorruptStoreError:
            continue
        rescued += 1
        assert set(recovered) <= whole or report.lost
    assert rescued > 10


# Commands -----------------------------------------------------------------------------------------


def test_backup_verify_and_repair_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    whole = filled("a.db")
    run_: Callable[..., int] = lambda *arguments: main(list(arguments))  # noqa: E731
    assert run_("backup", "kept.db", "--store", "a.db") == 0
    assert run_("verify", "--store", "kept.db") == 0
    run("a.db", "DELETE FROM session_entries WHERE seq = 150")
    assert run_("verify", "--store", "a.db") == 1
    assert run_("repair", "new.db", "--store", "a.db") == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert "kept.db: read 8 sessions" in out
    assert "lost: session" in out
    assert run_("verify", "--store", "new.db", "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["sessions"], found["wrong"]) == (8, [])
    assert run_("repair", "again.db", "--store", "kept.db", "--json") == 0
    with open_repository("again.db") as repository:
        assert held(repository) == whole
        assert repository.stats(at()).total_sessions == 8
