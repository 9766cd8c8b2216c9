"""What lies in the directory of a JSON file, who may read it, and what somebody else put there."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.errors import CorruptStoreError, StoreUnavailableError
from session_store.testing.given import BEGINNING, KEY, at, change, contents, create, messages


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[JsonFileRepository]:
    with JsonFileRepository(tmp_path) as opened:
        yield opened


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def test_nothing_is_written_before_the_first_save(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path) as repository:
        assert contents(repository)[0] == "{}"
        assert repository.stats(at()).size_bytes == 0
    assert names(tmp_path) == {"sessions.json.lock"}


def test_the_file_is_named_as_documented(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path / "data" / "sessions") as repository:
        create(repository)
        assert repository.path == tmp_path / "data" / "sessions" / "sessions.json"
        assert json.loads(repository.path.read_bytes())["sessions"].keys() == {"app/ada/s1"}


def test_the_backup_is_the_save_before(repository: JsonFileRepository) -> None:
    create(repository)
    before = repository.path.read_bytes()
    change(repository, entries=messages("a"))
    assert Path(f"{repository.path}.bak").read_bytes() == before


def test_a_relative_directory_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with JsonFileRepository("data") as repository:
        monkeypatch.chdir("/")
        create(repository)
    assert (tmp_path / "data" / "sessions.json").is_file()


def test_a_backup_of_a_file_that_others_could_read_is_private(
    repository: JsonFileRepository,
) -> None:
    create(repository)
    repository.path.chmod(0o644)
    change(repository, entries=messages("a"))
    modes = [stat.S_IMODE(path.stat().st_mode) for path in repository.path.parent.iterdir()]
    assert modes == [0o600] * 3


def planted_link(directory: Path, name: str) -> Path:
    """A link in the store's place to a file elsewhere, which is returned."""
    victim = directory / "victim"
    victim.write_text("precious")
    (directory / "store").mkdir(exist_ok=True)
    (directory / "store" / name).symlink_to(victim)
    return victim


def test_a_link_planted_for_the_backup_is_replaced(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path / "store") as repository:
        create(repository)
    victim = planted_link(tmp_path, "sessions.json.bak")
    with JsonFileRepository(tmp_path / "store") as repository:
        change(repository, entries=messages("a"))
    assert victim.read_text() == "precious"
    assert not (tmp_path / "store" / "sessions.json.bak").is_symlink()


@pytest.mark.parametrize("name", ["sessions.json", "sessions.json.lock"])
def test_a_link_planted_for_the_file_or_its_lock_is_refused(tmp_path: Path, name: str) -> None:
    victim = planted_link(tmp_path, name)
    with pytest.raises(StoreUnavailableError, match=f"{re.escape(name)} is a symbolic link"):
        JsonFileRepository(tmp_path / "store")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("planted", ["sessions.json", "sessions.json.lock"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, planted: str) -> None:
    os.mkfifo(tmp_path / planted)
    (tmp_path / "sessions.json.bak").mkdir()
    with pytest.raises((StoreUnavailableError, CorruptStoreError), match=r"sessions\.json"):
        JsonFileRepository(tmp_path)


def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="file/store"):
        JsonFileRepository(tmp_path / "file" / "store")


def test_without_posix_locks_the_error_names_sqlite() -> None:
    program = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import session_store.backends, session_store.errors as errors\n"
        "try:\n    session_store.backends.open_repository('x')\n"
        "except errors.SettingsError as error:\n    print(error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "SESSION_STORAGE_TYPE=sqlite" in ran.stdout


def test_closing_leaves_no_files_behind(tmp_path: Path) -> None:
    repository = JsonFileRepository(tmp_path)
    create(repository)
    repository.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        repository.load(KEY, BEGINNING)
    assert names(tmp_path) == {"sessions.json", "sessions.json.lock"}
