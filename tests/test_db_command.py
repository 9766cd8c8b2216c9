"""``session-store db``: what it does, prints and refuses, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.cli.main import main
from session_store.cli.parser import make_parser
from session_store.testing.given import count, create, load
from tests.migrations.support import ROOT, catalog, revision_in, upgrade, with_revision
from tests.servers.postgres import PostgresServer

COMMANDS = ("upgrade", "downgrade", "current", "check", "history", "stamp", "sql")


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None: neither the environment nor a .env file says where a store is."""
    for name in [name for name in os.environ if name.startswith("SESSION_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def shown(url: str) -> str:
    """The URL as messages show it."""
    return f"postgresql://{url.rpartition('@')[2]}"


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that fails says, in one line."""
    assert main(["db", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("session-store: error: ")
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    return captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_that_is_one(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["db", command, "--help"])
    assert ended.value.code == 0
    assert f"example: session-store db {command}" in capsys.readouterr().out


def test_the_commands_of_the_documents_are_commands() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    lines = [shlex.split(line) for line in re.findall(r"\$ session-store ([^#>\n]+)", page)]
    assert all(make_parser().parse_args(line).run for line in lines)
    assert {command for _, command, *_ in lines} == set(COMMANDS)


@pytest.mark.parametrize(
    "arguments", [[], ["no-such"], ["downgrade"], ["stamp"], ["sql", "--dialect", "x"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["db", *arguments])
    assert (ended.value.code, capsys.readouterr().out) == (2, "")


def test_programs_are_answered_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--url", f"sqlite:///{tmp_path / 'sessions.db'}", "--json"]
    newest = {"place": str(tmp_path / "sessions.db"), "revision": schema.HEAD, "is_newest": True}
    for command in ("upgrade", "current", "check"):
        assert main(["db", command, *place]) == 0
        assert json.loads(capsys.readouterr().out) == newest
    assert main(["db", "downgrade", schema.REVISIONS[0], "--yes", *place]) == 0
    assert json.loads(capsys.readouterr().out) == newest | {
        "revision": schema.REVISIONS[0],
        "is_newest": False,
    }
    assert main(["db", "history", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["revision"] for line in lines] == [*reversed(schema.REVISIONS)]


def test_up_and_down_on_postgresql(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--url", postgres_url]
    assert main(["db", "upgrade", *place]) == 0
    newest = f"{shown(postgres_url)}: revision {schema.HEAD}, the newest\n"
    steps = "".join(f"upgrade {revision}\n" for revision in schema.REVISIONS)
    assert capsys.readouterr() == (newest, steps)
    assert main(["db", "check", *place]) == main(["db", "current", *place]) == 0
    assert newest in capsys.readouterr().out
    assert main(["db", "downgrade", "0001", "--yes", *place]) == 0
    assert "revision 0001; `session-store db upgrade` brings it to" in capsys.readouterr().out
    assert main(["db", "downgrade", "base", "--yes", *place]) == 0
    assert "no session tables" in capsys.readouterr().out
    assert "sessions" not in catalog(postgres_url)["relations"]


def test_up_and_down_on_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--url", f"sqlite:///{tmp_path}/sessions.db"]
    assert main(["db", "upgrade", "0001", *place]) == 0
    assert "run" not in failed_check(capsys, place)
    assert main(["db", "upgrade", *place]) == main(["db", "check", *place]) == 0
    with open_sqlite(tmp_path / "sessions.db") as store:
        create(store)
        assert count(store) == 1
    assert main(["db", "downgrade", "base", "--yes", *place]) == 0


def failed_check(capsys: pytest.CaptureFixture[str], place: list[str]) -> str:
    capsys.readouterr()
    return failed(capsys, "check", *place)


def test_the_settings_name_the_database(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SESSION_STORAGE_TYPE", "postgresql")
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("SESSION_POSTGRES_SCHEMA", "zz9")
    Path(".env").write_text("SESSION_POSTGRES_TABLE_PREFIX=yy8_\n")
    assert main(["db", "upgrade"]) == main(["db", "check"]) == 0
    assert revision_in(postgres_url, Names("zz9", "yy8_")) == schema.HEAD
    assert main(["db", "upgrade", "--schema", "xx7", "--prefix", "ww6_"]) == 0
    assert revision_in(postgres_url, Names("xx7", "ww6_")) == schema.HEAD


def test_an_argument_comes_before_settings_that_name_no_database(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_STORAGE_TYPE", "file")
    assert main(["db", "upgrade", "--url", postgres_url]) == 0


@pytest.mark.parametrize("arguments", [[], ["--url", "memory://"], ["--url", "./a/directory"]])
def test_a_store_without_tables_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name a database: SESSION_STORAGE_URL=" in failed(capsys, "upgrade", *arguments)


def test_a_schema_is_refused_where_it_means_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "upgrade", "--url", "sqlite:///x.db", "--schema", "zz9")
    assert "is for PostgreSQL" in said


def test_a_prefix_puts_the_tables_beside_others_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs, theirs:
        theirs.execute("CREATE TABLE sessions (theirs INTEGER)")
    place = ["--url", f"sqlite:///{path}", "--prefix", "yy8_"]
    for command in ("upgrade", "check", "current"):
        assert main(["db", command, *place]) == 0, command
    with open_sqlite(path, table_prefix="yy8_") as store:
        create(store, history=["hi"])
        assert load(store).last_seq == 1
    assert main(["db", "downgrade", "base", "--yes", *place]) == 0
    with closing(sqlite3.connect(path)) as theirs:
        left = {name for (name,) in theirs.execute("SELECT name FROM sqlite_master")}
        assert theirs.execute("PRAGMA application_id").fetchone() == (0,)
    assert left - {"sqlite_sequence", f"yy8_{schema.VERSION_TABLE}"} <= {
        "sessions",
        f"sqlite_autoindex_yy8_{schema.VERSION_TABLE}_1",
    }


@pytest.mark.parametrize("option", ["--schema", "--prefix"])
def test_a_name_that_would_need_quotes_is_refused(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = failed(capsys, "upgrade", "--url", "postgresql://h/db", option, 'x"; DROP TABLE y')
    assert "a-z, 0-9 and _" in said


def test_a_downgrade_says_what_would_be_lost(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(postgres_url, prefix="yy8_")
    with pytest.raises(SystemExit) as ended:
        main(["db", "downgrade", "base", "--url", postgres_url, "--prefix", "yy8_"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "would lose yy8_sessions, yy8_session_entries, yy8_shared_states, " in said
    assert "add --yes" in said
    assert revision_in(postgres_url, Names(None, "yy8_")) == schema.HEAD


def test_a_check_fails_until_all_is_as_expected(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--url", postgres_url]
    assert "has no session tables: run `session-store db upgrade`" in failed(
        capsys, "check", *place
    )
    upgrade(postgres_url, "0001")
    assert "is at revision 0001, and this release needs" in failed(capsys, "check", *place)
    upgrade(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP INDEX ix_sessions_user")
        connection.execute("ALTER TABLE sessions ADD COLUMN mood text")
    said = failed(capsys, "check", *place)
    assert "somebody changed it" in said
    assert "missing index ix_sessions_user" in said
    assert "unexpected column sessions.mood" in said


def test_a_missing_view_fails_the_check(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP VIEW session_overview")
    assert "lacks session_overview" in failed(capsys, "check", "--url", postgres_url)


def test_a_newer_database_is_said_to_be_newer(
    postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(postgres_url, revisions=with_revision(tmp_path / "newer", "pass"))
    assert main(["db", "current", "--url", postgres_url]) == 0
    assert "of a newer session-store than this one" in capsys.readouterr().out
    for command in ("check", "upgrade"):
        said = failed(capsys, command, "--url", postgres_url)
        assert "install the newer session-store" in said


def test_a_stamp_notes_a_revision(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    upgrade(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        connection.execute(f"DELETE FROM {schema.VERSION_TABLE}")
    assert main(["db", "stamp", schema.HEAD, "--url", postgres_url]) == 0
    assert main(["db", "check", "--url", postgres_url]) == 0
    assert "the newest" in capsys.readouterr().out


def test_an_unknown_revision_is_one_line(
    postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = failed(capsys, "upgrade", "0999", "--url", postgres_url)
    assert "'0999'" in said
    assert "db history" in said


def test_the_history_lists_every_revision(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "history"]) == 0
    printed = capsys.readouterr().out
    assert [revision for revision in schema.REVISIONS if f"-> {revision}" in printed] == [
        *schema.REVISIONS
    ]


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_the_sql_is_that_of_the_documents(dialect: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "sql", "--dialect", dialect]) == 0
    assert capsys.readouterr().out == (ROOT / "docs" / "sql" / f"{dialect}.sql").read_text()


@pytest.mark.parametrize(
    ("steps", "first", "last"),
    [
        ("0001:head", "-- Running upgrade 0001 -> 0002", "SET version_num='0002'"),
        ("head:base", "-- Running downgrade 0003 -> 0002", "DROP TABLE x.y_sessions;"),
    ],
)
def test_the_sql_of_some_steps(
    steps: str, first: str, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "sql", steps, "--schema", "x", "--prefix", "y_"]) == 0
    sql = capsys.readouterr().out
    assert sql.startswith("BEGIN;")
    assert 0 < sql.index(first) < sql.index(last) < sql.index("COMMIT;")
    assert "CREATE SCHEMA" not in sql


def test_sql_and_help_need_no_driver(tmp_path: Path) -> None:
    (tmp_path / "psycopg.py").write_text("raise ImportError")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done, refused = (
        subprocess.run(
            [sys.executable, "-m", "session_store", "db", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for arguments in (["sql"], ["upgrade", "--url", "postgresql://127.0.0.1:1/db"])
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "CREATE TABLE sessions" in done.stdout
    assert (refused.returncode, refused.stderr) == (
        1,
        "session-store: error: PostgreSQL needs its driver: "
        'pip install "session-store[postgres]"\n',
    )


def test_a_password_is_never_shown(
    postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = postgres_server.url("no_such_database", password="s3cret%word")
    for command in ("upgrade", "current", "check"):
        assert "s3cret" not in failed(capsys, command, "--url", url)
