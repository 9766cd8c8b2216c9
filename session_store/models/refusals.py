"""Statements that would write rows of ours past the rules, because no flush sees them."""

from __future__ import annotations

from sqlalchemy import event
from sqlalchemy.orm import ORMExecuteState, Session

from session_store.errors import ModelWriteError
from session_store.models.columns import EntryColumns, SessionColumns, SharedColumns
from session_store.models.rules import refuse_entries

_OURS = (SessionColumns, EntryColumns, SharedColumns)


def listen() -> None:
    """On every ``Session`` of the process, also those behind an ``AsyncSession``."""
    event.listen(Session, "do_orm_execute", _refuse)


def _refuse(asked: ORMExecuteState) -> None:
    if not (asked.is_insert or asked.is_update or asked.is_delete):
        return
    mapper = asked.bind_mapper
    if mapper is None or not issubclass(mapper.class_, _OURS):
        return
    if issubclass(mapper.class_, EntryColumns):
        refuse_entries()
    name = mapper.class_.__name__
    raise ModelWriteError(
        f"a statement that writes a {name} would pass by the rules of the store: change rows "
        "one by one (add() them, set their attributes, delete() them) or call the service: "
        "create_session(), update_session(), update_state(), delete_session(), "
        "cleanup_expired_sessions()"
    )
