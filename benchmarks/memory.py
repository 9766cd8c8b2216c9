"""Peak memory of a new process that opens a store and makes one kind of call, and of one call.

Whoever reads is also measured in an application's own program, in which nothing is imported to
measure. A call's peak is what Python allocates meanwhile. Needs Linux, where ``VmHWM`` is told.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

from benchmarks import workloads
from benchmarks.crowds import Workers
from benchmarks.measure import Say, opened
from benchmarks.modes import Mode, Places
from benchmarks.subject import Call, Subject
from benchmarks.subjects import OURS, Candidate
from benchmarks.workloads import Round, Workload

CALLS = 3
PATIENCE = 60.0
TOLD = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
ALONE = (
    workloads.turn,
    workloads.load,
    workloads.load_last,
    workloads.update_state,
    workloads.create,
    workloads.newest,
    workloads.remove_expired,
)
"""What one caller does, in this process."""


class Peak(NamedTuple):
    """Bytes: of the process; of one call, beyond what was there before it."""

    workload: str
    title: str
    mode: str
    subject: str
    process: int | None = None
    call: int | None = None


def peaks(
    plan: Sequence[Workload], candidates: Sequence[Candidate], places: Places, say: Say
) -> Iterator[Peak]:
    wanted = [each for each in plan if each.run in (*ALONE, workloads.cold_start)]
    holders = [each for each in candidates if each.subject.offers("load")]
    for stage, group in groupby(wanted, lambda workload: workload.stage):
        say(f"memory: {stage.name}")
        of_stage = list(group)
        needs = {workload.needs for workload in of_stage}
        able = [each for each in holders if any(map(each.subject.offers, needs))]
        with opened(able, stage, places) as subjects:
            for workload in of_stage:
                for candidate, subject in subjects.items():
                    if subject.offers(workload.needs):
                        yield _peak(workload, candidate, subject)


def _peak(workload: Workload, candidate: Candidate, subject: Subject) -> Peak:
    """The process of another than ours has our package in it, for the utterances: it says less
    than nothing."""
    found = Peak(workload.name, workload.title, candidate.mode, candidate.name)
    if workload.run is workloads.cold_start:
        program = subject.reader(workload.stage.targets[0]) + TOLD
        return found._replace(process=_of_program(program))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        made = pool.submit(_work, candidate.subject, subject.mode, subject.place, workload)
        process, call = made.result()
    return found._replace(process=process if candidate.name == OURS else None, call=call)


def _of_program(program: str) -> int:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024


def _work(cls: type[Subject], mode: Mode, place: str, workload: Workload) -> tuple[int, int]:
    """Some calls, and then some that are watched, which takes memory itself."""
    with closing(cls(mode, place)) as subject:
        workload.run(workload.stage, subject, Round(-1, CALLS, PATIENCE, Workers()))
        process = _of_this_process()
        watched = Round(0, CALLS, PATIENCE, Workers(), in_bytes)
        return process, int(workload.run(workload.stage, subject, watched).seconds)


def in_bytes(subject: Subject, calls: Sequence[Call], _: float) -> list[float]:
    """The peak of each call, once what the first one keeps is there."""
    found = list[float]()
    tracemalloc.start()
    for call in calls:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        subject.ask(call)
        found.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    return found


def _of_this_process() -> int:
    with open("/proc/self/status") as status:
        told = next(line.split()[1] for line in status if line.startswith("VmHWM"))
    return int(told) * 1024
