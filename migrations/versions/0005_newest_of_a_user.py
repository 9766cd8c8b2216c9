"""The newest sessions of a user are the first of an index, in whatever application

On PostgreSQL those who write wait while the index is made, those who read do not: dropping the old
one first would keep everybody out for so long. The lock is one that no writer has half of, so
that the last step waits for nobody who waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

from session_store.backends.sql.revising import of, on_sqlite, own, schema

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_sessions_user"
NEXT = "ix_sessions_user_next"


def upgrade() -> None:
    _replace("user_id", "updated_at", "app_name")


def downgrade() -> None:
    _replace("user_id", "app_name", "updated_at")


def _replace(*columns: str) -> None:
    if on_sqlite():
        _drop()
        _create(INDEX, *columns)
        return
    op.execute(f"LOCK TABLE {of('sessions')} IN EXCLUSIVE MODE")
    _create(NEXT, *columns)
    op.execute(f"COMMENT ON INDEX {of(NEXT)} IS 'Sessions of a user'")
    _drop()
    op.execute(f"ALTER INDEX {of(NEXT)} RENAME TO {own(INDEX)}")


def _create(name: str, *columns: str) -> None:
    op.create_index(op.f(own(name)), own("sessions"), columns, schema=schema())


def _drop() -> None:
    op.drop_index(op.f(own(INDEX)), own("sessions"), schema=schema())
