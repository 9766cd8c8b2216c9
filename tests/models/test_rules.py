"""What an ORM write keeps of the rules of the store, and what it is refused for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import defer, load_only, make_transient
from sqlalchemy.orm.attributes import flag_modified
from sqlalchemy.orm.exc import StaleDataError

from session_store import (
    IllegalTransitionError,
    InvalidValueError,
    ModelWriteError,
    SessionService,
    SessionStoreError,
)
from session_store.models import EntryRow, SessionRow, SharedRow
from session_store.session import Status
from tests.models.places import Place

LATER = datetime(2031, 1, 1, tzinfo=UTC)


def only(db: OrmSession) -> SessionRow:
    return db.scalars(select(SessionRow)).one()


@pytest.fixture
def row(db: OrmSession, service: SessionService) -> SessionRow:
    """One that the service has made, and put an entry into."""
    service.create_session(user_id="ada", session_id="s1", state={"q": 1}, metadata={"title": "t"})
    service.append("s1", {"text": "secret"}, entry_id="e1")
    return only(db)


@pytest.fixture
def created(db: OrmSession, service: SessionService) -> SessionRow:
    service.create_session(user_id="ada", session_id="s1")
    return only(db)


class TestNewSessions:
    def test_one_needs_a_user_only(self, db: OrmSession, service: SessionService) -> None:
        row = SessionRow(user_id="ada")
        db.add(row)
        db.commit()
        session = service.get_session(row.session_id)
        assert (row.app_name, row.status, row.version, row.last_seq) == (
            "default",
            Status.CREATED,
            1,
            0,
        )
        assert (row.state, row.agent_states, row.labels) == ({}, {}, {})
        assert session.created_at == row.created_at == row.updated_at

    def test_a_completed_one_says_since_when(self, db: OrmSession) -> None:
        row = SessionRow(user_id="ada", status="completed")
        db.add(row)
        db.commit()
        assert row.completed_at == row.created_at

    @pytest.mark.parametrize(
        "given",
        [
            {"id": 7},
            {"version": 2},
            {"last_seq": 3},
            {"created_at": LATER},
            {"updated_at": LATER},
            {"completed_at": LATER},
        ],
        ids=lambda given: next(iter(given)),
    )
    def test_what_the_store_makes_is_left_to_it(
        self, db: OrmSession, service: SessionService, given: dict[str, Any]
    ) -> None:
        refused(db, SessionRow(user_id="ada", **given), ModelWriteError, next(iter(given)))
        assert service.get_session_count() == 0

    def test_where_it_starts_may_be_said(self, db: OrmSession) -> None:
        db.add(SessionRow(user_id="ada", version=1, last_seq=0))
        db.commit()
        assert only(db).version == 1

    @pytest.mark.parametrize(
        ("given", "path"),
        [
            ({}, "user_id"),
            ({"user_id": ""}, "user_id"),
            ({"user_id": "a" * 256}, "user_id"),
            ({"user_id": "ada", "session_id": "a\nb"}, "session_id"),
            ({"user_id": "ada", "app_name": 7}, "app_name"),
            ({"user_id": "ada", "status": "sleeping"}, "status"),
            ({"user_id": "ada", "expires_at": datetime(2031, 1, 1)}, "expires_at"),  # noqa: DTZ001
            ({"user_id": "ada", "expires_at": "tomorrow"}, "expires_at"),
            ({"user_id": "ada", "state": {"a": {"b": float("nan")}}}, "state.a.b"),
            ({"user_id": "ada", "labels": {"a": "\ud800"}}, "labels.a"),
            ({"user_id": "ada", "agent_states": {"coach": 7}}, "agent_states.coach"),
            ({"user_id": "ada", "agent_states": {"": {}}}, "agent_name"),
        ],
        ids=str,
    )
    def test_wrong_values_are_refused(
        self, db: OrmSession, given: dict[str, Any], path: str
    ) -> None:
        error = refused(db, SessionRow(**given), InvalidValueError)
        assert isinstance(error, InvalidValueError)
        assert error.path == path

    @pytest.mark.parametrize("name", ["state", "agent_states", "labels"])
    def test_a_document_is_an_object_from_the_start(self, name: str) -> None:
        with pytest.raises(InvalidValueError, match="must be a JSON object, not list"):
            SessionRow(user_id="ada", **{name: [1]})

    def test_metadata_would_be_lost(self) -> None:
        with pytest.raises(ModelWriteError, match="labels"):
            SessionRow(user_id="ada", metadata={"title": "t"})

    def test_a_key_that_is_taken(self, db: OrmSession, row: SessionRow) -> None:
        again = SessionRow(user_id="ada", session_id="s1")
        db.add(again)
        with pytest.raises(IntegrityError):
            db.commit()
        db.rollback()
        again.session_id = "s2"
        db.add(again)
        db.commit()
        assert again.id != row.id

    def test_one_of_a_rollback_can_be_added_again(self, db: OrmSession) -> None:
        row = SessionRow(user_id="ada")
        db.add(row)
        db.flush()
        row.state["q"] = 1
        db.flush()
        assert row.version == 2
        db.rollback()
        db.add(row)
        db.commit()
        assert (only(db), row.version, row.state) == (row, 1, {"q": 1})


class TestChangedSessions:
    def test_a_flush_is_a_version(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        before = row.updated_at
        row.state["q"] = 2
        row.labels["title"] = "T"
        row.expires_at = LATER.astimezone(timezone(timedelta(hours=9)))
        db.commit()
        assert (row.version, row.expires_at, row.created_at) == (3, LATER, row.created_at)
        assert before < row.updated_at <= datetime.now(UTC)
        session = service.get_session("s1")
        assert (session.state, session.metadata) == ({"q": 2}, {"title": "T"})
        assert (session.version, session.updated_at) == (3, row.updated_at)
        assert service.update_state("s1", {"q": 3}, expected_version=3).version == 4

    def test_updated_at_never_goes_back(self, at: Place, db: OrmSession) -> None:
        with at.service() as service:
            service.create_session(user_id="ada", session_id="s1")
        row = only(db)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("session_store.models.rules.datetime", _Clock)
            row.state["q"] = 1
            db.commit()
        assert row.updated_at == row.created_at

    def test_nothing_changed_is_nothing_written(self, db: OrmSession, row: SessionRow) -> None:
        row.state = {"q": 1}
        row.status = Status.RUNNING
        row.user_id = "ada"
        db.commit()
        assert row.version == 2

    def test_what_is_equal_for_python_only_is_a_change(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        row.state = {"q": True}
        db.commit()
        assert row.version == 3
        assert service.get_session("s1").state["q"] is True

    def test_a_change_further_inside_is_not_noticed(self, db: OrmSession, row: SessionRow) -> None:
        row.state["deep"] = {"a": 1}
        db.commit()
        row.state["deep"]["a"] = 2
        db.commit()
        assert (row.version, row.state["deep"]) == (3, {"a": 1})
        row.state["deep"] = {**row.state["deep"], "a": 2}
        db.commit()
        row.state["deep"]["a"] = 3
        flag_modified(row, "state")
        db.commit()
        assert (row.version, row.state["deep"]) == (5, {"a": 3})

    @pytest.mark.parametrize(
        "change",
        [
            lambda row: row.state.update(q=1),
            lambda row: row.agent_states.setdefault("coach", {}),
            lambda row: setattr(row, "state", {"q": 1}),
        ],
    )
    def test_activity_makes_a_new_one_run(
        self, db: OrmSession, created: SessionRow, change: Any
    ) -> None:
        change(created)
        db.commit()
        assert created.status is Status.RUNNING

    def test_labels_are_no_activity(self, db: OrmSession, created: SessionRow) -> None:
        created.labels["title"] = "t"
        db.commit()
        assert (created.status, created.version) == (Status.CREATED, 2)

    def test_statuses_follow_each_other_as_in_the_service(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        row.status = Status.PAUSED
        db.commit()
        assert service.resume_session("s1").version == 4
        row.status = Status.COMPLETED
        db.commit()
        assert row.completed_at == row.updated_at == service.get_session("s1").completed_at
        row.status = Status.RUNNING
        with pytest.raises(IllegalTransitionError, match="'s1' is completed and can't become"):
            db.commit()
        db.rollback()
        assert (row.status, row.version) == (Status.COMPLETED, 5)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("id", 99),
            ("app_name", "other"),
            ("user_id", "bob"),
            ("session_id", "s2"),
            ("version", 9),
            ("last_seq", 0),
            ("created_at", LATER),
            ("updated_at", LATER),
            ("completed_at", LATER),
        ],
    )
    @pytest.mark.parametrize("expired", [False, True])
    def test_what_the_store_keeps_is_left_to_it(
        self, db: OrmSession, row: SessionRow, name: str, value: Any, expired: bool
    ) -> None:
        if expired:
            db.commit()
        setattr(row, name, value)
        with pytest.raises(ModelWriteError, match=name):
            db.commit()
        db.rollback()
        row.state["q"] = 5
        db.commit()
        assert row.version == 3

    @pytest.mark.parametrize(
        ("name", "value", "kind"),
        [
            ("state", {"a": object()}, InvalidValueError),
            ("state", None, InvalidValueError),
            ("labels", {"a": float("inf")}, InvalidValueError),
            ("agent_states", {"coach": 1}, InvalidValueError),
            ("status", "sleeping", InvalidValueError),
            ("status", None, InvalidValueError),
            ("status", "created", IllegalTransitionError),
            ("expires_at", datetime(2031, 1, 1), InvalidValueError),  # noqa: DTZ001
        ],
    )
    def test_wrong_values_are_refused(
        self, db: OrmSession, row: SessionRow, name: str, value: Any, kind: type[SessionStoreError]
    ) -> None:
        setattr(row, name, value)
        with pytest.raises(kind):
            db.commit()
        db.rollback()
        assert (row.version, row.state) == (2, {"q": 1})

    def test_its_own_end_can_be_taken(self, db: OrmSession, row: SessionRow) -> None:
        row.expires_at = LATER
        db.commit()
        row.expires_at = None
        db.commit()
        assert (row.expires_at, row.version) == (None, 4)


class _Clock(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> _Clock:
        return cls(2020, 1, 1, tzinfo=tz)


class TestRaces:
    def test_what_somebody_wrote_since_it_was_read_is_not_lost(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        service.update_state("s1", {"b": 2})
        row.state["q"] = 2
        with pytest.raises(StaleDataError):
            db.commit()
        db.rollback()
        row.state["q"] = 2
        db.commit()
        assert service.get_session("s1").state == {"q": 2, "b": 2}

    def test_of_two_sessions_one_wins(self, at: Place, row: SessionRow, db: OrmSession) -> None:
        with at.session() as other:
            theirs = only(other)
            theirs.state["q"] = 2
            row.state["q"] = 3
            db.commit()
            with pytest.raises(StaleDataError):
                other.commit()
            other.rollback()
            assert theirs.state == {"q": 3}

    def test_a_document_that_is_set_whole_is_one_that_was_read(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        """When it is set, not when it is flushed."""
        db.commit()
        row.state = {"q": 2}
        service.update_state("s1", {"b": 2})
        with pytest.raises(StaleDataError):
            db.commit()

    def test_a_row_that_was_changed_meanwhile_is_not_deleted(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        service.append("s1", "more")
        db.delete(row)
        with pytest.raises(StaleDataError):
            db.commit()
        db.rollback()
        assert service.get_session("s1").last_seq == 2

    def test_nor_is_one_that_is_gone(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        service.delete_session("s1")
        row.state["q"] = 2
        with pytest.raises(StaleDataError):
            db.commit()

    @pytest.mark.parametrize(
        "option", [load_only(SessionRow.state), defer(SessionRow.version)], ids=["only", "defer"]
    )
    def test_without_its_version_nothing_is_written(
        self, at: Place, row: SessionRow, service: SessionService, option: Any
    ) -> None:
        with at.session() as db:
            part = db.scalars(select(SessionRow).options(option)).one()
            service.update_state("s1", {"b": 2})
            part.state["q"] = 2
            with pytest.raises(ModelWriteError, match="read without its version"):
                db.commit()
        assert service.get_session("s1").state == {"q": 1, "b": 2}

    def test_one_stale_row_of_several(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        service.create_session(user_id="ada", session_id="s2")
        rows = db.scalars(select(SessionRow).order_by(SessionRow.session_id)).all()
        service.update_state("s2", {"b": 2})
        for each in rows:
            each.state["q"] = 7
        with pytest.raises(StaleDataError):
            db.commit()
        db.rollback()
        assert [each.version for each in rows] == [2, 2]
        service.update_state("s2", {"b": 3})
        for each in rows:
            db.delete(each)
        with pytest.raises(StaleDataError):
            db.commit()
        db.rollback()
        assert service.get_session_count() == 2

    def test_what_was_not_read_is_not_read_to_write_another_document(
        self, at: Place, row: SessionRow
    ) -> None:
        with at.session() as db:
            part = db.scalars(select(SessionRow).options(defer(SessionRow.state))).one()
            part.labels["title"] = "T"
            db.flush()
            assert "state" not in part.__dict__
            db.commit()
            assert (part.state, part.labels) == ({"q": 1}, {"title": "T"})

    def test_a_part_with_its_version_will_do(self, at: Place, row: SessionRow) -> None:
        with at.session() as db:
            asked = select(SessionRow).options(load_only(SessionRow.version, SessionRow.labels))
            part = db.scalars(asked).one()
            part.labels["title"] = "T"
            db.commit()
            assert (part.version, part.labels, part.state) == (3, {"title": "T"}, {"q": 1})

    def test_nor_is_a_shared_document_without_its_time(self, at: Place, db: OrmSession) -> None:
        db.add(SharedRow())
        db.commit()
        with at.session() as other:
            asked = select(SharedRow).options(load_only(SharedRow.document))
            part = other.scalars(asked).one()
            part.document["a"] = 1
            with pytest.raises(ModelWriteError, match="read without its updated_at"):
                other.commit()

    def test_shared_documents_too(
        self, db: OrmSession, row: SessionRow, service: SessionService
    ) -> None:
        service.update_state("s1", {}, user_state={"a": 1})
        shared = db.scalars(select(SharedRow)).one()
        shared.document["b"] = 2
        service.update_state("s1", {}, user_state={"c": 3})
        with pytest.raises(StaleDataError):
            db.commit()
        db.rollback()
        shared.document["b"] = 2
        db.commit()
        assert service.get_shared_state(user_id="ada") == {"a": 1, "b": 2, "c": 3}


class TestSharedDocuments:
    def test_of_an_application_and_of_a_user(self, db: OrmSession, service: SessionService) -> None:
        before = datetime.now(UTC)
        rows = [SharedRow(document={"a": 1}), SharedRow(user_id="ada"), SharedRow(app_name="b")]
        db.add_all(rows)
        db.commit()
        assert (rows[0].app_name, rows[0].user_id, rows[1].document) == ("default", "", {})
        assert before <= rows[0].updated_at <= datetime.now(UTC)
        assert service.get_shared_state() == {"a": 1}
        since = rows[0].updated_at
        rows[0].document["a"] = 2
        db.commit()
        assert rows[0].updated_at > since
        db.delete(rows[0])
        db.commit()
        assert service.get_shared_state() == {}

    @pytest.mark.parametrize(
        ("given", "kind"),
        [
            ({"app_name": ""}, InvalidValueError),
            ({"user_id": "a\n"}, InvalidValueError),
            ({"user_id": None}, InvalidValueError),
            ({"document": {"a": float("nan")}}, InvalidValueError),
            ({"updated_at": LATER}, ModelWriteError),
        ],
    )
    def test_wrong_values_are_refused(
        self, db: OrmSession, given: dict[str, Any], kind: type[SessionStoreError]
    ) -> None:
        refused(db, SharedRow(**given), kind)

    @pytest.mark.parametrize(
        ("name", "value", "kind"),
        [
            ("app_name", "b", ModelWriteError),
            ("user_id", "bob", ModelWriteError),
            ("updated_at", LATER, ModelWriteError),
            ("document", {"a": float("nan")}, InvalidValueError),
        ],
    )
    def test_wrong_changes_are_refused(
        self, db: OrmSession, name: str, value: Any, kind: type[SessionStoreError]
    ) -> None:
        row = SharedRow(document={"a": 1})
        db.add(row)
        db.commit()
        setattr(row, name, value)
        with pytest.raises(kind, match=name):
            db.commit()
        db.rollback()
        assert row.document == {"a": 1}

    def test_one_takes_the_place_of_another(self, db: OrmSession, service: SessionService) -> None:
        row = SharedRow(document={"a": 1})
        db.add(row)
        db.commit()
        db.delete(row)
        db.add(SharedRow(document={"b": 1}))
        db.commit()
        assert service.get_shared_state() == {"b": 1}

    def test_merging_makes_or_changes_one(self, db: OrmSession, service: SessionService) -> None:
        for number in range(2):
            db.merge(SharedRow(document={"a": number}))
            db.commit()
            assert service.get_shared_state() == {"a": number}


class TestEntries:
    def test_a_new_one_is_refused(self, db: OrmSession, row: SessionRow) -> None:
        new = EntryRow(session_row_id=row.id, seq=2, entry_id="e2", kind="message", payload=1)
        assert "service.append" in str(refused(db, new, ModelWriteError))

    def test_so_is_a_change(self, db: OrmSession, row: SessionRow) -> None:
        entry = row.entries[0]
        entry.kind = "message"
        db.commit()
        entry.payload = {"text": "other"}
        with pytest.raises(ModelWriteError, match="entries are for reading"):
            db.commit()
        db.rollback()
        assert entry.payload == {"text": "secret"}

    def test_and_a_removal(self, db: OrmSession, row: SessionRow) -> None:
        db.delete(row.entries[0])
        with pytest.raises(ModelWriteError, match="rewind=True"):
            db.commit()
        db.rollback()
        assert len(row.entries) == 1

    @pytest.mark.parametrize(
        "change",
        [
            lambda row: row.entries.append(EntryRow()),
            lambda row: row.entries.extend([EntryRow()]),
            lambda row: row.entries.pop(),
            lambda row: row.entries.clear(),
            lambda row: row.entries.remove(row.entries[0]),
            lambda row: row.entries.__setitem__(0, EntryRow()),
            lambda row: setattr(row, "entries", []),
            lambda row: setattr(row, "entries", [EntryRow()]),
            lambda row: setattr(row.entries[0], "session", None),
            lambda row: setattr(row.entries[0], "session", row),
            lambda row: SessionRow(user_id="ada", entries=[EntryRow()]),
            lambda row: EntryRow(session=row),
        ],
    )
    def test_the_relationships_are_for_reading(
        self, db: OrmSession, row: SessionRow, change: Any
    ) -> None:
        assert row.entries
        with pytest.raises(ModelWriteError, match=r"service\.append"):
            change(row)
        db.commit()
        assert [entry.entry_id for entry in row.entries] == ["e1"]


class TestSessionsOfSqlalchemy:
    def test_merging_a_detached_row(self, at: Place, row: SessionRow, db: OrmSession) -> None:
        db.expunge(row)
        row.state["q"] = 2
        with at.session() as other:
            merged = other.merge(row)
            other.commit()
            assert (merged.version, merged.state) == (3, {"q": 2})
            with pytest.raises(StaleDataError):
                other.merge(row)

    def test_merging_changes_what_is_given_only(self, db: OrmSession, row: SessionRow) -> None:
        merged = db.merge(SessionRow(id=row.id, labels={"title": "T"}))
        db.commit()
        assert (merged, row.version) == (row, 3)
        assert (row.labels, row.state) == ({"title": "T"}, {"q": 1})

    def test_merging_what_is_not_there_makes_no_number(self, db: OrmSession) -> None:
        db.merge(SessionRow(id=99, user_id="ada"))
        with pytest.raises(ModelWriteError, match="id is made by the store"):
            db.commit()

    def test_a_detached_row_shows_what_it_has(self, db: OrmSession, row: SessionRow) -> None:
        db.expunge(row)
        assert (row.state, row.status) == ({"q": 1}, Status.RUNNING)
        row.state["q"] = 2
        db.add(row)
        db.commit()
        assert (row.state, row.version) == ({"q": 2}, 3)

    def test_refreshing(self, db: OrmSession, row: SessionRow, service: SessionService) -> None:
        service.update_state("s1", {"q": 2})
        assert row.state == {"q": 1}
        db.refresh(row)
        assert (row.state, row.version) == ({"q": 2}, 3)
        row.state["q"] = 3
        db.commit()
        assert service.get_session("s1").state == {"q": 3}

    def test_a_savepoint_that_is_rolled_back(self, db: OrmSession, row: SessionRow) -> None:
        savepoint = db.begin_nested()
        row.version = 7
        with pytest.raises(ModelWriteError):
            db.flush()
        savepoint.rollback()
        row.state["q"] = 2
        db.commit()
        assert (row.state, row.version) == ({"q": 2}, 3)

    def test_a_copy_of_a_row(self, db: OrmSession, row: SessionRow) -> None:
        db.refresh(row)
        make_transient(row)
        assert "made by the store" in str(refused(db, row, ModelWriteError))

    def test_autoflush(self, db: OrmSession, row: SessionRow) -> None:
        row.state["q"] = 2
        path = SessionRow.state["q"].as_integer()
        assert db.scalars(select(SessionRow).where(path == 2)).one() is row
        assert row.version == 3


def refused(db: OrmSession, row: object, kind: type[SessionStoreError], *words: str) -> Exception:
    """The error; the session goes on after its rollback."""
    db.add(row)
    with pytest.raises(kind) as caught:
        db.commit()
    assert all(word in str(caught.value) for word in words)
    db.rollback()
    db.add(SharedRow(app_name="still usable"))
    db.flush()
    db.rollback()
    return caught.value
