"""What a call costs as a store grows: by sessions, by the entries of one, by bytes of the file.

Stores of all sizes are open at once, and each round calls all of them in turn, so that a ratio of
the largest to the smallest is of one round.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks import workloads as w
from benchmarks.content import Seed, key_of, seeds
from benchmarks.crowds import Workers
from benchmarks.measure import Effort, Say, opened, settled
from benchmarks.modes import Kind, Places
from benchmarks.plan import MONTH, SMALL_STATE
from benchmarks.results import Ratio, ratio_of
from benchmarks.subject import Subject
from benchmarks.subjects import OURS, Candidate
from benchmarks.subjects.ours import Ours
from benchmarks.workloads import LAST, PAGE, Round, Stage, Timed

Run = Callable[[Stage, Subject, Round], Timed]

PER_USER = 100
TARGETS = 200
FEW, ENOUGH = 3, LAST + 5
"""Entries of a session, and of those that are worked on."""

EXPIRED = 100
"""As many as one call removes."""

HOLDING = 10
"""Sessions that hold many entries."""

FEWEST = 10
"""As many as the smallest of them hold: so all answer with the same."""


class Cell(NamedTuple):
    """A call in the stores of one kind: its medians by size, and of the largest to the smallest."""

    by: str
    call: str
    mode: str
    subject: str
    seconds: dict[int, float]
    ratio: Ratio


class Growth(NamedTuple):
    """How large stores become."""

    sessions: Sequence[int]
    entries: Sequence[int]
    in_file: Sequence[int]


def cells(
    growth: Growth, candidates: Sequence[Candidate], places: Places, effort: Effort, say: Say
) -> Iterator[Cell]:
    ours = [each for each in candidates if each.name == OURS and each.mode != "file"]
    files = [each for each in candidates if each.name == OURS and each.mode == "file"]
    grown = partial(_grown, places=places, effort=effort, say=say)
    if ours:
        stages = {size: _of_sessions(size) for size in growth.sessions}
        yield from grown("sessions", stages, ours, BY_SESSIONS)
        stages = {size: _of_entries(size) for size in growth.entries}
        yield from grown("entries of a session", stages, ours, BY_ENTRIES)
    if files:
        stages = {size: _in_file(size) for size in growth.in_file}
        yield from grown("sessions in the file", stages, files, IN_FILE)


def _grown(
    by: str,
    stages: Mapping[int, Stage],
    candidates: Sequence[Candidate],
    calls: Mapping[str, Run],
    *,
    places: Places,
    effort: Effort,
    say: Say,
) -> Iterator[Cell]:
    with ExitStack() as stack:
        stores = dict[int, dict[Candidate, Subject]]()
        for size, stage in stages.items():
            say(f"growth by {by}: filling {size:,}")
            stores[size] = stack.enter_context(opened(candidates, stage, places))
        stack.enter_context(settled())
        workers = stack.enter_context(closing(Workers()))
        found: dict[tuple[str, Candidate], dict[int, list[float]]] = {
            (call, each): {size: [] for size in stages} for call in calls for each in candidates
        }
        for number in range(-1, effort.rounds):
            say(f"growth by {by}: round {number + 1} of {effort.rounds}")
            round_ = Round(number, effort.calls, effort.limit, workers)
            for (call, candidate), of_sizes in found.items():
                for size in _rotated(list(stages), number):
                    timed = calls[call](stages[size], stores[size][candidate], round_)
                    of_sizes[size].append(timed.seconds)
    for (call, candidate), of_sizes in found.items():
        yield _cell(by, call, candidate, of_sizes)


def _cell(by: str, call: str, candidate: Candidate, of_sizes: dict[int, list[float]]) -> Cell:
    """Without the first round, which warmed up."""
    counted = {size: seconds[1:] for size, seconds in of_sizes.items()}
    medians = {size: median(seconds) for size, seconds in counted.items()}
    ratio = ratio_of(counted[max(counted)], counted[min(counted)])
    return Cell(by, call, candidate.mode, candidate.name, medians, ratio)


def _rotated(sizes: list[int], number: int) -> list[int]:
    first = number % len(sizes)
    return sizes[first:] + sizes[:first]


# Stores -----------------------------------------------------------------------------------------


def _of_sessions(count: int) -> Stage:
    """The sessions that are worked on lie anywhere in it."""
    step = max(1, count // TARGETS)
    numbers = random.Random(count).sample(range(0, count, step), min(TARGETS, count // step))
    targets = tuple(key_of("grown", number, PER_USER) for number in numbers)

    def filled(_: Kind) -> Iterator[Seed]:
        return seeds(
            "grown",
            count,
            lambda number: FEW if number % step else ENOUGH,
            per_user=PER_USER,
            state_bytes=SMALL_STATE,
        )

    return Stage(f"{count} sessions", ENOUGH, targets, filled, _expired)


def _of_entries(count: int) -> Stage:
    targets = tuple(key_of("held", number) for number in range(HOLDING))
    return Stage(f"{count} entries", count, targets, lambda _: seeds("held", HOLDING, count))


def _in_file(count: int) -> Stage:
    targets = tuple(key_of("filed", number) for number in range(0, count, max(1, count // 50)))
    return Stage(f"{count} in a file", FEW, targets, lambda _: seeds("filed", count, FEW), _expired)


def _expired(_: Kind) -> Iterator[Seed]:
    return seeds("expired", EXPIRED, FEW, age=MONTH)


# Calls that only growth asks for ----------------------------------------------------------------


def _first_page(_: Stage, subject: Subject, round_: Round) -> Timed:
    return _of_service(subject, round_, lambda ours: ours.service.list_sessions(limit=PAGE))


def _statistics(_: Stage, subject: Subject, round_: Round) -> Timed:
    return _of_service(subject, round_, lambda ours: ours.service.get_storage_stats())


def _count(_: Stage, subject: Subject, round_: Round) -> Timed:
    return _of_service(subject, round_, lambda ours: ours.service.get_session_count())


def _turn_for_each_megabyte(stage: Stage, subject: Subject, round_: Round) -> Timed:
    """The same at each size where the cost of a save is that of its bytes."""
    megabytes = Path(subject.place, "sessions.json").stat().st_size / 1e6
    timed = w.turn(stage, subject, round_)
    return timed._replace(seconds=timed.seconds / megabytes)


def _load_for_each_entry(stage: Stage, subject: Subject, round_: Round) -> Timed:
    """Of as many as there are after the turns of the rounds before."""
    timed = w.load(stage, subject, round_)
    return timed._replace(seconds=timed.seconds / subject.entries(stage.targets[0]))


def _cold_start(stage: Stage, subject: Subject, round_: Round) -> Timed:
    """On a session that holds what the turns before have left."""
    key = stage.targets[round_.number % len(stage.targets)]
    return w.cold_start(replace(stage, targets=(key,), held=subject.entries(key)), subject, round_)


def _of_service(subject: Subject, round_: Round, call: Callable[[Ours], object]) -> Timed:
    assert isinstance(subject, Ours)
    return w.timed(subject, [partial(call, subject)] * round_.calls, round_)


BY_SESSIONS: Mapping[str, Run] = {
    "turn": w.turn,
    "change one key of the state": w.update_state,
    "load all entries": w.load,
    f"load the last {LAST}": w.load_last,
    "create a session": w.create,
    f"list the first {PAGE} of all": _first_page,
    f"list the newest {PAGE} of a user": w.newest,
    "get_storage_stats": _statistics,
    "get_session_count": _count,
    f"remove {EXPIRED:,} expired": w.remove_expired,
    "turn, of 8 threads": w.threads_own,
    "turn, of 8 threads on one session": w.threads_one,
    "turn, of 4 processes": w.processes_own,
    "turn, of 4 processes on one session": w.processes_one,
    "turn, of 50 tasks": w.tasks_own,
    "process start to the first session read": _cold_start,
}
IN_FILE = {
    "turn, for each MB of the file": _turn_for_each_megabyte,
    **{name: run for name, run in BY_SESSIONS.items() if run is not w.newest},
}
"""There each session is of a user of its own."""

BY_ENTRIES: Mapping[str, Run] = {
    "turn": w.turn,
    "change one key of the state": w.update_state,
    "load all, for each entry": _load_for_each_entry,
    f"load the last {FEWEST}": partial(w.load_last, count=FEWEST),
}
