"""When a session is expired, and that it is then absent, whether or not the cleanup has come by."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from session_store import (
    REMOVED,
    InvalidValueError,
    SessionNotFoundError,
    SessionService,
    SettingsError,
    Status,
)
from tests.service.support import CALLS, FakeClock, Store, ids, ready_session

A_MICROSECOND = timedelta(microseconds=1)


def is_there(service: SessionService, session_id: str = "s1") -> bool:
    return session_id in ids(service.list_sessions().sessions)


def test_an_idle_session_lives_up_to_its_last_hour(store: Store) -> None:
    service = store.open(expiration_hours=24)
    service.create_session(user_id="ada", session_id="s1")
    store.clock.advance(hours=24)
    assert is_there(service)
    store.clock.now += A_MICROSECOND
    assert not is_there(service)


@pytest.mark.parametrize("hours", [0.5, 1, 168.0, 10**9, float("inf")])
def test_hours_may_be_parts_and_as_many_as_one_likes(memory: SessionService, hours: float) -> None:
    clock = FakeClock()
    with SessionService(
        memory.repository, expiration_hours=hours, cleanup_interval=None, clock=clock
    ) as service:
        service.create_session(user_id="ada", session_id="s1")
        clock.advance(hours=min(hours, 10**6))
        assert is_there(service)


def test_use_keeps_an_idle_session_alive(store: Store) -> None:
    service = store.open(expiration_hours=1)
    service.create_session(user_id="ada", session_id="s1")
    for use in (service.touch_session, lambda id_: service.append(id_, "hi")) * 3:
        store.clock.advance(minutes=50)
        use("s1")
    assert service.get_session("s1").created_at < store.clock.now - timedelta(hours=4)


def test_reading_is_no_use(store: Store) -> None:
    service = store.open(expiration_hours=1)
    service.create_session(user_id="ada", session_id="s1")
    store.clock.advance(minutes=50)
    service.get_session("s1")
    store.clock.advance(minutes=50)
    assert not is_there(service)


def test_an_absolute_age_is_not_stretched_by_use(store: Store) -> None:
    service = store.open(expiration_hours=1, expiration_policy="absolute")
    service.create_session(user_id="ada", session_id="s1")
    store.clock.advance(minutes=59)
    service.touch_session("s1")
    service.append("s1", "hi")
    store.clock.advance(minutes=1)
    assert is_there(service)
    store.clock.now += A_MICROSECOND
    assert not is_there(service)


def test_without_a_policy_only_its_own_end_ends_a_session(store: Store) -> None:
    service = store.open(expiration_hours=None)
    service.create_session(user_id="ada", session_id="s1")
    service.create_session(
        user_id="ada", session_id="s2", expires_at=store.clock.now + timedelta(days=1)
    )
    store.clock.advance(days=36_500)
    assert ids(service.list_sessions().sessions) == ["s1"]


def test_its_own_end_is_the_first_moment_without_it(store: Store) -> None:
    service = store.open()
    end = store.clock.now + timedelta(minutes=5)
    assert service.create_session(user_id="ada", session_id="s1", expires_at=end).expires_at == end
    store.clock.now = end - A_MICROSECOND
    assert service.get_session("s1").expires_at == end
    store.clock.now = end
    assert not is_there(service)


def test_its_own_end_shortens_a_life_but_does_not_prolong_it(store: Store) -> None:
    service = store.open(expiration_hours=1)
    service.create_session(
        user_id="ada", session_id="s1", expires_at=store.clock.now + timedelta(days=9)
    )
    store.clock.advance(hours=2)
    assert not is_there(service)


def test_touching_gives_moves_and_takes_away_an_end(store: Store) -> None:
    service = store.open()
    service.create_session(user_id="ada", session_id="s1")
    first, second = (store.clock.now + timedelta(minutes=m) for m in (5, 10))
    service.touch_session("s1", expires_at=first)
    assert service.get_session("s1").expires_at == first
    service.touch_session("s1")
    assert service.get_session("s1").expires_at == first
    service.touch_session("s1", expires_at=second)
    assert service.get_session("s1").expires_at == second
    service.touch_session("s1", expires_at=REMOVED)
    assert service.get_session("s1").expires_at is None
    store.clock.now = second
    assert is_there(service)


def test_an_end_is_a_time_with_a_zone(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1")
    naive = datetime(2027, 1, 1)  # noqa: DTZ001
    wrong: list[Any] = [naive, "2027-01-01", 5, 0, "", False]
    for end in wrong:
        with pytest.raises(InvalidValueError, match=r"^expires_at: "):
            service.create_session(user_id="ada", session_id="s2", expires_at=end)
        with pytest.raises(InvalidValueError, match=r"^expires_at: "):
            service.touch_session("s1", expires_at=end)
    assert service.get_session_count() == 1
    assert service.get_session("s1").version == 1


def expired(store: Store) -> SessionService:
    """A service whose session ``s1`` expired an hour ago and was not cleaned up."""
    service = store.open(expiration_hours=1)
    ready_session(service, user_id="ada", session_id="s1")
    service.force_save()
    store.clock.advance(hours=2)
    return service


def test_an_expired_session_is_absent_for_every_call(store: Store) -> None:
    service = expired(store)
    for name, call in CALLS.items():
        for who in ({}, {"user_id": "ada"}):
            if name == "delete_session":
                continue
            with pytest.raises(SessionNotFoundError):
                call(service, "s1", **who)
    assert service.list_sessions().sessions == ()
    assert service.get_all_user_sessions("ada") == service.get_active_sessions() == []
    assert service.get_session_count() == 0
    assert service.delete_session("s1") is service.delete_session("s1", user_id="ada") is False


def test_an_expired_session_is_stored_until_the_cleanup_and_said_to_be(store: Store) -> None:
    service = expired(store)
    service.create_session(user_id="bob", session_id="s2")
    service.append("s2", "hello")
    service.force_save()
    stats = service.get_storage_stats()
    assert (stats["total_sessions"], stats["expired_sessions"], stats["active_sessions"]) == (
        2,
        1,
        1,
    )
    assert service.cleanup_expired_sessions() == 1
    stats = service.get_storage_stats()
    assert (stats["total_sessions"], stats["expired_sessions"]) == (1, 0)


def test_an_expired_id_is_free_again(store: Store) -> None:
    service = expired(store)
    anew = service.create_session(user_id="ada", session_id="s1", state={"anew": True})
    assert service.get_session("s1") == anew
    assert (anew.version, anew.entries, anew.metadata) == (1, (), {})
    assert service.append("s1", "hello", entry_id="start").entry.seq == 1
    assert service.cleanup_expired_sessions() == 0


def test_an_expired_namesake_makes_no_id_ambiguous(store: Store) -> None:
    service = expired(store)
    service.create_session(user_id="bob", session_id="s1")
    assert service.get_session("s1").user_id == "bob"


def test_a_clock_that_goes_back_ends_nothing_and_loses_nothing(store: Store) -> None:
    service = store.open(expiration_hours=1)
    service.create_session(user_id="ada", session_id="s1")
    store.clock.advance(days=-400)
    applied = service.append("s1", "from the past")
    assert applied.updated_at == store.clock.now
    service.create_session(user_id="ada", session_id="s2")
    assert service.get_session("s1").last_seq == 1
    assert service.cleanup_expired_sessions() == 0
    assert service.get_session_count() == 2
    assert service.append("s1", "again", expected_version=applied.version).entry.seq == 2


def test_a_clock_that_jumps_ahead_and_back_ends_only_what_it_cleaned_up(store: Store) -> None:
    service = store.open(expiration_hours=1)
    service.create_session(user_id="ada", session_id="s1")
    store.clock.advance(days=400)
    assert not is_there(service)
    store.clock.advance(days=-400)
    assert is_there(service)


def test_time_is_read_with_its_zone(memory: SessionService) -> None:
    naive = SessionService(
        memory.repository,
        cleanup_interval=None,
        clock=lambda: datetime(2026, 1, 1),  # noqa: DTZ001
    )
    with naive, pytest.raises(InvalidValueError, match="time zone"):
        naive.create_session(user_id="ada")


@pytest.mark.parametrize("hours", [0, -1, float("nan"), "168"])
def test_hours_that_end_everything_are_refused(memory: SessionService, hours: Any) -> None:
    with pytest.raises(SettingsError, match="expiration_hours must be a number above 0"):
        SessionService(memory.repository, expiration_hours=hours)


def test_a_policy_is_idle_or_absolute(memory: SessionService) -> None:
    with pytest.raises(SettingsError, match="'idle' or 'absolute', not 'sliding'"):
        SessionService(memory.repository, expiration_policy="sliding")  # type: ignore[arg-type]


def test_two_services_may_look_at_one_store_by_different_policies(durable: Store) -> None:
    strict = durable.open(expiration_hours=1)
    patient = durable.open(expiration_hours=None)
    strict.create_session(user_id="ada", session_id="s1")
    durable.clock.advance(hours=2)
    assert not is_there(strict)
    assert patient.append("s1", "hi").status is Status.RUNNING
    assert is_there(strict)
