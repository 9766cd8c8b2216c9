"""The settings of SQLite, and its log."""

from __future__ import annotations

from contextlib import ExitStack, closing
from itertools import product
from typing import Any, get_args
from unittest.mock import patch

from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import SqliteDialect, Synchronous, open_sqlite
from session_store.errors import StoreUnavailableError
from session_store.testing.given import BEGINNING, change, create, messages
from tests.faults.broken_sqlite import (
    no_checkpoints,
    no_tidying,
    settings_are_not_read_back,
    settings_of_the_first_connection_only,
)
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place

MEGABYTE = 1024 * 1024
SETTINGS = {
    "journal_mode": "wal",
    "foreign_keys": 1,
    "busy_timeout": 1500,
    "secure_delete": 1,
    "journal_size_limit": 16 * MEGABYTE,
}


@check(
    "S9",
    "the log stays under 6 MB; one that a reader let grow is cut to 16 MB when he is done, and a "
    "cleanup empties it",
    stores=["sqlite"],
    trials=(600, 6000),
    broken=[no_checkpoints, no_tidying],
)
def log_is_bounded(place: Place, trials: int) -> Outcomes:
    log = place.database.with_name("sessions.db-wal")
    with place.open() as store, closing(connected(place.database, 1)) as reader:
        create(store)

        def save(n: int) -> float:
            change(store, entries=messages(f"{n}"), state={"text": f"{n % 10}" * 20_000})
            return log.stat().st_size / MEGABYTE

        for n in range(trials):
            size, phase = save(n), n % 600
            if phase == 100:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM sessions").fetchone()
            if phase == 500:
                reader.execute("COMMIT")
                save(-n)  # this one finds that it may begin the log anew
                size = save(-n - 1)
                yield None if size < 17 else f"after the reader: {size:.1f} MB"
            elif phase == 599:
                store.remove_expired(BEGINNING, 10)
                size = log.stat().st_size
                yield None if size == 0 else f"after a cleanup: {size} bytes"
            elif 100 <= phase < 500:
                yield None  # it can't be helped
            else:
                yield None if size < 6 or phase > 500 else f"save {n}: {size:.1f} MB"


@check(
    "S11",
    "every connection has the settings, and one that is not taken over is an error",
    stores=["sqlite"],
    trials=(32, 32),
    broken=[settings_are_not_read_back, settings_of_the_first_connection_only],
)
def settings_read_back(place: Place, trials: int) -> Outcomes:
    for name in get_args(Synchronous):
        expected: dict[str, Any] = SETTINGS | {"synchronous": {"NORMAL": 1, "FULL": 2}[name]}
        with (
            open_sqlite(place.database, synchronous=name, pool_size=4, busy_timeout=1.5) as store,
            ExitStack() as stack,
        ):
            pool = store._runner.pool
            connections = [stack.enter_context(pool.connection()) for _ in range(4)]
            for connection, setting in product(connections, expected):
                (found,) = connection.execute(f"PRAGMA {setting}").fetchone()
                yield None if found == expected[setting] else f"{setting} is {found}"
    for setting in SETTINGS.keys() - {"journal_mode"}:
        yield _refusal(place, setting)


def _refusal(place: Place, setting: str) -> str | None:
    """What is wrong with the opening of a store for which the setting can't be had."""
    prepare = SqliteDialect.prepare

    def prepared(self: SqliteDialect, connection: Any) -> None:
        self._pragmas = self._pragmas | {setting: -9}
        prepare(self, connection)

    try:
        with patch.object(SqliteDialect, "prepare", prepared), open_sqlite(place.database):
            return f"{setting} was not taken over, and that is no error"
    except StoreUnavailableError as error:
        return None if setting in str(error) else f"another error: {error}"
