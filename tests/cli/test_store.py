"""Which store a command is about, and that it changes nothing that it is not asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_store.backends.sql import schema
from session_store.cli.main import main
from tests.cli.support import Place, files_in, lines_of

READING = (["stats"], ["list"], ["show", "talk"], ["search", "--text", "team"])
ALL = (*READING, ["tail", "talk"], ["delete", "talk", "--yes"], ["cleanup", "--yes"])


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that fails says, in one line."""
    assert main(list(arguments)) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("session-store: error: ")
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    return str(captured.err)


@pytest.mark.parametrize("path", ["nowhere", "nowhere.db", "sqlite:///deep/er/nowhere.db"])
@pytest.mark.parametrize("command", ALL, ids=lambda words: str(words[0]))
def test_a_store_that_is_not_there_is_not_made(
    path: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "there is no store " in failed(capsys, *command, "--store", path)
    assert list(tmp_path.iterdir()) == []


def test_the_settings_say_where_it_is(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(f"SESSION_STORAGE_TYPE={place.type}\nSESSION_STORAGE_URL={place.url}\n")
    if place.type == "file":
        monkeypatch.setenv("SESSION_STORAGE_PATH", place.url)
        Path(".env").unlink()
    assert len(lines_of(capsys, "list")) == 4


def test_an_argument_comes_before_the_settings(
    database: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_STORAGE_TYPE", "postgresql")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere.example/app")
    monkeypatch.setenv("SESSION_PERSISTENCE_ENABLED", "false")
    assert len(lines_of(capsys, "list", "--store", database.url)) == 4


def test_memory_is_no_store_to_look_into(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "name a store with --store" in failed(capsys, "list", "--store", "memory://")
    monkeypatch.setenv("SESSION_PERSISTENCE_ENABLED", "false")
    assert "name a store with --store" in failed(capsys, "list")


def test_a_file_in_place_of_its_directory_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "sessions.json"
    file.write_text("{}")
    assert "name its directory" in failed(capsys, "list", "--store", str(file))


@pytest.mark.parametrize("command", ALL, ids=lambda words: str(words[0]))
def test_an_older_database_is_left_as_it_is(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "upgrade", schema.REVISIONS[0], "--url", "sqlite:///sessions.db"]) == 0
    capsys.readouterr()
    before = files_in(tmp_path)
    said = failed(capsys, *command, "--store", "sessions.db")
    assert "session-store db upgrade --url sqlite:///" in said
    assert files_in(tmp_path) == before


@pytest.mark.parametrize("command", READING, ids=lambda words: str(words[0]))
def test_reading_leaves_the_files_as_they_are(
    command: list[str], place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_in(tmp_path)
    lines_of(capsys, *command, "--store", place.url)
    after = files_in(tmp_path)
    for files in (before, after):
        files.pop("sessions.db-shm", None)
    assert after == before
