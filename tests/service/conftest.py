from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store import SessionService
from tests.servers.stores import PostgresStore
from tests.service.support import FakeClock, Store

DURABLE = ("file", "sqlite", "postgresql")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=("memory", "buffered", *DURABLE))
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, empty_database: Path
) -> Iterator[Store]:
    """Each kind of place once; ``buffered`` is a service with ``auto_save=False``."""
    with Store(request.param, tmp_path / "store", clock) as store:
        prepare(store, request, empty_database)
        yield store


@pytest.fixture(params=("file", "sqlite"))
def unmade(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """A place that several services can share, where nothing is yet."""
    with Store(request.param, tmp_path / "store", clock) as store:
        yield store


@pytest.fixture(params=DURABLE)
def durable(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, empty_database: Path
) -> Iterator[Store]:
    """A place that several services can share."""
    with Store(request.param, tmp_path / "store", clock) as store:
        prepare(store, request, empty_database)
        yield store


def prepare(store: Store, request: pytest.FixtureRequest, empty_database: Path) -> None:
    """Make what would take long to make, or what the service does not make."""
    if store.type == "sqlite":
        store.directory.mkdir()
        shutil.copy(empty_database, store.path)
    if store.type == "postgresql":
        postgres: PostgresStore = request.getfixturevalue("postgres_store")
        postgres.begin(store.directory)
        store.url = postgres.url


@pytest.fixture
def service(store: Store) -> SessionService:
    return store.open()


@pytest.fixture
def memory(tmp_path: Path, clock: FakeClock) -> Iterator[SessionService]:
    """For what is the service's own and the same over every store."""
    with Store("memory", tmp_path, clock) as store:
        yield store.open()
