"""Sessions, their history, and the documents that sessions share"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

from session_store.backends.sql import sqlite_layout, sqlite_upgrade

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
JSON = sa.Text().with_variant(postgresql.JSON(), "postgresql")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")

VIEW = """CREATE VIEW session_overview AS
SELECT app_name, user_id, session_id, status, version, last_seq,
       created_at, updated_at, completed_at, expires_at
FROM sessions"""

# A view runs with its owner's rights, past row-level security, unless it is told not to.
SECURE_VIEW = """DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW session_overview SET (security_invoker = true);
    END IF;
END $$"""


def upgrade() -> None:
    if _on_sqlite():
        op.execute(f"PRAGMA application_id = {sqlite_layout.APPLICATION_ID}")
        if not context.is_offline_mode():
            sqlite_layout.set_aside(sqlite_upgrade.driver(op.get_bind()))
    _create_sessions()
    _create_session_entries()
    _create_shared_states()
    op.execute(VIEW)
    if not _on_sqlite():
        op.execute(SECURE_VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW session_overview")
    op.drop_table("shared_states")
    op.drop_table("session_entries")
    op.drop_table("sessions")
    if _on_sqlite():
        op.execute("PRAGMA application_id = 0")
        if not context.is_offline_mode():
            sqlite_layout.put_back(sqlite_upgrade.driver(op.get_bind()))


def _on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column(
            "id", ROW_ID, nullable=False, comment="Surrogate key, used by session_entries only"
        ),
        sa.Column(
            "app_name", NAME, nullable=False, comment="Application that the session belongs to"
        ),
        sa.Column("user_id", NAME, nullable=False, comment="User that it belongs to"),
        sa.Column(
            "session_id", NAME, nullable=False, comment="Unique for one user of one application"
        ),
        sa.Column(
            "status",
            sa.String(16),
            nullable=False,
            comment="created, running (active), paused, completed or failed",
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="Grows by 1 with every write: the optimistic lock",
        ),
        sa.Column(
            "last_seq",
            sa.BigInteger(),
            nullable=False,
            comment="seq of the newest entry, 0 without entries",
        ),
        sa.Column("created_at", TIME, nullable=False, comment="When it was created, UTC"),
        sa.Column("updated_at", TIME, nullable=False, comment="When last written, UTC"),
        sa.Column("completed_at", TIME, comment="When it became completed, UTC"),
        sa.Column(
            "expires_at",
            TIME,
            comment="Its own end, if it has one, UTC; the general expiry is a setting",
        ),
        sa.Column(
            "metadata", JSON, nullable=False, comment="JSON object of labels: title, source, tags"
        ),
        sa.Column(
            "state", JSON, nullable=False, comment="JSON object: working memory of the application"
        ),
        sa.Column(
            "agent_states",
            JSON,
            nullable=False,
            comment="JSON object: one document for each agent name",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        sa.UniqueConstraint("app_name", "session_id", "user_id", name=op.f("uq_sessions_key")),
        sa.CheckConstraint(
            "status IN ('created', 'running', 'paused', 'completed', 'failed')",
            name=op.f("ck_sessions_status"),
        ),
        sa.CheckConstraint("version >= 0", name=op.f("ck_sessions_version")),
        sa.CheckConstraint("last_seq >= 0", name=op.f("ck_sessions_last_seq")),
        comment="Sessions: one conversation of one user in one application each",
    )
    op.create_index(op.f("ix_sessions_created_at"), "sessions", ["created_at"])
    op.create_index(
        op.f("ix_sessions_updated_at"),
        "sessions",
        ["updated_at", "status", "expires_at", "created_at", "app_name"],
    )
    op.create_index(op.f("ix_sessions_user"), "sessions", ["app_name", "user_id", "updated_at"])
    op.create_index(
        op.f("ix_sessions_expires_at"),
        "sessions",
        ["expires_at"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )


def _create_session_entries() -> None:
    op.create_table(
        "session_entries",
        sa.Column(
            "session",
            ROW_ID,
            nullable=False,
            comment="sessions.id of the session that it belongs to",
        ),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="1, 2, 3... without gaps"),
        sa.Column(
            "entry_id",
            NAME,
            nullable=False,
            comment="Unique in its session: a repeated write is recognised by it",
        ),
        sa.Column(
            "kind",
            sa.String(64),
            nullable=False,
            comment="message, event, artifact, checkpoint or the application's own",
        ),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="Version of the session that the entry came with",
        ),
        sa.Column("created_at", TIME, nullable=False, comment="When it was written, UTC"),
        sa.Column("payload", JSON, nullable=False, comment="Any JSON value: the content"),
        sa.PrimaryKeyConstraint("session", "seq", name=op.f("pk_session_entries")),
        sa.UniqueConstraint("session", "entry_id", name=op.f("uq_session_entries_entry_id")),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_session_entries_seq")),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.id"],
            name=op.f("fk_session_entries_session_sessions"),
            ondelete="CASCADE",
        ),
        comment="History of the sessions, append-only; removed with its session",
    )


def _create_shared_states() -> None:
    op.create_table(
        "shared_states",
        sa.Column("app_name", NAME, nullable=False, comment="Application whose sessions share it"),
        sa.Column(
            "user_id",
            NAME,
            nullable=False,
            comment="User whose sessions share it, '' for all users",
        ),
        sa.Column("updated_at", TIME, nullable=False, comment="When last written, UTC"),
        sa.Column("document", JSON, nullable=False, comment="JSON object"),
        sa.PrimaryKeyConstraint("app_name", "user_id", name=op.f("pk_shared_states")),
        comment="Documents shared by the sessions of an application or of one user in it",
    )
