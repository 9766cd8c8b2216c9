"""Promises about the check: it passes where writes do, and leaves nothing behind."""

# ruff: noqa: S101 - tests are made of asserts

from __future__ import annotations

from session_store.repository import SessionRepository
from session_store.testing.given import BEGINNING, change, contents, create, messages, seqs


class Checking:
    def test_an_empty_store_passes(self, repository: SessionRepository) -> None:
        repository.check()
        assert repository.stats(BEGINNING).total_sessions == 0

    def test_a_check_changes_nothing_and_writes_go_on(self, repository: SessionRepository) -> None:
        create(repository, history="ab", state={"n": 1})
        change(repository, app_state={"x": 1}, user_state={"y": 1})
        before = contents(repository), repository.load_shared("app")
        for _ in range(3):
            repository.check()
        assert (contents(repository), repository.load_shared("app")) == before
        assert seqs(change(repository, entries=messages("c"))) == [3]
