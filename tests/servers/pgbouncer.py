"""A real PgBouncer for tests, in the mode in which clients share the server's connections."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals

from tests.servers.daemon import (
    LOOPBACK,
    Daemon,
    NoServerError,
    free_port,
    give_to_server,
    server_directory,
)
from tests.servers.postgres import PostgresServer, answers, rerouted

# It ignores no startup parameter: one that it does not know is an error, as it is by default.
_CONFIGURATION = """\
[databases]
* = host={server.host} port={server.port}

[pgbouncer]
listen_addr = {bouncer.host}
listen_port = {bouncer.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {bouncer.pool_size}
max_client_conn = 200
ignore_startup_parameters =
server_login_retry = 0.1
server_tls_sslmode = prefer
"""


class PgBouncer:
    """Its clients share ``pool_size`` connections to each database, for a transaction each."""

    def __init__(self, server: PostgresServer, pool_size: int = 4) -> None:
        self._server = server
        self.host, self.port, self.pool_size = LOOPBACK, free_port(), pool_size

    def url(self, database: str = "postgres", **overrides: str | int) -> str:
        """As PostgresServer.url, by way of the bouncer."""
        return self.reroute(self._server.url(database, **overrides))

    def reroute(self, url: str) -> str:
        """The database at ``url``, by way of the bouncer."""
        return rerouted(url, self.host, self.port)


@contextmanager
def running_pgbouncer(server: PostgresServer) -> Iterator[PgBouncer]:
    """One that SESSION_STORE_TEST_PGBOUNCER names, or that is found. Raises NoServerError."""
    program = _program()
    bouncer = PgBouncer(server)
    with server_directory() as directory:
        command = [program, str(_configured(bouncer, server, directory))]
        daemon = Daemon(command, directory, lambda: answers(bouncer.url()))
        daemon.start()
        try:
            yield bouncer
        finally:
            daemon.stop(Signals.SIGQUIT)


def _program() -> str:
    named = os.environ.get("SESSION_STORE_TEST_PGBOUNCER")
    places = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"
    found = shutil.which(named or "pgbouncer", path=places)
    if found is None:
        raise NoServerError(f"no program {named or 'pgbouncer'} in {places}")
    return found


def _configured(bouncer: PgBouncer, server: PostgresServer, directory: Path) -> Path:
    users, configuration = directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"{server.user}" "{server.password}"\n')
    configuration.write_text(_CONFIGURATION.format(bouncer=bouncer, server=server, users=users))
    give_to_server(directory)
    return configuration
