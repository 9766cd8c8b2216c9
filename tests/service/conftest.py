from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store import PersistentSessionService, SessionService
from tests.service.support import FakeClock, Store

DURABLE = ("file", "sqlite")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copied for every test that needs one: ten times as fast as making the tables again."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    PersistentSessionService("sqlite", path, cleanup_interval=None).close()
    return path


@pytest.fixture(params=("memory", "buffered", *DURABLE))
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, empty_database: Path
) -> Iterator[Store]:
    """Each kind of place once; ``buffered`` is a service with ``auto_save=False``."""
    with Store(request.param, tmp_path / "store", clock) as store:
        if store.type == "sqlite":
            store.directory.mkdir()
            shutil.copy(empty_database, store.path)
        yield store


@pytest.fixture(params=DURABLE)
def unmade(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """A place that several services can share, where nothing is yet."""
    with Store(request.param, tmp_path / "store", clock) as store:
        yield store


@pytest.fixture
def durable(unmade: Store, empty_database: Path) -> Store:
    """A place that several services can share."""
    if unmade.type == "sqlite":
        unmade.directory.mkdir()
        shutil.copy(empty_database, unmade.path)
    return unmade


@pytest.fixture
def service(store: Store) -> SessionService:
    return store.open()


@pytest.fixture
def memory(tmp_path: Path, clock: FakeClock) -> Iterator[SessionService]:
    """For what is the service's own and the same over every store."""
    with Store("memory", tmp_path, clock) as store:
        yield store.open()
