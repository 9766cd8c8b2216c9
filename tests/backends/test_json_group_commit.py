"""Callers who write together: who leads, who waits how long, and who hears of what went wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from session_store.backends.json_file.group_commit import Call, GroupCommit
from session_store.errors import (
    CorruptStoreError,
    DurabilityUnknownError,
    OutcomeUnknownError,
    SessionStoreError,
    StoreUnavailableError,
)

FAR = float("inf")


class Log:
    """A state that works append to, written in groups, when ``gate`` lets it."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.written: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: BaseException | None = None
        self.group = GroupCommit(self._exclusive, self._carry_out)

    @contextmanager
    def _exclusive(self, deadline: float) -> Iterator[None]:
        if not self.gate.wait(min(deadline - time.monotonic(), 10)):
            raise StoreUnavailableError("locked")
        yield

    def _carry_out(self, calls: Sequence[Call[list[str]]]) -> None:
        state: list[str] = []
        for call in calls:
            call.run(state)
        if self.error is not None:
            raise self.error
        self.written += state
        self.groups.append(len(calls))

    def append(self, name: str, deadline: float = FAR) -> str:
        def work(state: list[str]) -> str:
            state.append(name)
            return name.upper()

        return self.group.run(work, deadline)

    def wait_for(self, number: int) -> None:
        while len(self.group._waiting) < number:
            time.sleep(0.001)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def together(log: Log, threads: ThreadPoolExecutor, number: int) -> list[Future[str]]:
    """So many callers of one group."""
    log.gate.clear()
    futures = [threads.submit(log.append, str(n)) for n in range(number)]
    log.wait_for(number)
    log.gate.set()
    return futures


def refuse(state: list[str]) -> None:
    raise CorruptStoreError("own")


def test_each_caller_gets_its_own_answer(log: Log, threads: ThreadPoolExecutor) -> None:
    futures = together(log, threads, 5)
    assert [future.result() for future in futures] == list("01234")
    assert (sorted(log.written), log.groups) == (list("01234"), [5])
    assert log.append("a") == "A"
    assert log.groups == [5, 1]


def test_each_caller_gets_an_error_of_its_own(log: Log, threads: ThreadPoolExecutor) -> None:
    log.error = StoreUnavailableError("full")
    errors = [future.exception() for future in together(log, threads, 3)]
    assert [str(error) for error in errors] == ["full"] * 3
    assert len(set(map(id, errors))) == 3
    log.error = None
    assert log.append("a") == "A"


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (StoreUnavailableError("nothing was written"), StoreUnavailableError),
        (DurabilityUnknownError("the others' is visible"), CorruptStoreError),
    ],
)
def test_an_own_error_stays_where_the_others_work_is_visible(
    log: Log,
    threads: ThreadPoolExecutor,
    error: SessionStoreError,
    heard: type[SessionStoreError],
) -> None:
    log.error = error
    log.gate.clear()
    other, refused = threads.submit(log.append, "a"), threads.submit(log.group.run, refuse, FAR)
    log.wait_for(2)
    log.gate.set()
    assert type(other.exception()) is type(error)
    assert type(refused.exception()) is heard


def test_a_leader_that_is_interrupted_leaves_nobody_waiting(
    log: Log, threads: ThreadPoolExecutor
) -> None:
    log.error = KeyboardInterrupt()
    errors = [future.exception() for future in together(log, threads, 3)]
    names = sorted(type(error).__name__ for error in errors)
    assert names == ["KeyboardInterrupt", "OutcomeUnknownError", "OutcomeUnknownError"]
    log.error = None
    assert log.append("a") == "A"


def test_a_surprise_is_never_taken_for_success(log: Log, threads: ThreadPoolExecutor) -> None:
    log.error = ZeroDivisionError()
    for future in together(log, threads, 3):
        assert isinstance(future.exception(), OutcomeUnknownError)
    assert log.written == []


def test_each_caller_waits_only_until_its_own_deadline(
    log: Log, threads: ThreadPoolExecutor
) -> None:
    log.gate.clear()
    impatient = threads.submit(log.append, "a", time.monotonic() + 0.03)
    log.wait_for(1)
    patient = threads.submit(log.append, "b")
    assert isinstance(impatient.exception(), StoreUnavailableError)
    assert not patient.done()
    log.gate.set()
    assert (patient.result(), log.written) == ("B", ["b"])


def test_a_caller_that_is_interrupted_while_it_waits_is_not_written(
    log: Log, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Callable[[], bool]) -> bool:
        raise KeyboardInterrupt

    log.gate.clear()
    leader = threads.submit(log.append, "a")
    log.wait_for(1)
    with monkeypatch.context() as patch:
        patch.setattr(log.group._turn, "wait_for", interrupted)
        with pytest.raises(KeyboardInterrupt):
            log.append("b")
    log.gate.set()
    assert (leader.result(), log.written) == ("A", ["a"])
