"""Whether the store is well, told in bounded time, however many ask."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Final

from session_store.errors import SessionStoreError
from session_store.fastapi.models import HealthView
from session_store.fastapi.problems import (
    CLEANUP_FAILING,
    NO_ANSWER,
    SessionProblem,
    of_error,
    problem,
)
from session_store.service import SessionService

PATIENCE: Final = 2.0
"""Seconds after which a check that has not ended is a problem itself. Probes often wait for 1 s to
5 s; a lock that writers hold is waited for 30 s."""

FRESH: Final = 1.0
"""Seconds for which an answer holds: a check writes, and whoever may ask must not make it write all
the time."""


class HealthCheck:
    """Checks ``service``, once at a time: who asks meanwhile, or right after, gets that answer."""

    def __init__(
        self, service: SessionService, patience: float = PATIENCE, fresh: float = FRESH
    ) -> None:
        self._service, self._patience, self._fresh = service, patience, fresh
        self._lock = threading.Lock()
        self._last: Future[None] | None = None
        self._ended = 0.0

    def view(self) -> HealthView:
        problems = self._problems()
        return HealthView(status="failing" if problems else "ok", problems=problems)

    def _problems(self) -> list[SessionProblem]:
        found: list[SessionProblem] = []
        try:
            self._check().result(self._patience)
        except NotYet:
            found.append(problem(NO_ANSWER))
        except SessionStoreError as error:
            found.append(of_error(error))
        if self._service.is_cleanup_failing:
            found.append(problem(CLEANUP_FAILING))
        return found

    def _check(self) -> Future[None]:
        with self._lock:
            if self._last is None or (self._last.done() and self._is_old()):
                self._last = Future()
                threading.Thread(
                    target=self._run, args=(self._last,), name="session-health", daemon=True
                ).start()
            return self._last

    def _is_old(self) -> bool:
        return time.monotonic() - self._ended >= self._fresh

    def _run(self, outcome: Future[None]) -> None:
        failure = self._failure()
        self._ended = time.monotonic()
        if failure is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(failure)

    def _failure(self) -> Exception | None:
        try:
            self._service.check()
        except Exception as error:  # noqa: BLE001 - it is raised to those who wait
            return error
        return None
