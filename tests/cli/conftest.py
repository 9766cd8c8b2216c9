from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.cli.support import Place, fill
from tests.servers.stores import PostgresStore


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None: neither the environment nor a .env file says where a store is."""
    for name in [name for name in os.environ if name.startswith("SESSION_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=("file", "sqlite", "postgresql"))
def place(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> Place:
    """A store of each type, with the sessions of ``fill``."""
    found = _place(request, tmp_path, empty_database)
    fill(found)
    return found


@pytest.fixture
def database(tmp_path: Path, empty_database: Path) -> Place:
    """Of SQLite, for what is the same over every store."""
    shutil.copy(empty_database, tmp_path / "sessions.db")
    found = Place("sqlite", str(tmp_path / "sessions.db"))
    fill(found)
    return found


def _place(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> Place:
    if request.param == "sqlite":
        shutil.copy(empty_database, tmp_path / "sessions.db")
        return Place("sqlite", str(tmp_path / "sessions.db"))
    if request.param == "file":
        return Place("file", str(tmp_path / "store"))
    store: PostgresStore = request.getfixturevalue("postgres_store")
    store.begin(tmp_path)
    return Place("postgresql", store.url)
