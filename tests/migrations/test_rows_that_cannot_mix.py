"""Revision 0006: what cannot be right is set aside, what a host has added stays, and afterwards no
session ever shows the entries of another."""

from __future__ import annotations

import json
import logging
import random
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event

from session_store.backends import storage_of
from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.sqlite.additions import items
from session_store.backends.sql.sqlite.layout import APPLICATION_ID
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.cli.main import main
from session_store.core import codec
from session_store.errors import SchemaError, SessionStoreError
from session_store.maintenance import verify_store
from session_store.session import SessionKey
from session_store.testing.given import KEY, change, create, load, messages
from tests.migrations.support import (
    ROOT,
    before_statement,
    downgrade,
    killed_at,
    upgrade,
)
from tests.migrations.test_documents import offline, run_by_hand
from tests.migrations.test_sqlite_revisions import definitions, pragma

BEFORE, REVISION = "0005", "0006"
TIME = "2026-01-02T03:04:05.000000Z"

SESSION = """INSERT INTO {table} (app_name, user_id, session_id, status, version, last_seq,
    created_at, updated_at, completed_at, expires_at, metadata, state, agent_states)
VALUES (:app, :user, :name, :status, 1, :last, :created_at, :updated_at, :completed_at, :expires_at,
        '{{}}', '{{}}', '{{}}')"""
ENTRY = """INSERT INTO {table} (session, seq, entry_id, kind, version, created_at, payload)
VALUES (?, ?, ?, 'message', 1, '2026-01-02T03:04:05.000000Z', ?)"""


class File:
    """A file of SQLite, in which somebody writes who has never heard of PRAGMA foreign_keys."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path, self.prefix = path, prefix
        self.url = f"sqlite:///{path}"

    def run(self, text: str, values: Any = ()) -> list[Any]:
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            return connection.execute(text, values).fetchall()

    def upgrade(self, revision: str = "head") -> None:
        upgrade(self.url, revision, prefix=self.prefix)

    def session(self, name: str, *entries: str, last: Any = None, **times: Any) -> int:
        """The number of a new session with entries of these texts."""
        values = {
            **{"app": "app", "user": "ada", "name": name, "status": "running"},
            **{"last": len(entries) if last is None else last},
            **{"created_at": TIME, "updated_at": TIME, "completed_at": None, "expires_at": None},
        }
        insert = SESSION.format(table=f"{self.prefix}sessions")
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            number = connection.execute(insert, values | times).lastrowid
        assert number is not None
        for seq, text in enumerate(entries, 1):
            self.entry(number, seq, text)
        return number

    def entry(self, session: Any, seq: int, text: str) -> None:
        insert = ENTRY.format(table=f"{self.prefix}session_entries")
        self.run(insert, (session, seq, f"{text} {seq}", json.dumps(text)))

    def texts(self, name: str) -> list[str]:
        found = self.run(
            f"SELECT payload FROM {self.prefix}session_entries e JOIN {self.prefix}sessions s "
            "ON s.id = e.session WHERE session_id = ? ORDER BY seq",
            (name,),
        )
        return [json.loads(payload) for (payload,) in found]

    def quarantine(self) -> list[tuple[str, str, Any]]:
        found = self.run(
            f"SELECT table_name, reason, content, found_at FROM {self.prefix}session_quarantine"
        )
        assert all(codec.decode_time(at, "found_at") for *_, at in found)
        return [(table, reason, json.loads(content)) for table, reason, content, _ in found]

    def everything(self) -> list[str]:
        with closing(sqlite3.connect(self.path)) as connection:
            return list(connection.iterdump())

    def counts(self) -> Any:
        p = self.prefix
        kept = self.run(f"SELECT total, running FROM {p}session_counts")
        counted = self.run(
            f"SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM {p}sessions"
        )
        assert kept == counted
        return kept[0]


@pytest.fixture(params=["", "a_"], ids=["alone", "with a prefix"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> File:
    """A store of the revision before."""
    made = File(tmp_path / "sessions.db", request.param)
    made.upgrade(BEFORE)
    return made


@pytest.fixture
def alone(tmp_path: Path) -> File:
    made = File(tmp_path / "sessions.db")
    made.upgrade(BEFORE)
    return made


# What is set aside --------------------------------------------------------------------------------


def test_entries_of_no_session_are_set_aside(file: File) -> None:
    file.session("kept", "a", "b")
    file.entry(77, 1, "of a deleted one")
    file.upgrade()
    assert file.texts("kept") == ["a", "b"]
    ((table, reason, content),) = file.quarantine()
    assert (table, reason) == (f"{file.prefix}session_entries", "orphan")
    assert content == {
        **{"session": 77, "seq": 1, "entry_id": "of a deleted one 1", "kind": "message"},
        **{"version": 1, "created_at": TIME, "payload": '"of a deleted one"'},
    }
    assert file.run(f"SELECT count(*) FROM {file.prefix}session_entries") == [(2,)]


def test_what_another_session_of_the_number_left_is_set_aside(file: File) -> None:
    """Bob's session begins where Alice's was, with a shorter history."""
    file.session("bob", "alice 1", "alice 2", "alice 3", last=1)
    file.upgrade()
    assert [content["seq"] for *_, content in file.quarantine()] == [2, 3]
    assert file.texts("bob") == ["alice 1"]


def test_an_entry_of_what_is_no_number_is_set_aside(file: File) -> None:
    """The column has no CHECK: even bytes may stand there."""
    file.session("kept", "a")
    file.entry("nine", 1, "text")
    file.entry(b"\xff", 1, "bytes")
    file.upgrade()
    sessions = [content["session"] for *_, content in file.quarantine()]
    assert sorted(sessions) == ["FF", "nine"]


UNDERSTOOD = {
    "2026-01-02": "2026-01-02T00:00:00.000000Z",
    "2026-01-02 03:04:05": "2026-01-02T03:04:05.000000Z",
    "2026-01-02T03:04:05.678Z": "2026-01-02T03:04:05.678000Z",
    "2026-01-02T03:04:05+02:00": "2026-01-02T01:04:05.000000Z",
    "2026-01-02T03:04:05.123456+00:00": "2026-01-02T03:04:05.123000Z",
}
NO_TIMES = [
    *("garbage", "now", "12", "2026-13-45", "0000-01-01T00:00+12:00", ""),
    *(1767323045, 2461042.5, b"2026-01-02T03:04:05.000000Z", float("inf")),
]
COLUMNS = ("created_at", "updated_at", "completed_at", "expires_at")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_time_that_is_understood_becomes_one_and_is_kept_as_it_was(
    file: File, column: str
) -> None:
    for time in UNDERSTOOD:
        file.session(time, "a", **{column: time})
    file.upgrade()
    found = file.run(f"SELECT session_id, {column} FROM {file.prefix}sessions")
    assert dict(found) == UNDERSTOOD
    aside = file.quarantine()
    assert {(table, reason) for table, reason, _ in aside} == {(f"{file.prefix}sessions", "time")}
    assert [content[column] for *_, content in aside] == list(UNDERSTOOD)
    assert file.counts() == (len(UNDERSTOOD), len(UNDERSTOOD))


@pytest.mark.parametrize("column", COLUMNS)
def test_what_is_no_time_does_not_keep_the_store_closed(file: File, column: str) -> None:
    """The session leaves with its entries; the others stay."""
    file.session("kept", "a")
    for n, time in enumerate(NO_TIMES):
        file.session(f"{n}", "one", "two", **{column: time})
    file.upgrade()
    assert file.run(f"SELECT session_id FROM {file.prefix}sessions") == [("kept",)]
    assert file.texts("kept") == ["a"]
    assert file.run(f"SELECT count(*) FROM {file.prefix}session_entries") == [(1,)]
    aside = file.quarantine()
    assert {reason for _, reason, _ in aside} == {"time"}
    assert [table for table, *_ in aside].count(f"{file.prefix}sessions") == len(NO_TIMES)
    assert len(aside) == 3 * len(NO_TIMES)
    assert file.counts() == (1, 1)


def test_one_time_that_is_none_beside_one_that_is_understood(alone: File) -> None:
    alone.session("both", created_at="2026-01-02", updated_at="yesterday")
    alone.upgrade()
    assert alone.run("SELECT * FROM sessions") == []
    ((_, _, content),) = alone.quarantine()
    assert (content["created_at"], content["updated_at"]) == ("2026-01-02", "yesterday")


def test_a_right_store_has_nothing_aside(file: File) -> None:
    file.session("s", "a", "b", expires_at=TIME, completed_at=TIME)
    before = file.run(f"SELECT * FROM {file.prefix}sessions")
    file.upgrade()
    assert file.quarantine() == []
    assert file.run(f"SELECT * FROM {file.prefix}sessions") == before


def test_who_opens_it_is_warned_once(alone: File, caplog: pytest.LogCaptureFixture) -> None:
    alone.session("kept", "a", "b", last=1)
    alone.session("wrong", "a", updated_at="x")
    with caplog.at_level(logging.WARNING), open_sqlite(alone.path):
        pass
    (said,) = (each for each in caplog.records if each.name.startswith("session_store"))
    assert said.levelname == "WARNING"
    assert said.getMessage() == (
        "set aside in session_quarantine, see docs/dba.md: 1 of session_entries (orphan), "
        "1 of session_entries (time), 1 of sessions (time)"
    )
    caplog.clear()
    with open_sqlite(alone.path):
        pass
    assert caplog.records == []


def test_the_command_says_what_it_set_aside(
    alone: File, capsys: pytest.CaptureFixture[str]
) -> None:
    alone.session("kept", "a", "b", last=1)
    alone.session("wrong", "c", updated_at="x")
    assert main(["db", "upgrade", "--url", alone.url]) == 0
    said = capsys.readouterr().err
    assert (
        "set aside in session_quarantine, see docs/dba.md: 1 of session_entries (orphan), "
        "1 of session_entries (time), 1 of sessions (time)\n"
    ) in said


def test_verify_names_what_is_aside(alone: File) -> None:
    alone.session("kept", "a", "b", last=1)
    alone.upgrade()
    found: list[Any] = []
    report = verify_store(storage_of(str(alone.path)), on_finding=found.append)
    assert report.wrong == 1
    assert "1 of session_entries in session_quarantine (orphan)" in found[0].problem


# What a host has added ----------------------------------------------------------------------------

HOST_COLUMNS = [
    "team INTEGER DEFAULT NULL REFERENCES teams (id) ON DELETE SET NULL",
    "[mood, or so] TEXT DEFAULT 'it''s (fine)' CHECK ([mood, or so] <> 'a,b)')",
    "longer TEXT AS (session_id || ':x') VIRTUAL",
]
HOST = [
    "CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT)",
    "INSERT INTO teams VALUES (1, 'one')",
    "CREATE TABLE log (what TEXT)",
    *(f"ALTER TABLE {{p}}sessions ADD COLUMN {column}" for column in HOST_COLUMNS),
    "CREATE INDEX theirs ON {p}sessions (lower(session_id)) WHERE team IS NOT NULL",
    "CREATE UNIQUE INDEX theirs_too ON {p}sessions (session_id COLLATE NOCASE DESC)",
    "CREATE TRIGGER logged AFTER UPDATE ON {p}sessions "
    "BEGIN INSERT INTO log VALUES (':x ' || new.id); END",
    "CREATE TRIGGER forbidden INSTEAD OF INSERT ON {p}session_overview "
    "BEGIN SELECT RAISE(ABORT, 'no'); END",
    "CREATE TRIGGER elsewhere AFTER INSERT ON teams "
    "BEGIN UPDATE {p}sessions SET team = new.id; END",
    "CREATE VIEW seen AS SELECT session_id, team FROM {p}sessions",
    "CREATE VIEW seen_too AS SELECT session_id FROM {p}session_overview",
    "CREATE TABLE notes (session INTEGER REFERENCES {p}sessions (id) ON DELETE CASCADE, note TEXT)",
]


def test_what_a_host_has_added_stays(file: File) -> None:
    number = file.session("s", "a", "b")
    for statement in HOST:
        file.run(statement.replace("{p}", file.prefix))
    file.run(f"UPDATE {file.prefix}sessions SET team = 1")
    file.run("INSERT INTO notes VALUES (?, 'a note')", (number,))
    file.run("DELETE FROM log")
    theirs = (
        "theirs",
        "theirs_too",
        "logged",
        "forbidden",
        "elsewhere",
        "seen",
        "seen_too",
        "notes",
    )
    before = definitions(file.path)
    values = file.run(f"SELECT * FROM {file.prefix}sessions")
    file.upgrade()
    after = definitions(file.path)
    assert {name: after[name] for name in theirs} == {name: before[name] for name in theirs}
    for text in HOST_COLUMNS:
        assert text in after[f"{file.prefix}sessions"]
    assert file.run(f"SELECT * FROM {file.prefix}sessions") == values
    assert file.run("SELECT * FROM notes") == [(number, "a note")]
    assert file.run("SELECT * FROM seen") == [("s", 1)]
    assert file.run("SELECT * FROM seen_too") == [("s",)]
    assert file.run("SELECT * FROM log") == []
    assert file.run("PRAGMA foreign_key_check") == []
    with pytest.raises(sqlite3.IntegrityError):
        file.run(f"UPDATE {file.prefix}sessions SET [mood, or so] = 'a,b)'")
    with pytest.raises(sqlite3.IntegrityError, match="no"):
        file.run(f"INSERT INTO {file.prefix}session_overview (app_name) VALUES ('a')")
    downgrade(file.url, BEFORE, prefix=file.prefix)
    assert definitions(file.path) == before
    assert file.run(f"SELECT * FROM {file.prefix}sessions") == values


def test_what_a_host_has_added_is_set_aside_with_the_row(alone: File) -> None:
    alone.run("""ALTER TABLE sessions ADD COLUMN "it's" TEXT DEFAULT 'x'""")
    alone.session("wrong", updated_at="never")
    alone.upgrade()
    ((_, _, content),) = alone.quarantine()
    assert content["it's"] == "x"


def test_the_items_of_a_table_are_found() -> None:
    text = """CREATE TABLE "a(b" ( -- the key, and (more
        id INTEGER, [x,y] TEXT DEFAULT ')', /* a, b */ `q``,` NUMERIC(1, 2) CHECK (max(1, 2) > ","),
        CONSTRAINT c UNIQUE (id, "x,y") -- the end
    ) STRICT"""
    assert items(text) == [
        "-- the key, and (more\n        id INTEGER",
        "[x,y] TEXT DEFAULT ')'",
        '/* a, b */ `q``,` NUMERIC(1, 2) CHECK (max(1, 2) > ",")',
        'CONSTRAINT c UNIQUE (id, "x,y") -- the end',
    ]


def test_a_table_that_a_host_made_anew_keeps_its_constraints(alone: File) -> None:
    """With constraints of the table, named and not, and a comment at the end."""
    ((text,),) = alone.run("SELECT sql FROM sqlite_master WHERE name = 'sessions'")
    alone.run("DROP VIEW session_overview")
    alone.run("DROP TABLE sessions")
    alone.run(
        text.rstrip()
        .removesuffix(")")
        .replace("CONSTRAINT", "owner TEXT, -- theirs\nCONSTRAINT", 1)
        + ", CONSTRAINT ck_owner CHECK (owner <> 'x'), CHECK (owner <> 'y') -- end\n)"
    )
    alone.upgrade()
    for owner in ("x", "y"):
        number = alone.session(owner)
        with pytest.raises(sqlite3.IntegrityError):
            alone.run("UPDATE sessions SET owner = ? WHERE id = ?", (owner, number))


# Who may do it ------------------------------------------------------------------------------------


def upgraded_with_foreign_keys(file: File, to: Callable[..., None], *arguments: str) -> None:
    engine = create_engine(file.url)
    event.listen(engine, "connect", lambda made, _: made.execute("PRAGMA foreign_keys = ON"))
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            to(file.url, *arguments, connection=connection, prefix=file.prefix)
            connection.commit()
    finally:
        engine.dispose()


def test_a_connection_with_foreign_keys_is_refused(file: File) -> None:
    """DROP TABLE would be followed by a cascade."""
    number = file.session("s", "a", "b", last=1)
    file.run(f"CREATE TABLE notes (s INTEGER REFERENCES {file.prefix}sessions ON DELETE CASCADE)")
    file.run("INSERT INTO notes VALUES (?)", (number,))
    before = file.everything()
    with pytest.raises(SchemaError, match="PRAGMA foreign_keys is on"):
        upgraded_with_foreign_keys(file, upgrade)
    assert file.everything() == before
    file.upgrade()
    file.run(f"DELETE FROM {file.prefix}session_quarantine")
    before = file.everything()
    with pytest.raises(SchemaError, match="PRAGMA foreign_keys is on"):
        upgraded_with_foreign_keys(file, downgrade, BEFORE)
    assert file.everything() == before


def test_without_sessions_there_is_nothing_to_lose(file: File) -> None:
    """A host's tests make all tables on such a connection."""
    upgraded_with_foreign_keys(file, upgrade)
    assert file.session("s", "a") == 1


def test_a_downgrade_loses_nothing_that_is_aside(file: File) -> None:
    file.session("s", "a", "b", last=1)
    file.upgrade()
    before = file.everything()
    with pytest.raises(SchemaError, match="session_quarantine holds rows"):
        downgrade(file.url, BEFORE, prefix=file.prefix)
    assert file.everything() == before
    file.run(f"DELETE FROM {file.prefix}session_quarantine")
    downgrade(file.url, BEFORE, prefix=file.prefix)
    assert file.texts("s") == ["a"]


def script(file: File, steps: str) -> None:
    with closing(sqlite3.connect(file.path)) as connection:
        connection.executescript(offline(file.url, steps, prefix=file.prefix))


def test_a_script_does_the_same(file: File, tmp_path: Path) -> None:
    file.session("s", "a", "b", last=1)
    file.session("known", "c", updated_at="2026-01-02")
    file.session("wrong", "d", updated_at="x")
    other = File(tmp_path / "other.db", file.prefix)
    other.path.write_bytes(file.path.read_bytes())
    file.upgrade()
    script(other, f"{BEFORE}:head")
    assert definitions(other.path) == definitions(file.path)
    for table in ("sessions", "session_entries", "session_counts"):
        rows = f"SELECT * FROM {file.prefix}{table}"
        assert other.run(rows) == file.run(rows)
    assert other.quarantine() == file.quarantine()
    other.run(f"DELETE FROM {file.prefix}session_quarantine")
    with closing(sqlite3.connect(other.path)) as connection:
        connection.executescript(downgrading(other))
    assert other.texts("s") == ["a"]


def downgrading(file: File) -> str:
    return (
        offline(file.url, f"{schema.HEAD}:base", prefix=file.prefix).partition(
            f"-- Running downgrade {BEFORE} ->"
        )[0]
        + "COMMIT;"
    )


@pytest.mark.parametrize(
    ("addition", "named"),
    [
        ("ALTER TABLE {p}sessions ADD COLUMN mood TEXT", "sessions_has_additions"),
        ("CREATE INDEX theirs ON {p}sessions (status)", "sessions_has_additions"),
        (
            "CREATE TRIGGER theirs AFTER DELETE ON {p}sessions BEGIN SELECT 1; END",
            "sessions_has_additions",
        ),
        ("PRAGMA foreign_keys = ON", "turn_foreign_keys_off_first"),
    ],
)
def test_a_script_ends_where_something_would_be_lost(file: File, addition: str, named: str) -> None:
    file.session("s", "a", "b")
    with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
        connection.execute(addition.replace("{p}", file.prefix))
        before = file.everything()
        with pytest.raises(sqlite3.IntegrityError, match=named):
            connection.executescript(offline(file.url, f"{BEFORE}:head", prefix=file.prefix))
        connection.rollback()
    assert file.everything() == before


def test_a_downgrade_by_script_ends_too(file: File) -> None:
    file.session("s", "a", "b", last=1)
    file.upgrade()
    before = file.everything()
    with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="session_quarantine_holds_rows"):
            connection.executescript(downgrading(file))
        connection.rollback()
    assert file.everything() == before


def test_one_that_is_killed_leaves_the_store_as_it_was(alone: File) -> None:
    alone.session("s", "a", "b", last=1)
    alone.session("wrong", "d", updated_at="x")
    alone.run("ALTER TABLE sessions ADD COLUMN mood TEXT DEFAULT 'good'")
    before, data = alone.everything(), alone.path.read_bytes()
    with before_statement(0, str) as sent:
        alone.upgrade()
    after = alone.everything()
    for number in {*range(1, len(sent) + 1, 7), len(sent)}:
        for beside in alone.path.parent.iterdir():
            beside.unlink()
        alone.path.write_bytes(data)
        assert killed_at(number, alone.url)
        assert alone.everything() == before
    alone.upgrade()
    assert [_timeless(line) for line in alone.everything()] == [_timeless(line) for line in after]


def _timeless(line: str) -> str:
    return "" if "session_quarantine" in line else line


def test_a_setting_of_the_host_stays_as_it_was(alone: File) -> None:
    engine = create_engine(alone.url)
    for setting in (0, 1):
        with engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA legacy_alter_table = {setting}")
            connection.exec_driver_sql("BEGIN")
            upgrade(alone.url, connection=connection)
            found = connection.exec_driver_sql("PRAGMA legacy_alter_table").scalar_one()
            assert found == setting
            connection.rollback()
    engine.dispose()


# Numbers ------------------------------------------------------------------------------------------


def test_numbers_begin_after_all_that_were_there(file: File) -> None:
    file.session("s", "a")
    file.entry(41, 1, "of a deleted one")
    file.upgrade()
    assert file.session("next") == 42
    assert file.texts("next") == []


def test_a_number_beyond_all_numbers_does_not_end_them(file: File) -> None:
    file.session("s", "a")
    file.entry(2**63 - 1, 1, "of none")
    file.entry("text", 1, "of none")
    file.upgrade()
    assert file.session("next") == 2


DELETES = {
    "foreign keys off": ["DELETE FROM {p}sessions WHERE session_id = 'alice'"],
    "foreign keys on": [
        "PRAGMA foreign_keys = ON",
        "DELETE FROM {p}sessions WHERE session_id = 'alice'",
    ],
    "everything": ["DELETE FROM {p}sessions"],
    "sequence too": [
        "DELETE FROM {p}sessions WHERE session_id = 'alice'",
        "DELETE FROM sqlite_sequence",
    ],
    "without triggers": [
        "DROP TRIGGER {p}session_entries_delete",
        "DELETE FROM {p}sessions",
        "DELETE FROM sqlite_sequence",
    ],
}


@pytest.mark.parametrize("statements", DELETES.values(), ids=DELETES.keys())
def test_whoever_deletes_the_newest_the_next_one_shows_nothing_of_it(
    file: File, statements: list[str]
) -> None:
    file.upgrade()
    file.session("first", "f")
    file.session("alice", "secret", "more")
    with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement.replace("{p}", file.prefix))
    for name in ("bob", "eve", "max"):
        file.session(name)
        assert file.texts(name) == []


def test_entries_go_with_their_session_whatever_the_pragma(file: File) -> None:
    file.upgrade()
    for setting in ("ON", "OFF"):
        file.session("alice", "secret")
        with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA foreign_keys = {setting}")
            connection.execute(f"DELETE FROM {file.prefix}sessions")
        assert file.run(f"SELECT * FROM {file.prefix}session_entries") == []
    assert file.quarantine() == []
    assert file.counts() == (0, 0)


@pytest.mark.parametrize("explicitly", [False, True])
def test_one_that_replaces_another_shows_nothing_of_it(file: File, explicitly: bool) -> None:
    file.upgrade()
    number = file.session("alice", "secret", "more")
    columns = (
        "app_name, user_id, session_id, status, version, created_at, updated_at, metadata, state, "
        "agent_states"
    )
    given = (", id", f", {number}") if explicitly else ("", "")
    file.run(
        f"INSERT OR REPLACE INTO {file.prefix}sessions ({columns}, last_seq{given[0]}) "
        f"SELECT {columns}, 0{given[1]} FROM {file.prefix}sessions"
    )
    assert file.texts("alice") == []
    assert len(file.quarantine()) == (2 if explicitly else 0)


def test_an_explicit_number_shows_nothing_that_is_left_there(file: File) -> None:
    file.upgrade()
    file.entry(5, 1, "of nobody")
    number = file.session("five")
    file.run(f"DELETE FROM {file.prefix}sessions")
    file.entry(5, 2, "of nobody again")
    insert = SESSION.format(table=f"{file.prefix}sessions").replace("(app_name", "(id, app_name")
    values = {"app": "a", "user": "u", "name": "n", "status": "running", "last": 0}
    times = {"created_at": TIME, "updated_at": TIME, "completed_at": None, "expires_at": None}
    file.run(insert.replace("VALUES (", "VALUES (5, "), values | times)
    assert number != 5
    assert file.texts("n") == []
    assert [reason for _, reason, _ in file.quarantine()] == ["orphan", "orphan"]


def test_a_number_does_not_change(file: File) -> None:
    file.upgrade()
    file.session("alice", "secret")
    with pytest.raises(sqlite3.IntegrityError, match="keeps its number"):
        file.run(f"UPDATE {file.prefix}sessions SET id = 99")


@pytest.mark.parametrize("time", ["2026-01-02", 5, b"x", "2026-01-02T03:04:05.000Z"])
@pytest.mark.parametrize("column", COLUMNS)
def test_what_is_no_stored_time_is_refused(alone: File, column: str, time: Any) -> None:
    alone.upgrade()
    with pytest.raises(sqlite3.IntegrityError, match=f"ck_sessions_{column}"):
        alone.session("s", **{column: time})


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_deleted_and_made_no_session_shows_another_ones(alone: File, seed: int) -> None:
    """By connections of all kinds, in any order."""
    alone.upgrade()
    chance = random.Random(seed)
    with closing(sqlite3.connect(alone.path, isolation_level=None)) as connection:
        for n in range(150):
            on, recursive = chance.choice("01"), chance.choice("01")
            connection.execute(f"PRAGMA foreign_keys = {on}")
            connection.execute(f"PRAGMA recursive_triggers = {recursive}")
            one = "(SELECT id FROM sessions ORDER BY random() LIMIT 1)"
            newest = "(SELECT max(id) FROM sessions)"
            match chance.randrange(8):
                case 0:
                    connection.execute(f"DELETE FROM sessions WHERE id = {one}")
                case 1:
                    connection.execute(f"DELETE FROM sessions WHERE id = {newest}")
                case 2:
                    connection.execute("DELETE FROM sqlite_sequence")
                case 3:
                    made(connection, f"{n}", chance, "OR REPLACE", chance.randrange(1, 40))
                case 4 if chance.random() < 0.1:
                    connection.execute("DELETE FROM sessions")
                case _:
                    made(connection, f"{chance.randrange(30)}", chance, "OR REPLACE")
            shown = connection.execute(
                "SELECT s.session_id || ' ' || s.state, payload FROM sessions s "
                "JOIN session_entries e ON e.session = s.id"
            ).fetchall()
            assert [each for each in shown if each[0] != each[1]] == []


def made(
    connection: sqlite3.Connection,
    name: str,
    chance: random.Random,
    conflict: str,
    number: Any = None,
) -> None:
    """A session that knows whose entries it has."""
    own, entries = str(chance.random()), chance.randrange(4)
    (number,) = connection.execute(
        f"INSERT {conflict} INTO sessions VALUES (?, 'app', 'ada', ?, 'running', 1, ?, ?, ?, NULL, "
        "NULL, '{}', ?, '{}') RETURNING id",
        (number, name, entries, TIME, TIME, own),
    ).fetchone()
    for seq in range(1, entries + 1):
        connection.execute(
            "INSERT INTO session_entries VALUES (?, ?, ?, 'message', 1, ?, ?)",
            (number, seq, f"{seq}", TIME, f"{name} {own}"),
        )


def test_nobody_inherits_a_history(tmp_path: Path) -> None:
    """Alice's session is deleted in the shell; Bob's is the next."""
    path = tmp_path / "s.db"
    bob = SessionKey("app", "bob", "new")
    with open_sqlite(path) as store:
        create(store, KEY, history=["secret"])
        File(path).run("DELETE FROM sessions")
        create(store, bob)
        assert load(store, bob).entries == ()
        change(store, bob, entries=messages("hello"))
        assert len(load(store, bob).entries) == 1


# Beside others ------------------------------------------------------------------------------------


def test_with_a_prefix_a_file_of_others_stays_theirs(tmp_path: Path) -> None:
    file = File(tmp_path / "theirs.db", "a_")
    file.run("CREATE TABLE sessions (theirs TEXT)")
    file.run("PRAGMA application_id = 7")
    file.path.chmod(0o640)
    assert main(["db", "upgrade", "--url", file.url, "--prefix", "a_"]) == 0
    assert main(["db", "check", "--url", file.url, "--prefix", "a_"]) == 0
    assert pragma(file.path, "application_id") == 7
    assert pragma(file.path, "journal_mode") == "delete"
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert file.run("SELECT sql FROM sqlite_master WHERE name = 'sessions'") == [
        ("CREATE TABLE sessions (theirs TEXT)",)
    ]
    file.session("s", "a")
    assert main(["db", "downgrade", "base", "--yes", "--url", file.url, "--prefix", "a_"]) == 0
    left = set(definitions(file.path))
    assert left <= {"sessions", f"a_{schema.VERSION_TABLE}"}


def test_two_stores_live_in_one_file(tmp_path: Path) -> None:
    one, other = File(tmp_path / "both.db"), File(tmp_path / "both.db", "b_")
    one.upgrade()
    other.upgrade()
    one.session("s", "one")
    other.session("s", "other")
    assert (one.texts("s"), other.texts("s")) == (["one"], ["other"])
    assert pragma(one.path, "application_id") == APPLICATION_ID
    named = {name.removeprefix("b_"): re_prefixed(text) for name, text in other_of(other).items()}
    assert named == other_of(one)


def other_of(file: File) -> dict[str, str]:
    found = definitions(file.path)
    return {
        name: text for name, text in found.items() if name.startswith("b_") == bool(file.prefix)
    }


def re_prefixed(text: str) -> str:
    return text.replace("b_", "")


def test_a_store_is_made_by_opening_it(tmp_path: Path) -> None:
    """The statements of the repository are another's business."""
    open_sqlite(tmp_path / "s.db", table_prefix="a_").close()
    assert File(tmp_path / "s.db", "a_").session("s", "a") == 1
    with pytest.raises(SessionStoreError, match="--prefix b_"):
        open_sqlite(tmp_path / "s.db", table_prefix="b_", as_is=True)


# PostgreSQL ---------------------------------------------------------------------------------------

BEYOND = ["infinity", "-infinity", "0044-03-15 BC", "12345-01-01"]


def insert(connection: psycopg.Connection[Any], p: str, name: str, column: str, time: str) -> None:
    times = dict.fromkeys(COLUMNS, TIME) | {column: time}
    (number,) = connection.execute(
        f"INSERT INTO {p}sessions (app_name, user_id, session_id, status, version, last_seq, "
        "metadata, state, agent_states, created_at, updated_at, completed_at, expires_at) VALUES "
        "('app', 'ada', %s, 'running', 1, 1, '{}', '{}', '{}', %s, %s, %s, %s) RETURNING id",
        [name, *times.values()],
    ).fetchone() or (0,)
    connection.execute(
        f"INSERT INTO {p}session_entries VALUES (%s, 1, 'e', 'message', 1, now(), '{{}}')", [number]
    )


@pytest.fixture(params=[Names(), Names("zz9", "yy8_")], ids=str)
def said(request: pytest.FixtureRequest, postgres_url: str) -> tuple[dict[str, Any], str]:
    names: Names = request.param
    said = {key: value for key, value in names._asdict().items() if value}
    upgrade(postgres_url, BEFORE, **said)
    return said, names.of("")


@pytest.mark.parametrize("by_script", [False, True])
def test_times_that_others_do_not_have_are_set_aside(
    postgres_url: str, said: tuple[dict[str, Any], str], by_script: bool
) -> None:
    names, p = said
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        insert(connection, p, "kept", "expires_at", TIME)
        for n, (column, time) in enumerate((c, t) for c in COLUMNS for t in BEYOND):
            insert(connection, p, f"{n}", column, time)
        if by_script:
            run_by_hand(postgres_url, offline("postgresql:///", f"{BEFORE}:head", **names))
        else:
            upgrade(postgres_url, **names)
        found = connection.execute(f"SELECT session_id FROM {p}sessions").fetchall()
        assert found == [("kept",)]
        assert connection.execute(f"SELECT count(*) FROM {p}session_entries").fetchone() == (1,)
        aside = connection.execute(
            f"SELECT table_name, reason, count(*) FROM {p}session_quarantine "
            "GROUP BY 1, 2 ORDER BY 1"
        ).fetchall()
        own = names.get("prefix", "")
        assert aside == [(f"{own}session_entries", "time", 16), (f"{own}sessions", "time", 16)]
        kept = f"SELECT content ->> 'expires_at' FROM {p}session_quarantine"
        assert ("infinity",) in connection.execute(kept).fetchall()
        kept = f"SELECT sum(total), sum(running) FROM {p}session_counts"
        assert connection.execute(kept).fetchone() == (1, 1)
        with pytest.raises(psycopg.errors.CheckViolation):
            insert(connection, p, "wrong", "expires_at", "infinity")
    with pytest.raises(SchemaError, match="session_quarantine holds rows"):
        downgrade(postgres_url, BEFORE, **names)
    down = offline("postgresql:///", f"{schema.HEAD}:base", **names)
    with pytest.raises(psycopg.errors.RaiseException, match="session_quarantine holds rows"):
        run_by_hand(postgres_url, down)


def test_who_may_read_sessions_need_not_read_what_is_aside(
    own_postgres_server: Any, postgres_url: str
) -> None:
    upgrade(postgres_url, BEFORE)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE session_store_reads")
        try:
            connection.execute("GRANT ALL ON sessions, session_entries TO session_store_reads")
            upgrade(postgres_url)
            may = (
                "SELECT has_table_privilege('session_store_reads', 'session_quarantine', 'SELECT')"
            )
            assert connection.execute(may).fetchone() == (False,)
        finally:
            connection.execute("DROP OWNED BY session_store_reads")
            connection.execute("DROP ROLE session_store_reads")


def test_readers_go_on_until_the_constraints(postgres_url: str) -> None:
    upgrade(postgres_url, BEFORE)
    sent: list[str] = []

    def read(*arguments: Any) -> None:
        sent.append(arguments[2])
        if arguments[2].startswith(("INSERT INTO session_quarantine", "DELETE FROM sessions")):
            with psycopg.connect(postgres_url, options="-c lock_timeout=500") as other:
                other.execute("SELECT count(*) FROM sessions")

    engine = create_engine(f"postgresql+psycopg{postgres_url.removeprefix('postgresql')}")
    event.listen(engine, "after_cursor_execute", read)
    with engine.begin() as connection:
        upgrade(postgres_url, connection=connection)
    engine.dispose()
    assert sum(each.startswith("INSERT INTO session_quarantine") for each in sent) == 2


def test_verify_says_it_of_a_server_too(postgres_url: str) -> None:
    upgrade(postgres_url, BEFORE)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        insert(connection, "", "wrong", "updated_at", "infinity")
    upgrade(postgres_url)
    found: list[Any] = []
    verify_store(storage_of(postgres_url), on_finding=found.append)
    assert sorted(each.problem.partition(" (")[0] for each in found) == [
        "1 of session_entries in session_quarantine",
        "1 of sessions in session_quarantine",
    ]
    with open_postgres(postgres_url) as store:
        create(store)


# What the page says -------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "dba.md").read_text()
ASIDE = PAGE[PAGE.index("## What is set aside") : PAGE.index("## Who grows")]


def test_the_page_puts_rows_back_on_sqlite(alone: File) -> None:
    alone.session("known", "x", updated_at="2026-01-02")
    alone.session("wrong", "a", "b", updated_at="never")
    alone.entry(77, 1, "of none")
    alone.upgrade()
    (block,) = re.findall(r"~~~sql\n(.*?)~~~", ASIDE, re.DOTALL)
    with closing(sqlite3.connect(alone.path)) as connection:
        connection.executescript(block)
    assert alone.texts("wrong") == ["a", "b"]
    assert alone.run("SELECT updated_at FROM sessions WHERE session_id = 'wrong'") == [(TIME,)]
    assert [reason for _, reason, _ in alone.quarantine()] == ["orphan"]
    assert alone.counts() == (2, 2)
    with open_sqlite(alone.path) as store:
        assert len(load(store, SessionKey("app", "ada", "wrong")).entries) == 2


def test_the_page_puts_rows_back_on_postgresql(postgres_url: str) -> None:
    upgrade(postgres_url, BEFORE)
    state = '{"b": 1.10, "a":  [true]}'
    (block,) = (
        each for each in re.findall(r"```sql\n(.*?)```", ASIDE, re.DOTALL) if "back" in each
    )
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        insert(connection, "", "wrong", "expires_at", "infinity")
        connection.execute("UPDATE sessions SET state = %s", [state])
        upgrade(postgres_url)
        connection.execute(block.encode())
        found = "SELECT state::text, expires_at, last_seq FROM sessions"
        assert connection.execute(found).fetchall() == [(state, None, 1)]
        for table, rows in {"session_entries": 1, "session_quarantine": 0}.items():
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
        number = connection.execute("SELECT id FROM sessions").fetchone()
        insert(connection, "", "next", "expires_at", TIME)
        assert connection.execute("SELECT max(id) FROM sessions").fetchone() != number
