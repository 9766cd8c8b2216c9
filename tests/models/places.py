"""A store that the models and the service share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, create_engine, delete, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session as OrmSession

from session_store import SessionService, open_repository
from session_store.models import Models, models_for
from tests.servers.stores import PostgresStore

ZONE: Final = "-c TimeZone=Europe/Berlin"
"""A server's zone with summer time, in which it answers."""


NAMED: Final = {
    "prefix": {"prefix": "p_"},
    "schema": {"schema": "chat"},
    "schema and prefix": {"schema": "chat", "prefix": "p_"},
}

BESIDE: Final = "sqlite, prefix"
"""In the file of a host, which has a table ``sessions``."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """The same tables by the URL of the store, and by an ``engine`` of a user's."""

    url: str
    engine: Engine
    names: dict[str, str]
    """The ``schema`` and the ``prefix``, where there are such."""

    @property
    def models(self) -> Models:
        return models_for(**self.names)

    def service(self, **options: Any) -> SessionService:
        names = {"schema": "schema", "prefix": "table_prefix"}
        options |= {names[name]: value for name, value in self.names.items()}
        return SessionService(open_repository(self.url, **options), cleanup_interval=None)

    def session(self, **options: Any) -> OrmSession:
        return OrmSession(self.engine, **options)

    def async_url(self, driver: str) -> Any:
        return self.engine.url.set(drivername=f"{self.engine.dialect.name}+{driver}")


@contextmanager
def place(url: str, **names: str) -> Iterator[Place]:
    address, more = make_url(url), {}
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
        more = {"connect_args": {"options": ZONE}}
    engine = create_engine(address, **more)
    try:
        yield Place(url=url, engine=engine, names=names)
    finally:
        engine.dispose()


@contextmanager
def prepared(kind: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store with nothing in it, by the names of ``NAMED`` or as the database is called."""
    if kind in NAMED:
        with place(request.getfixturevalue("named_url"), **NAMED[kind]) as made:
            with made.engine.begin() as connection:
                for model in (made.models.SessionRow, made.models.SharedRow):
                    connection.execute(delete(model.__table__))
            yield made
        return
    directory: Path = request.getfixturevalue("tmp_path")
    if kind == BESIDE:
        with place(f"sqlite:///{directory / 'theirs.db'}", prefix="p_") as made:
            with made.engine.begin() as connection:
                connection.execute(text("CREATE TABLE sessions (theirs INTEGER)"))
            made.service().close()
            yield made
        return
    if kind == "sqlite":
        shutil.copy(request.getfixturevalue("empty_database"), directory / "sessions.db")
        url = f"sqlite:///{directory / 'sessions.db'}"
    else:
        store: PostgresStore = request.getfixturevalue("postgres_store")
        store.begin(directory)
        url = store.url
    with place(url) as made:
        yield made
