"""The buffer keeps the whole contract of a repository, before anything is saved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from session_store.backends.buffered import BufferedRepository
from session_store.backends.memory import MemoryRepository
from session_store.core.operations import Moment
from session_store.repository import SessionRepository
from session_store.testing import Reopen, RepositoryContract


class SavedBeforeSweeping(BufferedRepository):
    """Only when it is empty does a buffer keep the promise that ``remove_expired`` removes."""

    def remove_expired(self, at: Moment, limit: int) -> int:
        self.flush()
        return super().remove_expired(at, limit)


class TestBuffered(RepositoryContract):
    @pytest.fixture
    def repository(self) -> Iterator[SessionRepository]:
        with SavedBeforeSweeping(MemoryRepository()) as repository:
            yield repository

    @pytest.fixture
    def reopen(self) -> Reopen:
        """What was flushed is in the store, for every buffer before it."""

        def flush_and_open(repository: SessionRepository) -> SessionRepository:
            assert isinstance(repository, BufferedRepository)
            repository.flush()
            return SavedBeforeSweeping(repository.inner)

        return flush_and_open
