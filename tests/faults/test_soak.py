"""The soak works, in short, and would see what is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_store.backends.memory import MemoryRepository
from session_store.repository import SessionRepository
from session_store.session import Changes, NewEntry
from tests.faults.soak import Book, Soak
from tests.faults.soak_worker import key, moment, new_session
from tests.servers.postgres import PostgresServer


@pytest.mark.timeout(120)
def test_seconds_of_it_lose_nothing(own_postgres_server: PostgresServer, tmp_path: Path) -> None:
    soak = Soak(tmp_path, own_postgres_server)
    soak.run(minutes=0.07, pace=0.04)
    assert soak.book.wrong == []
    assert soak.book.acknowledged > 100
    assert {"kills", "backups", "copies of sqlite", "copies of postgresql"} <= {*soak.figures.done}


@pytest.fixture
def store() -> SessionRepository:
    """With a session in which entries 0 and 2 of a writer are."""
    store = MemoryRepository()
    store.create(new_session(key("u", "s")), moment())
    for number in (0, 2):
        entry = NewEntry(payload=number, entry_id=f"w {number}")
        store.apply(key("u", "s"), Changes(entries=(entry,)), moment())
    return store


@pytest.mark.parametrize(
    ("reports", "wrong"),
    [
        (["add x u/s w 0", "add x u/s w 1", "add x u/s w 2"], ["x u/s: [0, 2] of 3 by w"]),
        (["add x u/gone w 0"], ["in the end: session u/gone is not in x"]),
        (["add x u/gone w 0", "delete x u/gone"], []),
        (["add x u/gone w 0", "delete x u/gone", "deleted x u/gone"], []),
    ],
)
def test_what_is_missing_is_seen(
    store: SessionRepository, reports: list[str], wrong: list[str]
) -> None:
    book = Book()
    for line in reports:
        book.note(line)
    for problem in book.problems("x", store):
        book.note(f"{problem} in the end" if problem.startswith("missing") else problem)
    assert book.wrong == wrong
