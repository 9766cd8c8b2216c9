"""Promises to several threads at once: nothing lost, nothing doubled, nothing half done."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pytest

from session_store.core.operations import Operation
from session_store.errors import SessionExistsError, SessionNotFoundError, StaleSessionError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import (
    KEY,
    OTHERS,
    application,
    at,
    change,
    contents,
    count,
    create,
    creation,
    deletion,
    exact,
    ids,
    listed,
    load,
    messages,
    seqs,
)

THREADS = 8
ROUNDS = 25
WRITES = 50
LOOKS = 150

COUNTS: dict[str, Callable[[SessionRepository], int]] = {
    "list": lambda repository: len(listed(repository)),
    "count": count,
    "stats": lambda repository: repository.stats(at()).total_sessions,
}

_Result = TypeVar("_Result")


def in_threads(work: Callable[[int], _Result], threads: int = THREADS) -> list[_Result]:
    """What ``work`` returned in each of so many threads, which begin together."""
    start = threading.Barrier(threads)

    def begin(number: int) -> _Result:
        start.wait(30)
        return work(number)

    with often_interrupted(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def watched(write: Callable[[int], object], *looks: Callable[[], str]) -> list[str]:
    """What readers, one for each of ``looks``, found odd while another thread wrote 0, 1, 2…

    It ends when there were enough writes and each reader has looked often enough.
    """
    looked = [0] * len(looks)
    done = threading.Event()

    def read(reader: int) -> Iterator[str]:
        try:
            while not done.is_set():
                yield looks[reader]()
                looked[reader] += 1
        finally:
            looked[reader] = LOOKS

    def work(thread: int) -> list[str]:
        if thread < len(looks):
            return [odd for odd in read(thread) if odd]
        try:
            for number in itertools.takewhile(wanted, itertools.count()):
                write(number)
        finally:
            done.set()
        return []

    def wanted(number: int) -> bool:
        return number < WRITES or min(looked) < LOOKS

    return [odd for found in in_threads(work, len(looks) + 1) for odd in found]


@contextmanager
def often_interrupted() -> Iterator[None]:
    """Threads take turns after every few steps, so that a missing lock shows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


class Concurrency:
    def test_all_that_several_writers_append_is_there_gapless_and_in_order(
        self, repository: SessionRepository
    ) -> None:
        create(repository)

        def write(writer: int) -> list[int]:
            names = [f"{writer}-{number}" for number in range(ROUNDS)]
            return [change(repository, entries=messages(name)).entry.seq for name in names]

        given = in_threads(write)
        session = load(repository)
        assert seqs(session) == list(range(1, THREADS * ROUNDS + 1))
        assert session.version == THREADS * ROUNDS + 1
        for writer, numbers in enumerate(given):
            stored = [e.seq for e in session.entries if e.entry_id.startswith(f"{writer}-")]
            assert stored == numbers == sorted(numbers)

    def test_batches_of_several_writers_stay_together(self, repository: SessionRepository) -> None:
        create(repository)

        def write(writer: int) -> None:
            for number in range(5):
                change(repository, entries=messages(*(f"{writer}-{number}-{n}" for n in range(4))))

        in_threads(write)
        batches = [entry.entry_id[:3] for entry in load(repository).entries]
        assert all(len({*batches[start : start + 4]}) == 1 for start in range(0, 160, 4))

    def test_different_keys_of_one_document_are_all_kept(
        self, repository: SessionRepository
    ) -> None:
        create(repository)

        def write(writer: int) -> None:
            for number in range(ROUNDS):
                patch = {f"{writer}-{number}": number}
                change(repository, state=patch, agent_states={"p": patch}, app_state=patch)

        in_threads(write)
        session = load(repository)
        documents = session.state, session.agent_states["p"], repository.load_shared("app")
        assert [len(document) for document in documents] == [THREADS * ROUNDS] * 3

    def test_shared_documents_lose_nothing_between_sessions(
        self, repository: SessionRepository
    ) -> None:
        def write(writer: int) -> None:
            key = KEY._replace(session_id=f"{writer}")
            create(repository, key)
            for number in range(10):
                patch = {f"{writer}-{number}": number}
                change(repository, key, user_state=patch, app_state=patch)

        in_threads(write)
        assert len(repository.load_shared("app")) == len(repository.load_shared("app", "ada")) == 80

    def test_a_counter_behind_expected_version_loses_no_update(
        self, repository: SessionRepository
    ) -> None:
        create(repository, state={"n": 0})

        def add_one() -> None:
            while True:
                session = load(repository, last=0)
                patch = {"n": session.state["n"] + 1}
                try:
                    change(repository, state=patch, expected_version=session.version)
                except StaleSessionError:
                    continue
                return

        def work(_: int) -> None:
            for _ in range(ROUNDS):
                add_one()

        in_threads(work)
        session = load(repository)
        assert (session.state, session.version) == ({"n": 200}, 201)

    def test_one_key_is_created_once(self, repository: SessionRepository) -> None:
        def work(writer: int) -> list[SessionKey]:
            won = []
            for number in range(10):
                key = KEY._replace(session_id=f"{number}")
                try:
                    create(repository, key, state={"by": writer}, history=[writer])
                except SessionExistsError:
                    continue
                won.append(key)
            return won

        winners = in_threads(work)
        assert sorted(key for won in winners for key in won) == sorted(
            head.key for head in listed(repository)
        )
        for writer, won in enumerate(winners):
            for key in won:
                session = load(repository, key)
                assert (session.state, session.entries[0].payload) == ({"by": writer}, writer)

    def test_an_expired_key_is_taken_once(self, repository: SessionRepository) -> None:
        create(repository, expires_at=at(1).now)

        def work(writer: int) -> bool:
            try:
                return bool(repository.commit([creation(moment=at(1), state={"by": writer})]))
            except SessionExistsError:
                return False

        assert sum(in_threads(work)) == 1

    def test_one_entry_id_is_stored_once_and_answered_alike(
        self, repository: SessionRepository
    ) -> None:
        create(repository)

        def work(_: int) -> list[tuple[int, int]]:
            answers = [change(repository, entries=messages(f"{n}")) for n in range(10)]
            return [(answer.version, answer.entry.seq) for answer in answers]

        answers = in_threads(work)
        session = load(repository)
        assert (session.last_seq, session.version) == (10, 11)
        assert answers == [answers[0]] * THREADS

    def test_one_session_is_deleted_once(self, repository: SessionRepository) -> None:
        for number in range(10):
            create(repository, KEY._replace(session_id=f"{number}"))

        def work(_: int) -> int:
            keys = [KEY._replace(session_id=f"{number}") for number in range(10)]
            return sum(repository.delete(key, at()) for key in keys)

        assert (sum(in_threads(work)), count(repository)) == (10, 0)

    def test_each_expired_session_is_removed_once(self, repository: SessionRepository) -> None:
        for number in range(60):
            create(repository, KEY._replace(session_id=f"{number}"), history="a")

        def work(_: int) -> int:
            return sum(repository.remove_expired(at(9, idle_cutoff=9), 5) for _ in range(12))

        assert (sum(in_threads(work)), count(repository)) == (60, 0)

    def test_a_session_that_was_touched_in_time_is_never_removed(
        self, repository: SessionRepository
    ) -> None:
        keys = [KEY._replace(session_id=f"{number}") for number in range(ROUNDS)]

        def sweep() -> int:
            return sum(repository.remove_expired(at(20, idle_cutoff=10), 1) for _ in keys)

        def touch(key: SessionKey) -> bool:
            try:
                return change(repository, key, moment=at(15)).version > 1
            except SessionNotFoundError:
                return False

        def work(thread: int) -> int:
            return sum(map(touch, keys)) if thread else sweep()

        for key in keys:
            create(repository, key)
        removed, touched = in_threads(work, 2)
        assert removed + touched == ROUNDS
        assert count(repository) == touched

    def test_a_reader_never_sees_half_a_write(self, repository: SessionRepository) -> None:
        create(repository, state={"n": 0})

        def write(number: int) -> None:
            n = number + 1
            rewind = {"rewind_to": 0} if n % 10 == 0 else {}
            change(repository, state={"n": n}, entries=messages(f"{n}"), **rewind)

        def torn() -> str:
            session = load(repository)
            n = session.state["n"]
            names = [f"{name}" for name in range(n - n % 10 or 1, n + 1)]
            whole = (session.version, session.last_seq, ids(session)) == (n + 1, len(names), names)
            return "" if whole else exact(session)

        assert watched(write, torn, torn, torn) == []

    def test_nobody_sees_what_a_failing_commit_takes_back(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        bystanders = [creation(KEY._replace(session_id=f"{number}")) for number in range(40)]
        repository.commit(bystanders)
        before = contents(repository)
        doomed: list[Operation] = [
            application(state={"seen": 1}, app_state={"seen": 1}, entries=messages("seen")),
            *(creation(key) for key in OTHERS),
            application(expected_version=99),
        ]

        def write(_: int) -> None:
            with pytest.raises(StaleSessionError):
                repository.commit(doomed)

        looks: list[Callable[[], str]] = [
            lambda: str(load(repository).state or ""),
            lambda: str(repository.load_shared("app") or ""),
            lambda: "" if count(repository) == 41 else "counted",
            lambda: "" if len(listed(repository)) == 41 else "listed",
        ]
        assert watched(write, *looks) == []
        assert contents(repository) == before

    def test_a_session_that_is_replaced_is_never_missing(
        self, repository: SessionRepository
    ) -> None:
        create(repository)

        def write(_: int) -> None:
            repository.commit([deletion(), creation()])

        looks: list[Callable[[], str]] = [
            lambda: "" if load(repository).key == KEY else "not loaded",
            lambda: "" if len(listed(repository)) == 1 else "not listed",
            lambda: "" if count(repository) == 1 else "not counted",
        ]
        assert watched(write, *looks) == []

    @pytest.mark.parametrize("look", COUNTS.values(), ids=list(COUNTS))
    def test_what_counts_sessions_counts_at_one_moment(
        self, repository: SessionRepository, look: Callable[[SessionRepository], int]
    ) -> None:
        """A session that moves to another key counts once, under the one or the other."""
        keys = [KEY._replace(session_id=f"{number}") for number in range(40)]
        repository.commit([creation(key) for key in keys])
        places = OTHERS[0], OTHERS[2]
        create(repository, places[0])

        def write(number: int) -> None:
            here, there = places[number % 2], places[1 - number % 2]
            repository.commit([deletion(here), creation(there)])

        def odd() -> str:
            return "" if look(repository) == 41 else "not one moment"

        assert watched(write, odd, odd) == []
