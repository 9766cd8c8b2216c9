"""All of a store, a part at a time: versions, sessions in batches, shared documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from session_store.core.decisions import SharedScope
from session_store.core.operations import Moment, Put, checked_put
from session_store.core.queries import scan_order
from session_store.core.records import EntryFields, SessionRecord, StoredVersion
from session_store.errors import CorruptStoreError, InvalidValueError, TransferError
from session_store.repository import SessionRepository
from session_store.session import SessionKey

Progress: TypeAlias = Callable[[int, int], None]
"""Told now and then how much is done, and of how much."""

Item = TypeVar("Item")

STORED: Final = Moment(datetime.min.replace(tzinfo=UTC))
"""A moment at which nothing is expired."""

PAGE: Final = 1000
"""Stamps that are asked for at once."""

BATCH_SESSIONS: Final = 500
BATCH_ENTRIES: Final = 8000
BATCH_BYTES: Final = 4 * 1024 * 1024
"""What is in memory at once, and one transaction of a copy; a session larger than that is alone."""

NAMED: Final = 3
"""Of how many sessions a message gives the names."""


class Stored(NamedTuple):
    """A session as it stands in a store or in a file."""

    record: SessionRecord
    entries: Sequence[EntryFields]

    @property
    def size(self) -> int:
        """Of its texts, about."""
        record = self.record
        documents = len(record.state) + len(record.agent_states) + len(record.metadata)
        return documents + sum(len(payload) for _, _, _, payload, _, _ in self.entries)


class Shared(NamedTuple):
    """A shared document."""

    scope: SharedScope
    document: str


def no_progress(done: int, total: int) -> None:
    """Tell nobody."""


def stored_versions(repository: SessionRepository) -> Iterator[StoredVersion]:
    """Of all sessions, in the order of a scan."""
    after: SessionKey | None = None
    while True:
        page = repository.scan(after, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].key


def shared(repository: SessionRepository) -> Iterator[Shared]:
    """All shared documents that hold something."""
    after: SharedScope | None = None
    while True:
        page = repository.scan_shared(after, PAGE)
        yield from (Shared(*one) for one in page if one[1] != "{}")
        if len(page) < PAGE:
            return
        after = page[-1][0]


def sessions(repository: SessionRepository) -> Iterator[Stored]:
    """All sessions, in the order of a scan; each is of one moment. One that is removed meanwhile
    may be missing."""
    batches = Batches[StoredVersion](lambda stored: stored.last_seq)
    for batch in batches.of(stored_versions(repository)):
        keys = [stored.key for stored in batch]
        found = repository.fetch_many(keys)
        batches.saw([Stored(*one) for one in found.values()])
        for key in keys:
            if key in found:
                yield Stored(*found.pop(key))


class Batches(Generic[Item]):
    """Cuts items of so many entries each into batches of bounded size.

    How many bytes an entry has is not known before it is read; it is taken to be as large as those
    of the batch before, and at first as 2 KB.
    """

    def __init__(self, entries: Callable[[Item], int]) -> None:
        self._entries, self._bytes = entries, 2048.0

    def of(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        batch: list[Item] = []
        weight = 0
        for item in items:
            more = 1 + self._entries(item)
            if batch and (weight + more > self._bound() or len(batch) >= BATCH_SESSIONS):
                yield batch
                batch, weight = [], 0
            batch.append(item)
            weight += more
        if batch:
            yield batch

    def saw(self, found: Sequence[Stored]) -> None:
        """What the sessions of the last batch turned out to be."""
        rows = sum(1 + len(stored.entries) for stored in found)
        self.measured(rows, sum(stored.size for stored in found))

    def measured(self, rows: int, size: int) -> None:
        """How many sessions and entries the last batch had, and how many bytes."""
        if rows:
            self._bytes = max(64.0, size / rows)

    def _bound(self) -> float:
        return min(BATCH_ENTRIES, BATCH_BYTES / self._bytes)


def checked(stored: Stored, replaces: StoredVersion | None = None) -> Put:
    """The write that stores it elsewhere. ``TransferError`` when a back end would not have it."""
    try:
        return checked_put(stored.record, stored.entries, STORED, replaces)
    except (InvalidValueError, CorruptStoreError) as error:
        raise TransferError(f"session {stored.record.key} can't be moved: {error}") from None


def same(put: Put, stored: Stored | None) -> bool:
    """Whether what is stored says the same, in whatever layout of its JSON."""
    if stored is None:
        return False
    if put.record == stored.record and put.entries == tuple(stored.entries):
        return True
    if put.record.last_seq != stored.record.last_seq:
        return False
    other = checked(stored)
    return put.record == other.record and put.entries == other.entries


def is_newer(one: StoredVersion, than: StoredVersion) -> bool:
    return (one.updated_at, one.version) > (than.updated_at, than.version)


def paired(
    first: Iterable[StoredVersion], second: Iterable[StoredVersion]
) -> Iterator[tuple[StoredVersion | None, StoredVersion | None]]:
    """The versions of two scans by key; ``None`` where one has no such session."""
    ones, others = iter(first), iter(second)
    one, other = next(ones, None), next(others, None)
    while one or other:
        if other is None or (one and scan_order(one.key) < scan_order(other.key)):
            yield one, None
            one = next(ones, None)
        elif one is None or scan_order(other.key) < scan_order(one.key):
            yield None, other
            other = next(others, None)
        else:
            yield one, other
            one, other = next(ones, None), next(others, None)


class Named:
    """Counts sessions, and keeps the names of the first of them for a message."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, key: object) -> None:
        self.count += 1
        if len(self._first) < NAMED:
            self._first.append(str(key))

    def __str__(self) -> str:
        more = f" and {self.count - NAMED:,} more" if self.count > NAMED else ""
        return f"{', '.join(self._first)}{more}"
