"""Statements that no flush sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, inspect, select, update
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import sessionmaker

from session_store import ModelWriteError, SessionService
from session_store.models import EntryRow, SessionRow, SharedRow, models_for
from tests.models.places import Place

Statement = Callable[[OrmSession], Any]

STATEMENTS: dict[str, Statement] = {
    "update": lambda db: db.execute(update(SessionRow).values(version=9)),
    "update one": lambda db: db.execute(update(SessionRow).where(SessionRow.id == 1)),
    "update by key": lambda db: db.execute(update(SessionRow), [{"id": 1, "version": 9}]),
    "delete": lambda db: db.execute(delete(SessionRow)),
    "insert": lambda db: db.execute(insert(SessionRow), [{"user_id": "ada"}]),
    "returning": lambda db: db.scalars(insert(SessionRow).returning(SessionRow), [{}]),
    "from statement": lambda db: db.scalars(
        select(SessionRow).from_statement(update(SessionRow).returning(SessionRow))
    ),
    "query update": lambda db: db.query(SessionRow).update({"version": 9}),
    "query delete": lambda db: db.query(SessionRow).delete(),
    "shared": lambda db: db.execute(update(SharedRow).values(document={})),
    "shared delete": lambda db: db.execute(delete(SharedRow)),
    "other names": lambda db: db.execute(update(models_for(prefix="p_").SessionRow)),
}
OF_ENTRIES: dict[str, Statement] = {
    "insert": lambda db: db.execute(insert(EntryRow), [{"seq": 1}]),
    "update": lambda db: db.execute(update(EntryRow).values(payload=1)),
    "delete": lambda db: db.execute(delete(EntryRow).where(EntryRow.seq == 1)),
    "query delete": lambda db: db.query(EntryRow).delete(),
}


@pytest.fixture(autouse=True)
def _session(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1")
    service.append("s1", "hello")


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_they_are_refused(db: OrmSession, service: SessionService, statement: Statement) -> None:
    with pytest.raises(ModelWriteError, match=r"one by one.*update_session\(\)"):
        statement(db)
    db.commit()
    assert service.get_session("s1").version == 2


@pytest.mark.parametrize("statement", OF_ENTRIES.values(), ids=OF_ENTRIES)
def test_those_of_entries_name_the_call_to_use(db: OrmSession, statement: Statement) -> None:
    with pytest.raises(ModelWriteError, match=r"service\.append\(session_id"):
        statement(db)


def test_whatever_the_kind_of_session(at: Place) -> None:
    class Own(OrmSession):
        pass

    with sessionmaker(at.engine, class_=Own)() as db, pytest.raises(ModelWriteError):
        db.execute(delete(SessionRow))


def test_core_is_not_seen(db: OrmSession, service: SessionService) -> None:
    """What the page says of it."""
    table = SessionRow.__table__
    db.execute(update(table).values(status="failed"))
    db.commit()
    assert service.get_session("s1").status == "failed"


def test_the_old_bulk_calls_are_not_seen(db: OrmSession, service: SessionService) -> None:
    """What the page says of them."""
    row = db.scalars(select(SessionRow)).one()
    db.bulk_update_mappings(inspect(SessionRow), [{"id": row.id, "version": 2, "last_seq": 1}])
    db.commit()
    assert service.get_session("s1").version == 3
