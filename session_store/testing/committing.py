"""Promises of ``commit`` and ``delete``: operations are carried out in order, all or none."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from typing import Any

import pytest

from session_store.core.operations import Moment, Operation
from session_store.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidValueError,
    SessionExistsError,
    SessionNotFoundError,
    SessionStoreError,
    StaleSessionError,
)
from session_store.repository import SessionRepository
from session_store.session import REMOVED, Status
from session_store.testing.given import (
    BEGINNING,
    KEY,
    OTHERS,
    application,
    at,
    change,
    contents,
    count,
    create,
    creation,
    deletion,
    ids,
    load,
    message,
    messages,
    refused,
    seqs,
)
from session_store.testing.loading import under_every_rule

FRESH = KEY._replace(session_id="fresh")
MISSING = KEY._replace(session_id="missing")

FAILURES: dict[str, tuple[Operation, type[SessionStoreError]]] = {
    "a stale change": (application(expected_version=9), StaleSessionError),
    "an existing key": (creation(), SessionExistsError),
    "a missing session": (application(MISSING), SessionNotFoundError),
    "a conflicting entry": (application(entries=(message("e1", "?"),)), ConflictError),
    "an illegal transition": (application(status=Status.CREATED), IllegalTransitionError),
    "an impossible rewind": (application(rewind_to=99), InvalidValueError),
}


class Committing:
    def test_operations_are_carried_out_and_answered_in_order(
        self, repository: SessionRepository
    ) -> None:
        create(repository, OTHERS[0], version=3)
        answers = repository.commit(
            [
                creation(history="a"),
                application(entries=messages("b")),
                deletion(MISSING),
                application(entries=messages("c"), expected_version=2),
                deletion(OTHERS[0]),
            ]
        )
        versions = [answer and (answer.key, answer.version, ids(answer)) for answer in answers]
        assert versions == [
            (KEY, 1, ["e1"]),
            (KEY, 2, ["b"]),
            None,
            (KEY, 3, ["c"]),
            (OTHERS[0], 3, []),
        ]
        assert (ids(load(repository)), count(repository)) == (["e1", "b", "c"], 1)

    @pytest.mark.parametrize(("failing", "error"), FAILURES.values(), ids=list(FAILURES))
    @pytest.mark.parametrize("place", [0, 3, 6])
    def test_when_one_operation_fails_none_is_carried_out(
        self,
        repository: SessionRepository,
        failing: Operation,
        error: type[SessionStoreError],
        place: int,
    ) -> None:
        for key in (KEY, *OTHERS):
            create(repository, key, history="abc", state={"a": 1})
        change(repository, app_state={"a": 1})
        good: list[Operation] = [
            creation(FRESH, history="a"),
            application(FRESH, entries=messages("b")),
            application(app_state={"a": REMOVED, "b": 1}, user_state={"b": 1}, state={"b": 1}),
            application(OTHERS[0], entries=messages("x"), rewind_to=1),
            deletion(OTHERS[1]),
            deletion(FRESH),
        ]
        with refused(repository, error):
            repository.commit([*good[:place], failing, *good[place:]])

    def test_after_a_failure_the_store_goes_on(self, repository: SessionRepository) -> None:
        create(repository)
        with refused(repository, StaleSessionError):
            repository.commit([application(entries=messages("a")), application(expected_version=1)])
        assert seqs(change(repository, entries=messages("a"))) == [1]

    def test_a_session_deleted_and_created_in_one_commit_is_new(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc", state={"old": 1}, version=5)
        repository.commit([deletion(), creation(history="x"), application(entries=messages("y"))])
        session = load(repository)
        assert (session.state, session.version) == ({}, 2)
        assert [entry.payload for entry in session.entries] == ["x", "y"]

    def test_a_session_created_and_deleted_in_one_commit_is_not_there(
        self, repository: SessionRepository
    ) -> None:
        repository.commit([creation(history="abc"), deletion()])
        assert count(repository) == 0

    def test_a_rewind_and_an_append_in_one_commit_keep_their_order(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc")
        repository.commit(
            [
                application(entries=messages("d")),
                application(rewind_to=1),
                application(entries=messages("x", "y")),
                application(rewind_to=2, entries=messages("z")),
            ]
        )
        assert ids(load(repository)) == ["e1", "x", "z"]
        assert load(repository).version == 5

    def test_operations_of_one_commit_add_up_in_shared_documents(
        self, repository: SessionRepository
    ) -> None:
        repository.commit(
            [
                creation(),
                creation(OTHERS[0]),
                application(app_state={"a": 1}, user_state={"a": 1}),
                application(OTHERS[0], app_state={"b": 2}, user_state={"a": REMOVED}),
            ]
        )
        assert repository.load_shared("app") == {"a": 1, "b": 2}
        assert repository.load_shared("app", "ada") == {}

    def test_a_repetition_inside_one_commit_is_stored_once(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        first, second = repository.commit([application(entries=messages("a"))] * 2)
        assert first == second
        assert (load(repository).version, load(repository).last_seq) == (2, 1)

    def test_a_commit_of_nothing_answers_nothing(self, repository: SessionRepository) -> None:
        assert repository.commit([]) == ()

    def test_a_large_commit_is_carried_out_whole(self, repository: SessionRepository) -> None:
        keys = [KEY._replace(session_id=f"{number}") for number in range(400)]
        creations = [creation(key, history="ab") for key in keys]
        changes = [application(key, entries=messages("c")) for key in keys]
        assert len(repository.commit([*creations, *changes])) == 800
        assert count(repository) == 400
        assert {load(repository, key).last_seq for key in keys[::50]} == {3}


class Deleting:
    def test_a_deleted_session_is_gone_with_its_history(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc")
        assert repository.delete(KEY, at()) is True
        assert count(repository) == 0
        with pytest.raises(SessionNotFoundError):
            load(repository)

    def test_deleting_what_is_not_there_is_false(self, repository: SessionRepository) -> None:
        create(repository, OTHERS[0])
        before = contents(repository)
        assert repository.delete(KEY, at()) is False
        assert contents(repository) == before

    def test_deleting_twice_is_true_once(self, repository: SessionRepository) -> None:
        create(repository)
        assert [repository.delete(KEY, at()) for _ in range(3)] == [True, False, False]

    def test_a_session_is_deleted_only_at_the_expected_version(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, state={"n": 1})
        for stale in (0, 1, 3):
            with refused(repository, StaleSessionError) as raised:
                repository.delete(KEY, at(), stale)
            assert isinstance(raised.value, StaleSessionError)
            assert (raised.value.expected, raised.value.actual) == (stale, 2)
        assert repository.delete(KEY, at(), 2) is True
        assert repository.delete(KEY, at(), 2) is False

    @under_every_rule
    def test_deleting_an_expired_session_is_false_and_removes_it(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, history="abc", **fields)
        assert repository.delete(KEY, dead) is False
        assert repository.stats(BEGINNING).total_sessions == 0

    @under_every_rule
    def test_deleting_in_the_last_moment_is_true(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, **fields)
        assert repository.delete(KEY, alive) is True

    def test_other_sessions_stay(self, repository: SessionRepository) -> None:
        for key in OTHERS:
            create(repository, key, history="abc")
        before = contents(repository)
        create(repository, history="abc")
        repository.delete(KEY, at())
        assert contents(repository) == before
