"""The tables, as SQLAlchemy models: the truth of the schema, with every name and comment.

Alembic compares revisions with them; people read them and may query with them. The repository
itself sends the texts of ``statements`` and never imports this module, because importing SQLAlchemy
takes longer than opening a store and reading a session.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator, TypeEngine

from session_store.backends.sql import tables_ddl
from session_store.core import codec
from session_store.session import Status

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; on SQLite, which has no type for it, the codec's text of one width."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None or dialect.name != "sqlite":
            return value
        return codec.encode_time(codec.utc(value, "time"))

    def process_result_value(self, value: object, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):
            return codec.decode_time(value, "time")
        return value if isinstance(value, datetime) else None


RowId = BigInteger().with_variant(Integer(), "sqlite")
"""On SQLite only INTEGER PRIMARY KEY is the rowid itself and needs no second index."""

# Not JSONB: it reorders keys, changes numbers, and refuses values that the other back ends keep.
JsonText = Text().with_variant(postgresql.JSON(), "postgresql")


def _is_not_sqlite(*_: Any, dialect: Dialect, **__: Any) -> bool:
    return dialect.name != "sqlite"


UPDATED_PURPOSE: Final = "Lists by last write, statistics, and what is idle"


def _identifier(length: int) -> String:
    """Compared byte by byte everywhere, so that pages are in the same order on every back end."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class SessionRow(Base):
    """One conversation of one user in one application: its head and its documents."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(
        RowId, Identity(), primary_key=True, comment="Surrogate key, used by session_entries only"
    )
    app_name: Mapped[str] = mapped_column(
        _identifier(255), comment="Application that the session belongs to"
    )
    user_id: Mapped[str] = mapped_column(_identifier(255), comment="User that it belongs to")
    session_id: Mapped[str] = mapped_column(
        _identifier(255), comment="Unique for one user of one application"
    )
    status: Mapped[str] = mapped_column(
        String(16), comment="created, running (active), paused, completed or failed"
    )
    version: Mapped[int] = mapped_column(
        BigInteger, comment="Grows by 1 with every write: the optimistic lock"
    )
    last_seq: Mapped[int] = mapped_column(
        BigInteger, comment="seq of the newest entry, 0 without entries"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, comment="When it was created, UTC")
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, comment="When last written, UTC")
    completed_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="When it became completed, UTC"
    )
    expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="Its own end, if it has one, UTC; the general expiry is a setting"
    )
    # "metadata" is taken in a declarative class. The documents stand last, the smallest first:
    # what stands before a long one is read without reading it.
    labels: Mapped[str] = mapped_column(
        "metadata", JsonText, comment="JSON object of labels: title, source, tags"
    )
    state: Mapped[str] = mapped_column(
        JsonText, comment="JSON object: working memory of the application"
    )
    agent_states: Mapped[str] = mapped_column(
        JsonText, comment="JSON object: one document for each agent name"
    )

    entries: Mapped[list[EntryRow]] = relationship(
        back_populates="owner", order_by="EntryRow.seq", passive_deletes=True
    )

    __table_args__ = (
        # In this order, so that looking up a session without its user needs no other index.
        UniqueConstraint(
            "app_name",
            "session_id",
            "user_id",
            name="uq_sessions_key",
            info={"purpose": "A session by its key, or without its user"},
        ),
        CheckConstraint(
            f"status IN ({', '.join(repr(status.value) for status in Status)})", name="status"
        ),
        CheckConstraint("version >= 0", name="version"),
        CheckConstraint("last_seq >= 0", name="last_seq"),
        Index(
            "ix_sessions_created_at",
            "created_at",
            # PostgreSQL counts in it, which is in the order of the table.
            postgresql_include=["status"],
            info={"purpose": "Lists by creation, statistics, what is past an absolute end"},
        ),
        # What is written with every write is narrow on PostgreSQL: with the columns of SQLite's it
        # takes 74 MB of 1,000,000 sessions instead of 30, and counting 250 ms instead of 120.
        Index(
            "ix_sessions_updated_at",
            "updated_at",
            "app_name",
            info={"purpose": UPDATED_PURPOSE, "dialect": "postgresql"},
        ).ddl_if(callable_=_is_not_sqlite),
        # Holds all that lists and counts ask before they need a row. SQLite, 1,000,000 sessions:
        # counting takes 90 to 150 ms, without the last columns 1.6 s. An index on (status,
        # updated_at) beside a plain one counts as fast, but would be one more that moves.
        Index(
            "ix_sessions_updated_at",
            "updated_at",
            "status",
            "expires_at",
            "created_at",
            "app_name",
            info={"purpose": UPDATED_PURPOSE, "dialect": "sqlite"},
        ).ddl_if(dialect="sqlite"),
        Index(
            "ix_sessions_user",
            "user_id",
            "updated_at",  # before the application: a page of a user in all of them is the first 50
            "app_name",  # entries, with it in between 1,000 were sorted for that
            info={"purpose": "Sessions of a user"},
        ),
        Index(
            "ix_sessions_expires_at",
            "expires_at",
            sqlite_where=text("expires_at IS NOT NULL"),
            postgresql_where=text("expires_at IS NOT NULL"),
            info={"purpose": "What is past its own end"},
        ),
        {"comment": "Sessions: one conversation of one user in one application each"},
    )


class EntryRow(Base):
    """One item of the append-only history of a session."""

    __tablename__ = "session_entries"

    session: Mapped[int] = mapped_column(
        RowId,
        ForeignKey("sessions.id", ondelete="CASCADE"),
        primary_key=True,
        comment="sessions.id of the session that it belongs to",
    )
    seq: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3... without gaps"
    )
    entry_id: Mapped[str] = mapped_column(
        _identifier(255), comment="Unique in its session: a repeated write is recognised by it"
    )
    kind: Mapped[str] = mapped_column(
        String(64), comment="message, event, artifact, checkpoint or the application's own"
    )
    version: Mapped[int] = mapped_column(
        BigInteger, comment="Version of the session that the entry came with"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, comment="When it was written, UTC")
    payload: Mapped[str] = mapped_column(JsonText, comment="Any JSON value: the content")

    owner: Mapped[SessionRow] = relationship(back_populates="entries")

    # With a rowid on SQLite. WITHOUT ROWID keeps a quarter page of a row in the tree and the rest
    # on a page of its own: 20,000 payloads of 1 KB took 95 MB instead of 29, an insert 153 us
    # instead of 127, loading 100 of them 234 us instead of 193. (At 300 bytes it loads 2x faster.)
    __table_args__ = (
        UniqueConstraint(
            "session",
            "entry_id",
            name="uq_session_entries_entry_id",
            info={"purpose": "An entry by its id: a repeated write is recognised"},
        ),
        CheckConstraint("seq >= 1", name="seq"),
        {"comment": "History of the sessions, append-only; removed with its session"},
    )


class SharedRow(Base):
    """A JSON document shared by the sessions of an application, or of one user in it."""

    __tablename__ = "shared_states"

    app_name: Mapped[str] = mapped_column(
        _identifier(255), primary_key=True, comment="Application whose sessions share it"
    )
    user_id: Mapped[str] = mapped_column(
        _identifier(255), primary_key=True, comment="User whose sessions share it, '' for all users"
    )
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, comment="When last written, UTC")
    document: Mapped[str] = mapped_column(JsonText, comment="JSON object")

    __table_args__ = (
        {"comment": "Documents shared by the sessions of an application or of one user in it"},
    )


class CountsRow(Base):
    """Some of the sessions that there are; on SQLite, all. See ``counts_ddl``."""

    __tablename__ = "session_counts"

    id: Mapped[int] = mapped_column(
        RowId, Identity(), primary_key=True, comment="Number of the row, used by its triggers only"
    )
    total: Mapped[int] = mapped_column(
        BigInteger, comment="Sessions written less sessions removed: the sum is how many there are"
    )
    running: Mapped[int] = mapped_column(
        BigInteger, comment="The same of running ones: the sum is how many of them run"
    )

    __table_args__ = (
        {"comment": "How many sessions there are, in parts; kept by triggers on sessions"},
    )


tables_ddl.add_to(Base.metadata)
