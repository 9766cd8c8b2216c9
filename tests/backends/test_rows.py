"""Rows of the SQL back ends: numbers that stay, times that sort, histories that are whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from session_store import open_repository
from session_store.backends.json_file.repository import accept_edited_file
from session_store.core.queries import Query
from session_store.errors import CorruptStoreError, TransferError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import KEY, OTHERS, after, at, change, create, load, messages
from session_store.testing.moving import putting, state
from session_store.transfer import copy_sessions, export_sessions
from tests.servers.stores import PostgresStore

ByHand: TypeAlias = Callable[[str], list[Any]]
MANY = [SessionKey("app", f"user {n}", "s1") for n in range(30)]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SessionRepository, ByHand]]:
    """A store, and who writes to its tables by hand, with foreign keys off on SQLite."""
    if request.param == "sqlite":
        path = tmp_path / "sessions.db"
        with (
            open_repository(f"sqlite:///{path}") as store,
            closing(sqlite3.connect(path, isolation_level=None)) as shell,
        ):
            yield store, lambda text: shell.execute(text).fetchall()
        return
    postgres: PostgresStore = request.getfixturevalue("postgres_store")
    with (
        postgres.open_in(tmp_path) as store,
        psycopg.connect(postgres.url, autocommit=True) as shell_,
    ):

        def run(text: str) -> list[Any]:
            cursor = shell_.execute(text)
            return cursor.fetchall() if cursor.description else []

        yield store, run


def numbers(by_hand: ByHand) -> dict[str, int]:
    return dict(by_hand("SELECT user_id, id FROM sessions"))


class TestNumbers:
    def test_one_that_is_replaced_keeps_its_own(
        self, place: tuple[SessionRepository, ByHand]
    ) -> None:
        store, by_hand = place
        create(store, history=["a"])
        before = numbers(by_hand)
        store.commit([putting(history="xyz", version=4, replaces=state(store))])
        assert numbers(by_hand) == before
        assert [one.payload for one in load(store).entries] == ["x", "y", "z"]

    def test_so_do_many_that_are_replaced_together_with_new_ones(
        self, place: tuple[SessionRepository, ByHand]
    ) -> None:
        store, by_hand = place
        for key in MANY[:20]:
            create(store, key, history=["a", "b", "c"])
        before = numbers(by_hand)
        store.commit(
            [
                putting(key, history="de", version=2, replaces=state(store, key))
                if key in MANY[:20]
                else putting(key, history="f")
                for key in MANY
            ]
        )
        after = numbers(by_hand)
        assert {user: after[user] for user in before} == before
        assert len(set(after.values())) == len(MANY)
        assert [load(store, key).last_seq for key in MANY] == [2] * 20 + [1] * 10

    def test_a_copy_onto_older_ones_keeps_them(
        self, place: tuple[SessionRepository, ByHand], tmp_path: Path
    ) -> None:
        store, by_hand = place
        with open_repository(tmp_path / "source.db") as source:
            for key in MANY:
                create(source, key, history=["a"])
            copy_sessions(source, store)
            before = numbers(by_hand)
            for key in MANY:
                change(source, key, entries=messages("more"))
            copy_sessions(source, store)
        assert numbers(by_hand) == before
        assert {load(store, key).last_seq for key in MANY} == {2}

    def test_one_in_the_place_of_an_expired_one_is_another(
        self, place: tuple[SessionRepository, ByHand]
    ) -> None:
        """What refers to the old one goes with it, as with any that is removed."""
        store, by_hand = place
        create(store, history=["a"], expires_at=after(5))
        before = numbers(by_hand)
        create(store, seconds=10)
        assert numbers(by_hand)[KEY.user_id] > before[KEY.user_id]
        assert load(store, moment=at(10)).entries == ()


class TestHistories:
    @pytest.mark.parametrize("lost", ["seq = 1", "seq = 2", "seq = 3", "seq > 1", "seq > 0"])
    def test_one_with_a_gap_is_never_taken_for_whole(
        self, place: tuple[SessionRepository, ByHand], lost: str
    ) -> None:
        store, by_hand = place
        create(store, history=["a", "b", "c"])
        by_hand(f"DELETE FROM session_entries WHERE {lost}")
        with pytest.raises(CorruptStoreError, match="verify"):
            load(store)
        assert load(store, last=0).last_seq == 3, "the head is whole"
        store.delete(KEY, at())

    @pytest.mark.parametrize(
        ("lost", "window", "is_whole"),
        [
            ("seq = 1", {"last": 2}, True),
            ("seq = 2", {"last": 2}, False),
            ("seq = 3", {"last": 2}, False),
            ("seq = 3", {"last": 9}, False),
            ("seq = 1", {"after": 1}, True),
            ("seq = 2", {"after": 1}, False),
            ("seq = 3", {"after": 3}, True),
            ("seq = 2", {"after": 1, "last": 1}, True),
            ("seq = 3", {"after": 1, "last": 1}, False),
        ],
    )
    def test_nor_is_a_part_of_one(
        self,
        place: tuple[SessionRepository, ByHand],
        lost: str,
        window: dict[str, Any],
        is_whole: bool,
    ) -> None:
        store, by_hand = place
        create(store, history=["a", "b", "c"])
        by_hand(f"DELETE FROM session_entries WHERE {lost}")
        if is_whole:
            load(store, **window)
            return
        with pytest.raises(CorruptStoreError):
            load(store, **window)

    def test_more_than_there_should_be_is_no_history_either(
        self, place: tuple[SessionRepository, ByHand]
    ) -> None:
        store, by_hand = place
        create(store, history=["a", "b", "c"])
        by_hand("UPDATE sessions SET last_seq = 2")
        with pytest.raises(CorruptStoreError):
            load(store)

    def test_it_is_neither_exported_nor_copied(
        self, place: tuple[SessionRepository, ByHand], tmp_path: Path
    ) -> None:
        store, by_hand = place
        create(store, history=["a", "b", "c"])
        by_hand("DELETE FROM session_entries WHERE seq = 2")
        with pytest.raises(TransferError, match="s1"):
            export_sessions(store, tmp_path / "out.jsonl")
        with (
            open_repository(tmp_path / "other.db") as other,
            pytest.raises(TransferError, match="s1"),
        ):
            copy_sessions(store, other)

    def test_a_file_that_was_edited_so_is_refused(self, tmp_path: Path) -> None:
        with open_repository(tmp_path) as store:
            create(store, history=["a", "b", "c"])
        path = tmp_path / "sessions.json"
        text = path.read_text()
        entry = next(line for line in text.splitlines() if '"seq": 2' in line or '"seq":2' in line)
        path.write_text(text.replace(f"{entry}\n", ""))
        with pytest.raises(CorruptStoreError):
            accept_edited_file(path)


WRONG = ["'2024-02-29 12:30:15'", "'2024-02-29'", "1709209815", "x'3230'", "'yesterday'", "''"]
OF_THE_WIDTH = [
    "'2024-02-29T12:30:15.0+00:00'",
    "'2024-02-29T12:30:15,000000Z'",
    "'2024-W09-4T12:30:15.000000Z'",
]


@pytest.mark.parametrize("time", WRONG + OF_THE_WIDTH)
@pytest.mark.parametrize("column", ["created_at", "updated_at", "expires_at"])
def test_a_time_that_would_not_sort_is_refused_and_never_makes_a_page_come_again(
    tmp_path: Path, column: str, time: str
) -> None:
    path = tmp_path / "sessions.db"
    with (
        open_repository(path) as store,
        closing(sqlite3.connect(path, isolation_level=None)) as shell,
    ):
        for key in (KEY, *OTHERS):
            create(store, key)
        with pytest.raises(sqlite3.IntegrityError, match=f"ck_sessions_{column}"):
            shell.execute(f"UPDATE sessions SET {column} = {time}")
        shell.execute("PRAGMA ignore_check_constraints = ON")
        shell.execute(f"UPDATE sessions SET {column} = {time}")
        for order in ("created_at", "updated_at"):
            with suppress(CorruptStoreError):
                assert pages(store, order) <= 1 + len(OTHERS)


def pages(store: SessionRepository, order: Any) -> int:
    """How many there are, of one session each; never more than 9."""
    number, cursor = 0, None
    while number == 0 or (cursor and number < 9):
        page = store.list(Query(limit=1, cursor=cursor, order_by=order), at())
        number, cursor = number + 1, page.cursor
    return number
