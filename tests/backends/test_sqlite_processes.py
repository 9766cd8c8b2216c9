"""Processes and threads that share an SQLite store, fork, or are killed: nothing is lost."""

from __future__ import annotations

import os
import threading
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import StoreUnavailableError
from session_store.testing.given import (
    change,
    count,
    create,
    ids,
    load,
    message,
    messages,
    seqs,
)
from tests.backends.processes import exit_code, forked, kill

TEXT = "x" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


class TestProcesses:
    def test_appends_of_processes_and_threads_are_all_there(self, path: Path) -> None:
        with open_sqlite(path) as store:
            create(store)

        def append(store: SqlRepository, writer: str) -> None:
            for n in range(25):
                change(store, entries=messages(f"{writer} {n}"))

        def work() -> None:
            with open_sqlite(path) as store:
                threads = [
                    threading.Thread(target=append, args=(store, f"{os.getpid()}-{n}"))
                    for n in range(8)
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

        children = [forked(work) for _ in range(4)]
        assert [exit_code(child) for child in children] == [0] * 4
        with open_sqlite(path) as store:
            stored = load(store)
        assert seqs(stored) == list(range(1, 801))
        for child in children:
            for thread in range(8):
                mine = [name for name in ids(stored) if name.startswith(f"{child}-{thread} ")]
                assert mine == [f"{child}-{thread} {n}" for n in range(25)]

    def test_a_killed_writer_loses_nothing_acknowledged(self, path: Path) -> None:
        with open_sqlite(path) as store:
            create(store)
        random, acknowledged = Random(7), 0
        for _ in range(100):
            child, answers = writer(path, acknowledged)
            for _ in range(random.randrange(1, 12)):
                acknowledged = int.from_bytes(os.read(answers, 4), "big")
            kill(child)
            while left := os.read(answers, 4):
                acknowledged = int.from_bytes(left, "big")
            os.close(answers)
            with open_sqlite(path) as store:
                stored = load(store)
            assert seqs(stored) == list(range(1, stored.last_seq + 1))
            assert stored.last_seq in (acknowledged, acknowledged + 1)
            acknowledged = stored.last_seq
        with closing(connected(path, 1)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def writer(path: Path, last: int) -> tuple[int, int]:
    """A process that appends one entry after the other, and where it acknowledges each."""
    reading, writing = os.pipe()

    def work() -> None:
        store = open_sqlite(path)
        for n in range(last + 1, last + 1000):
            change(store, entries=(message(f"{n}", TEXT),))
            os.write(writing, n.to_bytes(4, "big"))

    child = forked(work)
    os.close(writing)
    return child, reading


class TestForks:
    """A child of a fork must not share what SQLite holds: where it does, and its parent closes
    the store, the log is deleted under it and all that it writes is lost (50 writes of 50)."""

    def test_a_child_writes_on_while_its_parent_closes(self, path: Path) -> None:
        store = open_sqlite(path)
        create(store)
        (ready, tell_ready), (closed, tell_closed) = os.pipe(), os.pipe()

        def work() -> None:
            change(store, entries=messages("first"))
            os.write(tell_ready, b"x")
            os.read(closed, 1)
            for n in range(50):
                change(store, entries=messages(f"{n}"))

        child = forked(work)
        os.read(ready, 1)
        store.close()
        os.write(tell_closed, b"x")
        assert exit_code(child) == 0
        with open_sqlite(path) as again:
            assert load(again).last_seq == 51
        for descriptor in (ready, tell_ready, closed, tell_closed):
            os.close(descriptor)

    def test_forks_among_working_threads(self, path: Path) -> None:
        stop = threading.Event()
        with open_sqlite(path) as store:
            create(store)

            def write() -> None:
                for n in range(10_000):
                    change(store, entries=messages(f"{threading.get_ident()} {n}"))
                    if stop.is_set():
                        return

            def read() -> None:
                while not stop.is_set():
                    load(store, last=3)

            threads = [threading.Thread(target=work) for work in (write, write, read)]
            for thread in threads:
                thread.start()
            names = [f"child {n}" for n in range(20)]
            children = [forked(lambda n=name: change(store, entries=messages(n))) for name in names]  # type: ignore[misc]
            assert [exit_code(child) for child in children] == [0] * 20
            stop.set()
            for thread in threads:
                thread.join()
            stored = load(store)
        assert seqs(stored) == list(range(1, stored.last_seq + 1))
        assert set(names) <= set(ids(stored))

    def test_a_fork_does_not_wait_until_readers_rest(self, path: Path) -> None:
        stop = threading.Event()
        with open_sqlite(path, busy_timeout=5) as store:
            create(store)

            def read() -> None:
                while not stop.is_set():
                    load(store)

            reader = threading.Thread(target=read)
            reader.start()
            children = [forked(lambda: load(store)) for _ in range(5)]
            assert [exit_code(child) for child in children] == [0] * 5
            stop.set()
            reader.join()

    def test_a_closed_store_stays_closed_in_a_child(self, path: Path) -> None:
        store = open_sqlite(path)
        store.close()

        def work() -> None:
            with pytest.raises(StoreUnavailableError):
                count(store)

        assert exit_code(forked(work)) == 0
