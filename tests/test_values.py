"""The values that callers see, the records that back ends keep, the questions that can be asked."""

from __future__ import annotations

import pickle
from datetime import timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from session_store import errors
from session_store.core.queries import (
    Filter,
    OrderBy,
    Position,
    Query,
    StoreStats,
    Window,
    checked_filter,
    from_cursor,
    position_of,
    selected,
    to_cursor,
)
from session_store.core.records import (
    SessionRecord,
    to_entry_record,
    to_head,
    to_record,
    to_session,
)
from session_store.errors import CorruptStoreError, InvalidValueError, SessionStoreError
from session_store.session import (
    TRANSITIONS,
    Applied,
    Changes,
    Documents,
    Entry,
    Session,
    SessionHead,
    SessionKey,
    Status,
)
from session_store.testing.given import BEGINNING, KEY, NOW, after, at, exact, new_session
from tests.strategies import documents, identifiers, json_values, times

keys = st.builds(SessionKey, identifiers, identifiers, identifiers)
maybe_times = st.none() | times
sessions = st.builds(
    lambda key, history, **fields: new_session(key, history=history, **fields),
    keys,
    st.lists(json_values, max_size=3),
    status=st.sampled_from(Status),
    version=st.integers(1, 2**40),
    created_at=times,
    updated_at=times,
    completed_at=maybe_times,
    expires_at=maybe_times,
    state=documents,
    agent_states=st.dictionaries(identifiers, documents, max_size=2),
    metadata=documents,
)


def record(**fields: Any) -> SessionRecord:
    return to_record(new_session())._replace(**fields)


class TestSession:
    def test_every_status_has_its_transitions_and_none_to_created_or_itself(self) -> None:
        assert set(TRANSITIONS) == set(Status)
        for status, legal in TRANSITIONS.items():
            assert legal.isdisjoint({status, Status.CREATED})
        assert not TRANSITIONS[Status.COMPLETED]

    def test_the_default_documents_are_not_shared_between_values(self) -> None:
        Documents().state["a"] = 1
        assert Documents().state == {}

    @pytest.mark.parametrize("value", [new_session(), Documents(), StoreStats.of([], BEGINNING)])
    def test_a_value_is_frozen(self, value: Any) -> None:
        field = next(iter(type(value).model_fields))
        with pytest.raises(ValidationError):
            setattr(value, field, getattr(value, field))

    def test_a_value_takes_no_unknown_field(self) -> None:
        with pytest.raises(ValidationError):
            Documents(**{"stat": {}})

    def test_a_history_is_told_by_kind(self) -> None:
        kinds = ["message", "artifact", "event", "checkpoint", "message"]
        first, second, third, fourth, fifth = (
            entry.model_copy(update={"kind": kind})
            for kind, entry in zip(kinds, new_session(history="abcde").entries, strict=True)
        )
        session = new_session(entries=(first, second, third, fourth, fifth))
        assert session.messages == (first, fifth)
        assert session.artifacts == (second,)
        assert session.checkpoints == (fourth,)
        assert session.entries_of("event") == (third,)
        assert session.entries_of("none") == ()

    def test_an_answer_names_its_first_entry(self) -> None:
        entries = new_session(history="ab").entries
        applied = Applied(
            key=KEY, status=Status.RUNNING, version=2, updated_at=NOW, entries=entries
        )
        assert applied.entry == entries[0]

    def test_a_key_is_written_so_that_its_parts_can_be_told_apart(self) -> None:
        one, two = SessionKey("a/b", "c", "d"), SessionKey("a", "b/c", "d")
        assert str(one) == "'a/b'/'c'/'d'"
        assert str(one) != str(two)

    @pytest.mark.parametrize(
        ("changes", "is_activity"),
        [
            (Changes(), False),
            (Changes(metadata={"a": 1}, app_state={"a": 1}, user_state={"a": 1}), False),
            (Changes(state={"a": 1}), True),
            (Changes(agent_states={"a": {}}), True),
        ],
        ids=["nothing", "labels and shared", "state", "agent"],
    )
    def test_activity_is_what_the_conversation_itself_does(
        self, changes: Changes, is_activity: bool
    ) -> None:
        assert changes.is_activity is is_activity


class TestRecords:
    @given(sessions)
    def test_a_session_comes_back_from_its_records_exactly(self, session: Session) -> None:
        entries = [to_entry_record(entry) for entry in session.entries]
        assert exact(to_session(to_record(session), entries)) == exact(session)

    @given(sessions)
    def test_a_head_is_the_session_without_its_history(self, session: Session) -> None:
        head = to_head(to_record(session))
        assert type(head) is SessionHead
        assert exact(head.model_dump()) == exact(session.model_dump(exclude={"entries"}))

    @pytest.mark.parametrize(
        "fields",
        [
            {"status": "hunter2"},
            {"version": "hunter2"},
            {"updated_at": "hunter2"},
            {"created_at": None},
            {"state": '"hunter2"'},
            {"agent_states": '{"hunter2": 1}'},
            {"metadata": '{"hunter2'},
            {"state": "[]"},
        ],
        ids=lambda fields: next(iter(fields)),
    )
    def test_a_damaged_record_is_corrupt_and_the_error_names_the_field_only(
        self, fields: dict[str, Any]
    ) -> None:
        with pytest.raises(CorruptStoreError) as raised:
            to_head(record(**fields))
        assert next(iter(fields)) in str(raised.value)
        assert raised.value.__cause__ is None
        assert "hunter2" not in str(raised.value) or next(iter(fields)) == "agent_states"

    def test_a_damaged_entry_is_corrupt_and_none_is_skipped(self) -> None:
        entries = [to_entry_record(entry) for entry in new_session(history="abc").entries]
        for damage in ({"payload": "{"}, {"seq": "x"}, {"kind": None}, {"created_at": None}):
            damaged = [entries[0], entries[1]._replace(**damage), entries[2]]
            with pytest.raises(CorruptStoreError, match="entry"):
                to_session(record(last_seq=3), damaged)


class TestWindow:
    @given(
        st.lists(st.sampled_from("ab"), max_size=8),
        st.none() | st.integers(0, 9),
        st.none() | st.integers(0, 9),
        st.none() | st.sampled_from("abc"),
    )
    def test_a_window_is_what_is_after_of_the_kind_and_last(
        self, kinds: list[str], last: int | None, after_seq: int | None, kind: str | None
    ) -> None:
        entry = Entry(seq=1, entry_id="x", kind="a", payload=1, created_at=NOW, version=1)
        entries = [
            to_entry_record(entry)._replace(seq=seq, kind=k) for seq, k in enumerate(kinds, 1)
        ]
        wanted = [e for e in entries if e.seq > (after_seq or 0) and kind in (None, e.kind)]
        wanted = wanted if last is None else wanted[len(wanted) - min(last, len(wanted)) :]
        assert Window(last, after_seq, kind).of(entries) == tuple(wanted)


records = st.builds(
    record,
    app_name=st.sampled_from("aAé"),
    user_id=st.sampled_from("u😀"),
    session_id=st.sampled_from(["1", "2", "10"]),
    created_at=st.integers(0, 3).map(after),
    updated_at=st.integers(0, 3).map(after),
)
distinct_records = st.lists(records, max_size=12, unique_by=lambda found: found.key)
orders = st.sampled_from(["updated_at", "created_at"])


class TestSelected:
    @given(distinct_records, orders, st.integers(1, 5))
    def test_pages_hold_every_record_once_from_the_newest(
        self, stored: list[SessionRecord], order_by: OrderBy, limit: int
    ) -> None:
        seen: list[SessionRecord] = []
        position: Position | None = None
        while page := selected(stored, Filter(order_by=order_by), position, limit, BEGINNING):
            assert len(page) <= limit
            position = position_of(page[-1], order_by)
            seen += page
        positions = [position_of(one, order_by) for one in seen]
        assert positions == sorted(positions, reverse=True)
        assert sorted(seen) == sorted(stored)

    @given(distinct_records, orders)
    def test_without_a_limit_all_are_selected_in_the_same_order(
        self, stored: list[SessionRecord], order_by: OrderBy
    ) -> None:
        query = Filter(order_by=order_by)
        limited = selected(stored, query, None, len(stored) + 1, BEGINNING)
        assert selected(stored, query, None, None, BEGINNING) == limited

    @given(st.builds(Position, times, identifiers, identifiers, identifiers))
    def test_a_position_comes_back_from_its_cursor(self, position: Position) -> None:
        assert from_cursor(to_cursor(position)) == position

    def test_without_a_cursor_a_list_begins_at_the_newest(self) -> None:
        assert from_cursor(None) is None


class TestFilter:
    def test_what_is_not_given_does_not_restrict(self) -> None:
        assert checked_filter(Query()) == Filter()

    def test_times_are_compared_as_instants(self) -> None:
        local = NOW.astimezone(timezone(timedelta(hours=-7)))
        conditions = checked_filter(Query(created_after=local))
        assert conditions.created_after == NOW
        assert conditions.matches(record())

    def test_labels_are_taken_at_the_time_of_the_question(self) -> None:
        metadata: dict[str, Any] = {"a": 1}
        conditions = checked_filter(Query(metadata=metadata))
        metadata["a"] = 2
        assert conditions.metadata == (("a", 1),)

    @pytest.mark.parametrize("value", [[1], {}, (), {1}], ids=str)
    def test_the_refusal_of_a_label_names_it(self, value: Any) -> None:
        with pytest.raises(InvalidValueError) as raised:
            checked_filter(Query(metadata={"fine": 1, "tags": value}))
        assert raised.value.path == "metadata.tags"


class TestMoment:
    def test_a_session_expires_after_its_cutoffs_and_at_its_end(self) -> None:
        assert not at(9, idle_cutoff=0, age_cutoff=0).is_expired(record())
        assert at(9, idle_cutoff=1e-6).is_expired(record())
        assert at(9, age_cutoff=1e-6).is_expired(record())
        assert not at(9).is_expired(record(expires_at=after(9.000001)))
        assert at(9).is_expired(record(expires_at=after(9)))

    def test_without_rules_nothing_expires(self) -> None:
        assert not at(10**9).is_expired(record())


def every_error() -> list[type[SessionStoreError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type)]
    return [one for one in found if issubclass(one, SessionStoreError)]


class TestErrors:
    def test_all_are_under_one_root(self) -> None:
        made = [value for value in vars(errors).values() if isinstance(value, type)]
        public = [value for value in made if value.__module__ == errors.__name__]
        assert all(issubclass(error, SessionStoreError) for error in public)
        assert len(every_error()) > 10

    def test_lookups_are_lookup_errors_and_bad_values_are_value_errors(self) -> None:
        for error in every_error():
            assert issubclass(error, LookupError) == (
                "NotFound" in error.__name__ or "Ambiguous" in error.__name__
            )
            assert issubclass(error, ValueError) == (
                error.__name__ in ("InvalidValueError", "TooLargeError", "SettingsError")
            )

    @pytest.mark.parametrize("error", every_error())
    def test_each_says_what_it_means(self, error: type[SessionStoreError]) -> None:
        assert error.__doc__
        assert error.__doc__[0].isupper()

    @pytest.mark.parametrize(
        "error",
        [
            errors.StaleSessionError(SessionKey("app", "ada", "s1"), 1, 2),
            errors.InvalidValueError("state.x", "is wrong"),
            errors.StoreUnavailableError("is closed"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_each_crosses_to_another_process_whole(self, error: SessionStoreError) -> None:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
