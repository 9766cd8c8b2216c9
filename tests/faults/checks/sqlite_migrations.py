"""Migrations of SQLite that are killed, and several at once."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

# Alembic and the models, here once and not in each of the children.
import alembic.command  # noqa: F401

import session_store.backends.sql.tables  # noqa: F401
from session_store.backends.sql import schema
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionExistsError
from session_store.testing.given import change, contents, create, ids, load, messages
from tests.backends.processes import exit_code, forked
from tests.faults.broken_sqlite import no_transaction_around_migrations, the_last_builder_wins
from tests.faults.frame import EVERY, Outcomes, check, spread
from tests.faults.place import Place
from tests.migrations.support import before_statement, downgrade, killed_at, upgrade

PROCESSES = 8


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def older_store(place: Place, revision: str) -> bytes:
    """The bytes of a store of an older release, with a session in it."""
    path = place.another().database
    with open_sqlite(path) as store:
        create(store, history="abc", state={"n": 1})
    downgrade(url(path), revision)
    return path.read_bytes()


@check(
    "S10",
    "an upgrade that is killed at any statement leaves the store as it was, and can be run again",
    stores=["sqlite"],
    trials=(5, EVERY),
    broken=[no_transaction_around_migrations],
    broken_trials=EVERY,
)
def killed_upgrades(place: Place, trials: int) -> Outcomes:
    for revision in (None, *schema.REVISIONS[:-1]):
        before = older_store(place, revision) if revision else None
        path = place.another().database
        statements = _statements(path, before)
        for n in spread(range(1, statements + 1), trials):
            _put(path, before)
            if not killed_at(n, url(path)):
                yield f"statement {n} from {revision} was never reached"
                continue
            wrong = _problem(path, before)
            yield wrong and f"killed at statement {n} from {revision}: {wrong}"


def _put(path: Path, data: bytes | None) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    if data is not None:
        path.write_bytes(data)


def _statements(path: Path, before: bytes | None) -> int:
    """How many an upgrade takes."""
    _put(path, before)
    with before_statement(0, str) as sent:
        upgrade(url(path))
    return len(sent)


def _problem(path: Path, before: bytes | None) -> str | None:
    if before is None and path.exists():
        return "there is a store"
    with open_sqlite(path) as store:  # which upgrades it
        if before is not None and ids(load(store)) != ["e1", "e2", "e3"]:
            return f"the session is {contents(store)}"
    left = os.listdir(path.parent)
    return None if left == [path.name] else f"{left} are left"


@check(
    "S10",
    "of 8 processes that make or upgrade a store at once all succeed, and none loses what it wrote",
    stores=["sqlite"],
    trials=(4, 40),
    broken=[no_transaction_around_migrations, the_last_builder_wins],
    broken_trials=40,
)
def upgrades_at_once(place: Place, trials: int) -> Outcomes:
    older = older_store(place, schema.REVISIONS[1])
    for n in range(trials):
        path = place.another().database
        _put(path, older if n % 2 else None)
        gate = get_context("fork").Barrier(PROCESSES)
        append = partial(_append, path, gate)
        children = [forked(append) for _ in range(PROCESSES)]
        codes = [exit_code(child) for child in children]
        with open_sqlite(path) as store:
            found = set(ids(load(store)))
        lost = set(map(str, children)) - found
        left = [name for name in os.listdir(path.parent) if name != path.name]
        yield f"{codes=}, {lost=}, {left=}" if any(codes) or lost or left else None


def _append(path: Path, gate: Barrier) -> None:
    gate.wait(60)  # else the first would be done before the last begins
    with open_sqlite(path) as store:
        with suppress(SessionExistsError):
            create(store)
        change(store, entries=messages(f"{os.getpid()}"))
