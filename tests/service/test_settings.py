"""Settings: where they come from, what can be used, and which service they make."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import ValidationError

from session_store import (
    InMemorySessionService,
    PersistentSessionService,
    SessionService,
    Settings,
    SettingsError,
    create_session_service,
)
from session_store.backends.buffered import BufferedRepository
from session_store.service.cleanup import Cleaner
from session_store.settings import PREFIX

EXAMPLE = Path(__file__).parents[2] / ".env.example"
NAMES = [PREFIX + name.upper() for name in Settings.model_fields]


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def load(**variables: str) -> Settings:
    return Settings.load(None, {PREFIX + name.upper(): value for name, value in variables.items()})


def test_the_defaults_are_those_of_the_seed_document() -> None:
    settings = Settings.load(None, {})
    assert settings.persistence_enabled is True
    assert settings.storage_type == "file"
    assert settings.storage_path == "./data/sessions"
    assert settings.expiration_hours == 168
    assert settings == Settings()


def test_the_environment_comes_before_the_file_and_the_file_before_the_defaults(
    env_file: Path,
) -> None:
    env_file.write_text("SESSION_STORAGE_TYPE=sqlite\nSESSION_EXPIRATION_HOURS=24\n")
    settings = Settings.load(env_file, {"SESSION_EXPIRATION_HOURS": "48", "UNRELATED": "x"})
    assert (settings.storage_type, settings.expiration_hours) == ("sqlite", 48)
    assert settings.storage_path == "./data/sessions"


def test_the_environment_of_the_process_and_the_file_beside_it_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("SESSION_STORAGE_TYPE=sqlite\nSESSION_AUTO_SAVE=false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SESSION_AUTO_SAVE", "true")
    settings = Settings.load()
    assert (settings.storage_type, settings.auto_save) == ("sqlite", True)


def test_a_file_that_is_missing_is_none(tmp_path: Path) -> None:
    assert Settings.load(tmp_path / "missing.env", {}) == Settings()
    assert Settings.load(tmp_path, {}) == Settings()


def test_comments_quotes_and_spaces_in_the_file_are_understood(env_file: Path) -> None:
    env_file.write_text(
        '# Settings\n\nSESSION_STORAGE_TYPE=sqlite  # Options: "file" or "sqlite"\n'
        'export SESSION_STORAGE_PATH="./my data/#1.db"\nSESSION_EXPIRATION_HOURS = 12 # hours\n'
    )
    settings = Settings.load(env_file, {})
    assert (settings.storage_type, settings.storage_path) == ("sqlite", "./my data/#1.db")
    assert settings.expiration_hours == 12


def test_an_empty_value_means_the_default(env_file: Path) -> None:
    env_file.write_text("".join(f"{name}=\n" for name in NAMES))
    assert Settings.load(env_file, {}) == Settings()
    assert Settings.load(None, dict.fromkeys(NAMES, "")) == Settings()


@pytest.mark.parametrize("content", [b"SESSION_STORAGE_PATH=\xff\xfe", b"\x00\xff"], ids=repr)
def test_a_file_that_is_no_text_is_named(env_file: Path, content: bytes) -> None:
    env_file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"\.env can't be read .*UTF-8"):
        Settings.load(env_file, {})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("persistence_enabled", "false", False),
        ("persistence_enabled", "False", False),
        ("persistence_enabled", "0", False),
        ("auto_save", "no", False),
        ("auto_save", "TRUE", True),
        ("expiration_hours", "0.5", 0.5),
        ("expiration_hours", "168", 168),
        ("expiration_hours", "never", None),
        ("expiration_policy", "absolute", "absolute"),
        ("cleanup_interval_minutes", "5", 5),
        ("cleanup_interval_minutes", "never", None),
        ("sqlite_synchronous", "NORMAL", "NORMAL"),
        ("storage_url", "sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_values_are_read_from_text(name: str, text: str, value: Any) -> None:
    read = getattr(load(**{name: text}), name)
    assert read == value
    assert type(read) is type(value) or name == "cleanup_interval_minutes"


WRONG = [
    ("persistence_enabled", "maybe", "true or false"),
    ("auto_save", "2", "true or false"),
    ("storage_type", "redis", "file, sqlite or postgresql"),
    ("storage_type", "SQLite", "file, sqlite or postgresql"),
    ("storage_type", "memory", "file, sqlite or postgresql"),
    ("expiration_hours", "0", "above 0, or never"),
    ("expiration_hours", "-1", "above 0, or never"),
    ("expiration_hours", "nan", "above 0, or never"),
    ("expiration_hours", "inf", "above 0, or never"),
    ("expiration_hours", "a week", "above 0, or never"),
    ("expiration_hours", "168  # 7 days", "above 0, or never"),
    ("expiration_policy", "sliding", "idle or absolute"),
    ("cleanup_interval_minutes", "0", "above 0, up to a year, or never"),
    ("cleanup_interval_minutes", "1e9", "above 0, up to a year, or never"),
    ("cleanup_interval_minutes", "nan", "above 0, up to a year, or never"),
    ("cleanup_interval_minutes", "inf", "above 0, up to a year, or never"),
    ("sqlite_synchronous", "OFF", "FULL or NORMAL"),
    ("storage_url", "redis://localhost/0", "memory://, file:///"),
    ("storage_url", ":memory:", "memory://, file:///"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG, ids=lambda value: str(value)[:25])
def test_a_wrong_value_is_named_with_what_can_be_used(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError, match=allowed) as caught:
        load(**{name: value})
    assert str(caught.value).startswith(PREFIX + name.upper())
    assert repr(value) in str(caught.value) or name == "storage_url"


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{name: value for name, value, _ in WRONG})
    assert all(PREFIX + name.upper() in str(caught.value) for name, _, _ in WRONG)


URLS = [
    "postgres://ada:hunter2@db:port/sessions",
    "redis://:hunter2@[::1",
    "mysql://ada:hunter2\u2100@db",
    "sqlite:///x.db?password=hunter2",
    "file:///x?key=hunter2",
    "hunter2://x",
    "sqlite://hunter2@host/x.db",
]


@pytest.mark.parametrize("url", URLS, ids=ascii)
def test_a_wrong_url_is_not_repeated_with_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="SESSION_STORAGE_URL") as caught:
        load(storage_url=url)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ValidationError) as refused:
        Settings(storage_url=url)
    assert "hunter2" not in str(refused.value).replace("(hunter2://", "")
    assert "x.db" not in repr(Settings(storage_url="sqlite:///x.db"))


def test_the_example_names_every_variable_with_its_default() -> None:
    assert list(dotenv_values(EXAMPLE)) == NAMES
    assert Settings.load(EXAMPLE, {}) == Settings()
    written = {name: value for name, value in dotenv_values(EXAMPLE).items() if value}
    empty = {"STORAGE_URL", "ARCHIVE_PATH", "POSTGRES_SCHEMA", "POSTGRES_TABLE_PREFIX"}
    assert set(NAMES) - set(written) == {f"SESSION_{name}" for name in empty}
    text = EXAMPLE.read_text()
    assert all(f"\n{name}=" in text for name in NAMES)


def test_every_variable_of_the_example_is_explained() -> None:
    blocks = EXAMPLE.read_text().strip().split("\n\n")[1:]
    assert len(blocks) == len(NAMES)
    assert all(block.startswith("# ") for block in blocks)


@pytest.fixture
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


KINDS: list[tuple[dict[str, Any], type[SessionService], str, str | None]] = [
    ({}, PersistentSessionService, "file", "data/sessions/sessions.json"),
    ({"storage_path": "elsewhere"}, PersistentSessionService, "file", "elsewhere/sessions.json"),
    ({"persistence_enabled": False}, InMemorySessionService, "memory", None),
    ({"storage_type": "sqlite"}, PersistentSessionService, "sqlite", "data/sessions/sessions.db"),
    (
        {"storage_type": "sqlite", "storage_path": "a/b.db", "sqlite_synchronous": "NORMAL"},
        PersistentSessionService,
        "sqlite",
        "a/b.db",
    ),
    ({"storage_url": "sqlite:///u.db"}, PersistentSessionService, "sqlite", "u.db"),
    (
        {"storage_url": "sqlite:///u.db", "storage_type": "file", "storage_path": "not this"},
        PersistentSessionService,
        "sqlite",
        "u.db",
    ),
    ({"storage_url": "u"}, PersistentSessionService, "file", "u/sessions.json"),
    (
        {"storage_url": "memory://", "storage_type": "sqlite"},
        InMemorySessionService,
        "memory",
        None,
    ),
    (
        {"storage_url": "sqlite:///u.db", "persistence_enabled": False},
        InMemorySessionService,
        "memory",
        None,
    ),
]


@pytest.mark.usefixtures("_in_tmp_path")
@pytest.mark.parametrize(
    ("given", "kind", "storage_type", "made"), KINDS, ids=lambda v: str(v)[:60]
)
def test_settings_make_the_service_that_they_describe(
    given: dict[str, Any], kind: type[SessionService], storage_type: str, made: str | None
) -> None:
    with create_session_service(Settings(**given)) as service:
        assert type(service) is kind
        service.create_session(user_id="ada")
        assert service.get_storage_stats()["storage_type"] == storage_type
    assert made is None or Path(made).is_file()
    assert made is not None or list(Path().iterdir()) == []


@pytest.mark.usefixtures("_in_tmp_path")
def test_everything_that_is_set_reaches_the_service() -> None:
    settings = Settings(
        expiration_hours=12,
        expiration_policy="absolute",
        cleanup_interval_minutes=5,
        auto_save=False,
    )
    with create_session_service(settings) as service:
        assert (service.expiration_hours, service.expiration_policy) == (12, "absolute")
        assert service.auto_save is False
        assert isinstance(service.repository, BufferedRepository)
        assert isinstance(service._cleaner, Cleaner)
        assert service._cleaner._interval == timedelta(minutes=5).total_seconds()


@pytest.mark.usefixtures("_in_tmp_path")
def test_never_reaches_the_service() -> None:
    settings = load(expiration_hours="never", cleanup_interval_minutes="never")
    with create_session_service(settings) as service:
        assert service.expiration_hours is None
        assert service._cleaner is None


@pytest.mark.usefixtures("_in_tmp_path")
def test_without_settings_those_of_the_environment_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("SESSION_STORAGE_PATH=from-file\nSESSION_EXPIRATION_HOURS=12\n")
    monkeypatch.setenv("SESSION_STORAGE_PATH", "from-environment")
    with create_session_service() as service:
        assert service.get_storage_stats()["storage_path"] == "from-environment"
        assert service.expiration_hours == 12


@pytest.mark.usefixtures("_in_tmp_path")
def test_a_wrong_environment_makes_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_EXPIRATION_HOURS", "soon")
    with pytest.raises(SettingsError, match=r"^SESSION_EXPIRATION_HOURS='soon'"):
        create_session_service()
    assert list(Path().iterdir()) == []
