"""Every back end keeps the whole contract, and none a weaker one."""

from __future__ import annotations

import pytest

from session_store.repository import SessionRepository
from session_store.testing import Reopen, RepositoryContract


class TestContract(RepositoryContract):
    @pytest.fixture
    def reopen(self, reopen: Reopen) -> Reopen:
        return reopen


def test_no_promise_hides_another_of_the_same_name() -> None:
    parts = RepositoryContract.__mro__[1:-1]
    names = [name for part in parts for name in vars(part) if name.startswith("test")]
    assert len(names) == len(set(names))


def test_the_contract_is_run_over_every_back_end(repository: SessionRepository) -> None:
    assert isinstance(repository, SessionRepository)
