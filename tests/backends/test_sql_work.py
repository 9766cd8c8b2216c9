"""How much work a call is, counted: statements on SQLite, round trips on PostgreSQL.

A clock would fail on a slow machine, and not notice a statement more on a fast one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from session_store import PersistentSessionService
from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.core.queries import Query
from session_store.repository import SessionRepository
from session_store.testing.given import OTHERS, at, change, create, load, messages
from tests.servers.proxy import Proxy

CALLS: dict[str, Callable[[SessionRepository], object]] = {
    "turn": lambda store: change(store, entries=messages("a")),
    "repeated turn": lambda store: change(store, entries=messages("0")),
    "two entries": lambda store: change(store, entries=messages("a", "b")),
    "state": lambda store: change(store, state={"n": 1}),
    "create": lambda store: create(store, OTHERS[0]),
    "load": load,
    "last": lambda store: load(store, last=20),
    "list": lambda store: store.list(Query(), at()),
    "stats": lambda store: store.stats(at()),
}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SqlRepository]:
    with open_sqlite(tmp_path / "sessions.db") as store:
        create(store)
        change(store, entries=messages("0"))
        yield store


@pytest.fixture
def behind(proxy: Proxy, url: str) -> Iterator[SqlRepository]:
    with open_postgres(proxy.reroute(url)) as store:
        create(store)
        for name in ("0", "1"):  # the second time, a statement is prepared
            change(store, entries=messages(name))
        yield store


@pytest.mark.parametrize(
    ("call", "statements"),
    {
        "turn": ["BEGIN", "UPDATE", "INSERT", "COMMIT"],
        "repeated turn": ["BEGIN", "UPDATE", "SELECT", "SELECT", "COMMIT"],
        "two entries": ["BEGIN", "SELECT", "SELECT", "UPDATE", "INSERT", "INSERT", "COMMIT"],
        "state": ["BEGIN", "SELECT", "UPDATE", "COMMIT"],
        "create": ["BEGIN", "INSERT", "COMMIT"],
        "load": ["BEGIN", "SELECT", "SELECT", "COMMIT"],
        "last": ["BEGIN", "SELECT", "SELECT", "COMMIT"],
        "list": ["SELECT"],
        "stats": ["SELECT"],
    }.items(),
)
def test_the_statements_of_a_call_on_sqlite(
    file: SqlRepository, call: str, statements: list[str]
) -> None:
    seen: list[str] = []
    with file._runner.pool.connection() as connection:
        connection.set_trace_callback(seen.append)
    CALLS[call](file)
    words = [text.split()[0] for text, _ in groupby(seen) if not text.startswith("--")]
    assert words == statements


@pytest.mark.parametrize(
    ("call", "round_trips"),
    {
        "turn": 1,
        "load": 1,
        "last": 1,
        "list": 1,
        "stats": 2,
        "state": 3,
        "create": 3,
        "two entries": 3,
        "repeated turn": 4,
    }.items(),
)
def test_the_round_trips_of_a_call_on_postgresql_are_so_many_at_most(
    behind: SqlRepository, proxy: Proxy, call: str, round_trips: int
) -> None:
    """Where statements are sent one after the other, an answer that comes in two parts may add
    one."""
    before = proxy.round_trips
    CALLS[call](behind)
    assert 1 <= proxy.round_trips - before <= round_trips


PYTHON: dict[str, tuple[Callable[[PersistentSessionService], object], int]] = {
    "turn": (lambda service: service.append("long", {"text": "a"}, user_id="ada"), 135),
    "state": (lambda service: service.update_state("long", {"n": 1}, user_id="ada"), 205),
    "create": (lambda service: service.create_session(user_id="ada"), 155),
    "load": (lambda service: service.get_session("long", user_id="ada"), 2200),
    "last": (lambda service: service.get_session("long", user_id="ada", last=20), 130),
    "list": (lambda service: service.list_sessions(user_id="bob"), 780),
}
"""They are most of what a turn, a load and a list take beyond the same statements by hand."""


@pytest.mark.parametrize(("call", "bound"), PYTHON.values(), ids=PYTHON)
def test_the_functions_that_a_call_calls_are_so_many_at_most(
    tmp_path: Path, call: Callable[[PersistentSessionService], object], bound: int
) -> None:
    """Of a load two for each of 1,000 entries, of a list 14 for each of 50 heads."""
    with PersistentSessionService("sqlite", tmp_path / "s.db", cleanup_interval=None) as service:
        for _ in range(50):
            service.create_session(user_id="bob")
        service.create_session(user_id="ada", session_id="long")
        service.append("long", [{"text": f"{n}"} for n in range(1000)], user_id="ada")
        call(service)
        assert bound * 0.5 < called(lambda: call(service)) < bound


def called(work: Callable[[], object]) -> int:
    """How many functions of Python are called."""
    number = 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal number
        number += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return number


def test_what_a_load_leaves_behind_is_the_session(file: SqlRepository) -> None:
    """Objects that the collector has to look at: a value and its fields an entry, two a session,
    and few besides, such as a payload."""
    change(file, entries=messages(*(f"more {n}" for n in range(1000))))
    load(file)
    gc.collect()
    before = len(gc.get_objects())
    session = load(file)
    made = len(gc.get_objects()) - before
    assert len(session.entries) == 1001
    assert made < 2.1 * len(session.entries)
