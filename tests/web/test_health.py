"""The health check says what is wrong, in bounded time, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from session_store import PersistentSessionService, SessionService, errors
from session_store.core.operations import Moment
from session_store.errors import SessionStoreError, StoreUnavailableError
from session_store.fastapi.health import HealthCheck
from session_store.fastapi.problems import KINDS
from tests.backends.test_json_file import full_disk
from tests.service.support import Wrapped
from tests.web.support import running

SECRET = "/srv/hunter2"


class Ill(Wrapped):
    """A store whose check raises, or waits for ``gate``; ``checks`` counts."""

    def __init__(self, error: SessionStoreError | None = None) -> None:
        super().__init__()
        self.error, self.checks = error, 0
        self.gate = threading.Event()
        self.gate.set()

    def check(self) -> None:
        self.checks += 1
        self.gate.wait(30)
        if self.error:
            raise self.error

    def remove_expired(self, at: Moment, limit: int) -> int:
        if self.error:
            raise self.error
        return 0


def serving(repository: Ill, interval: timedelta | None = None) -> SessionService:
    return SessionService(repository, cleanup_interval=interval)


def test_a_store_that_is_well(client: TestClient) -> None:
    answer = client.get("/sessions/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "problems": []})


@pytest.mark.parametrize(
    "kind",
    [
        errors.NotWritableError,
        errors.DiskFullError,
        errors.SchemaError,
        errors.CorruptStoreError,
        errors.StoreUnreachableError,
        errors.StoreUnavailableError,
        errors.StoreClosedError,
    ],
)
def test_what_is_wrong_is_said_by_its_code(kind: type[SessionStoreError]) -> None:
    with running(serving(Ill(kind(SECRET)))) as client:
        answer = client.get("/sessions/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "failing"
    (problem,) = answer.json()["problems"]
    assert problem["type"].endswith(":" + KINDS[kind if kind in KINDS else SessionStoreError].code)
    assert SECRET not in answer.text


def test_a_cleanup_that_fails_is_said_until_one_succeeds() -> None:
    ill = Ill(StoreUnavailableError("busy"))
    service = serving(ill, timedelta(seconds=0.02))
    with running(service) as client:

        def codes() -> list[str]:
            found = client.get("/sessions/health").json()["problems"]
            return [problem["type"].rpartition(":")[2] for problem in found]

        wait_for(lambda: service.is_cleanup_failing)
        assert codes() == ["unavailable", "cleanup-failing"]
        ill.error = None
        wait_for(lambda: not service.is_cleanup_failing)
        wait_for(lambda: codes() == [])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_check_that_hangs_is_reported_in_time_and_asked_once() -> None:
    ill = Ill()
    ill.gate.clear()
    health = HealthCheck(serving(ill), patience=0.2, fresh=0)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        views = list(threads.map(lambda _: health.view(), range(16)))
    assert time.monotonic() - started < 5
    assert {view.problems[0].type.rpartition(":")[2] for view in views} == {"no-answer"}
    assert ill.checks == 1
    ill.gate.set()
    wait_for(lambda: health.view().status == "ok")


def test_an_answer_holds_for_a_while() -> None:
    ill = Ill(StoreUnavailableError("busy"))
    health = HealthCheck(serving(ill), fresh=60)
    assert [health.view().status for _ in range(100)] == ["failing"] * 100
    assert ill.checks == 1
    health = HealthCheck(serving(ill), fresh=0)
    assert [health.view().status for _ in range(3)] == ["failing"] * 3
    assert ill.checks == 4


def test_a_full_disk_shows_and_goes_with_the_space(tmp_path: Path) -> None:
    service = PersistentSessionService("sqlite", tmp_path, cleanup_interval=None)
    with running(service) as client:
        with full_disk(100_000):
            answer = client.get("/sessions/health")
            assert answer.status_code == 503
            assert answer.json()["problems"][0]["type"].endswith(":disk-full")
            assert str(tmp_path) not in answer.text
        wait_for(lambda: client.get("/sessions/health").status_code == 200)
