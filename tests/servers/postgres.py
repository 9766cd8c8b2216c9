"""A real PostgreSQL for tests: one of the user's own, or one that is started here.

The environment decides: SESSION_STORE_TEST_POSTGRES_URL is a server to use, over TCP, as a user who
may make databases; SESSION_STORE_TEST_POSTGRES_BIN is the folder of the programs to start.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, Signals
from tempfile import mkdtemp
from typing import Any, Literal
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier

from tests.servers.binaries import postgres_folders, reachable
from tests.servers.daemon import (
    LOOPBACK,
    Daemon,
    NoServerError,
    environment,
    free_port,
    give_to_server,
    server_directory,
)

StopMode = Literal["smart", "fast", "immediate"]

_SIGNALS = {"smart": Signals.SIGTERM, "fast": Signals.SIGINT, "immediate": Signals.SIGQUIT}
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": 200,
    "shared_preload_libraries": "",
    "log_min_messages": "warning",
    "synchronous_commit": "on",
}
# Tests end servers, never the power.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}
_CLIENTS = SQL(
    "FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND datname = ANY(%s) AND pid <> pg_backend_pid()"
)


class PostgresServer:
    """A server, and databases in it; the ones that were made here are the only ones touched."""

    def __init__(self, settings: Mapping[str, Any], daemon: Daemon | None = None) -> None:
        self._settings, self._daemon = {**settings}, daemon
        self._made: list[str] = []
        self.host: str = settings["host"]
        self.port: int = settings["port"]
        self.user: str = settings["user"]
        self.password: str = settings["password"]

    @property
    def is_ours(self) -> bool:
        """Whether it was started here, so that it may be stopped and its processes killed."""
        return self._daemon is not None

    @property
    def version(self) -> int:
        """The major one: 15."""
        with self._administrator() as connection:
            return connection.info.server_version // 10_000

    def url(self, database: str = "postgres", **overrides: str | int) -> str:
        """For libpq; what is overridden is the ``host``, or any other parameter of libpq."""
        return as_url({**self._settings, "dbname": database, **overrides})

    def create_database(self) -> str:
        """The URL of a new, empty database."""
        name = f"session_store_test_{secrets.token_hex(8)}"
        self._do(SQL("CREATE DATABASE {}").format(Identifier(name)))
        self._made.append(name)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Even while it is in use: those who use it lose their connections."""
        name = str(conninfo_to_dict(url)["dbname"])
        self._do(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        self._made.remove(name)

    def drop_databases(self) -> None:
        """All that were made here."""
        for name in tuple(self._made):
            self.drop_database(self.url(name))

    def backend_pids(self) -> list[int]:
        """The server's processes for the clients of databases that were made here."""
        with self._administrator() as connection:
            rows = connection.execute(SQL("SELECT pid ") + _CLIENTS, [self._made])
            return [pid for (pid,) in rows]

    def terminate_backends(self) -> int:
        """Ends all ``backend_pids``, and returns when they have ended; how many there were."""
        terminate = SQL("SELECT pg_terminate_backend(pid, 10000) ") + _CLIENTS
        with self._administrator() as connection:
            return connection.execute(terminate, [self._made]).rowcount

    def kill_backend(self, pid: int) -> None:
        """With SIGKILL, for which the server ends all of its clients' connections and recovers.

        Returns when it has noticed; ``wait_until_ready`` waits for the rest.
        """
        self._own()
        if pid not in self.backend_pids():
            raise ValueError(f"{pid} is no client's process")
        os.kill(pid, SIGKILL)
        with suppress(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                time.sleep(0.005)

    def wait_until_ready(self) -> None:
        self._own().wait_until_ready()

    def stop(self, mode: StopMode = "fast") -> None:
        """Returns when it has ended; "smart" waits for the clients, "immediate" is a crash."""
        self._own().stop(_SIGNALS[mode])

    def start(self) -> None:
        """On the port that it had; returns when it answers."""
        self._own().start()

    def restart(self, mode: StopMode = "fast") -> None:
        self.stop(mode)
        self.start()

    def _own(self) -> Daemon:
        if self._daemon is None:
            raise PermissionError("a server that was not started here is not stopped, nor killed")
        return self._daemon

    def _administrator(self) -> psycopg.Connection:
        return psycopg.connect(as_url(self._settings), autocommit=True)

    def _do(self, statement: Composed) -> None:
        with self._administrator() as connection:
            connection.execute(statement)


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """The user's own server if there is one, or else the first found that starts.

    A ``durable`` one lies on a disk and waits for it. Raises NoServerError if there is none.
    """
    if url := os.environ.get("SESSION_STORE_TEST_POSTGRES_URL"):
        server = _users_own(url)
        try:
            yield server
        finally:
            server.drop_databases()
    else:
        with server_directory(on_disk=durable) as directory:
            server = _first_that_starts(directory, _SETTINGS if durable else _SETTINGS | _FORGETFUL)
            try:
                yield server
            finally:
                server.stop()


def rerouted(url: str, host: str, port: int) -> str:
    """The same database by way of another address, in clear text."""
    return as_url({**conninfo_to_dict(url), "host": host, "port": port, "sslmode": "disable"})


def as_url(settings: Mapping[str, Any]) -> str:
    rest = {**settings}
    user, password, database = (
        quote(rest.pop(k, ""), safe="") for k in ("user", "password", "dbname")
    )
    address = f"{rest.pop('host')}:{rest.pop('port')}"
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{user}:{password}@{address}/{database}{query}"


def answers(url: str) -> bool:
    """Whether a client can connect at this moment."""
    with suppress(psycopg.OperationalError), psycopg.connect(url, connect_timeout=2):
        return True
    return False


def _users_own(url: str) -> PostgresServer:
    url = url.replace("postgresql+psycopg:", "postgresql:", 1)
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            info = connection.info
            found = {name: getattr(info, name) for name in ("host", "port", "user", "password")}
            settings = {**conninfo_to_dict(url), **found, "dbname": info.dbname}
    except psycopg.OperationalError as error:
        raise NoServerError(f"SESSION_STORE_TEST_POSTGRES_URL: {error}") from None
    if settings["host"].startswith("/"):
        raise NoServerError("SESSION_STORE_TEST_POSTGRES_URL: its server must be reached by TCP")
    return PostgresServer(settings)


def _first_that_starts(directory: Path, settings: Mapping[str, Any]) -> PostgresServer:
    tried = []
    for folder in postgres_folders():
        try:
            return _started(folder, directory, settings)
        except (NoServerError, OSError) as error:
            tried.append(f"{folder}: {error}")
    raise NoServerError("\n".join(["no PostgreSQL starts here; tried:", *(tried or ["nothing"])]))


def _started(folder: Path, directory: Path, settings: Mapping[str, Any]) -> PostgresServer:
    programs = reachable(folder, directory)
    access = {
        "host": LOOPBACK,
        "port": free_port(),
        "user": "tester",
        "password": secrets.token_hex(8),
        "dbname": "postgres",
    }
    data = _initialised(programs, directory, access)
    options = [f"--{name}={value}" for name, value in settings.items()]
    command = [f"{programs / 'postgres'}", "-D", f"{data}", f"--port={access['port']}", *options]
    daemon = Daemon(command, directory, lambda: answers(as_url(access)))
    daemon.start()
    return PostgresServer(access, daemon)


def _initialised(programs: Path, directory: Path, settings: Mapping[str, Any]) -> Path:
    """A new cluster in a folder of its own, in which an earlier attempt left nothing."""
    place = Path(mkdtemp(dir=directory))
    (place / "password").write_text(settings["password"])
    give_to_server(place)
    options = ["--pwfile=password", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
    done = subprocess.run(
        [f"{programs / 'initdb'}", "-D", "data", "-U", settings["user"], "--no-sync", *options],
        check=False,
        capture_output=True,
        text=True,
        **environment(place),
    )
    if done.returncode:
        raise NoServerError(f"initdb: {done.stderr.strip()}")
    return place / "data"
