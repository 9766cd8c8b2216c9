"""Several processes that migrate a database in PostgreSQL at once, and those who read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from unittest.mock import patch

import psycopg

from session_store.backends.sql import schema
from session_store.backends.sql.postgresql import upgrade as postgres_upgrade
from tests.backends.processes import exit_code, forked
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.together import PROCESSES
from tests.migrations.support import MADE_UP, revision_in, upgrade, with_revision

WAIT_OF_READERS = 2.5

ADD_COLUMN = "op.add_column(own('sessions'), sa.Column('mood', sa.Text()), schema=schema())"


@contextmanager
def no_turns_of_upgrades() -> Iterator[None]:
    with patch.object(postgres_upgrade, "alone", lambda *_: nullcontext()):
        yield


@contextmanager
def a_migration_that_waits_for_its_lock() -> Iterator[None]:
    patient = postgres_upgrade._SETTINGS.replace(f"'{schema.LOCK_TIMEOUT}'", "'1min'")
    with patch.object(postgres_upgrade, "_SETTINGS", patient):
        yield


@check(
    "P8",
    "of 8 processes that upgrade an empty database all succeed",
    stores=["postgresql"],
    trials=(16, 160),
    broken=[no_turns_of_upgrades],
)
def upgrades(place: Place, trials: int) -> Outcomes:
    server = place.servers.postgres
    for _ in range(trials // PROCESSES):
        url = server.create_database()
        children = [forked(partial(upgrade, url)) for _ in range(PROCESSES)]
        codes = [exit_code(child) for child in children]
        right = revision_in(url) == schema.HEAD
        yield from (None if right and not code else f"it ended with {code}" for code in codes)
        server.drop_database(url)


@check(
    "P8",
    "readers wait no longer for a migration than its lock_timeout of 2 s",
    stores=["postgresql"],
    trials=(1, 10),
    broken=[a_migration_that_waits_for_its_lock],
)
def readers(place: Place, trials: int) -> Outcomes:
    """An open transaction has read the table that shall be changed; others read all the time."""
    newer = with_revision(place.directory / "newer", ADD_COLUMN)
    server = place.servers.postgres
    for _ in range(trials):
        url = server.create_database()
        upgrade(url)
        with ThreadPoolExecutor(1) as threads:
            with psycopg.connect(url) as reader:
                reader.execute("SELECT count(*) FROM sessions")
                migrating = threads.submit(upgrade, url, revisions=newer)
                longest = _longest_read(url, 3.5)
            migrating.result()
        right = longest < WAIT_OF_READERS and revision_in(url) == MADE_UP
        yield None if right else f"a reader waited for {longest:.1f} s"
        server.drop_database(url)


def _longest_read(url: str, seconds: float) -> float:
    """One that is cut off after 3 s took 3 s."""
    longest, until = 0.0, time.monotonic() + seconds
    with psycopg.connect(url, autocommit=True, options="-c statement_timeout=3s") as connection:
        while (began := time.monotonic()) < until:
            with suppress(psycopg.errors.QueryCanceled):
                connection.execute("SELECT count(*) FROM sessions")
            longest = max(longest, time.monotonic() - began)
            time.sleep(0.01)
    return longest
