"""Promises of ``apply`` for the status: activity, legal and illegal transitions, completion."""

# ruff: noqa: S101 - tests are made of asserts and figures

from __future__ import annotations

from typing import Any

import pytest

from session_store.errors import (
    IllegalTransitionError,
    InvalidValueError,
)
from session_store.repository import SessionRepository
from session_store.session import (
    REMOVED,
    TRANSITIONS,
    Documents,
    NewCheckpoint,
    Restored,
    Status,
)
from session_store.testing.given import (
    after,
    at,
    change,
    create,
    load,
    messages,
    refused,
)

PAIRS = [(current, wanted) for current in Status for wanted in Status]


LEGAL = [(current, wanted) for current, wanted in PAIRS if wanted in TRANSITIONS[current]]


ILLEGAL = [pair for pair in PAIRS if pair not in LEGAL]


ACTIVITIES: dict[str, dict[str, Any]] = {
    "entries": {"entries": messages("hi")},
    "state": {"state": {"a": 1}},
    "removing a key of the state": {"state": {"a": REMOVED}},
    "agent_states": {"agent_states": {"planner": {"a": 1}}},
}


NO_ACTIVITIES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "metadata": {"metadata": {"title": "x"}},
    "app_state": {"app_state": {"a": 1}},
    "user_state": {"user_state": {"a": 1}},
    "expires_at": {"expires_at": after(99)},
    "checkpoint": {"checkpoint": NewCheckpoint(checkpoint_id="c")},
    "restore": {"restore": Restored(status=Status.CREATED, documents=Documents())},
    "rewind_to": {"rewind_to": 0},
}


class Transitions:
    @pytest.mark.parametrize("changes", ACTIVITIES.values(), ids=list(ACTIVITIES))
    def test_the_first_activity_makes_a_created_session_running(
        self, repository: SessionRepository, changes: dict[str, Any]
    ) -> None:
        create(repository)
        assert change(repository, **changes).status is Status.RUNNING
        assert load(repository).status is Status.RUNNING

    @pytest.mark.parametrize("changes", NO_ACTIVITIES.values(), ids=list(NO_ACTIVITIES))
    def test_what_is_no_activity_leaves_a_created_session_created(
        self, repository: SessionRepository, changes: dict[str, Any]
    ) -> None:
        create(repository)
        assert change(repository, **changes).status is Status.CREATED
        assert load(repository).status is Status.CREATED

    @pytest.mark.parametrize("status", [status for status in Status if status != Status.CREATED])
    def test_activity_changes_no_other_status(
        self, repository: SessionRepository, status: Status
    ) -> None:
        create(repository, status=status)
        change(repository, state={"a": 1}, entries=messages("hi"))
        assert load(repository).status is status

    def test_a_status_that_is_asked_for_goes_before_activity(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, status=Status.PAUSED, entries=messages("hi"))
        assert load(repository).status is Status.PAUSED

    @pytest.mark.parametrize(("current", "wanted"), LEGAL)
    def test_a_legal_transition_is_made(
        self, repository: SessionRepository, current: Status, wanted: Status
    ) -> None:
        create(repository, status=current)
        assert change(repository, status=wanted).status is wanted
        assert load(repository).status is wanted

    @pytest.mark.parametrize(("current", "wanted"), ILLEGAL)
    def test_an_illegal_transition_writes_nothing(
        self, repository: SessionRepository, current: Status, wanted: Status
    ) -> None:
        create(repository, status=current)
        with refused(repository, IllegalTransitionError) as raised:
            change(repository, status=wanted, state={"a": 1}, entries=messages("x"))
        assert isinstance(raised.value, IllegalTransitionError)
        assert (raised.value.current, raised.value.wanted) == (current, wanted)

    def test_an_unknown_status_is_refused(self, repository: SessionRepository) -> None:
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, status="walking")

    def test_completing_says_when_and_later_changes_keep_it(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, moment=at(5), status=Status.COMPLETED)
        change(repository, moment=at(9), metadata={"rated": 5}, entries=messages("bye"))
        assert load(repository).completed_at == after(5)

    @pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED, Status.FAILED])
    def test_only_completing_sets_completed_at(
        self, repository: SessionRepository, status: Status
    ) -> None:
        create(repository)
        change(repository, status=status)
        assert load(repository).completed_at is None

    @pytest.mark.parametrize("changes", [{"entries": messages("bye")}, {"metadata": {"rated": 5}}])
    def test_only_a_change_of_status_changes_completed_at(
        self, repository: SessionRepository, changes: dict[str, Any]
    ) -> None:
        """A session from elsewhere may be completed, and nobody knows when."""
        create(repository, status=Status.COMPLETED, completed_at=None)
        change(repository, **changes)
        assert load(repository).completed_at is None
