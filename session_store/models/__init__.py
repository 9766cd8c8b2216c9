"""The tables as SQLAlchemy's ORM sees them: to ask them whatever the service has no call for, and
to join them with tables of yours.

    with Session(engine) as db:
        asked = select(SessionRow).where(SessionRow.state["question"].as_integer() > 3)
        for row in db.scalars(asked.options(selectinload(SessionRow.entries))):
            print(row, len(row.entries))

What is written through them keeps the rules of the service, or is refused: ``rules`` has them for
what a flush writes, ``refusals`` the statements that no flush sees. ``docs/models.md`` says what
neither can see.
"""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any, Final, NamedTuple

from sqlalchemy.orm import DeclarativeBase

from session_store.backends.sql.names import Names, checked_names
from session_store.backends.sql.tables import tables_of
from session_store.models import refusals
from session_store.models.columns import EntryColumns, SessionColumns, SharedColumns, relate

__all__ = ["EntryRow", "Models", "SessionRow", "SharedRow", "models_for"]


_tables: Final = tables_of(Names())


class Base(DeclarativeBase):
    """Of the tables with their own names."""

    metadata = _tables.metadata


class SessionRow(SessionColumns, Base):
    """A session: a row of ``sessions``. Times are aware UTC, documents Python objects.

    A document is changed by its top-level keys, ``row.state["question"] = 4``, or set whole: a
    change further inside is not noticed.
    """

    __table__ = _tables.sessions


class EntryRow(EntryColumns, Base):
    """An entry of a history: a row of ``session_entries``, for reading only."""

    __table__ = _tables.entries


class SharedRow(SharedColumns, Base):
    """A document shared by an application (``user_id`` is ``""``) or by a user's sessions in it: a
    row of ``shared_states``."""

    __table__ = _tables.shared


relate(SessionRow, EntryRow, SharedRow)
refusals.listen()


class Models(NamedTuple):
    """The classes of the tables of one store."""

    SessionRow: type[SessionRow]
    EntryRow: type[EntryRow]
    SharedRow: type[SharedRow]


def models_for(schema: str | None = None, prefix: str = "") -> Models:
    """The models of the tables in a ``schema``, or whose names begin with ``prefix``.

    Each store has classes of its own, always the same; without arguments they are this module's.
    ``SettingsError`` for names that no store can have.
    """
    with _lock:
        return _models(checked_names(schema, prefix))


_lock: Final = Lock()


@cache
def _models(names: Names) -> Models:
    if names == Names():
        return Models(SessionRow, EntryRow, SharedRow)
    tables = tables_of(names)
    base = type("Base", (DeclarativeBase,), {"metadata": tables.metadata})
    made: list[Any] = [
        type(row.__name__, (columns, base), {"__doc__": row.__doc__, "__table__": table})
        for row, columns, table in (
            (SessionRow, SessionColumns, tables.sessions),
            (EntryRow, EntryColumns, tables.entries),
            (SharedRow, SharedColumns, tables.shared),
        )
    ]
    relate(*made)
    return Models(*made)
