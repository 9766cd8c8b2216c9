"""What the document that this product implements promises, in its order and its words."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from session_store import (
    InMemorySessionService,
    PersistentSessionService,
    SessionNotFoundError,
    SessionService,
    Settings,
    Status,
    StoreUnavailableError,
    create_session_service,
)
from session_store.service.cleanup import Cleaner
from tests.service.support import WRITES, Store, create_many, payloads, ready_session
from tests.service.test_cleanup import cleaners, until

ENV = """\
# Session Persistence Settings
SESSION_PERSISTENCE_ENABLED=true
SESSION_STORAGE_TYPE=file  # Options: "file" or "sqlite"
SESSION_STORAGE_PATH=./data/sessions
SESSION_EXPIRATION_HOURS=168  # 7 days default
"""


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which the server starts, with nothing set in its environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SESSION_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def restart(env: str = ENV) -> SessionService:
    Path(".env").write_text(env)
    return create_session_service()


SQLITE = ENV.replace("=file", "=sqlite")
STORAGES = pytest.mark.parametrize("env", [ENV, SQLITE], ids=["file", "sqlite"])


# Overview, Features --------------------------------------------------------------------------


@STORAGES
def test_sessions_survive_server_restarts(env: str) -> None:
    with restart(env) as before:
        session = ready_session(before, user_id="ada", session_id="s1")
    with restart(env) as after:
        assert after.get_session("s1") == session


def test_file_storage_is_the_default() -> None:
    with restart(env="") as service:
        assert service.get_storage_stats()["storage_type"] == "file"


@STORAGES
def test_sessions_are_loaded_on_server_startup(env: str) -> None:
    with restart(env) as before:
        ids = create_many(before, 30)
    with restart(env) as after:
        assert sorted(head.session_id for head in after.get_all_user_sessions("ada")) == ids


@STORAGES
def test_sessions_are_saved_on_every_update(env: str) -> None:
    """A second service on the same store sees every update at once."""
    with restart(env) as service, restart(env) as other:
        service.create_session(user_id="ada", session_id="s1")
        assert other.get_session("s1").status is Status.CREATED
        for name, update in WRITES.items():
            ready_session(service, user_id="ada", session_id=name)
            update(service, name)
            assert other.get_session(name) == service.get_session(name)


def test_a_background_task_runs_every_hour() -> None:
    with restart() as service:
        assert isinstance(service._cleaner, Cleaner)
        assert service._cleaner._interval == 3600


# Configuration -------------------------------------------------------------------------------


def test_the_settings_are_read_from_env_with_their_comments() -> None:
    Path(".env").write_text(ENV)
    settings = Settings.load()
    assert settings.persistence_enabled is True
    assert settings.storage_type == "file"
    assert settings.storage_path == "./data/sessions"
    assert settings.expiration_hours == 168
    assert settings == Settings(), "these are the defaults"


def test_persistence_enabled_chooses_the_service() -> None:
    with restart(ENV) as service:
        assert type(service) is PersistentSessionService
    with restart(ENV.replace("=true", "=false")) as service:
        assert type(service) is InMemorySessionService


def test_the_path_is_a_directory_for_a_file_and_a_database_for_sqlite() -> None:
    for env, place in (
        (ENV, "data/sessions/sessions.json"),
        (SQLITE.replace("/sessions\n", "/sessions.db\n"), "data/sessions.db"),
        (SQLITE, "data/sessions/sessions.db"),
    ):
        with restart(env) as service:
            service.create_session(user_id="ada")
        assert Path(place).is_file()


def test_sessions_expire_after_the_hours_that_are_set(durable: Store) -> None:
    service = durable.open(expiration_hours=168)
    service.create_session(user_id="ada", session_id="s1")
    durable.clock.advance(days=7)
    assert service.get_session("s1").version == 1
    durable.clock.advance(seconds=1)
    with pytest.raises(SessionNotFoundError):
        service.get_session("s1")


# Storage types -------------------------------------------------------------------------------


def test_a_backup_is_made_before_each_save() -> None:
    with restart() as service:
        service.create_session(user_id="ada", session_id="s1")
        for _ in range(3):
            before = Path("data/sessions/sessions.json").read_bytes()
            service.append("s1", "hello")
            assert Path("data/sessions/sessions.json.bak").read_bytes() == before


def test_the_file_is_json_that_people_can_read() -> None:
    with restart() as service:
        service.create_session(user_id="ada", session_id="s1", metadata={"title": "Übung"})
        service.append("s1", {"role": "user", "text": "Guten Tag"})
    text = Path("data/sessions/sessions.json").read_text("utf-8")
    assert len(json.loads(text)["sessions"]) == 1
    assert '"Übung"' in text
    assert '"Guten Tag"' in text
    assert text.count("\n") > 3


def test_writes_are_atomic_and_leave_no_temporary_file() -> None:
    with restart() as service:
        for _ in range(5):
            service.create_session(user_id="ada")
    names = {path.name for path in Path("data/sessions").iterdir()}
    assert names == {"sessions.json", "sessions.json.bak", "sessions.json.lock"}


def test_the_table_is_made_with_indexes_and_can_be_queried() -> None:
    with restart(SQLITE) as service:
        service.create_session(user_id="ada", session_id="s1", metadata={"title": "talk"})
    with closing(sqlite3.connect("data/sessions/sessions.db")) as database:
        assert database.execute(
            "SELECT session_id, status, json_extract(metadata, '$.title') FROM sessions"
        ).fetchall() == [("s1", "created", "talk")]
        indexes = database.execute(
            "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND tbl_name = 'sessions'"
        )
        assert indexes.fetchone()[0] >= 2


# Usage ---------------------------------------------------------------------------------------


@STORAGES
def test_a_save_can_be_triggered_by_hand(env: str) -> None:
    with restart(env + "SESSION_AUTO_SAVE=false\n") as session_service, restart(env) as other:
        session_service.create_session(user_id="ada", session_id="s1")
        assert other.get_session_count() == 0
        if isinstance(session_service, PersistentSessionService):
            session_service.force_save()
        assert other.get_session_count() == 1


def test_a_manual_save_is_never_wrong() -> None:
    for env in (ENV, ENV.replace("=true", "=false")):
        with restart(env) as service:
            service.create_session(user_id="ada")
            service.force_save()
            assert service.get_session_count() == 1


def test_the_statistics_are_those_of_the_document() -> None:
    with restart() as service:
        for n in range(42):
            session_id = service.create_session(user_id="ada").session_id
            if n < 5:
                service.append(session_id, "hello")
        stats = json.loads(json.dumps(service.get_storage_stats()))
        size = Path("data/sessions/sessions.json").stat().st_size
    documented = {
        "storage_type": "file",
        "storage_path": "./data/sessions",
        "total_sessions": 42,
        "active_sessions": 5,
        "expiration_hours": 168,
        "auto_save": True,
        "file_size_bytes": size,
    }
    assert stats == stats | documented


def test_the_statistics_of_sqlite_name_the_size_of_the_database() -> None:
    with restart(SQLITE) as service:
        service.create_session(user_id="ada")
        stats = service.get_storage_stats()
        size = Path("data/sessions/sessions.db").stat().st_size
    assert stats["storage_type"] == "sqlite"
    assert stats["db_size_bytes"] >= size > 0
    assert "file_size_bytes" not in stats


# Session lifecycle, Background cleanup -------------------------------------------------------


def test_expired_sessions_are_found_removed_and_logged(
    durable: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="session_store")
    service = durable.open(expiration_hours=24)
    create_many(service, 12)
    durable.clock.advance(hours=25)
    service.create_session(user_id="bob", session_id="young")
    with durable.open(expiration_hours=24, cleanup_interval=timedelta(hours=1)):
        until(lambda: "cleanup removed 12 expired sessions" in caplog.text)
    assert service.get_storage_stats()["total_sessions"] == 1
    assert service.get_session("young").user_id == "bob"


@STORAGES
def test_all_sessions_are_saved_before_the_server_stops(env: str) -> None:
    with restart(env + "SESSION_AUTO_SAVE=false\n") as service:
        for number in range(20):
            service.create_session(user_id="ada", session_id=f"s{number}")
            service.append(f"s{number}", number)
    with restart(env) as service:
        assert [payloads(service.get_session(f"s{n}")) for n in range(20)] == [
            [n] for n in range(20)
        ]


@STORAGES
def test_the_cleanup_task_is_cancelled_on_server_shutdown(env: str) -> None:
    with restart(env):
        assert len(cleaners()) == 1
    assert cleaners() == []


# Migration -----------------------------------------------------------------------------------


def test_from_memory_to_persistence_only_new_sessions_are_kept() -> None:
    with restart(ENV.replace("=true", "=false")) as service:
        service.create_session(user_id="ada", session_id="old")
    with restart(ENV) as service:
        service.create_session(user_id="ada", session_id="new")
    with restart(ENV) as service:
        assert [head.session_id for head in service.get_all_user_sessions("ada")] == ["new"]


def test_switching_the_storage_type_leaves_the_sessions_of_the_other() -> None:
    with restart(ENV) as service:
        session = ready_session(service, user_id="ada", session_id="s1")
    with restart(SQLITE) as service:
        assert service.get_session_count() == 0
        service.create_session(user_id="ada", session_id="s2")
    with restart(ENV) as service:
        assert service.get_session("s1") == session
        assert service.get_session_count() == 1


# Troubleshooting -----------------------------------------------------------------------------


@STORAGES
def test_a_storage_path_that_is_not_writable_is_named(env: str) -> None:
    Path("data").write_text("not a directory")
    with pytest.raises(StoreUnavailableError, match="data"):
        restart(env)


def test_the_backup_can_be_restored(caplog: pytest.LogCaptureFixture) -> None:
    file, backup = Path("data/sessions/sessions.json"), Path("data/sessions/sessions.json.bak")
    with restart() as service:
        service.create_session(user_id="ada", session_id="s1")
        service.append("s1", "saved twice", entry_id="e1")
        service.append("s1", "lost with the file")
    file.write_text("{ corrupted")
    shutil.copy(backup, file)
    with restart() as service:
        assert payloads(service.get_session("s1")) == ["saved twice"]


# Code examples -------------------------------------------------------------------------------


def test_check_if_persistence_is_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    with restart() as session_service:
        session_service.create_session(user_id="ada")
        if isinstance(session_service, PersistentSessionService):
            print("Persistence is enabled")
            stats = session_service.get_storage_stats()
            print(f"Total sessions: {stats['total_sessions']}")
    assert capsys.readouterr().out == "Persistence is enabled\nTotal sessions: 1\n"


def test_manual_cleanup(durable: Store) -> None:
    session_service = durable.open()
    create_many(session_service, 3)
    durable.clock.advance(hours=25)
    session_service.create_session(user_id="ada", session_id="young")
    assert isinstance(session_service, PersistentSessionService)
    deleted = session_service.cleanup_expired_sessions(max_age_hours=24)
    assert f"Deleted {deleted} expired sessions" == "Deleted 3 expired sessions"


def test_the_service_is_made_with_the_arguments_of_the_document() -> None:
    with PersistentSessionService(
        storage_type="sqlite",
        storage_path="./data/sessions.db",
        expiration_hours=168,
        auto_save=True,
    ) as service:
        service.create_session(user_id="ada")
    assert Path("data/sessions.db").is_file()
