"""Removing expired sessions: on demand, and by the thread that does it every hour."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from session_store import (
    InvalidValueError,
    SessionNotFoundError,
    SessionService,
    SettingsError,
    StoreUnavailableError,
)
from session_store.backends.memory import MemoryRepository
from session_store.clock import utc_now
from session_store.core.operations import Moment
from session_store.service.cleanup import Cleaner
from tests.service.support import FakeClock, Store, Wrapped, create_many, ids

SOON = timedelta(milliseconds=20)


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def cleaners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "session-cleaner"]


class Counted(Wrapped):
    """Counts the batches, and what each of them was asked for and removed."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, int]] = []

    def remove_expired(self, at: Moment, limit: int) -> int:
        removed = super().remove_expired(at, limit)
        self.batches.append((limit, removed))
        return removed


def test_cleanup_removes_what_is_expired_and_tells_how_much(store: Store) -> None:
    service = store.open(expiration_hours=1)
    create_many(service, 20)
    store.clock.advance(hours=2)
    service.create_session(user_id="bob", session_id="new")
    service.force_save()
    assert service.count_expired_sessions() == 20
    assert service.cleanup_expired_sessions() == 20
    assert service.count_expired_sessions() == service.cleanup_expired_sessions() == 0
    assert ids(service.list_sessions().sessions) == ["new"]
    assert service.get_storage_stats()["total_sessions"] == 1


def test_a_shorter_age_can_be_asked_for_once(store: Store) -> None:
    service = store.open()
    service.create_session(user_id="ada", session_id="old")
    store.clock.advance(hours=25)
    service.create_session(user_id="ada", session_id="new")
    service.force_save()
    assert service.cleanup_expired_sessions() == 0
    assert service.count_expired_sessions(max_age_hours=24) == 1
    assert service.cleanup_expired_sessions(max_age_hours=24) == 1
    assert ids(service.list_sessions().sessions) == ["new"]


def test_the_age_is_counted_as_the_policy_says(store: Store) -> None:
    for policy, removed in (("idle", 0), ("absolute", 1)):
        service = store.open(expiration_policy=policy)
        service.create_session(user_id="ada", session_id="s1", app_name=policy)
        service.force_save()
        store.clock.advance(hours=25)
        service.touch_session("s1", app_name=policy)
        service.force_save()
        assert service.count_expired_sessions(max_age_hours=24) == removed
        assert service.cleanup_expired_sessions(max_age_hours=24) == removed
        service.delete_session("s1", app_name=policy)
        service.force_save()


def test_no_age_at_all_removes_what_was_not_used_this_moment(store: Store) -> None:
    service = store.open()
    create_many(service, 5)
    service.create_session(user_id="bob", session_id="now")
    service.force_save()
    assert service.cleanup_expired_sessions(max_age_hours=0) == 5
    assert ids(service.list_sessions().sessions) == ["now"]


@pytest.mark.parametrize("wrong", [-1, float("nan"), -0.5, "24"])
def test_an_age_is_a_number_and_not_negative(memory: SessionService, wrong: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^max_age_hours: must be a number, 0 or more"):
        memory.cleanup_expired_sessions(max_age_hours=wrong)
    with pytest.raises(InvalidValueError, match=r"^max_age_hours: must be a number, 0 or more"):
        memory.count_expired_sessions(max_age_hours=wrong)


def test_thousands_of_sessions_go_in_batches_of_a_thousand(clock: FakeClock) -> None:
    repository = Counted()
    with SessionService(repository, clock=clock, cleanup_interval=None) as service:
        create_many(service, 2_500)
        clock.advance(days=8)
        told: list[int] = []
        assert service.cleanup_expired_sessions(on_removed=told.append) == 2_500
        assert told == [1000, 1000, 500]
    assert repository.batches == [(1000, 1000), (1000, 1000), (1000, 500)]


def test_thousands_of_sessions_go_from_a_durable_store(durable: Store) -> None:
    service = durable.open()
    create_many(service, 2_500)
    durable.clock.advance(days=8)
    service.create_session(user_id="bob", session_id="new")
    assert service.cleanup_expired_sessions() == 2_500
    assert durable.open().get_storage_stats()["total_sessions"] == 1


def test_the_cleaner_runs_at_the_start(durable: Store) -> None:
    service = durable.open()
    create_many(service, 10)
    service.close()
    durable.clock.advance(days=8)
    started = durable.open(cleanup_interval=timedelta(hours=1))
    until(lambda: started.get_storage_stats()["total_sessions"] == 0)


def test_the_cleaner_runs_every_interval(clock: FakeClock) -> None:
    with SessionService(MemoryRepository(), clock=clock, cleanup_interval=SOON) as service:
        for _ in range(3):
            create_many(service, 10)
            clock.advance(days=8)
            until(lambda: service.get_storage_stats()["total_sessions"] == 0)


def test_without_an_interval_there_is_no_thread(clock: FakeClock) -> None:
    with SessionService(MemoryRepository(), clock=clock, cleanup_interval=None):
        assert cleaners() == []


@pytest.mark.parametrize("wrong", [timedelta(0), timedelta(seconds=-1), timedelta.max], ids=str)
def test_an_interval_is_a_time_that_passes(wrong: timedelta) -> None:
    with pytest.raises(SettingsError, match="cleanup_interval must be more than 0"):
        SessionService(MemoryRepository(), cleanup_interval=wrong)
    assert cleaners() == []


class FailsAtFirst(Wrapped):
    """The first attempts to remove find the store away."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def remove_expired(self, at: Moment, limit: int) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the disk is full; free some space")
        return super().remove_expired(at, limit)


def test_the_cleaner_survives_errors_logs_and_counts_them(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with SessionService(FailsAtFirst(2), clock=clock, cleanup_interval=SOON) as service:
        create_many(service, 10)
        clock.advance(days=8)
        until(lambda: service.get_storage_stats()["total_sessions"] == 0)
        assert isinstance(service._cleaner, Cleaner)
        until(lambda: service._cleaner and service._cleaner.removed == 10)
        assert service._cleaner.failures == 2
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage().split(";")[0] for record in errors] == [
        "cleanup failed, 1 times in all",
        "cleanup failed, 2 times in all",
    ]
    assert "the disk is full" in caplog.text


def test_every_run_logs_one_line_of_statistics(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="session_store")
    answers = iter([7, 0, 3])
    done = threading.Event()

    def sweep(stopping: Callable[[], bool]) -> int:
        answer = next(answers, None)
        if answer is None:
            done.set()
        return answer or 0

    cleaner = Cleaner(sweep, timedelta(milliseconds=1))
    assert done.wait(10)
    cleaner.stop()
    lines = [record.getMessage() for record in caplog.records]
    assert all(record.levelno == logging.INFO for record in caplog.records)
    assert [line.split(" in ")[0] for line in lines[:3]] == [
        "cleanup removed 7 expired sessions",
        "cleanup removed 0 expired sessions",
        "cleanup removed 3 expired sessions",
    ]
    assert lines[2].endswith("; 10 in 3 runs")
    assert len(lines) == cleaner.runs


def test_runs_come_up_to_a_tenth_earlier_or_later(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []
    factors = iter([0.9, 1.1])

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return next(factors, 1000.0)  # never again in this test

    monkeypatch.setattr(random, "uniform", uniform)
    runs: list[float] = []

    def sweep(_: Callable[[], bool]) -> int:
        runs.append(time.monotonic())
        return 0

    cleaner = Cleaner(sweep, timedelta(milliseconds=200))
    until(lambda: len(asked) == 3)
    cleaner.stop()
    assert asked == [(0.9, 1.1)] * 3
    assert runs[1] - runs[0] >= 0.18
    assert runs[2] - runs[1] >= 0.22


class Slow(Counted):
    """Removes one session a batch, and says that more are left: a sweep that takes minutes."""

    def remove_expired(self, at: Moment, limit: int) -> int:
        time.sleep(0.01)
        super().remove_expired(at, 1)
        return limit


def test_closing_in_the_middle_of_a_long_sweep_takes_less_than_a_second(clock: FakeClock) -> None:
    repository = Slow()
    service = SessionService(repository, clock=clock, cleanup_interval=SOON)
    until(lambda: len(repository.batches) > 5)
    started = time.monotonic()
    service.close()
    assert time.monotonic() - started < 1
    assert cleaners() == []


def test_closing_between_two_runs_takes_no_time(clock: FakeClock) -> None:
    service = SessionService(MemoryRepository(), clock=clock)
    assert len(cleaners()) == 1
    started = time.monotonic()
    service.close()
    assert time.monotonic() - started < 1
    assert cleaners() == []


def test_a_stuck_store_delays_the_end_by_a_second_at_most(clock: FakeClock) -> None:
    class Stuck(Wrapped):
        released = threading.Event()

        def remove_expired(self, at: Moment, limit: int) -> int:
            self.released.wait(30)
            return 0

    service = SessionService(Stuck(), clock=clock)
    started = time.monotonic()
    service.close()
    assert time.monotonic() - started < 2
    Stuck.released.set()
    until(lambda: cleaners() == [])


LIFE = timedelta(milliseconds=25)


def use_until(stop: threading.Event, service: SessionService, user_id: str) -> int:
    """How often a session was touched, now and then only just in time, and was there still."""
    touched, used = 0, None
    while not stop.wait(random.uniform(0, LIFE.total_seconds())):
        try:
            used = service.touch_session("s1", user_id=user_id).updated_at
            touched += 1
        except SessionNotFoundError:
            assert used is None or utc_now() - used > LIFE, "it was removed alive"
            used = service.create_session(user_id=user_id, session_id="s1").updated_at
    return touched


def test_a_session_that_is_used_meanwhile_is_never_removed(durable: Store) -> None:
    service = durable.open(clock=utc_now, expiration_hours=LIFE / timedelta(hours=1))
    stop, removed = threading.Event(), 0
    with ThreadPoolExecutor() as pool:
        users = [pool.submit(use_until, stop, service, f"user {n}") for n in range(4)]
        ends = time.monotonic() + 0.6
        while time.monotonic() < ends:
            removed += service.cleanup_expired_sessions()
        stop.set()
    assert all(user.result() > 0 for user in users)
    assert removed > 0


def test_a_session_touched_between_finding_and_removing_stays(durable: Store) -> None:
    """The condition is checked again inside the removing transaction."""
    service, patient = durable.open(expiration_hours=1), durable.open(expiration_hours=None)
    for session_id in ("idle", "used"):
        service.create_session(user_id="ada", session_id=session_id)
    durable.clock.advance(hours=2)
    sweep_began = service._moment()
    patient.touch_session("used")
    assert service.repository.remove_expired(sweep_began, 1000) == 1
    assert ids(patient.list_sessions().sessions) == ["used"]


def test_cleanup_in_every_service_of_one_store_removes_each_session_once(durable: Store) -> None:
    services = [durable.open() for _ in range(3)]
    create_many(services[0], 1_500)
    durable.clock.advance(days=8)
    with ThreadPoolExecutor(3) as pool:
        removed = list(pool.map(SessionService.cleanup_expired_sessions, services))
    assert sum(removed) == 1_500
