"""Promises of ``apply`` for documents, versions and times."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from typing import Any

import pytest

from session_store.core.operations import Moment
from session_store.errors import (
    InvalidValueError,
    SessionNotFoundError,
    StaleSessionError,
)
from session_store.repository import SessionRepository
from session_store.session import (
    REMOVED,
    NewEntry,
    Status,
)
from session_store.testing.given import (
    KEY,
    NOW,
    OTHERS,
    after,
    at,
    change,
    contents,
    create,
    exact,
    load,
    messages,
    refused,
)
from session_store.testing.loading import under_every_rule

DOCUMENTS = ("state", "metadata")


class Changing:
    @pytest.mark.parametrize("document", DOCUMENTS)
    def test_a_document_is_merged_by_its_top_level_keys(
        self, repository: SessionRepository, document: str
    ) -> None:
        create(repository, **{document: {"kept": 1, "set": {"deep": 1, "lost": 1}}})
        change(repository, **{document: {"set": {"deep": 2}, "new": None}})
        expected = {"kept": 1, "set": {"deep": 2}, "new": None}
        assert exact(getattr(load(repository), document)) == exact(expected)

    def test_agents_are_merged_each_by_its_own_keys(self, repository: SessionRepository) -> None:
        create(repository, agent_states={"planner": {"a": 1, "b": 1}, "critic": {"a": 1}})
        change(repository, agent_states={"planner": {"b": 2}, "new one": {"c": 3}})
        assert load(repository).agent_states == {
            "planner": {"a": 1, "b": 2},
            "critic": {"a": 1},
            "new one": {"c": 3},
        }

    def test_documents_that_are_not_named_stay(self, repository: SessionRepository) -> None:
        documents: dict[str, dict[str, Any]] = {
            "state": {"s": 1},
            "agent_states": {"a": {"x": 1}},
            "metadata": {"m": 1},
        }
        create(repository, **documents)
        for name in documents:
            change(repository, **{name: {"new": {}}})
        session = load(repository)
        assert {name: getattr(session, name) for name in documents} == {
            name: {**document, "new": {}} for name, document in documents.items()
        }

    @pytest.mark.parametrize("document", DOCUMENTS)
    def test_removed_keys_go_and_their_neighbours_stay(
        self, repository: SessionRepository, document: str
    ) -> None:
        create(repository, **{document: {"gone": 1, "kept": 2, "null": 3}})
        change(repository, **{document: {"gone": REMOVED, "never there": REMOVED, "null": None}})
        assert getattr(load(repository), document) == {"kept": 2, "null": None}

    def test_removed_keys_of_an_agent_go(self, repository: SessionRepository) -> None:
        create(repository, agent_states={"planner": {"gone": 1, "kept": 2}, "critic": {"gone": 1}})
        change(repository, agent_states={"planner": {"gone": REMOVED}})
        assert load(repository).agent_states == {"planner": {"kept": 2}, "critic": {"gone": 1}}

    def test_removing_all_keys_leaves_an_empty_document(
        self, repository: SessionRepository
    ) -> None:
        create(repository, state={"a": 1})
        change(repository, state={"a": REMOVED})
        assert load(repository).state == {}

    def test_a_key_that_is_set_again_keeps_its_place(self, repository: SessionRepository) -> None:
        create(repository, state={"z": 1, "a": 1})
        change(repository, state={"m": 1, "z": 2})
        assert list(load(repository).state) == ["z", "a", "m"]

    def test_many_changes_add_up(self, repository: SessionRepository) -> None:
        create(repository)
        for number in range(30):
            change(repository, state={f"k{number}": number}, metadata={"last": number})
        session = load(repository)
        assert session.state == {f"k{number}": number for number in range(30)}
        assert (session.metadata, session.version) == ({"last": 29}, 31)

    def test_other_sessions_stay_as_they_are(self, repository: SessionRepository) -> None:
        for key in OTHERS:
            create(repository, key, state={"a": 1}, history="a")
        before = contents(repository)
        create(repository)
        change(repository, state={"a": 2}, entries=messages("x"), status=Status.FAILED)
        repository.delete(KEY, at())
        assert contents(repository) == before

    def test_every_change_counts_one_version_and_sets_updated_at(
        self, repository: SessionRepository
    ) -> None:
        create(repository, version=3)
        for number in range(1, 4):
            answer = change(repository, moment=at(number), entries=messages(f"m{number}", "x"))
            assert (answer.version, answer.updated_at) == (3 + number, after(number))
        session = load(repository)
        assert (session.version, session.updated_at, session.created_at) == (6, after(3), NOW)

    def test_a_change_of_nothing_is_a_touch(self, repository: SessionRepository) -> None:
        create(repository, state={"a": 1}, history="a", status=Status.PAUSED)
        before = load(repository)
        answer = change(repository, moment=at(7))
        assert (answer.key, answer.version, answer.entries) == (KEY, 2, ())
        assert (answer.status, answer.updated_at) == (Status.PAUSED, after(7))
        touched = before.model_copy(update={"version": 2, "updated_at": after(7)})
        assert exact(load(repository)) == exact(touched)

    def test_updated_at_is_now_even_when_the_clock_went_back(
        self, repository: SessionRepository
    ) -> None:
        create(repository, seconds=100)
        assert change(repository, moment=at(40), entries=messages("m")).updated_at == after(40)
        session = load(repository)
        assert (session.updated_at, session.entries[0].created_at) == (after(40), after(40))

    def test_a_good_expected_version_writes(self, repository: SessionRepository) -> None:
        create(repository)
        for version in (1, 2, 3):
            answer = change(repository, expected_version=version, state={"a": version})
            assert answer.version == version + 1

    @pytest.mark.parametrize("expected_version", [0, 1, 3, -1, 2**70])
    def test_a_stale_expected_version_writes_nothing(
        self, repository: SessionRepository, expected_version: int
    ) -> None:
        create(repository)
        change(repository, moment=at(-50), state={"a": 1})
        with refused(repository, StaleSessionError) as raised:
            change(
                repository,
                expected_version=expected_version,
                state={"a": 2},
                entries=messages("x"),
                app_state={"a": 1},
                user_state={"a": 1},
            )
        assert isinstance(raised.value, StaleSessionError)
        assert (raised.value.expected, raised.value.actual) == (expected_version, 2)

    @pytest.mark.parametrize("version", [True, "1", 1.0], ids=repr)
    def test_an_expected_version_that_is_no_integer_is_refused(
        self, repository: SessionRepository, version: object
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, expected_version=version)

    def test_without_an_expected_version_writers_merge(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, state={"mine": 1}, entries=messages("mine"))
        change(repository, state={"yours": 1}, entries=messages("yours"))
        session = load(repository)
        assert (session.state, session.last_seq) == ({"mine": 1, "yours": 1}, 2)

    @pytest.mark.parametrize("key", [KEY, *OTHERS], ids=str)
    def test_a_change_of_a_missing_session_makes_none(
        self, repository: SessionRepository, key: Any
    ) -> None:
        for other in {KEY, *OTHERS} - {key}:
            create(repository, other)
        with refused(repository, SessionNotFoundError):
            change(repository, key, state={"a": 1}, app_state={"a": 1}, entries=messages("x"))

    def test_a_deleted_session_never_comes_back_by_a_change(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, entries=messages("known"))
        repository.delete(KEY, at())
        for changes in ({}, {"entries": messages("known")}, {"state": {"a": 1}}):
            with refused(repository, SessionNotFoundError):
                change(repository, **changes)

    @under_every_rule
    def test_an_expired_session_cannot_be_changed(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, history="a", **fields)
        for changes in (
            {},
            {"state": {"a": 1}},
            {"entries": (NewEntry(payload="a", entry_id="e1"),)},
        ):
            with refused(repository, SessionNotFoundError):
                change(repository, moment=dead, **changes)
        assert change(repository, moment=alive).version == 2

    def test_a_session_is_given_an_end_of_its_own(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, expires_at=after(30))
        change(repository, metadata={"other": 1})
        assert load(repository).expires_at == after(30)
        with pytest.raises(SessionNotFoundError):
            load(repository, moment=at(30))

    def test_an_end_is_moved(self, repository: SessionRepository) -> None:
        create(repository, expires_at=after(10))
        change(repository, expires_at=after(20))
        assert load(repository, moment=at(15)).expires_at == after(20)

    def test_an_end_is_taken_away(self, repository: SessionRepository) -> None:
        create(repository, expires_at=after(10))
        change(repository, expires_at=REMOVED)
        assert load(repository, moment=at(1000)).expires_at is None

    def test_an_end_that_is_now_ends_the_session(self, repository: SessionRepository) -> None:
        create(repository)
        assert change(repository, moment=at(5), expires_at=after(5)).version == 2
        with pytest.raises(SessionNotFoundError):
            load(repository, moment=at(5))

    @pytest.mark.parametrize("end", [NOW.replace(tzinfo=None), "2024-02-29", 1], ids=str)
    def test_an_end_that_is_no_time_is_refused(
        self, repository: SessionRepository, end: object
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError) as raised:
            change(repository, expires_at=end)
        assert "expires_at" in str(raised.value)

    def test_a_session_that_is_touched_again_and_again_stays_alive(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        for seconds in range(5, 50, 5):
            change(repository, moment=at(seconds, idle_cutoff=seconds - 5))
        assert load(repository).version == 10
