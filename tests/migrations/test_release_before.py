"""An application of the release before goes on working on the newest tables: what it sends, as it
was written then, and a store that was open before the upgrade."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.testing.given import create
from tests.migrations.support import downgrade, taking_turns, upgrade

BEFORE = "0005"
TIME = "2026-01-02T03:04:05.000000Z"

# Of revision 0005; never to be changed with the library.
KEY = "app_name = :app_name AND session_id = :session_id AND user_id BETWEEN :user_id AND :user_id"
HEAD = """app_name, user_id, session_id, status, version, last_seq,
    created_at, updated_at, completed_at, expires_at"""
INSERT = f"""INSERT INTO sessions ({HEAD}, state, agent_states, metadata)
VALUES (:app_name, :user_id, :session_id, :status, :version, :last_seq,
        :created_at, :updated_at, :completed_at, :expires_at, :state, :agent_states, :metadata)
ON CONFLICT DO NOTHING
RETURNING id"""
TURN = f"""UPDATE sessions SET version = version + 1, last_seq = last_seq + 1, updated_at = :now,
    status = CASE status WHEN 'created' THEN 'running' ELSE status END
WHERE {KEY} AND NOT EXISTS (
    SELECT 1 FROM session_entries WHERE session = sessions.id AND entry_id = :entry_id)
RETURNING id, status, version, last_seq"""
INSERT_ENTRY = """INSERT INTO session_entries
    (session, seq, entry_id, kind, payload, created_at, version)
VALUES (:session, :seq, :entry_id, :kind, :payload, :now, :version)"""
UPDATE = """UPDATE sessions SET status = :status, version = :version, last_seq = :last_seq,
    updated_at = :updated_at, completed_at = :completed_at, expires_at = :expires_at,
    state = :state, agent_states = :agent_states, metadata = :metadata
WHERE id = :id"""
REWIND = "DELETE FROM session_entries WHERE session = :id AND seq > :keep"
FIND = f"SELECT id, {HEAD}, state, agent_states, metadata FROM sessions WHERE {KEY}"
HISTORY = f"""SELECT seq, entry_id, kind, payload, created_at, version FROM session_entries
WHERE session = (SELECT id FROM sessions WHERE {KEY}) ORDER BY seq"""
REMOVE = """DELETE FROM sessions WHERE id IN (WITH expired AS MATERIALIZED (
    SELECT id FROM sessions WHERE updated_at <= :idle_cutoff ORDER BY updated_at LIMIT :limit)
SELECT id FROM expired) RETURNING id"""
DELETE = "DELETE FROM sessions WHERE id = :id"
COUNTS = "SELECT CAST(sum(total) AS BIGINT), CAST(sum(running) AS BIGINT) FROM session_counts"

ROW = {
    **{"app_name": "app", "user_id": "ada", "session_id": "s1", "status": "created"},
    **{"version": 1, "last_seq": 0, "created_at": TIME, "updated_at": TIME, "completed_at": None},
    **{"expires_at": None, "state": "{}", "agent_states": "{}", "metadata": "{}"},
}


class Sender:
    def __init__(self, connection: Any, *, is_server: bool) -> None:
        self._connection, self._is_server = connection, is_server

    def __call__(self, text: str, **values: Any) -> list[Any]:
        if self._is_server:
            text = re.sub(r":(\w+)", r"%(\1)s", text)
        cursor = self._connection.execute(text, ROW | values)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture(params=["sqlite", "postgresql"])
def send(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sender]:
    """To the newest tables."""
    if request.param == "sqlite":
        upgrade(f"sqlite:///{tmp_path}/s.db")
        path = tmp_path / "s.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            yield Sender(connection, is_server=False)
        return
    url = request.getfixturevalue("postgres_url")
    upgrade(url)
    with psycopg.connect(url, autocommit=True) as server:
        yield Sender(server, is_server=True)


def test_what_it_sends_does_what_it_did(send: Sender) -> None:
    ((number,),) = send(INSERT)
    assert send(INSERT) == []
    for seq in (1, 2, 3):
        (turned,) = send(TURN, now=TIME, entry_id=f"{seq}")
        assert turned == (number, "running", seq + 1, seq)
        entry = {"session": number, "seq": seq, "entry_id": f"{seq}", "kind": "message"}
        send(INSERT_ENTRY, **entry, payload="1", now=TIME, version=seq + 1)
    assert send(TURN, now=TIME, entry_id="2") == []
    assert send(COUNTS) == [(1, 1)]
    send(REWIND, id=number, keep=1)
    send(UPDATE, id=number, status="paused", version=9, last_seq=1, state='{"n":1}')
    assert [row[:3] for row in send(HISTORY)] == [(1, "1", "message")]
    ((_, *found),) = send(FIND)
    assert found[3:6] == ["paused", 9, 1]
    send(INSERT, session_id="s2")
    assert len(send(REMOVE, idle_cutoff="2026-02-01T00:00:00.000000Z", limit=1)) == 1
    for (left,) in send("SELECT id FROM sessions"):
        send(DELETE, id=left)
    assert send("SELECT count(*) FROM session_entries") == [(0,)]
    assert send(COUNTS) == [(0, 0)]


def test_a_file_that_is_open_is_written_to_through_the_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with open_sqlite(path) as store:
        create(store)
        downgrade(f"sqlite:///{path}", BEFORE)
        with taking_turns(store):
            upgrade(f"sqlite:///{path}")
