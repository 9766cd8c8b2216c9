"""Statements that libpq is given: what is prepared, batches, and what errors leave."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from types import FrameType

import psycopg
import pytest

from session_store.backends.sql.postgresql.connecting import StoreConnection, connected
from session_store.backends.sql.postgresql.errors import DeadlineError
from session_store.backends.sql.postgresql.statements import PREPARED, Answer
from session_store.backends.sql.postgresql.url import PostgresUrl

ADD = "SELECT CAST($1 AS integer) + 1"
DIVIDE = "SELECT 1 / CAST($1 AS integer)"

Sent = tuple[str, Sequence[object]]


@pytest.fixture
def connection(postgres_url: str) -> Iterator[StoreConnection]:
    with closing(connected(PostgresUrl(postgres_url))) as connection:
        yield connection


def prepared(connection: StoreConnection) -> int:
    """Asked in a way that is never prepared itself."""
    ((number,),) = connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchall()
    return int(number)


def added(connection: StoreConnection, value: int = 1) -> int:
    ((found,),) = connection.statements.run(ADD, [value]).fetchall()
    return int(found)


def run_together(connection: StoreConnection, answers: list[Answer], *sent: Sent) -> None:
    with connection.statements.batch():
        answers.extend(connection.statements.run(text, values) for text, values in sent)


def leave(connection: StoreConnection) -> None:
    with connection.statements.batch():
        connection.statements.run(DIVIDE, [0])
        raise KeyError


def test_a_statement_that_comes_again_is_prepared_once(connection: StoreConnection) -> None:
    seen = [(added(connection, n), prepared(connection)) for n in range(4)]
    assert seen == [(1, 0), (2, 1), (3, 1), (4, 1)]


def test_so_many_stay_prepared_and_those_that_were_used_last(connection: StoreConnection) -> None:
    for n in range(PREPARED + 20):
        for _ in range(2):
            added(connection)
            connection.statements.run(f"SELECT {n}", [])
    assert prepared(connection) == PREPARED
    texts = {text for text, _ in connection.statements._names}
    assert ADD in texts
    assert "SELECT 0" not in texts


def test_behind_a_pooler_nothing_is_prepared(postgres_url: str) -> None:
    with closing(connected(PostgresUrl(postgres_url), pooler=True)) as connection:
        assert [added(connection) for _ in range(3)] == [2, 2, 2]
        assert prepared(connection) == 0


def test_what_is_prepared_outlives_a_rollback(connection: StoreConnection) -> None:
    connection.execute("BEGIN")
    added(connection)
    added(connection)
    connection.rollback()
    assert prepared(connection) == 1
    assert added(connection) == 2


def test_the_first_error_of_a_batch_is_raised(connection: StoreConnection) -> None:
    answers: list[Answer] = []
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_together(connection, answers, (ADD, [1]), (DIVIDE, [0]), ("SELECT nonsense", []))
    first, _, last = answers
    assert first.fetchall() == [(2,)]
    with pytest.raises(psycopg.InterfaceError):
        last.fetchall()
    assert added(connection) == 2


def test_what_an_aborted_batch_was_to_prepare_is_prepared_later(
    connection: StoreConnection,
) -> None:
    added(connection)
    with pytest.raises(psycopg.errors.DivisionByZero):
        run_together(connection, [], (DIVIDE, [0]), (ADD, [1]))
    assert prepared(connection) == 0
    assert [added(connection) for _ in range(3)] == [2, 2, 2]
    assert prepared(connection) == 1


def test_a_batch_that_its_caller_leaves_can_be_followed_by_another(
    connection: StoreConnection,
) -> None:
    for _ in range(2):
        with pytest.raises(KeyError):
            leave(connection)
    assert added(connection) == 2


def test_values_larger_than_any_buffer_go_and_come(connection: StoreConnection) -> None:
    value = "é" * 2**23
    with connection.statements.batch():
        answers = [connection.statements.run("SELECT CAST($1 AS text)", [value]) for _ in range(3)]
    assert [answer.fetchall() for answer in answers] == [[(value,)]] * 3


def test_many_rows_are_sent_at_once(connection: StoreConnection) -> None:
    connection.execute("CREATE TEMPORARY TABLE numbers (n integer)")
    insert = "INSERT INTO numbers VALUES ($1)"
    connection.statements.run_many(insert, ([n] for n in range(20_000)))
    found = connection.statements.run("SELECT count(*), max(n) FROM numbers", [])
    assert found.fetchall() == [(20_000, 19_999)]


def test_after_a_deadline_nothing_is_taken_for_the_answer_to_something_else(
    connection: StoreConnection,
) -> None:
    connection.deadline = 0.1
    with pytest.raises(DeadlineError):
        connection.statements.run("SELECT pg_sleep(1)", [])
    time.sleep(1.2)
    with pytest.raises(psycopg.OperationalError):
        added(connection)


def test_what_is_interrupted_is_cancelled(connection: StoreConnection, postgres_url: str) -> None:
    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            connection.statements.run("SELECT pg_sleep(20)", [])
    finally:
        signal.signal(signal.SIGALRM, before)
    with psycopg.connect(postgres_url, autocommit=True) as other:
        running = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT pg_s'"
        until = time.monotonic() + 5
        while other.execute(running).fetchall() and time.monotonic() < until:
            time.sleep(0.05)
        assert other.execute(running).fetchall() == []
