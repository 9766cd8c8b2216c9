"""``session-store verify``: it finds every fault that was planted, and none where there is none."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from session_store.backends import open_repository, storage_of
from session_store.cli.main import main
from session_store.demo.conversations import load
from session_store.errors import SchemaError, SettingsError, StoreUnavailableError
from session_store.maintenance import Finding, VerifyReport, verify_store
from session_store.testing.given import KEY, change, create, messages
from tests.backends.json_files import resealed
from tests.backends.test_sqlite_legacy import TABLE
from tests.cli.support import files_in
from tests.maintenance.support import PLACES, pages_of, smashed, write_page
from tests.servers.stores import PostgresStore
from tests.transfer.support import LONG, many, stock

N = 5
"""Faults of one kind that are planted at once."""

SECRET = "opensesame"
"""What stands in the values that are wrong, and must not be told."""


def verified(place: str) -> tuple[VerifyReport, list[Finding]]:
    found: list[Finding] = []
    report = verify_store(storage_of(place), on_finding=found.append)
    assert report.wrong == len(found)
    return report, found


def filled(place: str) -> str:
    with open_repository(place) as repository:
        stock(repository)
        many(repository, 20, 4)
    return place


@pytest.fixture(params=[*PLACES, "postgresql"])
def place(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    """A sound store of each kind, with odd content; nothing of it is left to other tests."""
    if request.param != "postgresql":
        yield filled(request.param)
        return
    store: PostgresStore = request.getfixturevalue("postgres_store")
    store.begin(directory)
    yield filled(store.url)
    with psycopg.connect(store.url) as server:
        server.execute("TRUNCATE sessions, session_entries, shared_states")


def test_nothing_is_wrong_with_a_sound_store_of_odd_values(place: str) -> None:
    report, found = verified(place)
    assert found == []
    assert (report.sessions, report.shared) == (28, 2)


def test_nothing_is_wrong_with_real_conversations(place: str) -> None:
    with open_repository(place) as repository:
        for number, talk in enumerate(load(20)):
            create(repository, KEY._replace(session_id=f"talk-{number}"), history=[repr(talk)])
    assert verified(place)[1] == []


def test_nothing_is_wrong_with_a_store_in_use(place: str) -> None:
    with open_repository(place) as repository:
        for number in range(3):
            change(repository, entries=messages(f"now {number}"))
            assert verified(place)[1] == []


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_a_store_stays_as_it_is(place: str) -> None:
    before = files_in(Path())
    verified(place)
    assert files_in(Path()) == before


def test_nothing_is_wrong_with_the_older_programs_file(directory: Path) -> None:
    legacy = Path(__file__).parents[1] / "legacy" / "sessions.json"
    Path("a").mkdir()
    Path("a/sessions.json").write_bytes(legacy.read_bytes())
    report, found = verified("a")
    assert (found, report.sessions > 0) == ([], True)


# Faults in rows -----------------------------------------------------------------------------------

OURS = "app_name = 'app' AND user_id = 'ada' AND session_id"
NTH = f"id = (SELECT id FROM sessions WHERE {OURS} = 'n{{n:05}}')"
ENTRY = f"session = (SELECT id FROM sessions WHERE {OURS} = 'n{{n:05}}') AND seq = 2"

EVERYWHERE: dict[str, tuple[str, str]] = {
    "a gap": (f"DELETE FROM session_entries WHERE {ENTRY}", "seq: missing or unreadable: 2 of 4"),
    "a lost end": (
        f"DELETE FROM session_entries WHERE {ENTRY.replace('= 2', '> 2')}",
        "seq: missing or unreadable: 3 to 4 of 4",
    ),
    "a last_seq too small": (
        f"UPDATE sessions SET last_seq = 3 WHERE {NTH}",
        "seq: not from 1 to last_seq, which is 3: 4",
    ),
    "a last_seq too large": (
        f"UPDATE sessions SET last_seq = 4000000000 WHERE {NTH}",
        "seq: missing or unreadable: 5 to 4000000000 of 4000000000",
    ),
    "a version before the entries'": (
        f"UPDATE session_entries SET version = 9 WHERE {ENTRY}",
        "entry 2, version: is greater than the session's",
    ),
    "a version of nothing": (
        f"UPDATE sessions SET version = 0 WHERE {NTH}",
        "version: is no integer of 1 or more",
    ),
    "a document that is no object": (
        f"UPDATE sessions SET state = '\"{SECRET}\"' WHERE {NTH}",
        "state: must be a JSON object, not str",
    ),
    "an agent's document that is none": (
        f"UPDATE sessions SET agent_states = '{{{{\"a\":1}}}}' WHERE {NTH}",
        "agent_states.a: must be a JSON object, not int",
    ),
    "an integer of too many bits": (
        f"UPDATE sessions SET metadata = '{{{{\"a\":123456789012345678901}}}}' WHERE {NTH}",
        "metadata.a: is an integer of more than 64 bits",
    ),
    "an endless number": (
        f"UPDATE session_entries SET payload = '[1e999]' WHERE {ENTRY}",
        "entry 2, payload",
    ),
    "a payload nested too deep": (
        f"UPDATE session_entries SET payload = '{'[' * 120}{']' * 120}' WHERE {ENTRY}",
        "entry 2, payload.*nested deeper",
    ),
    "a checkpoint without documents": (
        f"UPDATE session_entries SET kind = 'checkpoint' WHERE {ENTRY}",
        "entry 2, payload: is a checkpoint that lacks",
    ),
    "a kind of nothing": (
        f"UPDATE session_entries SET kind = '' WHERE {ENTRY}",
        "entry 2, kind: must have 1 to 64 bytes",
    ),
    "an id with a control character": (
        f"UPDATE session_entries SET entry_id = '{SECRET}\t' WHERE {ENTRY}",
        "entry 2, entry_id: must not hold control characters",
    ),
    "an empty user": (f"UPDATE sessions SET user_id = '' WHERE {NTH}", "user_id: must have 1 to"),
    "a shared document that is no object": (
        "INSERT INTO shared_states (app_name, user_id, updated_at, document) "
        "VALUES ('app', 'n{n}', '2024-01-01T00:00:00.000000Z', '[]')",
        r"shared document of \('app', 'n\d'\), document: must be a JSON object",
    ),
}

SQLITE: dict[str, tuple[str, str]] = {
    "an unknown status": (
        f"UPDATE sessions SET status = '{SECRET}' WHERE {NTH}",
        "status: is none that a session can have",
    ),
    "a payload that is no JSON": (
        f"UPDATE session_entries SET payload = '{{{{{SECRET}' WHERE {ENTRY}",
        "entry 2, payload: holds no valid JSON",
    ),
    "a payload that is no text": (
        f"UPDATE session_entries SET payload = CAST(x'22ff22' AS TEXT) WHERE {ENTRY}",
        "entry 2, payload: holds no valid JSON",
    ),
    "a payload that is a number": (
        f"UPDATE session_entries SET payload = x'00' WHERE {ENTRY}",
        "entry 2, payload",
    ),
    "a time that is none": (
        f"UPDATE session_entries SET created_at = '{SECRET}' WHERE {ENTRY}",
        "entry 2, created_at: holds no valid time",
    ),
    "a time of another width": (
        f"UPDATE sessions SET updated_at = '2024-02-29 12:30:15' WHERE {NTH}",
        "updated_at: is no time as the store writes it",
    ),
    "a time that is a number": (f"UPDATE sessions SET expires_at = 5 WHERE {NTH}", "expires_at: "),
    "a version that is a text": (
        f"UPDATE sessions SET version = '{SECRET}' WHERE {NTH}",
        "version: is no integer of 1 or more",
    ),
    "an entry_id that is no text": (
        f"UPDATE session_entries SET entry_id = CAST(x'ff' AS TEXT) WHERE {ENTRY}",
        "entry 2, entry_id: must be a string",
    ),
    "a seq that is a text": (
        f"UPDATE session_entries SET seq = 'two' WHERE {ENTRY}",
        "seq: is no integer",
    ),
    "a user that is no text": (
        f"UPDATE sessions SET user_id = x'01' WHERE {NTH}",
        "user_id: must be a string",
    ),
}


def run(place: str, *statements: str) -> None:
    """As somebody would who knows better: with the rules of the tables turned off."""
    if place.startswith("postgresql:"):
        with psycopg.connect(place) as server:
            server.execute("SET session_replication_role = replica")
            for statement in statements:
                server.execute(statement.encode())
        return
    with closing(sqlite3.connect(place)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("place", ["a.db", "postgresql"], indirect=True)
@pytest.mark.parametrize(("statement", "told"), EVERYWHERE.values(), ids=list(EVERYWHERE))
def test_every_wrong_row_is_found(place: str, statement: str, told: str) -> None:
    _find_all(place, statement, told)


@pytest.mark.parametrize("place", ["a.db"], indirect=True)
@pytest.mark.parametrize(("statement", "told"), SQLITE.values(), ids=list(SQLITE))
def test_every_wrong_row_of_sqlite_is_found(place: str, statement: str, told: str) -> None:
    _find_all(place, statement, told)


def _find_all(place: str, statement: str, told: str) -> None:
    run(place, *(statement.format(n=n) for n in range(N)))
    texts = [str(finding) for finding in verified(place)[1]]
    assert len([text for text in texts if re.search(told, text)]) == N, texts
    named = {match[0] for text in texts for match in re.finditer(r"n0000\d|'n\d'", text)}
    assert len(named) == N
    assert SECRET not in "".join(texts)


@pytest.mark.parametrize("place", ["a.db", "postgresql"], indirect=True)
def test_entries_without_a_session_are_found(place: str) -> None:
    if place == "a.db":
        run(place, "DROP TRIGGER session_entries_delete")
    run(place, *(f"DELETE FROM sessions WHERE {NTH}".format(n=n) for n in range(N)))
    run(place, "UPDATE session_counts SET total = (SELECT count(*) FROM sessions)")
    texts = [str(finding) for finding in verified(place)[1]]
    assert len([text for text in texts if "4 of session row" in text]) == N


@pytest.mark.parametrize("place", ["a.db", "postgresql"], indirect=True)
@pytest.mark.parametrize("column", ["total", "running"])
def test_a_wrong_count_is_found(place: str, column: str) -> None:
    run(place, f"UPDATE session_counts SET {column} = {column} + 1")
    (found,) = verified(place)[1]
    assert "session_counts has" in str(found)


# Damaged files of SQLite --------------------------------------------------------------------------

OBJECTS = (
    "sessions",
    "session_entries",
    "shared_states",
    "session_counts",
    "sqlite_autoindex_sessions_1",
    "sqlite_autoindex_session_entries_1",
    "sqlite_autoindex_session_entries_2",
    "ix_sessions_updated_at",
    "ix_sessions_user",
)


SMALL = ("shared_states", "session_counts")
"""Those of one page."""


def database() -> str:
    with open_repository("a.db") as repository:
        stock(repository)
        many(repository, 300, 20)
    return "a.db"


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("kind", ["leaf", "interior"])
def test_a_page_of_zeros_is_found(name: str, kind: str) -> None:
    place = database()
    if kind == "interior" and name in SMALL:
        assert pages_of(place, name, kind) == []
        return
    before = files_in(Path())
    smashed(place, name, kind=kind)
    assert verified(place)[1] != []
    assert set(files_in(Path())) == set(before)


def test_what_is_not_on_a_damaged_page_is_read() -> None:
    place = database()
    whole = verified(place)[0]
    pages = pages_of(place, "session_entries")
    for number in pages[5::20]:
        write_page(place, number)
    report, found = verified(place)
    assert report.sessions == whole.sessions
    assert whole.entries * 0.7 < report.entries < whole.entries
    lost = whole.entries - report.entries
    spans = [
        re.findall(r"(\d+)(?: to (\d+))?", finding.problem[: finding.problem.index(" of ")])
        for finding in found
        if finding.field == "seq"
    ]
    told = [int(last or first) - int(first) + 1 for one in spans for first, last in one]
    assert sum(told) == lost


@pytest.mark.parametrize("size", [0, 1, 99, 511, 4096, 8191, 40960, -4097, -1])
def test_a_cut_file_is_found(size: int) -> None:
    place = Path(database())
    place.write_bytes(place.read_bytes()[:size])
    assert verified("a.db")[1] != []
    assert place.stat().st_size == len(place.read_bytes())


@pytest.mark.parametrize("content", [b"\0" * 8192, b"SQLite format 3\0" + b"\1" * 9000, b"x" * 600])
def test_what_is_no_database_is_found(content: bytes) -> None:
    Path("a.db").write_bytes(content)
    assert verified("a.db")[1] != []


def test_another_programs_database_is_found() -> None:
    with closing(sqlite3.connect("a.db")) as connection:
        connection.execute("CREATE TABLE notes (text)")
    (found,) = verified("a.db")[1]
    assert "another program's" in str(found)


def test_tables_of_another_release_are_not_judged() -> None:
    with closing(sqlite3.connect("a.db")) as connection:
        connection.executescript(TABLE)
    with pytest.raises(SchemaError, match="revision none"):
        verified("a.db")


# The JSON file ------------------------------------------------------------------------------------

FILE: dict[str, tuple[Callable[[dict[str, Any], int], object], str]] = {
    "a gap": (lambda one, n: one["entries"].pop(1), "entry 3, seq: stands where 2 must"),
    "a seq": (lambda one, n: one["entries"][1].update(seq="2"), "seq: is no integer"),
    "an entry twice": (
        lambda one, n: one["entries"][1].update(entry_id="e1"),
        "entry 2, entry_id: is another entry's too",
    ),
    "a status": (lambda one, n: one.update(status=SECRET), "status: is none"),
    "a version": (lambda one, n: one.update(version="1"), "version: is no integer"),
    "a time": (lambda one, n: one.update(updated_at="2024-01-01"), "updated_at: has no Z"),
    "no time": (lambda one, n: one.update(created_at=None), "created_at: holds no valid time"),
    "a document": (lambda one, n: one.update(state=[SECRET]), "state: must be a JSON object"),
    "a payload": (lambda one, n: one["entries"][1].update(payload=2**70), "entry 2, payload"),
    "a kind": (lambda one, n: one["entries"][1].update(kind=5), "entry 2, kind: must be a string"),
    "a key too many": (lambda one, n: one.update(more=SECRET), "lacks keys, or has some .*: more"),
    "a key too few": (lambda one, n: one.pop("status"), "lacks keys, or has some .*: status"),
    "another name": (lambda one, n: one.update(user_id="eve"), "the name of another session"),
    "an entry that is none": (
        lambda one, n: one["entries"].__setitem__(1, SECRET),
        "entry 2: is no object",
    ),
    "entries that are none": (lambda one, n: one.update(entries=SECRET), "entries: is no array"),
}


def rewritten(change: Callable[[dict[str, Any]], object], *, sealed: bool, name: str = "") -> None:
    """The file with a change, and with a right checksum if ``sealed``."""
    file = Path(f"a/sessions.json{name}")
    lines = file.read_bytes().split(b"\n", 2)
    content = json.loads(file.read_bytes())
    change(content)
    body = json.dumps(content, indent=1).encode()
    body = body[body.index(b'"format"') :]
    text = b"\n".join(lines[:2]) + b"\n" + body
    file.write_bytes(resealed(text) if sealed else text)


@pytest.mark.parametrize(("edit", "told"), FILE.values(), ids=list(FILE))
def test_every_wrong_session_of_a_file_is_found(
    edit: Callable[[dict[str, Any], int], object], told: str
) -> None:
    filled("a")
    name = "app/ada/n{:05}"
    rewritten(
        lambda content: [edit(content["sessions"][name.format(n)], n) for n in range(N)],
        sealed=True,
    )
    texts = [str(finding) for finding in verified("a")[1]]
    assert len([text for text in texts if re.search(told, text)]) == N, texts
    assert {name.format(n) for n in range(N)} <= set(re.findall(r"app/ada/n\d+", "".join(texts)))
    assert not any("checksum" in text for text in texts)
    assert SECRET not in "".join(texts)


@pytest.mark.parametrize("name", ["", ".bak"])
def test_an_edit_is_found_in_the_file_and_in_its_backup(name: str) -> None:
    filled("a")
    rewritten(lambda content: None, sealed=False, name=name)
    (found,) = verified("a")[1]
    assert found.place.endswith(f"sessions.json{name}")
    assert "does not match its checksum" in found.problem


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1, -2])
def test_a_cut_file_of_json_is_found(size: int) -> None:
    filled("a")
    file = Path("a/sessions.json")
    file.write_bytes(file.read_bytes()[:size])
    assert verified("a")[1] != []


def test_every_flipped_bit_of_a_file_is_found() -> None:
    with open_repository("a") as repository:
        create(repository, history=["text"])
    file = Path("a/sessions.json")
    whole = file.read_bytes()
    for bit in range(0, 8 * len(whole), 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        assert verified("a")[1] != [], bit


def test_a_missing_file_and_an_older_one_are_found() -> None:
    filled("a")
    file, backup = Path("a/sessions.json"), Path("a/sessions.json.bak")
    newer, older = file.read_bytes(), backup.read_bytes()
    file.write_bytes(older)
    backup.write_bytes(newer)
    assert "older than its backup" in str(verified("a")[1][0])
    file.unlink()
    assert "is missing" in str(verified("a")[1][0])


def test_shared_documents_of_a_file_are_looked_at() -> None:
    filled("a")
    more = [{"app_name": "x", "user_id": "", "document": []}, {"app_name": "x", "user_id": ""}, 5]
    rewritten(lambda content: content["shared_states"].extend(more), sealed=True)
    texts = "\n".join(str(finding) for finding in verified("a")[1])
    assert "shared_states[2].document: must be a JSON object" in texts
    assert "shared_states[3]: lacks keys" in texts
    assert "shared_states[3]: is the second one" in texts
    assert "shared_states[4]: is no object" in texts


# The command --------------------------------------------------------------------------------------


@pytest.fixture
def damaged() -> str:
    place = filled("a.db")
    run(place, *(f"DELETE FROM session_entries WHERE {ENTRY}".format(n=n) for n in range(2)))
    return place


def test_the_command_says_what_is_wrong_where(
    damaged: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--store", damaged]) == 1
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith(
        f"wrong: {Path(damaged).absolute()}, session 'app'/'ada'/'n00000', seq: "
    )
    assert "n00001" in second
    assert last.startswith("a.db: read 28 sessions with ")
    assert last.endswith("; 2 things are wrong")


def test_the_command_prints_json_lines(damaged: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--store", damaged, "--json"]) == 1
    *found, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["session"][-8:-1] for one in found] == ["'n00000", "'n00001"]
    assert (last["sessions"], last["wrong"]) == (28, 2)


def test_the_command_ends_with_0_where_nothing_is_wrong(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--store", place]) == 0
    assert capsys.readouterr().out.endswith("; 0 things are wrong\n")


def test_a_store_that_is_not_there_is_an_error(directory: Path) -> None:
    for name in ("nowhere", "nowhere.db"):
        with pytest.raises(StoreUnavailableError, match="is the path right"):
            verified(name)
    with pytest.raises(SettingsError):
        verified("memory://")
    assert list(directory.iterdir()) == []


def test_a_long_history_is_read_whole() -> None:
    filled("a.db")
    with open_repository("a.db") as repository:
        for number in range(30):
            entries = messages(*(f"{number} {n}" for n in range(1000)))
            change(repository, LONG, entries=entries)
    report, found = verified("a.db")
    assert (found, report.entries > 30_000) == ([], True)
