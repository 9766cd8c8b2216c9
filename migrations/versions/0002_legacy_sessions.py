"""Sessions of an older SQLite store, which revision 0001 has set aside as sessions_legacy

That table stays as it is: drop it when nobody needs it any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from alembic import context, op

from session_store.backends.legacy import converted
from session_store.backends.sql.revising import is_alone, on_sqlite
from session_store.backends.sql.sqlite import layout as sqlite_layout
from session_store.backends.sql.sqlite import upgrade as sqlite_upgrade
from session_store.backends.sql.sqlite.layout import LEGACY_TABLE
from session_store.core import codec
from session_store.core.records import EntryRecord, SessionRecord

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

JSON_COLUMNS = ("agent_states", "artifacts", "checkpoints", "metadata")

# Not those of the repository, which follow the newest revision.
INSERT_SESSION = """
INSERT INTO sessions (app_name, user_id, session_id, status, version, last_seq, created_at,
                      updated_at, completed_at, expires_at, state, agent_states, metadata)
VALUES (:app_name, :user_id, :session_id, :status, :version, :last_seq, :created_at,
        :updated_at, :completed_at, :expires_at, :state, :agent_states, :metadata)"""
INSERT_ENTRY = """
INSERT INTO session_entries (session, seq, entry_id, kind, payload, created_at, version)
VALUES (:session, :seq, :entry_id, :kind, :payload, :created_at, :version)"""


def upgrade() -> None:
    if context.is_offline_mode() or not (on_sqlite() and is_alone()):
        return
    connection = sqlite_upgrade.driver(op.get_bind())
    if _is_waiting(connection):
        for record, entries in map(converted, _legacy_sessions(connection)):
            _insert(connection, record, entries)


def downgrade() -> None:
    """The sessions stay, as they were written to since; sessions_legacy is still there too."""


def _is_waiting(connection: sqlite3.Connection) -> bool:
    """Not after a downgrade to 0001, where the sessions are converted already."""
    return (
        sqlite_layout.exists(connection, LEGACY_TABLE)
        and not connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone()
    )


def _legacy_sessions(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    rows = connection.execute(f"SELECT * FROM {LEGACY_TABLE} ORDER BY created_at, session_id")
    names = [column[0] for column in rows.description]
    for row in rows:
        session = dict(zip(names, row, strict=True))
        for name in JSON_COLUMNS:
            if session[name] is not None:
                place = f"{name} of session {session['session_id']!r} in {LEGACY_TABLE}"
                session[name] = codec.decode(session[name], place)
        yield session


def _insert(
    connection: sqlite3.Connection, record: SessionRecord, entries: Sequence[EntryRecord]
) -> None:
    session = connection.execute(INSERT_SESSION, _encoded(record)).lastrowid
    rows = [_encoded(entry) | {"session": session} for entry in entries]
    connection.executemany(INSERT_ENTRY, rows)


def _encoded(record: SessionRecord | EntryRecord) -> dict[str, Any]:
    values = record._asdict()
    for name in ("created_at", "updated_at", "completed_at", "expires_at"):
        if values.get(name) is not None:
            values[name] = codec.encode_time(values[name])
    return values
