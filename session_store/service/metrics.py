"""Counters for users who watch a store, through the OpenTelemetry API where it is installed.

Every ``SessionService`` is counted, without a call. Without the API nothing is measured and nothing
wrapped; with it and no SDK, which is what FastAPI brings, a call takes 1 µs more, with one 8 µs
(``python benchmarks/metering.py``). docs/http.md lists names, units and attributes.
No attribute holds an id or content.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from session_store.core.decisions import SharedScope
from session_store.core.operations import Moment, Operation
from session_store.core.queries import Filter, Position, StoreStats, Window
from session_store.core.records import EntryFields, SessionRecord, StoredVersion
from session_store.errors import (
    ConflictError,
    SessionExistsError,
    SessionStoreError,
    StaleSessionError,
)
from session_store.repository import SessionRepository
from session_store.session import Applied, SessionKey

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation

Stats: TypeAlias = Callable[[], StoreStats]

STORAGE: Final = "session_store.storage.type"
OPERATION: Final = "session_store.operation"
ERROR: Final = "error.type"

_CONFLICTS: Final = (StaleSessionError, ConflictError, SessionExistsError)
_BOUNDS: Final = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30]
"""Seconds, from a read in memory to the deadlines of the stores."""

_T = TypeVar("_T")


class Instruments:
    """What is counted, in one ``meter``."""

    def __init__(self, meter: Meter) -> None:
        self.duration = meter.create_histogram(
            "session_store.operation.duration",
            unit="s",
            description="How long the operations of stores take",
            **_bounds(meter),
        )
        self.conflicts = meter.create_counter(
            "session_store.conflicts",
            unit="{conflict}",
            description="Writes that were refused because of what another one had written",
        )
        self.cleanup_runs = meter.create_counter(
            "session_store.cleanup.runs",
            unit="{run}",
            description="Removals of expired sessions that came to their end",
        )
        self.cleanup_removed = meter.create_counter(
            "session_store.cleanup.removed", unit="{session}", description="Sessions they removed"
        )
        self.cleanup_failures = meter.create_counter(
            "session_store.cleanup.failures",
            unit="{failure}",
            description="Removals that ended with an error",
        )
        self._watched: dict[weakref.WeakMethod[Stats], str] = {}
        meter.create_observable_gauge(
            "session_store.size", [self._sizes], unit="By", description="The size on disk"
        )
        meter.create_observable_gauge(
            "session_store.sessions",
            [self._sessions],
            unit="{session}",
            description="Sessions that are stored, expired ones too",
        )
        meter.create_observable_gauge(
            "session_store.sessions.active",
            [self._active],
            unit="{session}",
            description="Sessions that are running",
        )

    def watch(self, stats: Stats, storage: str) -> None:
        """Ask ``stats``, a bound method, whenever the gauges are read, for as long as it lives."""
        reference = weakref.WeakMethod(stats)
        self._watched = {old: type_ for old, type_ in self._watched.items() if old()}
        self._watched[reference] = storage

    def _sizes(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._observed(lambda stats: stats.size_bytes)

    def _sessions(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._observed(lambda stats: stats.total_sessions)

    def _active(self, _: CallbackOptions) -> Iterator[Observation]:
        return self._observed(lambda stats: stats.active_sessions)

    def _observed(self, value: Callable[[StoreStats], int | None]) -> Iterator[Observation]:
        from opentelemetry.metrics import Observation

        for stats, storage in _answers(self._watched.items()):
            if (number := value(stats)) is not None:
                yield Observation(number, {STORAGE: storage})


class MeteredRepository(SessionRepository):
    """``inner``, each of whose operations is counted and timed."""

    def __init__(self, inner: SessionRepository, storage: str, instruments: Instruments) -> None:
        self.inner, self._storage, self._to = inner, storage, instruments
        self._attributes: dict[str, dict[str, str]] = {}

    def __getattr__(self, name: str) -> Any:
        """What only some repositories have, such as ``pool_size``."""
        return getattr(self.inner, name)

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        return self._timed("commit", lambda: self.inner.commit(operations))

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, Sequence[EntryFields]] | None:
        return self._timed("fetch", lambda: self.inner.fetch(key, window))

    def fetch_shared(self, scope: SharedScope) -> str:
        return self._timed("fetch_shared", lambda: self.inner.fetch_shared(scope))

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        return self._timed("select", lambda: self.inner.select(query, position, limit, at))

    def count(self, query: Filter, at: Moment) -> int:
        return self._timed("count", lambda: self.inner.count(query, at))

    def remove_expired(self, at: Moment, limit: int) -> int:
        """A run ends with the batch that finds fewer than it might remove."""
        storage = {STORAGE: self._storage}
        try:
            removed = self._timed("remove_expired", lambda: self.inner.remove_expired(at, limit))
        except SessionStoreError:
            self._to.cleanup_failures.add(1, storage)
            raise
        self._to.cleanup_removed.add(removed, storage)
        self._to.cleanup_runs.add(int(removed < limit), storage)
        return removed

    def stats(self, at: Moment) -> StoreStats:
        return self._timed("stats", lambda: self.inner.stats(at))

    def scan(self, after: SessionKey | None, limit: int) -> Sequence[StoredVersion]:
        return self._timed("scan", lambda: self.inner.scan(after, limit))

    def scan_shared(
        self, after: SharedScope | None, limit: int
    ) -> Sequence[tuple[SharedScope, str]]:
        return self._timed("scan_shared", lambda: self.inner.scan_shared(after, limit))

    def fetch_many(
        self, keys: Sequence[SessionKey], *, with_history: bool = True
    ) -> dict[SessionKey, tuple[SessionRecord, Sequence[EntryFields]]]:
        return self._timed(
            "fetch_many", lambda: self.inner.fetch_many(keys, with_history=with_history)
        )

    def check(self) -> None:
        self._timed("check", self.inner.check)

    def close(self) -> None:
        self.inner.close()

    def _timed(self, operation: str, call: Callable[[], _T]) -> _T:
        started = perf_counter()
        try:
            result = call()
        except SessionStoreError as error:
            self._failed(operation, error, perf_counter() - started)
            raise
        self._to.duration.record(perf_counter() - started, self._of(operation))
        return result

    def _failed(self, operation: str, error: SessionStoreError, seconds: float) -> None:
        attributes = self._of(operation) | {ERROR: type(error).__name__}
        self._to.duration.record(seconds, attributes)
        if isinstance(error, _CONFLICTS):
            self._to.conflicts.add(1, {STORAGE: self._storage, ERROR: type(error).__name__})

    def _of(self, operation: str) -> dict[str, str]:
        if operation not in self._attributes:
            self._attributes[operation] = {STORAGE: self._storage, OPERATION: operation}
        return self._attributes[operation]


def metered(repository: SessionRepository, storage: str) -> SessionRepository:
    """``repository`` counted, once, where the OpenTelemetry API is installed; else itself."""
    instruments = shared_instruments()
    if instruments is None or isinstance(repository, MeteredRepository):
        return repository
    return MeteredRepository(repository, storage, instruments)


def watch(stats: Stats, storage: str) -> None:
    """Let the gauges show ``stats``, a bound method, for as long as it lives."""
    instruments = shared_instruments()
    if instruments is not None:
        instruments.watch(stats, storage)


@lru_cache(maxsize=1)
def shared_instruments() -> Instruments | None:
    """Those of the process. A provider that is set later gets them too."""
    try:
        from opentelemetry.metrics import get_meter
    except ImportError:
        return None
    return Instruments(get_meter("session_store"))


def _bounds(meter: Meter) -> dict[str, Any]:
    """Older releases of the API take none."""
    name = "explicit_bucket_boundaries_advisory"
    return {name: _BOUNDS} if name in inspect.signature(meter.create_histogram).parameters else {}


def _answers(
    watched: Iterable[tuple[weakref.WeakMethod[Stats], str]],
) -> Iterator[tuple[StoreStats, str]]:
    """Of the stores that are there and answer."""
    for reference, storage in list(watched):
        stats = reference()
        if stats is not None:
            try:
                yield stats(), storage
            except SessionStoreError:
                continue
