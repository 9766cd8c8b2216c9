"""What the rows of each table are: their attributes, how they show themselves, how they belong
together. Written once for the tables of every store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, inspect
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import InstanceState, Mapped, column_property, declared_attr, relationship

from session_store.errors import InvalidValueError, ModelWriteError
from session_store.models import rules
from session_store.session import Status

if TYPE_CHECKING:
    from session_store.models import EntryRow, SessionRow, SharedRow


class Document(MutableDict[str, Any]):
    """A JSON object that says when one of its keys was set or removed."""

    @classmethod
    def coerce(cls, key: str, value: Any) -> MutableDict[str, Any] | None:
        if value is not None and not isinstance(value, dict):
            raise InvalidValueError(key, f"must be a JSON object, not {type(value).__name__}")
        return super().coerce(key, value)


class SessionColumns:
    """Of ``sessions``."""

    id: Mapped[int]
    app_name: Mapped[str]
    user_id: Mapped[str]
    session_id: Mapped[str]
    status: Mapped[Status]
    version: Mapped[int]
    last_seq: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    labels: Mapped[dict[str, Any]]
    """The column ``metadata``: SQLAlchemy has that name for itself."""
    state: Mapped[dict[str, Any]]
    agent_states: Mapped[dict[str, dict[str, Any]]]
    entries: Mapped[list[EntryRow]]
    """In the order of ``seq``, for reading only."""

    if not TYPE_CHECKING:

        @declared_attr.directive
        def __mapper_args__(cls) -> dict[str, Any]:
            table = cls.__table__
            names = {"metadata": "labels"}
            return {
                # What a change is measured against is read before it, in one go with the version.
                "properties": {
                    names.get(column.key, column.key): column_property(column, active_history=True)
                    for column in table.c
                },
                # In the WHERE of each UPDATE and DELETE: what somebody wrote meanwhile is not lost.
                "version_id_col": table.c.version,
                "version_id_generator": _next_version,
            }

    def __setattr__(self, name: str, value: Any) -> None:
        """``metadata`` would be set, and never written."""
        if name == "metadata":
            raise ModelWriteError("the metadata of a session are the attribute labels: set those")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return _shown(self, "{app_name!r}/{user_id!r}/{session_id!r} {status}, version {version}")


class EntryColumns:
    """Of ``session_entries``."""

    session_row_id: Mapped[int]
    """The column ``session``: ``SessionRow.id`` of the session that it belongs to."""
    seq: Mapped[int]
    entry_id: Mapped[str]
    kind: Mapped[str]
    version: Mapped[int]
    created_at: Mapped[datetime]
    payload: Mapped[Any]
    session: Mapped[SessionRow]
    """For reading only."""

    if not TYPE_CHECKING:

        @declared_attr.directive
        def __mapper_args__(cls) -> dict[str, Any]:
            return {"properties": {"session_row_id": cls.__table__.c.session}}

    def __repr__(self) -> str:
        form = "{seq} {kind!r} {entry_id!r}, version {version} of SessionRow {session_row_id}"
        return _shown(self, form)


class SharedColumns:
    """Of ``shared_states``."""

    app_name: Mapped[str]
    user_id: Mapped[str]
    """``""`` for all users of the application."""
    updated_at: Mapped[datetime]
    document: Mapped[dict[str, Any]]

    if not TYPE_CHECKING:

        @declared_attr.directive
        def __mapper_args__(cls) -> dict[str, Any]:
            table = cls.__table__
            return {
                "properties": {
                    column.key: column_property(column, active_history=True) for column in table.c
                },
                # It has no version, and each write sets this.
                "version_id_col": table.c.updated_at,
                "version_id_generator": _next_time,
            }

    def __repr__(self) -> str:
        return _shown(self, "{app_name!r}/{user_id!r}, updated at {updated_at}")


def relate(session: type[SessionRow], entry: type[EntryRow], shared: type[SharedRow]) -> None:
    """Let the classes of one store belong together, and notice what is changed in place."""
    session.entries = relationship(entry, viewonly=True, order_by=entry.seq)
    entry.session = relationship(session, viewonly=True)
    for name in ("append", "remove", "bulk_replace"):
        event.listen(session.entries, name, rules.refuse_entries)
    event.listen(entry.session, "set", rules.refuse_entries)
    for document in (session.labels, session.state, session.agent_states, shared.document):
        Document.associate_with_attribute(document)


def _next_version(version: int | None) -> int:
    return 1 if version is None else version + 1


def _next_time(before: datetime | None) -> datetime:
    """Never the same twice, which would be the same version."""
    now = datetime.now(UTC)
    return now if before is None else max(now, before + timedelta(microseconds=1))


def _shown(row: object, form: str) -> str:
    """As far as the row is known: to show it asks the database nothing."""
    state: InstanceState[Any] = inspect(row, raiseerr=True)
    name = type(row).__name__
    if state.identity and state.expired:
        return f"<{name} of primary key {'/'.join(map(repr, state.identity))}, expired>"
    return f"<{name} {form.format_map(_Known(state.dict))}>"


class _Known(dict[str, Any]):
    def __missing__(self, name: str) -> _Unknown:
        return _Unknown()


class _Unknown:
    def __repr__(self) -> str:
        return "?"


for _columns, _rules in (
    (SessionColumns, rules.SESSION),
    (EntryColumns, rules.ENTRY),
    (SharedColumns, rules.SHARED),
):
    for _name, _rule in _rules.items():
        event.listen(_columns, _name, _rule, propagate=True)
