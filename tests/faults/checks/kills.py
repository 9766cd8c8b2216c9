"""Writers that are killed, and disks whose power is cut: what was acknowledged is there."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.repository import SessionRepository
from tests.faults.broken_file import no_directory_sync, no_file_sync, no_sweep, written_in_place
from tests.faults.broken_sqlite import synchronous_normal
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.tools.power import FileSystem, disk, power_cuts
from tests.faults.tools.writer import Writer, begin, problem

PER_STORE = 25
"""Kills after which a new store is begun: the more a store holds, the longer a save takes."""


def places(place: Place, trials: int) -> Iterator[Place]:
    return (place.another() for _ in range(0, trials, PER_STORE))


@check(
    "F1",
    "kill -9 during saves: nothing acknowledged is lost, nothing is unreadable, no temporary file "
    "is there after reopening",
    stores=["file"],
    trials=(20, 1000),
    broken=[no_sweep, written_in_place],
    broken_trials=200,
)
def killed_in_a_save(place: Place, trials: int) -> Outcomes:
    chance = random.Random(1)
    for store in places(place, trials):
        begin(store.open)
        following = 0
        for _ in range(min(trials, PER_STORE)):
            writer = Writer(store.open, following)
            writer.wait(1)
            time.sleep(chance.uniform(0, 0.004))
            wrong, following = problem(store.open, writer.killed())
            temps = [path.name for path in store.directory.glob("*.tmp")]
            yield wrong or (f"{temps} stay" if temps else None)
            if wrong:
                break


def cut(place: Place, file_system: FileSystem, trials: int) -> Outcomes:
    """A store on a disk of that kind, the power of which is cut again and again."""
    chance = random.Random(2)
    with disk(file_system) as mounted:
        for number in range(trials):
            store = mounted.path / f"{number // PER_STORE}"

            def opening(store: Path = store) -> SessionRepository:
                if place.store == "file":
                    return JsonFileRepository(store)
                return open_sqlite(store / "sessions.db")

            if number % PER_STORE == 0:
                begin(opening)
                following = 0
            writer = Writer(opening, following, pause=0.01)
            writer.wait(chance.randrange(1, 4))
            time.sleep(chance.uniform(0, 0.01))
            wrong, following = problem(opening, mounted.cut(writer))
            yield wrong
            if wrong:
                return


@check(
    "F7",
    "power cuts on ext4 lose nothing acknowledged",
    stores=["file"],
    trials=(3, 200),
    broken=[no_directory_sync, no_file_sync],
    broken_trials=100,
    needs=[power_cuts("ext4")],
)
def power_cut_on_ext4(place: Place, trials: int) -> Outcomes:
    yield from cut(place, "ext4", trials)


@check(
    "F7",
    "power cuts on xfs lose nothing acknowledged",
    stores=["file"],
    trials=(3, 200),
    broken=[no_directory_sync, no_file_sync],
    broken_trials=100,
    needs=[power_cuts("xfs")],
)
def power_cut_on_xfs(place: Place, trials: int) -> Outcomes:
    yield from cut(place, "xfs", trials)


@check(
    "S3",
    "power cuts on ext4 lose nothing acknowledged",
    stores=["sqlite"],
    trials=(3, 100),
    broken=[synchronous_normal],
    broken_trials=100,
    needs=[power_cuts("ext4")],
)
def sqlite_power_cut_on_ext4(place: Place, trials: int) -> Outcomes:
    yield from cut(place, "ext4", trials)


@check(
    "S3",
    "power cuts on xfs lose nothing acknowledged",
    stores=["sqlite"],
    trials=(3, 100),
    broken=[synchronous_normal],
    broken_trials=100,
    needs=[power_cuts("xfs")],
)
def sqlite_power_cut_on_xfs(place: Place, trials: int) -> Outcomes:
    yield from cut(place, "xfs", trials)
