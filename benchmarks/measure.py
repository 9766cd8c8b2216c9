"""Runs workloads on subjects, round after round, so that all see the same weather.

Within a round each workload runs on one subject after the other, and the order moves on with every
round. Round -1 warms up and is not counted.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from benchmarks.crowds import Workers
from benchmarks.modes import Places
from benchmarks.subject import Subject
from benchmarks.subjects import Candidate
from benchmarks.workloads import Round, Stage, Timed, Workload

Say = Callable[[str], None]


class Effort(NamedTuple):
    """How many rounds, calls in each at most, and for how many seconds at most others begin."""

    rounds: int
    calls: int
    limit: float


@dataclass
class Measured:
    """All rounds of a workload on a subject."""

    workload: str
    title: str
    mode: str
    subject: str
    rounds: list[Timed] = field(default_factory=list)

    def total(self, what: str) -> int:
        """Of all rounds: ``calls``, ``refused`` or ``lost``."""
        return sum(getattr(each, what) for each in self.rounds)


def measured(
    plan: Sequence[Workload],
    candidates: Sequence[Candidate],
    places: Places,
    effort: Effort,
    say: Say,
) -> Iterator[Measured]:
    """In the order of the plan; what a subject does not offer is left out."""
    for stage, workloads in groupby(plan, lambda workload: workload.stage):
        wanted = list(workloads)
        able = [each for each in candidates if any(_does(each, w) for w in wanted)]
        if not able:
            continue
        say(f"{stage.name}: filling")
        with opened(able, stage, places) as subjects, settled():
            yield from _on_stage(wanted, subjects, effort, say)


@contextmanager
def opened(
    candidates: Sequence[Candidate], stage: Stage, places: Places
) -> Iterator[dict[Candidate, Subject]]:
    """Each on a new store that holds what the stage says."""
    with ExitStack() as stack:
        subjects = dict[Candidate, Subject]()
        for candidate in candidates:
            place = stack.enter_context(places.new(candidate.store))
            candidate.subject.make(candidate.store, place)
            subject = candidate.subject(candidate.store, place)
            stack.callback(subject.close)
            subject.fill(stage.seeds(candidate.store.kind))
            subjects[candidate] = subject
        yield subjects


@contextmanager
def settled() -> Iterator[None]:
    """What is imported and open now is no work for the garbage collector, nor a part of any
    call's time: with all peers imported a full collection takes 0.2 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _on_stage(
    workloads: Sequence[Workload], subjects: dict[Candidate, Subject], effort: Effort, say: Say
) -> Iterator[Measured]:
    found = {
        (workload, each): Measured(workload.name, workload.title, each.mode, each.name)
        for workload in workloads
        for each in subjects
        if _does(each, workload)
    }
    workers, order = Workers(), list(subjects)
    try:
        for number in range(-1, effort.rounds):
            say(f"{workloads[0].stage.name}: round {number + 1} of {effort.rounds}")
            order.append(order.pop(0))
            round_ = Round(number, effort.calls, effort.limit, workers)
            for cell in [(w, c) for w in workloads for c in order if (w, c) in found]:
                found[cell].rounds.append(_timed(cell[0], subjects[cell[1]], round_))
    finally:
        workers.close()
    for each in found.values():
        del each.rounds[0]
        yield each


def _does(candidate: Candidate, workload: Workload) -> bool:
    return candidate.subject.offers(workload.needs)


def _timed(workload: Workload, subject: Subject, round_: Round) -> Timed:
    """Without the garbage that others made."""
    gc.collect()
    return workload.run(workload.stage, subject, round_)
