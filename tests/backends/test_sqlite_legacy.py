"""A database of the older program becomes a store: its sessions converted, its table kept."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.legacy import converted
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.layout import LEGACY_TABLE
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.core.records import to_session
from session_store.errors import CorruptStoreError
from session_store.session import Session, SessionKey, Status
from session_store.testing.given import BEGINNING, change, listed, load, messages
from tests.backends.processes import exit_code, forked

SAMPLE = Path(__file__).parents[1] / "legacy" / "sessions.json"
STORED: list[dict[str, Any]] = list(json.loads(SAMPLE.read_bytes())["sessions"].values())

TABLE = """
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    state TEXT NOT NULL,
    agent_states TEXT,
    artifacts TEXT,
    checkpoints TEXT,
    metadata TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    completed_at TEXT
);
CREATE INDEX idx_user_id ON sessions(user_id);
CREATE INDEX idx_state ON sessions(state);
"""
"""As the older program wrote it."""

JSON_COLUMNS = ("agent_states", "artifacts", "checkpoints", "metadata")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "sessions.db"
    with closing(sqlite3.connect(made)) as connection:
        connection.executescript(TABLE)
    insert(made, *STORED)
    made.chmod(0o644)
    return made


def insert(path: Path, *sessions: dict[str, Any]) -> None:
    names = ", ".join(f":{name}" for name in ("session_id", "user_id", "state", *JSON_COLUMNS))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            f"INSERT INTO sessions VALUES ({names}, :created_at, :updated_at, :completed_at)",
            [row(session) for session in sessions],
        )


def row(session: dict[str, Any]) -> dict[str, Any]:
    encoded = {name: json.dumps(session[name]) for name in JSON_COLUMNS}
    return {"completed_at": None} | session | encoded


def rows(path: Path, table: str) -> list[Any]:
    with closing(connected(path, 1)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY session_id").fetchall()


def sessions(path: Path) -> Iterator[Session]:
    with open_sqlite(path) as store:
        for head in listed(store):
            yield load(store, head.key)


def test_every_session_is_there_as_the_conversion_says(path: Path) -> None:
    expected = [to_session(*converted(session)) for session in STORED]
    assert sorted(sessions(path), key=repr) == sorted(expected, key=repr)


def test_an_answer_in_full(path: Path) -> None:
    old = next(session for session in STORED if session["checkpoints"])
    with open_sqlite(path) as store:
        new = load(store, SessionKey("default", old["user_id"], old["session_id"]))
    assert new.created_at.isoformat() == f"{old['created_at']}+00:00"
    assert (new.agent_states, new.metadata) == (old["agent_states"], old["metadata"])
    assert [entry.payload["payload"] for entry in new.artifacts] == [
        artifact["payload"] for artifact in old["artifacts"]
    ]
    assert new.checkpoints
    assert all("checkpoints" not in entry.payload for entry in new.checkpoints)


def test_the_old_table_is_kept_and_the_file_is_ours(path: Path) -> None:
    before = rows(path, "sessions")
    open_sqlite(path).close()
    assert rows(path, LEGACY_TABLE) == before
    assert oct(path.stat().st_mode) == "0o100600"
    assert os.listdir(path.parent) == ["sessions.db"]


def test_it_is_adopted_once(path: Path) -> None:
    with open_sqlite(path) as store:
        heads = listed(store)
        assert store.delete(heads[0].key, BEGINNING)
        change(store, heads[1].key, entries=messages("new"))
    with open_sqlite(path) as store:
        assert len(listed(store)) == len(STORED) - 1
        assert load(store, heads[1].key).version == 2


def test_empty_columns_are_empty_documents(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM sessions")
        connection.execute(
            "INSERT INTO sessions VALUES "
            "('s1', 'ada', 'paused', NULL, NULL, NULL, NULL, '2024-02-29', '2024-02-29', NULL)"
        )
    (session,) = sessions(path)
    assert (session.status, session.entries, session.metadata) == (Status.PAUSED, (), {})


@pytest.mark.parametrize(
    "damage",
    [
        "agent_states = '{'",
        "artifacts = '{}'",
        "checkpoints = '[{}]'",
        "state = 'odd'",
        "created_at = 'yesterday'",
        "user_id = ''",
    ],
)
def test_one_row_that_cannot_be_read_changes_nothing(path: Path, damage: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE sessions SET {damage} WHERE session_id > 'b'")
    before = path.read_bytes()
    with pytest.raises(CorruptStoreError, match="session"):
        open_sqlite(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["sessions.db"]


def test_many_adopt_it_at_once(path: Path) -> None:
    def work() -> None:
        with open_sqlite(path) as store:
            assert len(listed(store)) == len(STORED)

    children = [forked(work) for _ in range(8)]
    assert [exit_code(child) for child in children] == [0] * 8
    assert len(rows(path, LEGACY_TABLE)) == len(STORED)


def test_a_large_one(path: Path) -> None:
    """More than a page of everything, and ids that sort otherwise than times."""
    many = [STORED[0] | {"session_id": f"{n * 7919 % 500}"} for n in range(500)]
    insert(path, *many)
    assert len(list(sessions(path))) == len(STORED) + 500
