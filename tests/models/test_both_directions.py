"""What the models write the service reads, and the other way round, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import aliased, joinedload, selectinload

from session_store import CorruptStoreError, InvalidValueError, SessionService
from session_store.models import EntryRow, SessionRow, SharedRow
from session_store.session import SessionHead, Status
from tests.models.places import Place

ODD: dict[str, Any] = {
    "zero": "a\0b",
    "clef": "𝄞 and ü",
    "large": 2**63 - 1,
    "small": -(2**63),
    "float": 1.0,
    "int": 1,
    "tiny": 5e-324,
    "truth": True,
    "nothing": None,
    "": {"nested": [{"deep": [[], {}, ""]}]},
    'quote"d': "'; --",
    "order": {"z": 1, "a": 2},
}
PAYLOADS: list[Any] = [None, "", "null", 1, 1.0, True, 2**63 - 1, "\0", [None], ODD]
END = datetime(2031, 10, 26, 2, 30, tzinfo=timezone(timedelta(hours=2)))
"""In the hour that comes twice where the server is."""


def exact(value: Any) -> str:
    """For Python 1, 1.0 and True are the same."""
    return repr(value)


def head_of(row: SessionRow) -> SessionHead:
    names = set(SessionHead.model_fields) - {"metadata"}
    return SessionHead(metadata=dict(row.labels), **{name: getattr(row, name) for name in names})


class TestAnywhere:
    def test_the_models_read_what_the_service_wrote(self, anywhere: Place) -> None:
        models = anywhere.models
        with anywhere.service() as service:
            made = service.create_session(
                user_id="ada", metadata={"title": "t"}, state=ODD, expires_at=END
            )
            service.append(made.session_id, PAYLOADS)
            service.update_state(made.session_id, {"q": 4}, app_state={"a": 1}, user_state=ODD)
            stored = service.get_session(made.session_id)
            with anywhere.session() as db:
                row = db.scalars(select(models.SessionRow)).one()
                assert row.state == {**ODD, "q": 4}
                assert exact(head_of(row)) == exact(SessionHead(**_head_fields(stored)))
                assert exact([e.payload for e in row.entries]) == exact(PAYLOADS)
                assert [e.seq for e in row.entries] == [*range(1, len(PAYLOADS) + 1)]
                assert [e.created_at for e in row.entries] == [e.created_at for e in stored.entries]
                assert {e.session for e in row.entries} == {row}
                shared = db.scalars(select(models.SharedRow).order_by(models.SharedRow.user_id))
                assert [(s.user_id, dict(s.document)) for s in shared] == [
                    ("", {"a": 1}),
                    ("ada", ODD),
                ]

    def test_the_service_reads_what_the_models_wrote(self, anywhere: Place) -> None:
        models = anywhere.models
        before = datetime.now(UTC)
        with anywhere.session() as db, db.begin():
            row = models.SessionRow(
                user_id="ada", session_id="s1", state=ODD, labels={"title": "t"}, expires_at=END
            )
            shared = models.SharedRow(user_id="ada", document=ODD)
            db.add_all([row, shared])
        with anywhere.service() as service:
            session = service.get_session("s1")
            assert before <= session.created_at == session.updated_at <= datetime.now(UTC)
            assert exact(session.state) == exact(ODD)
            assert (session.app_name, session.user_id) == ("default", "ada")
            assert (session.version, session.last_seq, session.status) == (1, 0, "created")
            assert (session.metadata, session.agent_states) == ({"title": "t"}, {})
            assert (session.expires_at, session.completed_at) == (END, None)
            assert exact(service.get_shared_state(user_id="ada")) == exact(ODD)
            assert service.get_session_count() == 1
            service.append("s1", "hello")
        with anywhere.session() as db, db.begin():
            row = db.scalars(select(models.SessionRow)).one()
            row.state["q"] = 5
            row.agent_states = {"coach": {"mood": "good"}}
        with anywhere.service() as service:
            session = service.get_session("s1")
            assert session.state == {**ODD, "q": 5}
            assert session.agent_states == {"coach": {"mood": "good"}}
            assert (session.version, session.last_seq) == (3, 1)


def _head_fields(head: SessionHead) -> dict[str, Any]:
    return {name: getattr(head, name) for name in SessionHead.model_fields}


class TestTypes:
    def test_times_are_aware_and_utc(self, at: Place, service: SessionService) -> None:
        service.create_session(user_id="ada", expires_at=END)
        with at.session() as db:
            row = db.scalars(select(SessionRow)).one()
            assert row.expires_at is not None
            assert (row.expires_at, row.expires_at.tzinfo) == (END, UTC)
            assert (row.created_at.tzinfo, row.updated_at.tzinfo) == (UTC, UTC)
            found = select(SessionRow.session_id).where(SessionRow.expires_at == END)
            assert len(db.scalars(found).all()) == 1

    def test_a_status_is_one(self, at: Place, service: SessionService) -> None:
        service.create_session(user_id="ada")
        with at.session() as db:
            (status,) = db.scalars(select(SessionRow.status).where(SessionRow.status == "created"))
            assert status is Status.CREATED

    @pytest.mark.parametrize(
        ("condition", "problem"),
        [
            (lambda: SessionRow.created_at > datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001
            (lambda: SessionRow.status == "sleeping", "must be one of"),
        ],
    )
    def test_a_condition_that_means_nothing_is_refused_as_such(
        self, at: Place, condition: Any, problem: str
    ) -> None:
        with at.session() as db, pytest.raises(InvalidValueError, match=problem):
            db.scalars(select(SessionRow).where(condition())).all()

    def test_what_is_no_json_is_damage(self, at: Place, service: SessionService) -> None:
        if at.engine.dialect.name == "postgresql":
            pytest.skip("the column takes JSON only")
        service.create_session(user_id="ada")
        with at.engine.begin() as connection:
            connection.execute(text("UPDATE sessions SET state = '{oops'"))
        with at.session() as db, pytest.raises(CorruptStoreError, match="no valid JSON"):
            db.scalars(select(SessionRow)).one()

    def test_a_document_is_the_codecs_text_in_the_column(self, at: Place) -> None:
        with at.session() as db, db.begin():
            db.add(SessionRow(user_id="ada", state={"ü": [1.0, None]}))
        with at.engine.connect() as connection:
            stored = connection.execute(text("SELECT CAST(state AS TEXT) FROM sessions")).scalar()
        assert stored == '{"ü":[1.0,null]}'


class TestAsking:
    @pytest.fixture(autouse=True)
    def _sessions(self, service: SessionService) -> None:
        for number in range(3):
            made = service.create_session(
                user_id="ada",
                session_id=f"s{number}",
                state={"q": number, "score": {"clarity": number / 2, "list": [number]}},
                metadata={"title": f"Nr. {number}"},
            )
            service.append(made.session_id, [{"text": f"{number}.{turn}"} for turn in range(3)])
            service.update_state(made.session_id, {}, user_state={"limit": 7})

    def test_paths_into_documents(self, at: Place) -> None:
        state, title = SessionRow.state, SessionRow.labels["title"].as_string()
        with at.session() as db:
            rows = db.execute(
                select(
                    state["q"].as_integer(),
                    state["score", "clarity"].as_float(),
                    state["score", "list", 0].as_integer(),
                    title,
                    state["missing"].as_string(),
                    state["score"],
                ).order_by(SessionRow.session_id)
            ).all()
            assert rows[1] == (1, 0.5, 1, "Nr. 1", None, {"clarity": 0.5, "list": [1]})
            found = db.scalars(select(SessionRow.session_id).where(title == "Nr. 2"))
            assert found.all() == ["s2"]
            many = select(SessionRow.session_id).where(state["q"].as_integer() >= 1)
            assert sorted(db.scalars(many)) == ["s1", "s2"]
            text_of = EntryRow.payload["text"].as_string()
            entry = db.scalars(select(EntryRow).where(text_of == "1.2")).one()
            assert (entry.seq, entry.session.session_id) == (3, "s1")
            limit = SharedRow.document["limit"].as_integer()
            assert db.scalars(select(SharedRow.user_id).where(limit == 7)).all() == ["ada"]

    def test_paths_wherever_an_expression_may_stand(self, at: Place) -> None:
        other = aliased(SessionRow)
        odd, clarity = other.state["q"].as_integer() % 2, other.state["score", "clarity"]
        with at.session() as db:
            grouped = select(odd, func.count(), func.max(clarity.as_float())).group_by(odd)
            assert db.execute(grouped.order_by(odd)).all() == [(0, 2, 1.0), (1, 1, 0.5)]
            number = SessionRow.state["q"].as_integer()
            newest = select(SessionRow).order_by(number.desc()).limit(2)
            assert [row.state["q"] for row in db.scalars(newest)] == [2, 1]
            inner = aliased(SessionRow, newest.subquery())
            rows = db.scalars(select(inner).where(inner.state["q"].as_integer() < 2)).all()
            assert [row.labels["title"] for row in rows] == ["Nr. 1"]
            larger = select(SessionRow.session_id).join(
                other, number > other.state["q"].as_integer()
            )
            assert sorted(db.scalars(larger)) == ["s1", "s2", "s2"]

    def test_paths_where_a_document_holds_nul(self, at: Place, service: SessionService) -> None:
        odd = {"a": "\0", "q": 9, "t": "\\u0000", "\0": 1}
        service.create_session(user_id="ada", session_id="odd", state=odd)
        state = SessionRow.state
        with at.session() as db:
            asked = select(state["q"].as_integer(), state["t"].as_string(), SessionRow.state)
            rows = db.execute(asked.where(state["q"].as_integer() == 9)).all()
            assert rows == [(9, "\\u0000", odd)]

    @pytest.mark.parametrize("option", [selectinload, joinedload])
    def test_histories_are_loaded_with_their_sessions(self, at: Place, option: Any) -> None:
        asked = select(SessionRow).order_by(SessionRow.session_id)
        with at.session() as db:
            rows = db.scalars(asked.options(option(SessionRow.entries))).unique().all()
        assert [[e.payload["text"] for e in row.entries] for row in rows] == [
            [f"{number}.{turn}" for turn in range(3)] for number in range(3)
        ]

    def test_joins(self, at: Place) -> None:
        with at.session() as db:
            joined = select(SessionRow.session_id).join(SessionRow.entries).where(EntryRow.seq == 2)
            assert sorted(db.scalars(joined)) == ["s0", "s1", "s2"]
            found = select(EntryRow).join(EntryRow.session).where(SessionRow.session_id == "s1")
            assert len(db.scalars(found).all()) == 3
            has = select(SessionRow).where(SessionRow.entries.any(EntryRow.seq == 4))
            assert db.scalars(has).all() == []
