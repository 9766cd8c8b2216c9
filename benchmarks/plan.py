"""Which workloads there are, on stores of which size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import NamedTuple

from benchmarks import workloads as w
from benchmarks.content import DAY, Seed, key_of, seeds
from benchmarks.modes import Kind
from benchmarks.workloads import LAST, PAGE, Stage, Workload

SMALL_STATE = 200
ALONE, AT_ONCE = "threads-alone", "threads-own"
"""One thread that saves, and eight at once."""

MONTH = 30 * DAY


class Scale(NamedTuple):
    """How many entries are held, by how many sessions; how many sessions are listed, cleaned."""

    held: dict[int, int]
    others: int
    listed: int
    per_user: int
    cleaned: int
    crowd: int


FULL = Scale(
    held={10: 50, 100: 20, 1000: 5, 10_000: 2},
    others=1000,
    listed=10_000,
    per_user=1000,
    cleaned=100_000,
    crowd=200,
)
QUICK = Scale(
    held={10: 5, 100: 2},
    others=10,
    listed=200,
    per_user=100,
    cleaned=200,
    crowd=50,
)


def plan(scale: Scale) -> list[Workload]:
    """In this order; those of one stage stand together."""
    held = chain.from_iterable(map(partial(one_session, scale), scale.held))
    return [*held, *many_sessions(scale), expired_sessions(scale), *crowds(scale)]


def one_session(scale: Scale, held: int) -> Iterator[Workload]:
    """Calls on a session that holds so many entries."""
    made = partial(Workload, holding(scale, held))
    yield made(f"turn-{held}", f"turn, {held:,} entries held", "turn", w.turn)
    if held <= 1000:
        yield made(f"load-{held}", f"load all {held:,} entries", "load", w.load)
    if held in (100, 10_000):
        title = f"load the last {LAST} of {held:,}"
        yield made(f"last-{held}", title, "load_last", w.load_last)
    if held == 100:
        yield made("state", "change one key of 4 KB of state", "set_state", w.update_state)
        yield made("create", "create a session", "create", w.create)


def many_sessions(scale: Scale) -> Iterator[Workload]:
    made = partial(Workload, listing(scale))
    title = f"list the newest {PAGE} of {scale.per_user:,}, store of {scale.listed:,}"
    yield made("list", title, "newest", w.newest)
    yield made("list-ids", "the same list; the floor reads ids only", "newest_ids", w.newest_ids)
    yield made("cold", "process start to the first session read", "reader", w.cold_start)


def expired_sessions(scale: Scale) -> Workload:
    title = f"remove {scale.cleaned // 10:,} expired of {scale.cleaned:,}; file: a tenth"
    return Workload(cleaning(scale), "cleanup", title, "remove_expired", w.remove_expired)


def crowds(scale: Scale) -> Iterator[Workload]:
    """What was stored is counted by loading it."""
    ways = {
        ALONE: ("1 thread, session of its own", w.thread_alone),
        AT_ONCE: ("8 threads, sessions of their own", w.threads_own),
        "threads-one": ("8 threads, one session", w.threads_one),
        "processes-own": ("4 processes, sessions of their own", w.processes_own),
        "processes-one": ("4 processes, one session", w.processes_one),
        "tasks-own": ("50 tasks, sessions of their own", w.tasks_own),
    }
    stage = crowded(scale)
    for name, (title, run) in ways.items():
        yield Workload(stage, name, title, "load", run)


def holding(scale: Scale, held: int) -> Stage:
    targets = tuple(key_of("held", number) for number in range(scale.held[held]))
    return Stage(f"holding-{held}", held, targets, partial(_holding, scale, held))


def listing(scale: Scale) -> Stage:
    numbers = range(7, scale.listed, scale.per_user)
    targets = tuple(key_of("listed", number, scale.per_user) for number in numbers)
    return Stage("listing", 3, targets, partial(_listed, scale))


def cleaning(scale: Scale) -> Stage:
    return Stage("cleaning", 3, (), partial(_to_clean, scale), partial(_expired, scale))


def crowded(scale: Scale) -> Stage:
    targets = tuple(key_of("crowd", number) for number in range(scale.crowd))
    return Stage("crowd", 10, targets, partial(_crowd, scale))


# What they hold ---------------------------------------------------------------------------------


def _holding(scale: Scale, held: int, kind: Kind) -> Iterable[Seed]:
    """In a database among others; a file is written whole, and theirs would hide its size."""
    others = 0 if kind == "file" else scale.others
    return chain(seeds("held", scale.held[held], held), seeds("other", others, 1))


def _listed(scale: Scale, _: Kind) -> Iterable[Seed]:
    per_user, size = scale.per_user, SMALL_STATE
    return seeds("listed", scale.listed, 3, per_user=per_user, state_bytes=size)


def _expired(scale: Scale, kind: Kind) -> Iterable[Seed]:
    count = _cleaned(scale, kind) // 10
    return seeds("expired", count, 3, state_bytes=SMALL_STATE, age=MONTH)


def _to_clean(scale: Scale, kind: Kind) -> Iterable[Seed]:
    live = seeds("live", _cleaned(scale, kind) * 9 // 10, 3, state_bytes=SMALL_STATE)
    return chain(_expired(scale, kind), live)


def _cleaned(scale: Scale, kind: Kind) -> int:
    """The file gets a tenth: it is for stores of some megabytes."""
    return scale.cleaned // 10 if kind == "file" else scale.cleaned


def _crowd(scale: Scale, _: Kind) -> Iterable[Seed]:
    return seeds("crowd", scale.crowd, 10)
