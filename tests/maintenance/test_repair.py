"""``session-store repair``: what is right gets into a new store, and nothing else does."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends import open_repository, storage_of
from session_store.backends.memory import MemoryRepository
from session_store.cli.main import main
from session_store.errors import CorruptStoreError, SettingsError, TransferError
from session_store.maintenance import Finding, RepairReport, repair_store, verify_store
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import KEY, change, create, messages
from session_store.transfer.sessions import sessions
from tests.cli.support import files_in
from tests.maintenance.support import PLACES, page_size, pages_of, smashed, write_page
from tests.migrations.support import downgrade, upgrade
from tests.transfer.support import LONG, held, many, stock

Sessions = dict[SessionKey, tuple[Any, list[Any]]]


class Recovered:
    """One repair of ``place`` into memory."""

    def __init__(self, place: str) -> None:
        self.lost: list[Finding] = []
        self.told: list[tuple[int, int]] = []
        before = files_in(Path())
        Path("rest.jsonl").unlink(missing_ok=True)
        with MemoryRepository() as repository:
            self.report: RepairReport = repair_store(
                storage_of(place),
                repository,
                "rest.jsonl",
                on_lost=self.lost.append,
                on_progress=lambda *how: self.told.append(how),
            )
            self.held, self.sessions = held(repository), by_key(repository)
        self.aside = lines_of("rest.jsonl")
        assert (self.report.lost, self.report.aside) == (len(self.lost), len(self.aside))
        assert self.report.sessions == len(self.sessions)
        after = files_in(Path())
        assert all(after[name] == before[name] for name in before if name != "rest.jsonl")

    @property
    def texts(self) -> str:
        return "\n".join(map(str, self.lost))


def lines_of(name: str) -> list[dict[str, Any]]:
    if not Path(name).exists():
        return []
    return [json.loads(line) for line in Path(name).read_text().splitlines()]


def by_key(repository: SessionRepository) -> Sessions:
    return {
        one.record.key: (one.record, list(map(tuple, one.entries))) for one in sessions(repository)
    }


def filled(place: str, count: int = 300) -> Sessions:
    with open_repository(place) as repository:
        stock(repository)
        many(repository, count, 20)
        return by_key(repository)


def check_all_is_right(recovered: Sessions, whole: Sessions) -> None:
    """Each session is what it was, up to an end."""
    for key, (record, entries) in recovered.items():
        original, history = whole[key]
        assert record == original._replace(last_seq=len(entries))
        assert entries == history[: len(entries)]


def check_nothing_is_missed(found: Recovered, whole: Sessions) -> None:
    """All that is not there is told: sessions by name, entries by their session."""
    for key, (_, history) in whole.items():
        kept = found.sessions.get(key)
        if kept is None or len(kept[1]) < len(history):
            assert any(one.session == str(key) for one in found.lost), key


def run(*statements: str) -> None:
    with closing(sqlite3.connect("a.db")) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("place", PLACES)
def test_a_sound_store_is_recovered_whole(place: str) -> None:
    filled(place)
    with open_repository(place) as repository:
        whole = held(repository)
    found = Recovered(place)
    assert (found.held, found.lost, found.aside) == (whole, [], [])
    done, total = found.told[-1]
    assert done == total > 0


def test_what_a_killed_process_left_in_the_log_is_recovered() -> None:
    filled("a.db", 3)
    with open_repository("a.db") as repository:
        change(repository, LONG, entries=messages("in the log"))
        Path("b.db").write_bytes(Path("a.db").read_bytes())
        Path("b.db-wal").write_bytes(Path("a.db-wal").read_bytes())
    assert Recovered("b.db").sessions[LONG][1][-1][1] == "in the log"


@pytest.mark.parametrize("content", [b"", b"\xff"], ids=["zeros", "garbage"])
@pytest.mark.parametrize(
    "name",
    [
        "sessions",
        "session_entries",
        "sqlite_autoindex_sessions_1",
        "sqlite_autoindex_session_entries_1",
        "sqlite_autoindex_session_entries_2",
        "ix_sessions_updated_at",
    ],
)
@pytest.mark.parametrize("kind", ["leaf", "interior"])
def test_damaged_pages_cost_only_what_is_on_them(name: str, content: bytes, kind: str) -> None:
    whole = filled("a.db")
    chance, pages = random.Random(3), pages_of("a.db", name, kind)
    for number in pages[1:-1:9] or pages[:1]:
        write_page("a.db", number, content and chance.randbytes(page_size("a.db")))
    found = Recovered("a.db")
    check_all_is_right(found.sessions, whole)
    check_nothing_is_missed(found, whole)
    if name.startswith(("sqlite_", "ix_")):
        assert (found.sessions, found.lost) == (whole, [])
    elif kind == "leaf":
        assert len(found.sessions) > 250
        assert found.lost


def test_a_lost_row_of_a_session_is_named_by_the_index_and_its_entries_are_kept() -> None:
    whole = filled("a.db")
    smashed("a.db", "sessions", 2)
    found = Recovered("a.db")
    missing = whole.keys() - found.sessions.keys()
    assert missing
    named = {one.session for one in found.lost if "its row can't be read" in one.problem}
    assert named == {str(key) for key in missing}
    entries = [one for one in found.aside if one["type"] == "entry"]
    assert len(entries) == sum(len(whole[key][1]) for key in missing)
    assert {one["session_id"] for one in entries} == {key.session_id for key in missing}


def test_a_history_ends_before_the_first_lost_entry_and_the_rest_is_kept_aside() -> None:
    whole = filled("a.db", 3)
    run("DELETE FROM session_entries WHERE seq IN (150, 152, 153, 300)")
    found = Recovered("a.db")
    check_all_is_right(found.sessions, whole)
    (lost,) = found.lost
    assert lost.session == str(LONG)
    assert "entries 150, 152 to 153, 300 can't be read" in lost.problem
    assert "151, 154 to 299 are in the side file; it ends with 149 of 300" in lost.problem
    assert found.sessions[LONG][0].last_seq == 149
    assert [one["seq"] for one in found.aside] == [151, *range(154, 300)]
    assert found.aside[0]["payload"] == "150"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE sessions SET state = '[]' WHERE session_id = 'long'", "state: must be a JSON"),
        ("UPDATE sessions SET metadata = '{' WHERE session_id = 'long'", "metadata: holds no"),
        ("UPDATE sessions SET updated_at = '' WHERE session_id = 'long'", "updated_at: holds no"),
        ("UPDATE sessions SET status = 'x' WHERE session_id = 'long'", "status: is none"),
        ("UPDATE sessions SET version = 'x' WHERE session_id = 'long'", "version: is no integer"),
    ],
)
def test_a_session_with_a_wrong_row_is_kept_aside_and_nothing_is_made_up(
    statement: str, told: str
) -> None:
    whole = filled("a.db", 3)
    run(statement)
    found = Recovered("a.db")
    assert found.sessions == {key: one for key, one in whole.items() if key != LONG}
    assert told in found.texts
    assert [one["type"] for one in found.aside] == ["session", *["entry"] * 300]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE session_entries SET payload = '{' WHERE seq = 150",
        "UPDATE session_entries SET created_at = 'x' WHERE seq = 150",
        "UPDATE session_entries SET version = 99 WHERE seq = 150",
        "UPDATE session_entries SET kind = '' WHERE seq = 150",
        "UPDATE session_entries SET payload = CAST(x'22ff22' AS TEXT) WHERE seq = 150",
    ],
)
def test_a_wrong_entry_ends_its_history(statement: str) -> None:
    whole = filled("a.db", 3)
    run(statement)
    found = Recovered("a.db")
    check_all_is_right(found.sessions, whole)
    assert found.sessions[LONG][0].last_seq == 149
    assert [one["seq"] for one in found.aside] == [*range(150, 301)]


def test_what_was_set_aside_before_is_kept_aside() -> None:
    whole = filled("a.db", 3)
    run(
        "INSERT INTO session_entries VALUES (99, 1, 'e', 'message', 1, '2024', '\"left\"')",
        "INSERT INTO sessions SELECT 99, app_name, 'another', 's1', status, 1, 0, created_at, "
        "updated_at, NULL, NULL, '{}', '{}', '{}' FROM sessions WHERE id = 1",
    )
    found = Recovered("a.db")
    assert len(found.sessions) == len(whole) + 1
    (kept,) = found.aside
    assert (kept["type"], kept["reason"]) == ("quarantine", "orphan")
    assert "left" in kept["content"]


def flipped_in_table(old: bytes, new: bytes) -> None:
    """Once, in the first place of it on a page of a table: the indexes keep what they have."""
    data, size = bytearray(Path("a.db").read_bytes()), page_size("a.db")
    for name in ("sessions", "session_entries"):
        for number in pages_of("a.db", name):
            start = (number - 1) * size
            at = data.find(old, start, start + size)
            if at >= 0:
                data[at : at + len(old)] = new
                Path("a.db").write_bytes(data)
                return
    raise LookupError(old)


def test_a_flipped_bit_in_a_key_is_seen_by_its_index() -> None:
    whole = filled("a.db", 3)
    flipped_in_table(b"adalong", b"adAlong")
    found = Recovered("a.db")
    assert found.sessions == {key: one for key, one in whole.items() if key != LONG}
    assert "the index has 'app'/'ada'/'long' in its place" in found.texts
    assert found.aside[0]["user_id"] == "adA"


def test_a_flipped_bit_in_an_entry_id_is_seen_by_its_index() -> None:
    whole = filled("a.db", 3)
    flipped_in_table(b"e150", b"e151")
    found = Recovered("a.db")
    check_all_is_right(found.sessions, whole)
    assert found.sessions[LONG][0].last_seq == 149
    assert "1 entries contradict their index" in found.texts


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 0.999])
def test_a_cut_file_gives_what_it_still_has(part: float) -> None:
    with open_repository("a.db") as repository:
        many(repository, 300, 20)
        whole = by_key(repository)
    file = Path("a.db")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    found = Recovered("a.db")
    check_all_is_right(found.sessions, whole)
    assert found.sessions
    assert found.lost or found.sessions == whole


@pytest.mark.parametrize("upgraded", [False, True])
@pytest.mark.parametrize("size", [16, 100, 4096])
def test_a_lost_beginning_costs_nothing_else(size: int, upgraded: bool) -> None:
    """An upgraded store has its tables and its layout elsewhere than a new one."""
    whole = filled("a.db")
    if upgraded:
        downgrade("sqlite:///a.db", "0005")
        upgrade("sqlite:///a.db")
    with open("a.db", "r+b") as file:
        file.write(bytes(size))
    found = Recovered("a.db")
    assert found.sessions == whole
    assert "the first page can't be read" in found.texts


def test_random_damage_never_gives_what_was_not_there() -> None:
    whole = filled("good.db", 60)
    data, chance, rescued = Path("good.db").read_bytes(), random.Random(11), 0
    size = page_size("good.db")
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            start = size * chance.randrange(len(data) // size)
            damaged[start : start + size] = chance.choice([bytes(size), chance.randbytes(size)])
        Path("a.db").write_bytes(damaged)
        try:
            found = Recovered("a.db")
        except CorruptStoreError:
            continue
        rescued += 1
        check_all_is_right(found.sessions, whole)
    assert rescued > 20


@pytest.mark.parametrize("content", [b"", b"x" * 10_000, bytes(10_000)])
def test_nothing_readable_is_a_typed_error(content: bytes) -> None:
    Path("a.db").write_bytes(content)
    with MemoryRepository() as repository:
        with pytest.raises(CorruptStoreError, match="nothing can be read of it"):
            repair_store(storage_of("a.db"), repository, "rest.jsonl")
        assert held(repository) == []
    assert not Path("rest.jsonl").exists()


# The JSON file ------------------------------------------------------------------------------------

MAIN, BACKUP = Path("a/sessions.json"), Path("a/sessions.json.bak")


def test_of_a_damaged_file_the_save_before_it_is_taken() -> None:
    filled("a", 20)
    saved = json.loads(BACKUP.read_text())["sessions"]
    MAIN.write_bytes(MAIN.read_bytes().replace(b'"state": {}', b'"state": {"x": 1}', 1))
    found = Recovered("a")
    assert len(found.sessions) == len(saved)
    assert "taken is the save before it" in found.texts
    differing = [one.session for one in found.lost if "side file" in one.problem]
    assert len(differing) == 2  # the one that was damaged, the one that was new
    assert [one["type"] for one in found.aside].count("session") == 2


def test_without_a_checksum_it_is_said_that_nothing_is_proved() -> None:
    whole = filled("a", 20)
    BACKUP.unlink()
    MAIN.write_bytes(MAIN.read_bytes().replace(b"a", b"b", 1))
    MAIN.write_bytes(MAIN.read_bytes().replace(b'"n00003 1"', b'"n00003 7"', 1))
    found = Recovered("a")
    assert found.sessions.keys() == whole.keys()
    assert "no checksum fits" in found.texts


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_json_file_gives_what_it_still_has(part: float) -> None:
    whole = filled("a", 20)
    BACKUP.unlink()
    MAIN.write_bytes(MAIN.read_bytes()[: int(MAIN.stat().st_size * part)])
    found = Recovered("a")
    assert found.sessions
    for key, (_, entries) in found.sessions.items():
        assert entries == whole[key][1][: len(entries)]
    assert "no checksum fits" in found.texts
    assert "shared documents can't be read" in found.texts


@pytest.mark.parametrize("damage", [b"\0\0\0", b'"""', b"\n\n\n"])
def test_a_damaged_line_costs_what_stands_behind_it_in_its_session(damage: bytes) -> None:
    whole = filled("a", 20)
    BACKUP.unlink()
    data = MAIN.read_bytes()
    at = data.index(b'"e150"') + 1
    MAIN.write_bytes(data[:at] + damage + data[at + 3 :])
    found = Recovered("a")
    assert found.sessions.keys() == whole.keys()
    check_all_is_right(found.sessions, whole)
    assert found.sessions[LONG][0].last_seq == 149
    assert len(found.aside) >= 150


@pytest.mark.parametrize("name", [MAIN, BACKUP])
def test_one_of_two_files_is_enough(name: Path) -> None:
    filled("a", 20)
    name.unlink()
    assert len(Recovered("a").sessions) >= 27


def test_files_without_a_session_are_a_typed_error() -> None:
    filled("a", 1)
    MAIN.write_bytes(b"nothing")
    BACKUP.write_bytes(b"[]")
    with MemoryRepository() as repository, pytest.raises(CorruptStoreError, match="no session"):
        repair_store(storage_of("a"), repository, "rest.jsonl")


# What it takes and gives --------------------------------------------------------------------------


def test_it_writes_into_an_empty_store_and_a_new_file_only() -> None:
    filled("a.db", 1)
    with MemoryRepository() as repository:
        create(repository, KEY)
        with pytest.raises(TransferError, match="not empty"):
            repair_store(storage_of("a.db"), repository, "rest.jsonl")
    Path("rest.jsonl").write_text("mine")
    with MemoryRepository() as repository:
        with pytest.raises(TransferError, match="is there already"):
            repair_store(storage_of("a.db"), repository, "rest.jsonl")
        assert held(repository) == []
        with pytest.raises(SettingsError, match="backup"):
            repair_store(storage_of("postgresql://nowhere/db"), repository, "other.jsonl")


@pytest.mark.parametrize("target", ["b", "b.db"])
def test_the_command_recovers_and_lists_what_is_lost(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled("a.db", 3)
    run("DELETE FROM session_entries WHERE seq = 150")
    assert main(["repair", "a.db", target]) == 1
    lost, last = capsys.readouterr().out.splitlines()
    assert re.match(r"lost: .*a\.db, session 'app'/'ada'/'long', seq: entries 150 can't be", lost)
    assert last == (
        f"{target}: recovered 11 sessions with 296 entries; 1 loss; "
        "150 lines in not-recovered.jsonl"
    )
    assert Path("not-recovered.jsonl").stat().st_mode & 0o777 == 0o600
    assert verify_store(storage_of(target)).wrong == 0


def test_the_command_prints_json_lines_and_ends_with_0_where_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled("a.db", 3)
    assert main(["repair", "a.db", "b.db", "--json"]) == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["sessions"], found["lost"], found["aside"]) == (11, 0, 0)
    assert not Path("not-recovered.jsonl").exists()
