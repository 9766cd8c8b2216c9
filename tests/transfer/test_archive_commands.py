"""The archive on the command line: what went there is listed, shown, searched and restored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from session_store import PersistentSessionService
from session_store.cli.main import main
from session_store.errors import StoreUnavailableError
from session_store.testing.given import BEGINNING
from session_store.transfer.archive import Archive
from session_store.transfer.archived import ArchiveRepository


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a store in which one session of two is completed."""
    for name in [name for name in os.environ if name.startswith("SESSION_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with PersistentSessionService("sqlite", "a.db", cleanup_interval=None) as service:
        for name in ("done", "going"):
            service.create_session(user_id="ada", session_id=name, metadata={"title": f"T {name}"})
            service.append(name, {"role": "user", "text": f"hello from {name}"})
        service.complete_session("done")
    monkeypatch.setenv("SESSION_STORAGE_TYPE", "sqlite")
    monkeypatch.setenv("SESSION_STORAGE_PATH", "a.db")
    return tmp_path


@pytest.fixture
def archived(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SESSION_ARCHIVE_PATH", "archive")
    assert main(["archive", "--completed-days", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sessions"] == 1


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_nothing_is_due_without_days(capsys: pytest.CaptureFixture[str]) -> None:
    assert "archived 0 sessions" in out(capsys, "archive", "--archive", "archive")
    assert "done" in out(capsys, "list")


def test_an_archive_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["archive"]) == 1
    assert main(["restore", "done"]) == 1
    assert main(["list", "--archived"]) == 1
    assert capsys.readouterr().err.count("SESSION_ARCHIVE_PATH") == 3


@pytest.mark.parametrize("days", ["-1", "x", "nan"])
def test_days_that_are_none_are_wrong_usage(days: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["archive", "--completed-days", days])
    assert ended.value.code == 2


@pytest.mark.usefixtures("archived")
def test_what_is_archived_is_not_in_the_store_and_is_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "done" not in out(capsys, "list")
    listed = out(capsys, "list", "--archived")
    assert "T done" in listed
    assert "going" not in listed


@pytest.mark.usefixtures("archived")
def test_an_archived_session_is_shown_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert "hello from done" in out(capsys, "show", "done", "--archived")
    assert "hello from done" in out(capsys, "search", "--archived", "--text", "hello from")
    shown = json.loads(out(capsys, "show", "done", "--archived", "--json"))
    assert (shown["status"], len(shown["entries"])) == ("completed", 1)


@pytest.mark.usefixtures("archived")
def test_what_is_not_in_the_store_is_shown_from_the_archive(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["show", "done"]) == 0
    shown = capsys.readouterr()
    assert "hello from done" in shown.out
    assert "from the archive; session-store restore done brings it back" in shown.err
    assert main(["show", "going"]) == 0
    assert "archive" not in capsys.readouterr().err
    assert main(["show", "nothing"]) == 1
    assert main(["show", "nothing", "--archived"]) == 1


@pytest.mark.usefixtures("archived")
def test_an_archived_session_is_restored(capsys: pytest.CaptureFixture[str]) -> None:
    assert "restored done with 1 entry" in out(capsys, "restore", "done", "--user", "ada")
    assert "hello from done" in out(capsys, "show", "done")
    assert main(["restore", "done"]) == 1
    assert main(["restore", "nobody"]) == 1


@pytest.mark.usefixtures("archived")
def test_an_archive_is_only_read() -> None:
    with ArchiveRepository(Archive("archive")) as repository:
        assert repository.stats(BEGINNING).total_sessions == 1
        for write in (
            lambda: repository.commit([]),
            lambda: repository.remove_expired(BEGINNING, 1),
            repository.check,
        ):
            with pytest.raises(StoreUnavailableError, match="restore"):
                write()


@pytest.mark.parametrize("command", ["archive", "restore"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example: session-store {command} " in " ".join(capsys.readouterr().out.split())
