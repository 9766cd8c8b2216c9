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
    yield made("list-ids", f"{title}; the floor reads ids only", "newest_ids", w.newest_ids)
    yield made("cold", "process start to the first session read", "reader", w.cold_start)


def expired_sessions(scale: Scale) -> Workload:
    title = f"remove {scale.cleaned // 10:,} expired of {scale.cleaned:,}"
    return Workload(cleaning(scale), "cleanup", title, "remove_expired", w.remove_expired)


def crowds(scale: Scale) -> Iterator[Workload]:
    """What was stored is counted by loading it."""
    ways = {
        "threads-own": ("8 threads, sessions of their own", w.threads_own),
        "threads-one": ("8 threads, one session", w.threads_one),
        "processes-own": ("4 processes, sessions of their own", w.processes_own),
        "processes-one": ("4 processes, one session", w.processes_one),
        "tasks-own": ("50 tasks, sessions of their own", w.tasks_own),
    }
    stage = crowded(scale)
    for name, (title, run) in ways.items():
        yield Workload(stage, name, title, "load", run)


def holding(scale: Scale, held: int) -> Stage:
    sessions = scale.held[held]

    def filled(kind: Kind) -> Iterable[Seed]:
        others = 0 if kind == "file" else scale.others
        return chain(seeds("held", sessions, held), seeds("other", others, 1))

    targets = tuple(key_of("held", number) for number in range(sessions))
    return Stage(f"holding-{held}", held, targets, filled)


def listing(scale: Scale) -> Stage:
    content = partial(
        seeds, "listed", scale.listed, 3, per_user=scale.per_user, state_bytes=SMALL_STATE
    )
    targets = tuple(
        key_of("listed", number, scale.per_user)
        for number in range(7, scale.listed, scale.per_user)
    )
    return Stage("listing", 3, targets, lambda _: content())


def cleaning(scale: Scale) -> Stage:
    """The file gets a tenth: it is for stores of some megabytes."""

    def expired(kind: Kind) -> Iterable[Seed]:
        count = scale.cleaned // (100 if kind == "file" else 10)
        return seeds("expired", count, 3, state_bytes=SMALL_STATE, age=MONTH)

    def filled(kind: Kind) -> Iterable[Seed]:
        count = scale.cleaned // (10 if kind == "file" else 1) * 9 // 10
        return chain(expired(kind), seeds("live", count, 3, state_bytes=SMALL_STATE))

    return Stage("cleaning", 3, (), filled, expired)


def crowded(scale: Scale) -> Stage:
    targets = tuple(key_of("crowd", number) for number in range(scale.crowd))
    return Stage("crowd", 10, targets, lambda _: seeds("crowd", scale.crowd, 10))
