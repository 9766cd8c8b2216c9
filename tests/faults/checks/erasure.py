"""What is erased, is in no file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.sql.sqlite.store import SqliteDialect
from session_store.repository import SessionRepository
from session_store.session import REMOVED, NewCheckpoint, SessionKey
from session_store.testing.given import (
    BEGINNING,
    after,
    at,
    change,
    create,
    messages,
    new_session,
)
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place

ARCHIVES: Final = "exports and archives are the application's to erase: docs/security.md"
CANARY: Final = "a canary that nobody may hear"


@contextmanager
def erased_pages_keep_their_text() -> Iterator[None]:
    begin = SqliteDialect.__init__

    def begun(dialect: SqliteDialect, *arguments: Any) -> None:
        begin(dialect, *arguments)
        dialect._pragmas["secure_delete"] = 0

    with patch.object(SqliteDialect, "__init__", begun):
        yield


@contextmanager
def a_log_that_is_never_emptied() -> Iterator[None]:
    with patch.object(SqliteDialect, "tidy", lambda *_: None):
        yield


@contextmanager
def a_backup_that_is_left_as_it_was() -> Iterator[None]:
    with patch.object(JsonFileRepository, "_erase_from_backup", lambda *_: None):
        yield


ERASURES: Final[dict[str, Callable[[SessionRepository, SessionKey], object]]] = {
    "deleted": lambda store, key: store.delete(key, at()),
    "expired": lambda store, key: store.remove_expired(at(10), 100),
    "replaced": lambda store, key: store.create(new_session(key, seconds=10), at(10)),
    "rewound, and as much written": lambda store, key: change(
        store,
        key,
        rewind_to=0,
        entries=messages(*map(str, range(22))),
        state={"a": REMOVED},
        metadata={"a": 1},
        agent_states={"b": {"a": 1}},
    ),
    "overwritten and rewound": lambda store, key: change(
        store,
        key,
        rewind_to=0,
        state={"a": REMOVED},
        metadata={"a": 1},
        agent_states={"b": {"a": 1}},
    ),
}


@check(
    "C7",
    "text that was erased is in no file of the store: database, log, backup",
    stores=["sqlite"],
    trials=(10, 100),
    broken=[erased_pages_keep_their_text, a_log_that_is_never_emptied],
    remark=ARCHIVES,
)
@check(
    "C7",
    "text that was erased is in no file of the store: database, log, backup",
    stores=["file"],
    trials=(10, 100),
    broken=[a_backup_that_is_left_as_it_was],
    remark=ARCHIVES,
)
def erasure(place: Place, trials: int) -> Outcomes:
    """After the cleanup, which in SQLite empties the log."""
    with place.open() as store:
        create(store, SessionKey("app", "bob", "kept"), history=["kept"])
        for n, (name, erase) in enumerate(islice(cycle(ERASURES.items()), trials)):
            key = SessionKey("app", "ada", f"{n}")
            _write(store, key)
            was_there = any(CANARY.encode() in path.read_bytes() for path in _files(place))
            erase(store, key)
            store.remove_expired(BEGINNING, 1)
            found = [path.name for path in _files(place) if CANARY.encode() in path.read_bytes()]
            store.delete(key, at())
            yield None if was_there and not found else f"{name}: still in {found}"


def _write(store: SessionRepository, key: SessionKey) -> None:
    documents = {"state": {"a": CANARY}, "metadata": {"a": CANARY}}
    create(store, key, history=[CANARY] * 20, expires_at=after(9), **documents)
    change(store, key, entries=messages(CANARY), agent_states={"b": {"a": CANARY}})
    change(store, key, checkpoint=NewCheckpoint(checkpoint_id="c", label=CANARY))


def _files(place: Place) -> list[Path]:
    return [path for path in place.directory.rglob("*") if path.is_file()]
