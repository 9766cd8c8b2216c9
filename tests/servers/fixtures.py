"""Real servers as fixtures.

Where there is none the test is skipped and says why, or fails if SESSION_STORE_REQUIRE_SERVERS=1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NoReturn, TypeVar

import pytest

from tests.servers.daemon import NoServerError
from tests.servers.pgbouncer import PgBouncer, running_pgbouncer
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.proxy import Proxy, running_proxy

Server = TypeVar("Server")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with required(running_postgres()) as server:
        yield server


@pytest.fixture
def own_postgres_server(postgres_server: PostgresServer) -> PostgresServer:
    """For tests that stop the server or kill its processes; they leave it running."""
    if not postgres_server.is_ours:
        pytest.skip("the PostgreSQL is the user's own, which is not stopped")
    return postgres_server


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """Before the ``postgres_server``."""
    with required(running_pgbouncer(postgres_server)) as bouncer:
        yield bouncer


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A new, empty database, and dropped afterwards."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def proxy(postgres_server: PostgresServer) -> Iterator[Proxy]:
    """Before the ``postgres_server``; ``proxy.reroute(postgres_url)`` goes through it."""
    with running_proxy(postgres_server.host, postgres_server.port) as proxy:
        yield proxy


@contextmanager
def required(server: AbstractContextManager[Server]) -> Iterator[Server]:
    """The server, or the end of the test that needs it."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(server)
        except NoServerError as error:
            do_without(str(error))
        yield running


def do_without(reason: str) -> NoReturn:
    """The end of a test that needs what is not here."""
    if os.environ.get("SESSION_STORE_REQUIRE_SERVERS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
