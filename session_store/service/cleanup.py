"""The thread that removes expired sessions: at the start, then every interval, until stopped."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol, TypeAlias

from session_store.clock import Clock
from session_store.core.operations import Moment
from session_store.repository import SessionRepository

HOURLY: Final = timedelta(hours=1)

JITTER: Final = 0.1
"""Share of the interval by which a run comes earlier or later, so that workers don't meet."""

SWEEP_BATCH: Final = 1000
"""Sessions that one transaction deletes."""

_log = logging.getLogger(__name__)


Stopping: TypeAlias = Callable[[], bool]
"""Asked between two batches: whether to stop after the one that is done."""

Sweep: TypeAlias = Callable[[Stopping], int]
"""Removes expired sessions in batches; how many it removed."""


class Archive(Protocol):
    """Where sessions go instead of being lost: ``transfer.archive.ArchivePolicy`` is one."""

    def sweep(
        self, repository: SessionRepository, at: Moment, *, stopping: Stopping, clock: Clock
    ) -> int:
        """Move what is due ``at`` a moment out of ``repository``; how many sessions it were."""
        ...


def remove_expired(
    repository: SessionRepository,
    at: Moment,
    *,
    stopping: Stopping,
    on_removed: Callable[[int], None],
) -> int:
    """Delete what is expired ``at`` a moment, in batches, each told ``on_removed``; how many."""
    removed = 0
    while not stopping():
        batch = repository.remove_expired(at, SWEEP_BATCH)
        removed += batch
        on_removed(batch)
        if batch < SWEEP_BATCH:
            break
    return removed


class Cleaner:
    """Runs ``sweep`` in a daemon thread. An error is logged and counted, and the loop goes on."""

    def __init__(self, sweep: Sweep, interval: timedelta) -> None:
        self._sweep = sweep
        self._interval = interval.total_seconds()
        self._stopping = threading.Event()
        self.runs = self.removed = self.failures = 0
        self.is_failing = False
        self._thread = threading.Thread(target=self._loop, name="session-cleaner", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Ask the thread to end and wait for it, at most ``timeout`` seconds."""
        self._stopping.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _loop(self) -> None:
        self._run()
        while not self._stopping.wait(self._pause()):
            self._run()

    def _pause(self) -> float:
        return self._interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            removed = self._sweep(self._stopping.is_set)
        except Exception:  # noqa: BLE001 - whatever it is, the next run comes
            self.failures += 1
            self.is_failing = True
            _log.exception(
                "cleanup failed, %d times in all; the next run tries again", self.failures
            )
            return
        self.runs += 1
        self.is_failing = False
        self.removed += removed
        _log.info(
            "cleanup removed %d expired sessions in %.3f s; %d in %d runs",
            removed,
            time.perf_counter() - started,
            self.removed,
            self.runs,
        )
