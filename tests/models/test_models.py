"""The classes: how they show themselves, and belong together and to other tables."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ForeignKey, create_engine, event, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.orm import Session as OrmSession

from session_store import ModelWriteError, SessionService, SettingsError, models
from session_store.models import EntryRow, SessionRow, SharedRow, models_for
from session_store.session import Status
from tests.models.places import Place


class TestNames:
    def test_without_any_they_are_the_modules(self) -> None:
        assert models_for() == models_for(None, "") == (SessionRow, EntryRow, SharedRow)

    def test_each_store_has_classes_of_its_own(self) -> None:
        made = models_for(schema="chat", prefix="p_")
        assert made is models_for("chat", "p_")
        assert made.SessionRow not in (SessionRow, models_for(prefix="p_").SessionRow)
        assert made.SessionRow.__doc__ == SessionRow.__doc__
        names = [str(row.__table__) for row in made]
        assert names == ["chat.p_sessions", "chat.p_session_entries", "chat.p_shared_states"]

    def test_names_that_no_store_has(self) -> None:
        with pytest.raises(SettingsError):
            models_for(prefix="P-")

    def test_a_prefix_on_sqlite(self) -> None:
        row, entry, _ = models_for(prefix="p_")
        engine = create_engine("sqlite://")
        row.metadata.create_all(engine)
        with OrmSession(engine) as db:
            db.add(row(user_id="ada", state={"q": 1}))
            db.commit()
            found = db.scalars(select(row).where(row.state["q"].as_integer() == 1)).one()
            assert (found.entries, found.version, repr(found)[:11]) == ([], 1, "<SessionRow")
            db.add(entry(session_row_id=found.id, seq=1))
            with pytest.raises(ModelWriteError):
                db.commit()
        engine.dispose()


class TestShowing:
    def test_a_row_says_which_one_it_is_and_nothing_of_what_was_said(
        self, db: OrmSession, service: SessionService
    ) -> None:
        service.create_session(user_id="ada", session_id="s1", state={"secret": "secret"})
        service.append("s1", {"text": "secret"}, entry_id="e1")
        service.update_state("s1", {}, user_state={"secret": 1})
        row = db.scalars(select(SessionRow)).one()
        shared = db.scalars(select(SharedRow)).one()
        assert repr(row) == "<SessionRow 'default'/'ada'/'s1' running, version 3>"
        assert repr(row.entries[0]) == (
            f"<EntryRow 1 'message' 'e1', version 2 of SessionRow {row.id}>"
        )
        assert repr(shared) == f"<SharedRow 'default'/'ada', updated at {shared.updated_at}>"

    def test_it_asks_the_database_nothing(self, db: OrmSession, service: SessionService) -> None:
        service.create_session(user_id="ada", session_id="s1")
        row = db.scalars(select(SessionRow)).one()
        db.commit()
        db.expunge(row)
        (number,) = inspect(row).identity or ()
        assert repr(row) == f"<SessionRow of primary key {number}, expired>"
        assert repr(SessionRow(user_id="ada")) == "<SessionRow ?/'ada'/? ?, version ?>"


class TestRemoving:
    @pytest.fixture
    def place(self, at: Place, tmp_path: Path) -> Iterator[Any]:
        """Made of the tables: triggers take the entries along on SQLite."""
        if at.engine.dialect.name != "sqlite":
            yield at.engine
            return
        engine = create_engine(f"sqlite:///{tmp_path / 'made.db'}")
        SessionRow.metadata.create_all(engine)
        yield engine
        engine.dispose()

    def test_the_history_goes_with_its_session(self, place: Any) -> None:
        now = datetime.now(UTC)
        with OrmSession(place) as db:
            rows = [SessionRow(user_id="ada"), SessionRow(user_id="bob")]
            db.add_all(rows)
            db.flush()
            for row in rows:
                values = {"entry_id": "e1", "kind": "message", "version": 1, "created_at": now}
                db.connection().execute(
                    EntryRow.__table__.insert(),
                    {"session": row.id, "seq": 1, "payload": None, **values},
                )
            db.commit()
            assert [len(row.entries) for row in rows] == [1, 1]
            statements: list[str] = []
            event.listen(place, "before_cursor_execute", lambda *a: statements.append(a[2]))
            db.delete(rows[0])
            db.flush()
            assert len(statements) == 1, "its entries are not asked for"
            db.commit()
            (left,) = db.scalars(select(EntryRow))
            assert (left.session, left.payload) == (rows[1], None)

    def test_the_service_knows(self, db: OrmSession, service: SessionService) -> None:
        service.create_session(user_id="ada", session_id="s1")
        db.delete(db.scalars(select(SessionRow)).one())
        db.commit()
        assert (service.get_session_count(), service.delete_session("s1")) == (0, False)


def test_tables_of_a_user_refer_to_ours(at: Place, service: SessionService) -> None:
    class Base(DeclarativeBase):
        pass

    class Ticket(Base):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(primary_key=True)
        session_row_id: Mapped[int] = mapped_column(
            ForeignKey(SessionRow.__table__.c.id, ondelete="CASCADE")
        )
        session: Mapped[SessionRow] = relationship(SessionRow)

    service.create_session(user_id="ada", session_id="s1")
    Base.metadata.create_all(at.engine)
    try:
        with at.session() as db:
            row = db.scalars(select(SessionRow)).one()
            db.add(Ticket(session=row))
            db.commit()
            asked = select(Ticket).join(Ticket.session).where(SessionRow.user_id == "ada")
            assert db.scalars(asked).one().session is row
            assert row.version == 1
    finally:
        Base.metadata.drop_all(at.engine)


def test_rows_go_into_other_processes(db: OrmSession, service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1", state={"q": 1})
    row = db.scalars(select(SessionRow)).one()
    copy: SessionRow = pickle.loads(pickle.dumps(row))
    copy.state["q"] = 2
    db.merge(copy)
    db.commit()
    assert service.get_session("s1").state == {"q": 2}


def test_the_tables_alone_do_not_load_the_orm() -> None:
    code = """import sys, session_store.backends.sql.tables
print(sorted(name for name in sys.modules if name.startswith("sqlalchemy.orm")))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_names_explain_themselves() -> None:
    assert all(getattr(models, name).__doc__ for name in models.__all__)


def test_attributes_have_the_types_that_they_say() -> None:
    """For mypy, which reads the tests too."""
    made = SessionRow(user_id="ada", state={}, status=Status.PAUSED)
    state: dict[str, Any] = made.state
    status: Status = made.status
    assert (state, status) == ({}, "paused")

    def typed(row: SessionRow, entry: EntryRow, shared: SharedRow, db: OrmSession) -> None:
        number: int = row.version
        agents: dict[str, dict[str, Any]] = row.agent_states
        labels: dict[str, Any] = row.labels
        end: datetime | None = row.expires_at
        entries: list[EntryRow] = row.entries
        owner: SessionRow = entry.session
        document: dict[str, Any] = shared.document
        rows: list[SessionRow] = list(
            db.scalars(
                select(SessionRow)
                .where(SessionRow.state["q"].as_integer() > 3, SessionRow.status == Status.RUNNING)
                .where(SessionRow.labels["a", "b"].as_string() == "c")
                .order_by(SessionRow.updated_at.desc())
            )
        )
        others: list[SessionRow] = list(db.scalars(select(models_for("chat").SessionRow)))
        del number, agents, labels, end, entries, owner, document, rows, others

    assert callable(typed)
