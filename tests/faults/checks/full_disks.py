"""Disks that are really full: what is stored stays, the error says so."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionStoreError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.testing.given import change, create, ids, load, message, messages
from tests.faults.broken_file import written_in_place
from tests.faults.broken_sqlite import failed_writes_are_taken_for_done
from tests.faults.frame import Outcomes, check, mounts
from tests.faults.place import Place
from tests.faults.tools.small_disk import SmallDisk, small_disk

Opening = Callable[[], SessionRepository]

MOST = 4000


def filled(store: SessionRepository, text: str) -> tuple[list[str], str | None]:
    """The entries that were acknowledged, and what is wrong with the error that ended it."""
    acknowledged: list[str] = []
    while len(acknowledged) < MOST:
        name = f"{len(acknowledged)}"
        try:
            change(store, entries=(message(name, text),))
        except SessionStoreError as error:
            fine = isinstance(error, StoreUnavailableError) and "full" in str(error)
            return acknowledged, None if fine else f"the error is {error!r}"
        acknowledged.append(name)
    return acknowledged, "the disk is never full"


def problem(disk: SmallDisk, opening: Opening, text: str) -> str | None:
    with opening() as store:
        create(store)
        expected, wrong = filled(store, text)
        if ids(load(store)) != expected:
            wrong = "memory holds something else than was acknowledged"
        disk.grow()
        with opening() as another:
            if ids(load(another)) != expected:
                wrong = "the disk holds something else than was acknowledged"
        change(store, entries=messages("more"))
    with opening() as store:
        return wrong or (
            None if ids(load(store)) == [*expected, "more"] else "the next save is lost"
        )


def full(place: Place, opened: Callable[[Path], SessionRepository], trials: int) -> Outcomes:
    chance = random.Random(6)
    for n in range(trials):
        options = f"size={chance.randrange(*SIZES[place.store], 4)}k"
        if place.store == "file" and n % 3 == 0:
            options = f"size=1m,nr_inodes={chance.choice([4, 5])}"
        path = place.directory / f"{n}"
        with small_disk(path, options) as disk:
            wrong = problem(disk, lambda path=path: opened(path), "x" * chance.randrange(200, 2000))  # type: ignore[misc]
            yield wrong and f"{options}: {wrong}"


SIZES = {"file": (64, 128), "sqlite": (512, 700)}
"""In kB, from and to. An empty database with its log needs some 400."""


@check(
    "F6",
    "a really full disk, of bytes or of files: the old state whole, a typed error, the next save "
    "works when there is space",
    stores=["file"],
    trials=(6, 100),
    broken=[written_in_place],
    needs=[mounts],
)
def full_disk(place: Place, trials: int) -> Outcomes:
    yield from full(place, JsonFileRepository, trials)


@check(
    "S5",
    "a really full disk: the old state whole, a typed error, the next save works when there is "
    "space",
    stores=["sqlite"],
    trials=(4, 100),
    broken=[failed_writes_are_taken_for_done],
    needs=[mounts],
)
def full_disk_of_sqlite(place: Place, trials: int) -> Outcomes:
    yield from full(place, lambda path: open_sqlite(path / "sessions.db"), trials)
