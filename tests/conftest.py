"""One ``repository`` over every back end, and how each is opened again."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

from session_store import open_repository
from session_store.backends.memory import MemoryRepository
from session_store.repository import SessionRepository
from session_store.testing import Reopen
from tests.servers.postgres import PostgresServer
from tests.servers.stores import PostgresStore, reopening

pytest_plugins = ["tests.servers.fixtures"]

# Always the same few examples, and none made smaller: that is for the other profile, which is
# chosen by pytest --hypothesis-profile=thorough.
settings.register_profile(
    "quick",
    max_examples=50,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.register_profile("thorough", max_examples=1000, stateful_step_count=100, deadline=None)
settings.load_profile("quick")


def pytest_configure() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and what ignores a signal
    hands that on: no process of ours could be interrupted, nor PgBouncer be ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Backend:
    """A kind of store in a directory: what ``open`` opens again and again is the same store."""

    def __init__(
        self,
        open_in: Callable[[Path], SessionRepository],
        *,
        durable: bool,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """``settle`` waits until nothing is under way for a process that was killed."""
        self.open_in, self.durable, self.settle = open_in, durable, settle


def _open_memory(_: Path) -> SessionRepository:
    return MemoryRepository()


def _open_file(directory: Path) -> SessionRepository:
    from session_store.backends.json_file.repository import JsonFileRepository

    return JsonFileRepository(directory)


def _open_sqlite(directory: Path) -> SessionRepository:
    return open_repository(f"sqlite:///{directory / 'sessions.db'}")


BACKENDS = {
    "memory": Backend(_open_memory, durable=False),
    "file": Backend(_open_file, durable=True),
    "sqlite": Backend(_open_sqlite, durable=True),
}


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copied for every test that needs one: ten times as fast as making the tables again."""
    path = tmp_path_factory.mktemp("empty") / "store.db"
    _open_sqlite(path.parent).close()
    return (path.parent / "sessions.db").rename(path)


@pytest.fixture(scope="session")
def postgres_store(postgres_server: PostgresServer) -> Iterator[PostgresStore]:
    """One store for all tests, in which a test finds nothing of the one before it."""
    url = postgres_server.create_database()
    yield PostgresStore(url)
    postgres_server.drop_database(url)


@pytest.fixture(params=[*BACKENDS, "postgresql"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "postgresql":
        store: PostgresStore = request.getfixturevalue("postgres_store")
        return Backend(store.open_in, durable=True, settle=store.settle)
    return BACKENDS[request.param]


@pytest.fixture
def repository(backend: Backend, tmp_path: Path) -> Iterator[SessionRepository]:
    """A fresh, empty repository; every test that uses it runs over all back ends."""
    with backend.open_in(tmp_path) as opened:
        yield opened


@pytest.fixture
def reopen(backend: Backend, tmp_path: Path) -> Iterator[Reopen]:
    """Closes a ``repository`` and opens its store again."""
    if not backend.durable:
        pytest.skip("what is in memory ends when it is closed")
    with reopening(lambda: backend.open_in(tmp_path)) as reopen:
        yield reopen
