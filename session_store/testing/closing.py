"""Promises about the end: a closed store says so; a durable one has everything when it opens."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from session_store.core.queries import Query
from session_store.errors import SessionNotFoundError, StaleSessionError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.session import REMOVED, NewCheckpoint, NewEntry, Status
from session_store.testing.given import (
    KEY,
    OTHERS,
    after,
    application,
    at,
    change,
    contents,
    count,
    create,
    creation,
    deletion,
    exact,
    ids,
    load,
    messages,
    seqs,
)
from session_store.testing.oddities import VALUES

Reopen: TypeAlias = Callable[[SessionRepository], SessionRepository]

CALLS: dict[str, Callable[[SessionRepository], Any]] = {
    "create": lambda repository: create(repository, OTHERS[0]),
    "load": load,
    "apply": change,
    "delete": lambda repository: repository.delete(KEY, at()),
    "list": lambda repository: repository.list(Query(), at()),
    "count": count,
    "load_shared": lambda repository: repository.load_shared("app"),
    "commit": lambda repository: repository.commit([deletion()]),
    "remove_expired": lambda repository: repository.remove_expired(at(), 10),
    "scan": lambda repository: repository.scan(None, 10),
    "scan_shared": lambda repository: repository.scan_shared(None, 10),
    "fetch_many": lambda repository: repository.fetch_many([KEY]),
    "stats": lambda repository: repository.stats(at()),
    "check": lambda repository: repository.check(),
}


class Closing:
    @pytest.fixture
    def reopen(self) -> Reopen:
        pytest.skip("this repository keeps nothing when it closes, or has no `reopen` fixture")

    @pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
    def test_a_closed_repository_says_that_it_is(
        self, repository: SessionRepository, call: Callable[[SessionRepository], Any]
    ) -> None:
        create(repository)
        repository.close()
        with pytest.raises(StoreUnavailableError):
            call(repository)

    def test_a_repository_may_be_closed_twice(self, repository: SessionRepository) -> None:
        create(repository)
        repository.close()
        repository.close()

    def test_a_repository_closes_at_the_end_of_its_with_block(
        self, repository: SessionRepository
    ) -> None:
        with repository as same:
            assert same is repository
            create(same)
        with pytest.raises(StoreUnavailableError):
            load(repository)

    def test_a_repository_closes_when_its_with_block_fails(
        self, repository: SessionRepository
    ) -> None:
        with pytest.raises(ZeroDivisionError), repository:
            raise ZeroDivisionError
        with pytest.raises(StoreUnavailableError):
            load(repository)

    def test_all_that_was_acknowledged_is_there_after_reopening(
        self, repository: SessionRepository, reopen: Reopen
    ) -> None:
        for key in (KEY, *OTHERS):
            create(repository, key, history=["a", {"b": 1}], state={"z": 1, "a": [1.0]})
            change(repository, key, entries=messages("c"), metadata={"title": key.session_id})
        change(repository, OTHERS[0], status=Status.COMPLETED, expires_at=after(99))
        change(repository, agent_states={"planner": {"step": 1}}, app_state={"x": 1})
        change(repository, checkpoint=NewCheckpoint(checkpoint_id="k"), user_state={"y": 1})
        before = contents(repository)
        assert contents(reopen(repository)) == before

    def test_odd_values_are_there_after_reopening(
        self, repository: SessionRepository, reopen: Reopen
    ) -> None:
        create(repository)
        entries = [NewEntry(payload=value, entry_id=name) for name, value in VALUES.items()]
        change(repository, entries=entries)
        session = load(reopen(repository))
        assert exact([entry.payload for entry in session.entries]) == exact([*VALUES.values()])

    def test_what_was_removed_stays_removed_after_reopening(
        self, repository: SessionRepository, reopen: Reopen
    ) -> None:
        for key in (KEY, *OTHERS):
            create(repository, key, history="abc", state={"gone": 1, "kept": 1})
        change(repository, state={"gone": REMOVED}, rewind_to=1)
        repository.delete(OTHERS[0], at())
        create(repository, KEY._replace(session_id="old"), seconds=-99)
        repository.remove_expired(at(0, idle_cutoff=-50), 10)
        repository = reopen(repository)
        assert (load(repository).state, seqs(load(repository))) == ({"kept": 1}, [1])
        assert count(repository) == 3
        with pytest.raises(SessionNotFoundError):
            load(repository, OTHERS[0])

    def test_what_was_refused_is_not_there_after_reopening(
        self, repository: SessionRepository, reopen: Reopen
    ) -> None:
        create(repository)
        create(repository, OTHERS[0])
        before = contents(repository)
        with pytest.raises(StaleSessionError):
            repository.commit(
                [creation(OTHERS[1]), deletion(OTHERS[0]), application(expected_version=9)]
            )
        assert contents(reopen(repository)) == before

    def test_a_repetition_is_known_after_reopening(
        self, repository: SessionRepository, reopen: Reopen
    ) -> None:
        create(repository)
        first = change(repository, moment=at(3), entries=messages("a", "b"))
        repository = reopen(repository)
        assert exact(change(repository, moment=at(9), entries=messages("a", "b"))) == exact(first)

    def test_a_session_goes_on_after_reopening(
        self, repository: SessionRepository, reopen: Reopen
    ) -> None:
        create(repository)
        for number in range(3):
            change(repository, entries=messages(f"{number}"), expected_version=number + 1)
            repository = reopen(repository)
        assert (ids(load(repository)), load(repository).version) == (["0", "1", "2"], 4)
