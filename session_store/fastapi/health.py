"""Whether the store is well, told in bounded time, however many ask."""

from __future__ import annotations

import threading
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


class HealthCheck:
    """Checks ``service``, one check at a time: who asks meanwhile gets the answer of that one."""

    def __init__(self, service: SessionService, patience: float = PATIENCE) -> None:
        self._service, self._patience = service, patience
        self._lock = threading.Lock()
        self._running: Future[None] | None = None

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
            if self._running is None or self._running.done():
                self._running = Future()
                worker = threading.Thread(
                    target=self._run, args=(self._running,), name="session-health", daemon=True
                )
                worker.start()
            return self._running

    def _run(self, outcome: Future[None]) -> None:
        try:
            self._service.check()
            outcome.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is raised to those who wait
            outcome.set_exception(error)
