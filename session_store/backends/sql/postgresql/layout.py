"""Recognising what a PostgreSQL database holds under our names: tables of ours, and at which
revision, or another program's. It only reads, with two statements, and needs neither SQLAlchemy
nor Alembic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from session_store.backends.sql.names import Names
from session_store.backends.sql.schema import REVISIONS, TABLES, VERSION_TABLE, VIEW
from session_store.errors import SchemaError

if TYPE_CHECKING:
    import psycopg

Query: TypeAlias = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a statement without parameters; its rows."""

_OURS: Final[Mapping[str, frozenset[str]]] = {
    "sessions": frozenset(("app_name", "session_id", "last_seq")),
    "session_entries": frozenset(("session", "seq", "entry_id")),
    "shared_states": frozenset(("app_name", "user_id", "document")),
    "session_counts": frozenset(("id", "total", "running")),
    "session_quarantine": frozenset(("id", "table_name", "reason", "content")),
    VIEW: frozenset(("app_name", "session_id", "last_seq")),
}
"""Columns by which a relation is known as ours, at whatever revision."""

_OTHERS: Final[Mapping[str, frozenset[str]]] = {
    "google-adk": frozenset(("app_name", "user_id", "id", "state", "create_time", "update_time")),
}
"""Columns of other programs' tables ``sessions``."""

_RELATIONS: Final = """
SELECT c.relname::text, n.nspname::text, ARRAY(
    SELECT a.attname::text FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname IN ({names}) AND {here}"""


class Relation(NamedTuple):
    schema: str
    columns: frozenset[str]


class Layout(NamedTuple):
    """What was found under our names in the database ``place``."""

    place: str
    names: Names
    relations: Mapping[str, Relation]
    revision: str | None
    """As recorded; ``None``: nothing is recorded."""

    def check_upgradable(self, known: Sequence[str] = REVISIONS) -> None:
        """``SchemaError`` for another program's tables, and for a revision that is not ``known``:
        neither may be touched."""
        if self.revision is not None and self.revision not in known:
            raise SchemaError(
                f"{self.place} is at revision {self.revision}, which this release does not know "
                f"(its newest is {known[-1]}): install the newer session-store that made it"
            )
        if stranger := next((name for name in self.relations if not self._is_ours(name)), None):
            raise SchemaError(
                f"{self.names.of(stranger)} in {self.place} is another program's table"
                f"{self._owner(stranger)}: give ours another schema (SESSION_POSTGRES_SCHEMA, "
                "--schema) or other names (SESSION_POSTGRES_TABLE_PREFIX, --prefix)"
            )

    def check_current(
        self, known: Sequence[str] = REVISIONS, relations: Sequence[str] = TABLES
    ) -> None:
        """``SchemaError``, with the command to run, unless the newest of the revisions is recorded
        and the ``relations`` are there."""
        self.check_upgradable(known)
        upgrade = f"run `{command(self.names, 'upgrade')}`"
        if self.revision is None:
            raise SchemaError(self._unrecorded(upgrade, known[-1]))
        if self.revision != known[-1]:
            raise SchemaError(
                f"{self.place} is at revision {self.revision}, and this release needs "
                f"{known[-1]}: {upgrade}"
            )
        if missing := [name for name in relations if name not in self.relations]:
            raise SchemaError(
                f"{self.place} is at revision {self.revision} but lacks "
                f"{', '.join(map(self.names.of, missing))}: restore a backup"
            )

    def _unrecorded(self, upgrade: str, newest: str) -> str:
        if not self.relations:
            return f"{self.place} has no session tables: {upgrade}"
        return (
            f"{self.place} has session tables but no record of their revision in "
            f"{self.names.of(VERSION_TABLE)}: restore that table too, or record it with "
            f"`{command(self.names, f'stamp {newest}')}` if you know it"
        )

    def _is_ours(self, name: str) -> bool:
        return self.relations[name].columns >= _OURS[name]

    def _owner(self, name: str) -> str:
        columns = self.relations[name].columns
        owners = (owner for owner, theirs in _OTHERS.items() if columns >= theirs)
        return f" ({next(owners, 'unknown')})"


def check_current(connection: psycopg.Connection[Any], names: Names, place: str) -> None:
    """``SchemaError``, with the command to run, unless the database has the tables of this release.

    ``connection`` is in autocommit mode; ``place`` is what the message calls the database.
    """
    layout(lambda text: connection.execute(text).fetchall(), names, place).check_current()


def layout(query: Query, names: Names, place: str) -> Layout:
    """What is there under our names."""
    rows = query(_RELATIONS.format(names=_listed(names), here=_here(names)))
    found = {
        name.removeprefix(names.prefix): Relation(schema, frozenset(columns))
        for name, schema, columns in rows
    }
    record = found.pop(VERSION_TABLE, None)
    return Layout(place, names, found, _recorded(query, names, record))


def command(names: Names, arguments: str) -> str:
    """``session-store db …`` for tables of these names; its URL is the setting's."""
    options = {"--schema": names.schema, "--prefix": names.prefix}
    given = (f" {option} {value}" for option, value in options.items() if value)
    return f"session-store db {arguments}{''.join(given)}"


def _recorded(query: Query, names: Names, record: Relation | None) -> str | None:
    if record is None:
        return None
    schema = record.schema.replace('"', '""')
    table = f'"{schema}".{names.prefix}{VERSION_TABLE}'
    rows = query(f"SELECT version_num FROM {table} ORDER BY 1")  # noqa: S608 - checked names
    return ", ".join(row[0] for row in rows) or None


def _listed(names: Names) -> str:
    return ", ".join(f"'{names.prefix}{name}'" for name in (*_OURS, VERSION_TABLE))


def _here(names: Names) -> str:
    if names.schema is None:
        return "pg_catalog.pg_table_is_visible(c.oid)"
    return f"n.nspname = '{names.schema}'"
