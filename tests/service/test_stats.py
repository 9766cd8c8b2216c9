"""The statistics: the seed document's keys with their meaning, and nothing of a session."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from session_store import SessionService
from session_store.backends.memory import MemoryRepository
from session_store.core.operations import Moment
from session_store.core.queries import StoreStats
from tests.service.support import Store, Wrapped

OURS = {"expired_sessions", "expiration_policy", "unsaved_changes"}
SEEDS = {
    "storage_type",
    "storage_path",
    "total_sessions",
    "active_sessions",
    "expiration_hours",
    "auto_save",
}
SIZES = {
    "memory": set(),
    "buffered": set(),
    "file": {"file_size_bytes"},
    "sqlite": {"db_size_bytes"},
    "postgresql": {"db_size_bytes"},
}


TABLES = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"


def test_the_keys_are_the_seed_documents_and_a_few_beside_them(store: Store) -> None:
    assert set(store.open().get_storage_stats()) == SEEDS | OURS | SIZES[store.type]


def test_a_new_store_holds_nothing(store: Store) -> None:
    stats = store.open().get_storage_stats()
    counts = ("total_sessions", "active_sessions", "expired_sessions", "unsaved_changes")
    assert [stats[name] for name in counts] == [0, 0, 0, 0]


def test_they_say_where_the_sessions_lie_as_the_application_named_it(durable: Store) -> None:
    stats = durable.open(expiration_hours=12, expiration_policy="absolute").get_storage_stats()
    assert stats["storage_type"] == durable.type
    assert stats["storage_path"] == re.sub("//.*@", "//", durable.place)
    assert (stats["expiration_hours"], stats["expiration_policy"]) == (12, "absolute")
    assert stats["auto_save"] is True


def test_in_memory_there_is_no_path(memory: SessionService) -> None:
    stats = memory.get_storage_stats()
    assert (stats["storage_type"], stats["storage_path"]) == ("memory", None)


def test_they_count_what_is_stored_what_runs_and_what_waits_for_the_cleanup(store: Store) -> None:
    service = store.open(expiration_hours=1)
    for session_id in ("old", "old too"):
        service.create_session(user_id="ada", session_id=session_id)
        service.append(session_id, "hello")
    store.clock.advance(hours=2)
    for session_id in ("created", "runs", "runs too", "ended"):
        service.create_session(user_id="ada", session_id=session_id)
    service.append("runs", "hello")
    service.append("runs too", "hello")
    service.complete_session("ended")
    stats = service.get_storage_stats()
    assert stats["total_sessions"] == 6
    assert stats["active_sessions"] == 2
    assert stats["expired_sessions"] == 2
    service.delete_session("runs")
    service.delete_session("created")
    stats = service.get_storage_stats()
    assert (stats["total_sessions"], stats["active_sessions"]) == (4, 1)


def sizes(store: Store) -> int:
    """What the store takes: of SQLite with the log, of PostgreSQL all that is not its own."""
    path = store.path
    if store.url:
        with psycopg.connect(store.url) as connection:
            return int(connection.execute(TABLES).fetchall()[0][0])
    if path.is_dir():
        return (path / "sessions.json").stat().st_size
    return sum(
        Path(f"{path}{end}").stat().st_size for end in ("", "-wal") if Path(f"{path}{end}").exists()
    )


def test_the_size_is_that_on_the_disk(durable: Store) -> None:
    service = durable.open()
    service.create_session(user_id="ada", session_id="s1")
    service.append("s1", ["x" * 1000] * 500)
    service.close()
    service = durable.open()
    (name,) = SIZES[durable.type]
    size = service.get_storage_stats()[name]
    assert size > 500_000
    assert abs(size - sizes(durable)) <= 0.1 * size


def test_they_are_json_as_the_seed_document_shows_them(durable: Store) -> None:
    text = json.dumps(durable.open().get_storage_stats())
    assert '"expiration_hours": 168,' in text
    assert '"auto_save": true' in text


def test_they_hold_nothing_of_a_session(store: Store) -> None:
    service = store.open()
    for name in ("canary-user", "canary-other"):
        service.create_session(
            user_id=name,
            session_id="canary-id",
            app_name="canary-app",
            metadata={"canary": 1},
            state={"canary": 1},
        )
        service.append("canary-id", "canary", user_id=name, app_name="canary-app")
    assert "canary" not in json.dumps(service.get_storage_stats())


def test_a_repository_of_ones_own_has_its_size_in_bytes() -> None:
    class Sized(Wrapped):
        def stats(self, at: Moment) -> StoreStats:
            return super().stats(at).model_copy(update={"size_bytes": 123})

    with SessionService(Sized(MemoryRepository()), cleanup_interval=None) as service:
        stats = service.get_storage_stats()
    assert (stats["storage_type"], stats["size_bytes"]) == ("custom", 123)


def test_they_read_no_session(durable: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap at a million sessions: nothing is decoded."""
    service = durable.open()
    service.create_session(user_id="ada", session_id="s1")

    def refused(*_: Any) -> Any:
        raise AssertionError("a document was read")

    monkeypatch.setattr("session_store.core.codec.decode", refused)
    assert service.get_storage_stats()["total_sessions"] == 1
