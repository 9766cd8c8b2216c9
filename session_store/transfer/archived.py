"""An archive as a repository that is only read: what looks into a store looks into it, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from session_store.core.decisions import SharedScope
from session_store.core.operations import Moment, Operation
from session_store.core.queries import HEAD, Filter, Position, StoreStats, Window, scanned, selected
from session_store.core.records import EntryFields, EntryRecord, SessionRecord, StoredVersion
from session_store.errors import StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.transfer.archive import Archive, Archived
from session_store.transfer.sessions import Stored


class ArchiveRepository(SessionRepository):
    """The sessions of ``archive``, each as it was archived last; heads without ``state`` and
    ``agent_states``, which only loading a session reads."""

    def __init__(self, archive: Archive) -> None:
        self._heads: dict[SessionKey, Archived] = {}
        for one in archive.heads():
            self._heads.setdefault(one.record.key, one)
        self._archive = archive
        self._read: tuple[Path, dict[StoredVersion, Stored]] | None = None

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        head = self._heads.get(key)
        if head is None:
            return None
        if window == HEAD:
            return head.record, ()
        stored = self._file(head.path)[StoredVersion.of(head.record)]
        return stored.record, window.of(tuple(map(EntryRecord._make, stored.entries)))

    def fetch_shared(self, scope: SharedScope) -> str:
        return "{}"

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        return selected(self._records(), query, position, limit, at)

    def count(self, query: Filter, at: Moment) -> int:
        return len(self.select(query, None, None, at))

    def stats(self, at: Moment) -> StoreStats:
        return StoreStats.of(self._records(), at)

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        return scanned(self._records(), after, limit)

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        return []

    def commit(self, operations: Sequence[Operation]) -> NoReturn:
        self._refuse()

    def remove_expired(self, at: Moment, limit: int) -> NoReturn:
        self._refuse()

    def check(self) -> None:
        self._refuse()

    def close(self) -> None:
        self._read = None

    def _records(self) -> list[SessionRecord]:
        return [one.record for one in self._heads.values()]

    def _file(self, path: Path) -> dict[StoredVersion, Stored]:
        """The last file is kept: who reads a session often reads the next one too."""
        if self._read is None or self._read[0] != path:
            self._read = path, self._archive.content(path)
        return self._read[1]

    def _refuse(self) -> NoReturn:
        raise StoreUnavailableError(
            "an archive is not written to; `session-store restore ID` puts a session back"
        )
