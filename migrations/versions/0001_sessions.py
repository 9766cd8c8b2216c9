"""Sessions, their history, and the documents that sessions share"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

from session_store.backends.sql.revising import is_alone, of, on_sqlite, own, schema
from session_store.backends.sql.sqlite import layout as sqlite_layout
from session_store.backends.sql.sqlite import upgrade as sqlite_upgrade

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
JSON = sa.Text().with_variant(postgresql.JSON(), "postgresql")
NAME = sa.String(255).with_variant(sa.String(255, collation="C"), "postgresql")

VIEW = """CREATE VIEW {view} AS
SELECT app_name, user_id, session_id, status, version, last_seq,
       created_at, updated_at, completed_at, expires_at
FROM {sessions}"""

# A view runs with its owner's rights, past row-level security, unless it is told not to.
SECURE_VIEW = """DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW {view} SET (security_invoker = true);
    END IF;
END $$"""

# How the tables are stored and vacuumed; the reasons are in tables_ddl.py.
VACUUM = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05"
STORAGE = (
    f"ALTER TABLE {{sessions}} SET ({VACUUM})",
    f"ALTER TABLE {{entries}} SET ({VACUUM}, autovacuum_vacuum_insert_scale_factor = 0.1)",
    """DO $$ BEGIN
    IF 'lz4' = ANY ((SELECT enumvals FROM pg_settings
                     WHERE name = 'default_toast_compression')::text[]) THEN
        ALTER TABLE {sessions}
            ALTER metadata SET COMPRESSION lz4,
            ALTER state SET COMPRESSION lz4,
            ALTER agent_states SET COMPRESSION lz4;
        ALTER TABLE {entries} ALTER payload SET COMPRESSION lz4;
        ALTER TABLE {shared} ALTER document SET COMPRESSION lz4;
    END IF;
END $$""",
)

COMMENTS = {
    "VIEW session_overview": "Sessions without their documents and history, for people who look",
    "INDEX ix_sessions_created_at": "Lists by creation, statistics, what is past an absolute end",
    "INDEX ix_sessions_expires_at": "What is past its own end",
    "INDEX ix_sessions_updated_at": "Lists by last write, statistics, and what is idle",
    "INDEX ix_sessions_user": "Sessions of a user",
    "INDEX uq_session_entries_entry_id": "An entry by its id: a repeated write is recognised",
    "INDEX uq_sessions_key": "A session by its key, or without its user",
}


def upgrade() -> None:
    if on_sqlite() and is_alone():
        op.execute(f"PRAGMA application_id = {sqlite_layout.APPLICATION_ID}")
        if not context.is_offline_mode():
            sqlite_layout.set_aside(sqlite_upgrade.driver(op.get_bind()))
    _create_sessions()
    _create_session_entries()
    _create_shared_states()
    _execute(VIEW)
    if not on_sqlite():
        for statement in (SECURE_VIEW, *STORAGE):
            _execute(statement)
        _comment()


def downgrade() -> None:
    _execute("DROP VIEW {view}")
    for table in ("shared_states", "session_entries", "sessions"):
        op.drop_table(own(table), schema=schema())
    if on_sqlite() and is_alone():
        op.execute("PRAGMA application_id = 0")
        if not context.is_offline_mode():
            sqlite_layout.put_back(sqlite_upgrade.driver(op.get_bind()))


def _execute(statement: str) -> None:
    names = {
        "sessions": "sessions",
        "entries": "session_entries",
        "shared": "shared_states",
        "view": "session_overview",
    }
    op.execute(statement.format(**{short: of(name) for short, name in names.items()}))


def _comment() -> None:
    for what, comment in COMMENTS.items():
        kind, _, name = what.partition(" ")
        op.execute(f"COMMENT ON {kind} {of(name)} IS '{comment}'")


def _create_sessions() -> None:
    op.create_table(
        own("sessions"),
        sa.Column(
            "id",
            ROW_ID,
            sa.Identity(),
            nullable=False,
            comment="Surrogate key, used by session_entries only",
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
        sa.PrimaryKeyConstraint("id", name=op.f(own("pk_sessions"))),
        sa.UniqueConstraint("app_name", "session_id", "user_id", name=op.f(own("uq_sessions_key"))),
        sa.CheckConstraint(
            "status IN ('created', 'running', 'paused', 'completed', 'failed')",
            name=op.f(own("ck_sessions_status")),
        ),
        sa.CheckConstraint("version >= 0", name=op.f(own("ck_sessions_version"))),
        sa.CheckConstraint("last_seq >= 0", name=op.f(own("ck_sessions_last_seq"))),
        comment="Sessions: one conversation of one user in one application each",
        schema=schema(),
    )
    _create_index("ix_sessions_created_at", "created_at", include=["status"])
    rest = ("status", "expires_at", "created_at") if on_sqlite() else ()
    _create_index("ix_sessions_updated_at", "updated_at", *rest, "app_name")
    _create_index("ix_sessions_user", "app_name", "user_id", "updated_at")
    where = sa.text("expires_at IS NOT NULL")
    _create_index("ix_sessions_expires_at", "expires_at", where=where)


def _create_index(
    name: str, *columns: str, where: sa.TextClause | None = None, include: Sequence[str] = ()
) -> None:
    op.create_index(
        op.f(own(name)),
        own("sessions"),
        columns,
        schema=schema(),
        sqlite_where=where,
        postgresql_where=where,
        postgresql_include=include or None,
    )


def _create_session_entries() -> None:
    target = ".".join(filter(None, (schema(), own("sessions"))))
    op.create_table(
        own("session_entries"),
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
        sa.PrimaryKeyConstraint("session", "seq", name=op.f(own("pk_session_entries"))),
        sa.UniqueConstraint("session", "entry_id", name=op.f(own("uq_session_entries_entry_id"))),
        sa.CheckConstraint("seq >= 1", name=op.f(own("ck_session_entries_seq"))),
        sa.ForeignKeyConstraint(
            ["session"],
            [f"{target}.id"],
            name=op.f(own("fk_session_entries_session_sessions")),
            ondelete="CASCADE",
        ),
        comment="History of the sessions, append-only; removed with its session",
        schema=schema(),
    )


def _create_shared_states() -> None:
    op.create_table(
        own("shared_states"),
        sa.Column("app_name", NAME, nullable=False, comment="Application whose sessions share it"),
        sa.Column(
            "user_id",
            NAME,
            nullable=False,
            comment="User whose sessions share it, '' for all users",
        ),
        sa.Column("updated_at", TIME, nullable=False, comment="When last written, UTC"),
        sa.Column("document", JSON, nullable=False, comment="JSON object"),
        sa.PrimaryKeyConstraint("app_name", "user_id", name=op.f(own("pk_shared_states"))),
        comment="Documents shared by the sessions of an application or of one user in it",
        schema=schema(),
    )
