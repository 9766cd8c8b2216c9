"""The tables: the truth of the schema, with every name and comment.

Alembic compares revisions with them, ``statements`` are constructs over them, and the public
``session_store.models`` map them. Nothing here imports ``sqlalchemy.orm``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
)

from session_store.backends.sql import tables_ddl
from session_store.backends.sql.names import Names
from session_store.backends.sql.types import JsonText, StatusText, UtcDateTime
from session_store.session import Status

RowId: Final = BigInteger().with_variant(Integer(), "sqlite")
"""On SQLite only INTEGER PRIMARY KEY is the rowid itself and needs no second index."""

_UPDATED_PURPOSE: Final = "Lists by last write, statistics, and what is idle"

_DIGITS: Final = "[0-9]" * 2
_STORED_TIME: Final = (
    f"{_DIGITS * 2}-{_DIGITS}-{_DIGITS}T{_DIGITS}:{_DIGITS}:{_DIGITS}.{_DIGITS * 3}Z"
)
_IS_STORED_TIME: Final = f"typeof({{0}}) = 'text' AND {{0}} GLOB '{_STORED_TIME}'"
"""Another width or kind would not sort as time does, and look expired, or like a page's end."""

_TIMES: Final = "created_at, updated_at, completed_at, expires_at"
_ARE_TIMES: Final = (
    f"least({_TIMES}) >= '0001-01-01 00:00:00+00' "
    f"AND greatest({_TIMES}) <= '9999-12-31 23:59:59.999999+00'"
)
"""Not infinity, which is a time for PostgreSQL and for nobody else."""


class Tables(NamedTuple):
    """Those of a store, as they are called in its database."""

    sessions: Table
    entries: Table
    shared: Table
    counts: Table
    quarantine: Table

    @property
    def metadata(self) -> MetaData:
        return self.sessions.metadata


@lru_cache
def tables_of(names: Names, dialect: str | None = None) -> Tables:
    """The tables with the schema and the prefix of ``names``.

    Each part knows for which dialect it is; with ``dialect`` those of others are left out, as
    Alembic, which compares them with what a database has, does not ask.
    """
    made = _Maker(names, dialect).tables()
    tables_ddl.add_to(made.metadata, names)
    return made


class _Maker:
    """Makes the tables of one store."""

    def __init__(self, names: Names, dialect: str | None) -> None:
        self._prefix, self._dialect = names.prefix, dialect
        self._metadata = MetaData(schema=names.schema)

    def tables(self) -> Tables:
        return Tables(
            self._sessions(), self._entries(), self._shared(), self._counts(), self._quarantine()
        )

    def _sessions(self) -> Table:
        table = self._table(
            "sessions",
            "Sessions: one conversation of one user in one application each",
            self._row_id("Surrogate key, which no other session ever gets: for foreign keys to it"),
            _required("app_name", _id(), comment="Application that the session belongs to"),
            _required("user_id", _id(), comment="User that it belongs to"),
            _required("session_id", _id(), comment="Unique for one user of one application"),
            _required(
                "status",
                StatusText,
                comment="created, running (active), paused, completed or failed",
            ),
            _required(
                "version", BigInteger, comment="Grows by 1 with every write: the optimistic lock"
            ),
            _required("last_seq", BigInteger, comment="seq of the newest entry, 0 without entries"),
            _required("created_at", UtcDateTime, comment="When it was created, UTC"),
            _required("updated_at", UtcDateTime, comment="When last written, UTC"),
            Column("completed_at", UtcDateTime, comment="When it became completed, UTC"),
            Column(
                "expires_at",
                UtcDateTime,
                comment="Its own end, if it has one, UTC; the general expiry is a setting",
            ),
            # The documents stand last, the smallest first: what stands before a long one is read
            # without reading it.
            _required("metadata", JsonText, comment="JSON object of labels: title, source, tags"),
            _required("state", JsonText, comment="JSON object: working memory of the application"),
            _required(
                "agent_states", JsonText, comment="JSON object: one document for each agent name"
            ),
            self._primary_key("sessions", "id"),
            # In this order, so that looking up a session without its user needs no other index.
            self._unique(
                "uq_sessions_key",
                ("app_name", "session_id", "user_id"),
                "A session by its key, or without its user",
            ),
            self._check(
                "sessions",
                "status",
                f"status IN ({', '.join(repr(status.value) for status in Status)})",
            ),
            self._check("sessions", "version", "version >= 0"),
            self._check("sessions", "last_seq", "last_seq >= 0"),
            *self._time_checks(),
            # Numbers never come again: a deleted session's would bring its entries with it.
            sqlite_autoincrement=True,
        )
        self._add_session_indexes(table)
        return table

    def _add_session_indexes(self, table: Table) -> None:
        self._index(
            table,
            ("created_at",),
            "Lists by creation, statistics, what is past an absolute end",
            # PostgreSQL counts in it, which is in the order of the table.
            postgresql_include=["status"],
        )
        # What is written with every write is narrow on PostgreSQL: with the columns of SQLite's it
        # takes 74 MB of 1,000,000 sessions instead of 30, and counting 250 ms instead of 120.
        self._index(table, ("updated_at", "app_name"), _UPDATED_PURPOSE, only_on="postgresql")
        # Holds all that lists and counts ask before they need a row. SQLite, 1,000,000 sessions:
        # counting takes 90 to 150 ms, without the last columns 1.6 s. An index on (status,
        # updated_at) beside a plain one counts as fast, but would be one more that moves.
        self._index(
            table,
            ("updated_at", "status", "expires_at", "created_at", "app_name"),
            _UPDATED_PURPOSE,
            only_on="sqlite",
        )
        self._index(
            table,
            # Before the application: a page of a user in all of them is the first 50 entries, with
            # it in between 1,000 were sorted for that.
            ("user_id", "updated_at", "app_name"),
            "Sessions of a user",
            name="ix_sessions_user",
        )
        self._index(
            table,
            ("expires_at",),
            "What is past its own end",
            sqlite_where=text("expires_at IS NOT NULL"),
            postgresql_where=text("expires_at IS NOT NULL"),
        )

    def _entries(self) -> Table:
        # With a rowid on SQLite. WITHOUT ROWID keeps a quarter page of a row in the tree and the
        # rest on a page of its own: 20,000 payloads of 1 KB took 95 MB instead of 29, an insert
        # 153 us instead of 127, loading 100 of them 234 us instead of 193. (At 300 bytes it loads
        # 2x faster.)
        return self._table(
            "session_entries",
            "History of the sessions, append-only; removed with its session",
            _required("session", RowId, comment="sessions.id of the session that it belongs to"),
            _required("seq", BigInteger, autoincrement=False, comment="1, 2, 3... without gaps"),
            _required(
                "entry_id",
                _id(),
                comment="Unique in its session: a repeated write is recognised by it",
            ),
            _required(
                "kind",
                String(64),
                comment="message, event, artifact, checkpoint or the application's own",
            ),
            _required(
                "version",
                BigInteger,
                comment="Version of the session that the entry came with",
            ),
            _required("created_at", UtcDateTime, comment="When it was written, UTC"),
            _required("payload", JsonText, comment="Any JSON value: the content"),
            self._primary_key("session_entries", "session", "seq"),
            self._unique(
                "uq_session_entries_entry_id",
                ("session", "entry_id"),
                "An entry by its id: a repeated write is recognised",
            ),
            self._check("session_entries", "seq", "seq >= 1"),
            ForeignKeyConstraint(
                ["session"],
                [self._target("sessions.id")],
                name=f"{self._prefix}fk_session_entries_session_sessions",
                ondelete="CASCADE",
            ),
        )

    def _shared(self) -> Table:
        return self._table(
            "shared_states",
            "Documents shared by the sessions of an application or of one user in it",
            _required("app_name", _id(), comment="Application whose sessions share it"),
            _required("user_id", _id(), comment="User whose sessions share it, '' for all users"),
            _required("updated_at", UtcDateTime, comment="When last written, UTC"),
            _required("document", JsonText, comment="JSON object"),
            self._primary_key("shared_states", "app_name", "user_id"),
        )

    def _counts(self) -> Table:
        """Some of the sessions that there are; on SQLite, all. See ``counts_ddl``."""
        return self._table(
            "session_counts",
            "How many sessions there are, in parts; kept by triggers on sessions",
            self._row_id("Number of the row, used by its triggers only"),
            _required(
                "total",
                BigInteger,
                comment="Sessions written less sessions removed: the sum is how many there are",
            ),
            _required(
                "running",
                BigInteger,
                comment="The same of running ones: the sum is how many of them run",
            ),
            self._primary_key("session_counts", "id"),
        )

    def _quarantine(self) -> Table:
        return self._table(
            "session_quarantine",
            "Rows that stood where they can't be right: kept aside, and never shown",
            self._row_id("Number of the row"),
            _required("table_name", String(64), comment="Table that the row stood in"),
            _required("reason", String(64), comment="orphan: of no session; time: a wrong one"),
            _required("found_at", UtcDateTime, comment="When it was set aside, UTC"),
            _required("content", JsonText, comment="JSON object: the row, as it was"),
            self._primary_key("session_quarantine", "id"),
        )

    def _table(self, name: str, comment: str, *parts: Any, **more: Any) -> Table:
        wanted = (part for part in parts if self._is_wanted(getattr(part, "info", {})))
        return Table(f"{self._prefix}{name}", self._metadata, *wanted, comment=comment, **more)

    def _row_id(self, comment: str) -> Column[Any]:
        """SQLite numbers its rows itself, and Alembic 1.16 would miss an identity there."""
        identity = () if self._dialect == "sqlite" else (Identity(),)
        return Column("id", RowId, *identity, primary_key=True, comment=comment)

    def _primary_key(self, table: str, *columns: str) -> PrimaryKeyConstraint:
        return PrimaryKeyConstraint(*columns, name=f"{self._prefix}pk_{table}")

    def _unique(self, name: str, columns: tuple[str, ...], purpose: str) -> UniqueConstraint:
        name = f"{self._prefix}{name}"
        return UniqueConstraint(*columns, name=name, info={"purpose": purpose})

    def _check(
        self, table: str, name: str, condition: str, only_on: str | None = None
    ) -> CheckConstraint:
        made = CheckConstraint(condition, name=f"{self._prefix}ck_{table}_{name}")
        if only_on is None:
            return made
        made.info["dialect"] = only_on
        _limit(made, only_on)
        return made

    def _time_checks(self) -> Iterator[CheckConstraint]:
        """SQLite looks at those of the columns that an UPDATE names. PostgreSQL at all, and each
        takes 5 us: so there it is one."""
        for name in _TIMES.split(", "):
            held = _IS_STORED_TIME.format(name)
            if name in ("completed_at", "expires_at"):
                held = f"{name} IS NULL OR {held}"
            yield self._check("sessions", name, held, only_on="sqlite")
        yield self._check("sessions", "times", _ARE_TIMES, only_on="postgresql")

    def _index(
        self,
        table: Table,
        columns: tuple[str, ...],
        purpose: str,
        *,
        name: str | None = None,
        only_on: str | None = None,
        **more: Any,
    ) -> None:
        info = {"purpose": purpose} | ({} if only_on is None else {"dialect": only_on})
        if not self._is_wanted(info):
            return
        own = f"{self._prefix}{name or f'ix_sessions_{columns[0]}'}"
        made = Index(own, *(table.c[column] for column in columns), info=info, **more)
        if only_on is not None:
            _limit(made, only_on)

    def _target(self, column: str) -> str:
        schema = self._metadata.schema
        return f"{self._prefix}{column}" if schema is None else f"{schema}.{self._prefix}{column}"

    def _is_wanted(self, info: dict[str, Any]) -> bool:
        only_on = info.get("dialect")
        return self._dialect is None or only_on in (None, self._dialect)


def _required(name: str, type_: Any, **more: Any) -> Column[Any]:
    return Column(name, type_, nullable=False, **more)


def _limit(part: CheckConstraint | Index, only_on: str) -> None:
    """For PostgreSQL means: for what is spoken to as PostgreSQL is."""
    if only_on == "sqlite":
        part.ddl_if(dialect="sqlite")
    else:
        part.ddl_if(callable_=_is_not_sqlite)


def _is_not_sqlite(*_: Any, dialect: Any, **__: Any) -> bool:
    return str(dialect.name) != "sqlite"


def _id() -> String:
    """Compared byte by byte everywhere, so that pages are in the same order on every back end."""
    return String(255).with_variant(String(255, collation="C"), "postgresql")
