"""Many turns at once: in threads, in tasks of an event loop, in processes."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any, NamedTuple

from benchmarks.content import Key, utterance
from benchmarks.modes import Mode
from benchmarks.subject import AsyncSubject, Call, Subject

PROCESSES = 4
PATIENCE = 120.0


class Worked(NamedTuple):
    """What one worker did: turns that were acknowledged and refused, and its seconds."""

    done: int
    refused: int
    seconds: float


class Share(NamedTuple):
    """One worker's part: its session, whether others write to it, and the turns it makes at most,
    none of which begins after ``limit`` seconds."""

    key: Key
    is_shared: bool
    turns: int
    limit: float

    def calls(self, subject: Subject) -> list[Call]:
        messages = [subject.message(utterance()) for _ in range(self.turns)]
        if self.is_shared:
            return [partial(subject.late_turn, self.key, message) for message in messages]
        held = subject.refreshed(self.key)
        return [partial(subject.turn, held, message) for message in messages]


def at_once(subject: Subject, shares: Sequence[Share]) -> list[Worked]:
    """Each share in a thread of its own; in a task of its own where calls are awaited."""
    if isinstance(subject, AsyncSubject):
        work = [(share.calls(subject), share.limit) for share in shares]
        return subject.wait(_in_tasks(work, subject.refusals))
    barrier = threading.Barrier(len(shares))
    futures = [subject.crowd.submit(_work, subject, barrier, share) for share in shares]
    return [future.result() for future in futures]


def in_tasks(subject: Subject, shares: Sequence[Share]) -> list[Worked]:
    """Each share in a task; a subject that blocks works in threads behind them."""
    work = []
    for share in shares:
        held = subject.refreshed(share.key)
        messages = [subject.message(utterance()) for _ in range(share.turns)]
        calls: list[Call] = [partial(subject.awaited_turn, held, each) for each in messages]
        work.append((calls, share.limit))
    return subject.wait(_in_tasks(work, subject.refusals))


def _work(subject: Subject, start: threading.Barrier | Barrier, share: Share) -> Worked:
    """One worker, whose connection is open when all begin."""
    calls, done, refused = share.calls(subject), 0, 0
    subject.entries(share.key)
    start.wait(PATIENCE)
    began = time.perf_counter()
    for call in calls:
        try:
            call()
            done += 1
        except subject.refusals:
            refused += 1
        if time.perf_counter() - began > share.limit:
            break
    return Worked(done, refused, time.perf_counter() - began)


def _in_tasks(
    work: Sequence[tuple[list[Call], float]], refusals: tuple[type[Exception], ...]
) -> Coroutine[Any, Any, list[Worked]]:
    async def one(calls: list[Call], limit: float, began: float) -> Worked:
        done = refused = 0
        for call in calls:
            try:
                await call()
                done += 1
            except refusals:
                refused += 1
            if time.perf_counter() - began > limit:
                break
        return Worked(done, refused, time.perf_counter() - began)

    async def all_of_them() -> list[Worked]:
        began = time.perf_counter()
        return await asyncio.gather(*(one(*each, began) for each in work))

    return all_of_them()


# Processes --------------------------------------------------------------------------------------


class Workers:
    """Processes that stay: each opens a store when it first works on it."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def work(self, subject: Subject, shares: Sequence[Share]) -> list[Worked]:
        """Each share, one for each process, in a process of its own."""
        futures = [
            self._started().submit(_in_process, type(subject), subject.mode, subject.place, share)
            for share in shares
        ]
        return [future.result() for future in futures]

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                PROCESSES,
                mp_context=context,
                initializer=_prepare,
                initargs=(context.Barrier(PROCESSES),),
            )
        return self._pool

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
            self._pool = None


class _Process:
    """What each process holds."""

    start: Barrier
    opened: dict[str, Subject] = {}  # noqa: RUF012 - of the process


def _prepare(start: Barrier) -> None:
    _Process.start = start


def _in_process(cls: type[Subject], mode: Mode, place: str, share: Share) -> Worked:
    if place not in _Process.opened:
        _Process.opened[place] = cls(mode, place)
    subject = _Process.opened[place]
    if not isinstance(subject, AsyncSubject):
        return _work(subject, _Process.start, share)
    calls = share.calls(subject)
    subject.entries(share.key)
    _Process.start.wait(PATIENCE)
    return subject.wait(_in_tasks([(calls, share.limit)], subject.refusals))[0]
