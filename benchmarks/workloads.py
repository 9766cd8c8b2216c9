"""What is measured: kinds of calls, made some times a round. What they need is made before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from statistics import median
from typing import Any, NamedTuple

from benchmarks.content import Key, Seed, key_of, state, utterance
from benchmarks.crowds import PROCESSES, Share, Worked, Workers, at_once, in_tasks
from benchmarks.modes import Kind
from benchmarks.subject import CROWD, Call, Subject

PAGE, LAST = 50, 20
TASKS = 50


class Timed(NamedTuple):
    """One round on one subject: the median call in seconds; of a crowd, the seconds for each
    acknowledged turn. ``lost`` turns were acknowledged and are not stored."""

    seconds: float
    calls: int
    refused: int = 0
    lost: int = 0


Measure = Callable[[Subject, Sequence[Call], float], list[float]]


def in_seconds(subject: Subject, calls: Sequence[Call], limit: float) -> list[float]:
    """How long each took; none begins after ``limit`` seconds."""
    return subject.seconds(calls, limit)


class Round(NamedTuple):
    """Which round, how many calls it has at most, and after how many seconds no other begins;
    what a crowd works in, and what is measured of each call."""

    number: int
    calls: int
    limit: float
    workers: Workers
    measure: Measure = in_seconds


@dataclass(frozen=True)
class Stage:
    """What stores hold meanwhile; they are filled once for all its workloads.

    ``targets`` are the sessions that are worked on, with ``held`` entries each.
    """

    name: str
    held: int
    targets: tuple[Key, ...]
    seeds: Callable[[Kind], Iterable[Seed]]
    refill: Callable[[Kind], Iterable[Seed]] | None = None


@dataclass(frozen=True)
class Workload:
    """``run`` measures one round of it on one subject that offers the call it ``needs``."""

    stage: Stage
    name: str
    title: str
    needs: str
    run: Callable[[Stage, Subject, Round], Timed]


# One caller -------------------------------------------------------------------------------------


def turn(stage: Stage, subject: Subject, round_: Round) -> Timed:
    calls = [
        partial(subject.turn, held, subject.message(utterance()))
        for held in _held(stage, subject, round_)
    ]
    return timed(subject, calls, round_)


def update_state(stage: Stage, subject: Subject, round_: Round) -> Timed:
    name = next(iter(state()))
    calls = [
        partial(subject.set_state, held, name, {"step": step, "done": False})
        for step, held in enumerate(_held(stage, subject, round_))
    ]
    return timed(subject, calls, round_)


def load(stage: Stage, subject: Subject, round_: Round) -> Timed:
    assert subject.entries(stage.targets[0]) >= stage.held
    calls = [partial(subject.load, held) for held in _held(stage, subject, round_)]
    return timed(subject, calls, round_)


def load_last(stage: Stage, subject: Subject, round_: Round, count: int = LAST) -> Timed:
    calls = [partial(subject.load_last, held, count) for held in _held(stage, subject, round_)]
    assert min(count, stage.held) <= subject.count(subject.ask(calls[0])) <= count
    return timed(subject, calls, round_)


def create(_: Stage, subject: Subject, round_: Round) -> Timed:
    """What was created is removed, so that the next round begins like this one."""
    keys = [key_of("new", number) for number in range(round_.calls)]
    created = timed(subject, [partial(subject.create, key) for key in keys], round_)
    for key in keys[: created.calls]:
        subject.ask(partial(subject.delete, key))
    return created


def newest(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _listed(stage, subject, subject.newest, round_)


def newest_ids(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _listed(stage, subject, subject.newest_ids, round_)


def remove_expired(stage: Stage, subject: Subject, round_: Round) -> Timed:
    """Once a round; before, what the last one removed is put back."""
    if round_.number >= 0 and stage.refill:
        subject.fill(stage.refill(subject.mode.kind))
    return timed(subject, [subject.remove_expired], round_)


def cold_start(stage: Stage, subject: Subject, round_: Round) -> Timed:
    """From the start of a process until it has read its first session, with compiled files as an
    installed program has them."""
    key = stage.targets[round_.number % len(stage.targets)]
    program = f"{subject.reader(key)}\nprint(len(entries), flush=True)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        entries = json.loads(process.stdout.readline())
        seconds = time.perf_counter() - began
    assert entries == stage.held
    return Timed(seconds, 1)


def _held(stage: Stage, subject: Subject, round_: Round) -> list[Any]:
    """What the round's calls are made on, each of the ``targets`` in turn."""
    first = max(round_.number, 0) * round_.calls % len(stage.targets)
    keys = islice(cycle(stage.targets), first, first + round_.calls)
    return [subject.held(key) for key in keys]


def _listed(
    stage: Stage, subject: Subject, call: Callable[[str, int], object], round_: Round
) -> Timed:
    users = sorted({key.user_id for key in stage.targets})
    calls = [partial(call, user, PAGE) for user in islice(cycle(users), round_.calls)]
    assert subject.count(subject.ask(calls[0])) == PAGE
    return timed(subject, calls, round_)


def timed(subject: Subject, calls: Sequence[Call], round_: Round) -> Timed:
    taken = round_.measure(subject, calls, round_.limit)
    return Timed(median(taken), len(taken))


# A crowd ----------------------------------------------------------------------------------------


def thread_alone(stage: Stage, subject: Subject, round_: Round) -> Timed:
    """What the rate of many is a multiple of: one of them, with as many turns as all of theirs."""
    return _crowd(stage, subject, round_, 1, at_once)


def threads_own(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _crowd(stage, subject, round_, CROWD, at_once)


def threads_one(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _crowd(stage, subject, round_, CROWD, at_once, is_shared=True)


def processes_own(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _crowd(stage, subject, round_, PROCESSES, round_.workers.work)


def processes_one(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _crowd(stage, subject, round_, PROCESSES, round_.workers.work, is_shared=True)


def tasks_own(stage: Stage, subject: Subject, round_: Round) -> Timed:
    return _crowd(stage, subject, round_, TASKS, in_tasks)


def _crowd(
    stage: Stage,
    subject: Subject,
    round_: Round,
    size: int,
    work: Callable[[Subject, Sequence[Share]], list[Worked]],
    *,
    is_shared: bool = False,
) -> Timed:
    """``calls`` a worker, but of a large crowd fewer."""
    first = max(round_.number, 0) * size % len(stage.targets)
    keys = list(islice(cycle(stage.targets), first, first + size))
    chosen = keys[:1] * size if is_shared else keys
    turns = max(1, round_.calls * 20 // size)
    before = _stored(subject, chosen)
    worked = work(subject, [Share(key, is_shared, turns, round_.limit) for key in chosen])
    done = sum(each.done for each in worked)
    return Timed(
        seconds=max(each.seconds for each in worked) / max(done, 1),
        calls=done,
        refused=sum(each.refused for each in worked),
        lost=done - (_stored(subject, chosen) - before),
    )


def _stored(subject: Subject, keys: Iterable[Key]) -> int:
    return sum(subject.entries(key) for key in set(keys))
