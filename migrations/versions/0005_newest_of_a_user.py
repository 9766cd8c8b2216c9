"""The newest sessions of a user are the first of an index, in whatever application"""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

from session_store.backends.sql.revising import of, on_sqlite, own, schema

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

INDEX = "ix_sessions_user"


def upgrade() -> None:
    _replace("user_id", "updated_at", "app_name")


def downgrade() -> None:
    _replace("user_id", "app_name", "updated_at")


def _replace(*columns: str) -> None:
    op.drop_index(op.f(own(INDEX)), own("sessions"), schema=schema())
    op.create_index(op.f(own(INDEX)), own("sessions"), columns, schema=schema())
    if not on_sqlite():
        op.execute(f"COMMENT ON INDEX {of(INDEX)} IS 'Sessions of a user'")
