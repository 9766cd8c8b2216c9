"""Promises of ``remove_expired`` and ``stats``."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from typing import Any

from session_store.core.operations import Moment
from session_store.repository import SessionRepository
from session_store.session import Status
from session_store.testing.given import (
    BEGINNING,
    KEY,
    OTHERS,
    after,
    at,
    change,
    contents,
    count,
    create,
    listed,
    load,
    messages,
    seqs,
)
from session_store.testing.loading import under_every_rule


def several(repository: SessionRepository, number: int, *, seconds: float = 0) -> None:
    for n in range(number):
        key = KEY._replace(session_id=f"{seconds} {n}")
        create(repository, key, seconds=seconds, history="ab")


class Expiring:
    @under_every_rule
    def test_the_expired_are_removed_and_the_living_are_not(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, history="abc", **fields)
        assert repository.remove_expired(alive, 10) == 0
        assert count(repository) == 1
        assert repository.remove_expired(dead, 10) == 1
        assert count(repository) == 0

    def test_without_a_rule_nothing_is_removed(self, repository: SessionRepository) -> None:
        several(repository, 3)
        assert repository.remove_expired(at(10**9), 10) == 0

    def test_only_the_expired_are_removed(self, repository: SessionRepository) -> None:
        several(repository, 3, seconds=10)
        before = contents(repository)
        several(repository, 3, seconds=0)
        assert repository.remove_expired(at(99, idle_cutoff=10), 10) == 3
        assert contents(repository) == before

    def test_a_batch_removes_no_more_than_its_limit(self, repository: SessionRepository) -> None:
        several(repository, 7)
        moment = at(99, idle_cutoff=1)
        assert [repository.remove_expired(moment, 3) for _ in range(4)] == [3, 3, 1, 0]
        assert count(repository) == 0

    def test_a_limit_of_nothing_removes_nothing(self, repository: SessionRepository) -> None:
        several(repository, 2)
        assert repository.remove_expired(at(99, idle_cutoff=1), 0) == 0
        assert count(repository) == 2

    def test_each_session_is_judged_by_all_rules(self, repository: SessionRepository) -> None:
        create(repository, KEY, expires_at=after(50))
        create(repository, OTHERS[0], seconds=20, updated_at=after(40))
        create(repository, OTHERS[1], seconds=30, updated_at=after(31))
        create(repository, OTHERS[2], seconds=30, updated_at=after(40), expires_at=after(51))
        moment = at(50, idle_cutoff=35, age_cutoff=25)
        assert repository.remove_expired(moment, 10) == 3
        assert [head.key for head in listed(repository)] == [OTHERS[2]]

    def test_a_touched_session_is_not_idle(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, moment=at(50))
        assert repository.remove_expired(at(99, idle_cutoff=50), 10) == 0
        assert repository.remove_expired(at(99, age_cutoff=50), 10) == 1

    def test_the_history_of_a_removed_session_is_gone(self, repository: SessionRepository) -> None:
        create(repository, history="abc")
        repository.remove_expired(at(9, idle_cutoff=9), 10)
        create(repository)
        assert load(repository).entries == ()
        assert seqs(change(repository, entries=messages("e1"))) == [1]

    def test_stats_of_an_empty_store_are_zero(self, repository: SessionRepository) -> None:
        stats = repository.stats(at())
        assert (stats.total_sessions, stats.active_sessions, stats.expired_sessions) == (0, 0, 0)

    def test_stats_count_stored_running_and_expired_sessions(
        self, repository: SessionRepository
    ) -> None:
        for number, status in enumerate([*Status, Status.RUNNING]):
            create(repository, KEY._replace(session_id=f"{number}"), seconds=10, status=status)
        create(repository, OTHERS[1], status=Status.RUNNING)
        create(repository, OTHERS[2], seconds=10, status=Status.PAUSED, expires_at=after(20))
        stats = repository.stats(at(20, idle_cutoff=10))
        assert (stats.total_sessions, stats.active_sessions, stats.expired_sessions) == (8, 2, 2)

    @under_every_rule
    def test_stats_count_a_session_as_active_until_it_expires(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, status=Status.RUNNING, **fields)
        stats = [repository.stats(moment) for moment in (alive, dead)]
        assert [(s.total_sessions, s.active_sessions, s.expired_sessions) for s in stats] == [
            (1, 1, 0),
            (1, 0, 1),
        ]

    def test_stats_forget_what_was_removed(self, repository: SessionRepository) -> None:
        several(repository, 3)
        repository.delete(KEY._replace(session_id="0 0"), at())
        repository.remove_expired(at(9, idle_cutoff=9), 1)
        assert repository.stats(BEGINNING).total_sessions == 1

    def test_the_size_is_unknown_or_a_number_of_bytes(self, repository: SessionRepository) -> None:
        create(repository, history=["x" * 10_000])
        size = repository.stats(at()).size_bytes
        assert size is None or (type(size) is int and size > 0)
