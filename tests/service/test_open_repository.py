"""The one map from a URL or path to a store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_store import SettingsError, open_repository
from session_store.backends import FORMS, storage_of
from session_store.backends.memory import MemoryRepository
from session_store.core.operations import Moment
from tests.service.support import NOON, _running

AT = Moment(NOON)


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def kept(url: str | Path) -> bool:
    """Whether a session outlives the repository of this URL."""
    with open_repository(url) as repository:
        repository.create(_running("s1", "ada", NOON), AT)
    with open_repository(url) as repository:
        return repository.stats(AT).total_sessions == 1


def test_memory_is_gone_when_it_is_closed() -> None:
    assert not kept("memory://")
    assert not kept("MEMORY://")
    assert isinstance(open_repository("memory://"), MemoryRepository)
    assert list(Path().iterdir()) == []


PLACES = {
    "sqlite:///relative.db": "relative.db",
    "sqlite+pysqlite:///other.db": "other.db",
    "sqlite:///deep/er/x.db": "deep/er/x.db",
    "sqlite:///with spaces & ümlauts.db": "with spaces & ümlauts.db",
    "sqlite:///100%25.db": "100%25.db",
    "sqlite:///a%b.db": "a%b.db",
    "sqlite:///directory": "directory/sessions.db",
    "sqlite:////{here}/absolute.db": "absolute.db",
    "SQLite:///case.db": "case.db",
    "file://{here}/stores": "stores/sessions.json",
    "file://localhost{here}/local": "local/sessions.json",
    "file://{here}/with%20space": "with space/sessions.json",
    "file://{here}/100%25": "100%/sessions.json",
    "file://{here}/what%3F%23": "what?#/sessions.json",
    "plain": "plain/sessions.json",
    "./plain": "plain/sessions.json",
    "with space%20": "with space%20/sessions.json",
    "what?#": "what?#/sessions.json",
    "{here}/absolute": "absolute/sessions.json",
    "plain.db": "plain.db",
    "deep/plain.db": "deep/plain.db",
    "{here}/100%.db": "100%.db",
}


@pytest.mark.parametrize(("url", "place"), PLACES.items())
def test_a_store_lies_where_its_url_or_path_says(tmp_path: Path, url: str, place: str) -> None:
    url = url.replace("//{here}", f"/{tmp_path}", 1) if "////" in url else url.format(here=tmp_path)
    assert kept(url)
    assert Path(place).is_file()
    assert [path.name for path in Path().iterdir()] == [Path(place).parts[0]]


def test_a_path_may_be_a_path(tmp_path: Path) -> None:
    assert kept(tmp_path / "store")
    assert kept(tmp_path / "store.db")


WRONG = [
    "",
    ":memory:",
    "memory:",
    "memory://x",
    "memory:///",
    "file:x",
    "file:/x",
    "file://",
    "file:///",
    "file://host/x",
    "file://relative",
    "file://localhostile/x",
    "file:///x?mode=ro",
    "file:///x#part",
    "sqlite:x.db",
    "sqlite://",
    "sqlite:///",
    "sqlite://x.db",
    "sqlite://host/x.db",
    "sqlite:///:memory:",
    "sqlite:///x.db?mode=memory",
    "sqlite:///x.db#part",
    "sqlite+aiosqlite:///x.db",
    "redis://localhost/0",
    "mysql://localhost/x",
    "http://localhost/x",
    "http://[",
    "://",
    "://x",
]


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_store_is_refused_with_what_can_be_used(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_repository(url)
    assert FORMS in str(caught.value) or "no ?parameters" in str(caught.value)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("path", [":memory:", "", "nul\0.db"], ids=repr)
@pytest.mark.parametrize("type_", ["file", "sqlite"])
def test_a_type_needs_a_path(type_: str, path: Any) -> None:
    from session_store import PersistentSessionService

    with pytest.raises(SettingsError, match="SESSION_STORAGE_PATH"):
        PersistentSessionService(type_, path)
    assert list(Path().iterdir()) == []


def test_every_form_that_errors_name_can_be_used() -> None:
    urls = [part.strip() for part in FORMS.split(",")[:4]]
    assert [storage_of(url).type for url in urls] == ["memory", "file", "sqlite", "sqlite"]


def test_options_are_those_of_the_back_end() -> None:
    with pytest.raises(TypeError, match="unheard_of"):
        open_repository("memory://", unheard_of=1)


@pytest.mark.parametrize("place", ["'postgresql://u:secret@127.0.0.1:1/d'", "object()"])
def test_a_missing_driver_is_named_with_what_to_install(place: str) -> None:
    """As where only memory, files and SQLite are installed."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        f"from session_store import open_repository\nopen_repository({place})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].endswith('pip install "session-store[postgres]"')
