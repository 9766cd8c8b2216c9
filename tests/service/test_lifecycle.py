"""Start and end of a service: who closes, what is saved then, what fails clearly."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from session_store import (
    InMemorySessionService,
    PersistentSessionService,
    SessionService,
    SettingsError,
    StoreUnavailableError,
)
from tests.service.support import CALLS, Store, payloads, ready_session

ROOT = Path(__file__).parents[2]


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_leaving_with_closes_and_keeps_everything(durable: Store) -> None:
    with durable.open() as service:
        session = ready_session(service, user_id="ada", session_id="s1")
    assert durable.open().get_session("s1") == session


def test_closing_again_does_nothing(store: Store) -> None:
    service = store.open(cleanup_interval=timedelta(hours=1))
    service.close()
    service.close()


def test_every_call_after_the_end_says_that_the_store_is_closed(store: Store) -> None:
    service = store.open()
    ready_session(service, user_id="ada", session_id="s1")
    service.close()
    for name, call in CALLS.items():
        with pytest.raises(StoreUnavailableError, match="closed"):
            call(service, "s1", user_id="ada")
        assert name
    for ask in (
        service.list_sessions,
        service.get_active_sessions,
        service.get_session_count,
        service.get_storage_stats,
        service.get_shared_state,
        service.cleanup_expired_sessions,
        lambda: service.create_session(user_id="ada"),
    ):
        with pytest.raises(StoreUnavailableError, match="closed"):
            ask()


def test_an_error_inside_with_still_saves(durable: Store) -> None:
    with suppress(ZeroDivisionError), durable.open(auto_save=False) as service:
        ready_session(service, user_id="ada", session_id="s1")
        raise ZeroDivisionError
    assert durable.open().get_session("s1").last_seq == 1


LEAVES_WITHOUT_CLOSE = """
import sys
from session_store import PersistentSessionService
service = PersistentSessionService(sys.argv[1], sys.argv[2], auto_save=False)
service.create_session(user_id="ada", session_id="s1")
service.append("s1", "not saved yet")
assert service.get_storage_stats()["unsaved_changes"] == 2
if sys.argv[3] == "by an error":
    raise SystemExit(3)
"""


@pytest.mark.parametrize("end", ["normally", "by an error"])
def test_an_interpreter_that_ends_without_close_saves_first(durable: Store, end: str) -> None:
    done = run(LEAVES_WITHOUT_CLOSE, durable.type, durable.place, end)
    assert (done.returncode, done.stderr) == (3 if end == "by an error" else 0, "")
    assert payloads(durable.open().get_session("s1")) == ["not saved yet"]


HOLDS_A_CLEANER = """
from session_store import InMemorySessionService
service = InMemorySessionService()
"""


def test_a_running_cleaner_does_not_keep_the_interpreter_alive() -> None:
    started = time.monotonic()
    done = run(HOLDS_A_CLEANER)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"expiration_hours": -1}, "expiration_hours"),
        ({"expiration_policy": "sliding"}, "expiration_policy"),
        ({"cleanup_interval": timedelta(0)}, "cleanup_interval"),
    ],
    ids=str,
)
def test_a_wrong_option_makes_no_store(unmade: Store, wrong: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        unmade.open(**wrong)
    assert not unmade.path.exists()


def test_a_wrong_storage_type_names_the_right_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no storage type 'redis'; use memory, file, .*postg"):
        PersistentSessionService("redis", tmp_path)
    with pytest.raises(SettingsError, match="use InMemorySessionService"):
        PersistentSessionService("memory", tmp_path)


def test_a_place_that_cannot_be_written_is_named(unmade: Store) -> None:
    unmade.directory.parent.mkdir(exist_ok=True)
    unmade.directory.write_text("a file where the directory should be")
    with pytest.raises(StoreUnavailableError, match="store"):
        unmade.open()
    assert unmade.directory.read_text() == "a file where the directory should be"


def test_the_place_is_made_with_its_parents(unmade: Store) -> None:
    unmade.directory = unmade.directory / "a" / "b"
    with unmade.open() as service:
        service.create_session(user_id="ada", session_id="s1")
    assert unmade.open().get_session_count() == 1


def test_services_in_memory_share_nothing() -> None:
    with InMemorySessionService() as one, InMemorySessionService() as other:
        one.create_session(user_id="ada", session_id="s1")
        assert other.get_session_count() == 0


def test_services_of_one_store_see_each_other_at_once(durable: Store) -> None:
    one, other = durable.open(), durable.open()
    one.create_session(user_id="ada", session_id="s1")
    for number in range(5):
        writer, reader = (one, other) if number % 2 else (other, one)
        writer.append("s1", number)
        assert reader.get_session("s1", last=1).entries[0].payload == number
    assert other.delete_session("s1") is True
    assert one.get_session_count() == 0


def test_a_service_is_a_service_whatever_it_stores_in(service: SessionService) -> None:
    assert isinstance(service, SessionService)
