"""Where a check has its store, and the servers that it may use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from session_store.backends.memory import MemoryRepository
from session_store.repository import SessionRepository
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, running_proxy
from tests.servers.stores import upgrade


class Servers:
    """Those of the fixtures ``postgres_server`` and ``pgbouncer``, each had when it is needed."""

    def __init__(self, get: Callable[[str], Any]) -> None:
        self._get = get

    @cached_property
    def postgres(self) -> PostgresServer:
        server: PostgresServer = self._get("postgres_server")
        return server

    @cached_property
    def pgbouncer(self) -> PgBouncer:
        bouncer: PgBouncer = self._get("pgbouncer")
        return bouncer

    @contextmanager
    def proxy(self) -> Iterator[Proxy]:
        """Before PostgreSQL; ``proxy.reroute(place.url)`` goes through it."""
        with running_proxy(self.postgres.host, self.postgres.port) as proxy:
            yield proxy


class Place:
    """A store of the kind ``store``, empty at first: what ``open`` opens is always the same one.

    ``broken`` is the variant that the check runs within: children of a fork are in it too, and a
    process that is started anew must be told.
    """

    def __init__(
        self,
        store: str,
        directory: Path,
        servers: Servers,
        broken: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> None:
        self.store, self.directory = store, directory
        self.servers, self.broken = servers, broken
        self._numbers = count(1)

    def open(self, **options: Any) -> SessionRepository:
        """With the options of that back end."""
        return OPENED[self.store](self, options)

    def another(self) -> Place:
        """Another store of this kind, empty."""
        directory = self.directory / f"another-{next(self._numbers)}"
        directory.mkdir()
        return Place(self.store, directory, self.servers, self.broken)

    @property
    def database(self) -> Path:
        """The file of a store in SQLite."""
        return self.directory / "sessions.db"

    @property
    def json_file(self) -> Path:
        """The file of a store in JSON."""
        return self.directory / "sessions.json"

    @cached_property
    def url(self) -> str:
        """Of a store in PostgreSQL: a new database, whose tables are made."""
        url = self.servers.postgres.create_database()
        upgrade(url)
        return url


def _memory(_: Place, options: dict[str, Any]) -> SessionRepository:
    return MemoryRepository(**options)


def _file(place: Place, options: dict[str, Any]) -> SessionRepository:
    from session_store.backends.json_file.repository import JsonFileRepository

    return JsonFileRepository(place.directory, **options)


def _sqlite(place: Place, options: dict[str, Any]) -> SessionRepository:
    from session_store.backends.sql.sqlite.store import open_sqlite

    return open_sqlite(place.database, **options)


def _postgresql(place: Place, options: dict[str, Any]) -> SessionRepository:
    from session_store.backends.sql.postgresql.store import open_postgres

    return open_postgres(place.url, **options)


OPENED: dict[str, Callable[[Place, dict[str, Any]], SessionRepository]] = {
    "memory": _memory,
    "file": _file,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}
