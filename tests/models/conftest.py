from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session as OrmSession

from session_store import SessionService
from tests.models.places import BESIDE, NAMED, Place, place, prepared
from tests.servers.postgres import PostgresServer
from tests.servers.stores import upgrade


@pytest.fixture(scope="session")
def named_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with several stores, one for each of the names."""
    url = postgres_server.create_database()
    with place(url) as host, host.engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA chat")
    for names in NAMED.values():
        upgrade(url, schema=names.get("schema", ""), table_prefix=names.get("prefix", ""))
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def at(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A store with nothing in it."""
    with prepared(request.param, request) as made:
        yield made


@pytest.fixture(params=["sqlite", BESIDE, "postgresql", *NAMED])
def anywhere(request: pytest.FixtureRequest) -> Iterator[Place]:
    """The same, whatever its tables are called."""
    with prepared(request.param, request) as made:
        yield made


@pytest.fixture
def service(at: Place) -> Iterator[SessionService]:
    with at.service() as service:
        yield service


@pytest.fixture
def db(at: Place) -> Iterator[OrmSession]:
    with at.session() as session:
        yield session
