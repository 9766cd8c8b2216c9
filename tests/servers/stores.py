"""A store in PostgreSQL for tests: its tables are made once, and emptied for each."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import command

from session_store import open_repository
from session_store.backends.sql import schema as migrations
from session_store.backends.sql.repository import SqlRepository
from session_store.repository import SessionRepository
from session_store.testing import Reopen


class PostgresStore:
    """The store of the database ``url``. A directory stands for a store: in another directory it
    is another one, and empty."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._directory: Path | None = None
        upgrade(url)

    def open_in(self, directory: Path, **options: Any) -> SqlRepository:
        self.begin(directory)
        return cast("SqlRepository", open_repository(self.url, **options))

    def begin(self, directory: Path) -> None:
        if directory != self._directory:
            with psycopg.connect(self.url) as connection:  # twenty times as fast as TRUNCATE
                connection.execute("DELETE FROM sessions")
                connection.execute("DELETE FROM shared_states")
            self._directory = directory

    def settle(self) -> None:
        """Wait until the server has ended what processes that were killed had asked for."""
        query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND pid <> pg_backend_pid() AND state NOT IN ('idle', 'idle in transaction')"""
        with psycopg.connect(self.url, autocommit=True) as connection:
            while connection.execute(query).fetchone() != (0,):
                time.sleep(0.001)


@contextmanager
def reopening(opened: Callable[[], SessionRepository]) -> Iterator[Reopen]:
    """A ``reopen`` for the contract; what it opens is closed in the end."""
    with ExitStack() as stack:

        def close_and_open(repository: SessionRepository) -> SessionRepository:
            repository.close()
            return stack.enter_context(opened())

        yield close_and_open


def upgrade(url: str, revision: str = "head", *, schema: str = "", table_prefix: str = "") -> None:
    """As ``alembic -x url=… upgrade`` does."""
    config = migrations.config()
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    config.cmd_opts = Namespace(x=[f"schema={schema}", f"prefix={table_prefix}"])
    command.upgrade(config, revision)
