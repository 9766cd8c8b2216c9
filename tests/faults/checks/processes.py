"""Several processes at once over a store in a file."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from pathlib import Path

from session_store.backends.json_file.file_lock import FileLock
from session_store.errors import SessionStoreError, StaleSessionError, StoreUnavailableError
from session_store.repository import SessionRepository
from session_store.testing.given import at, change, create, ids, load, messages
from tests.backends.processes import exit_code, forked, kill
from tests.faults.broken_file import lock_by_a_files_existence, no_lock, written_in_place
from tests.faults.broken_sqlite import any_version_will_do, deferred_begin, no_patience
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place

PROCESSES = 8


@check(
    "F12",
    "appends of 8 processes to one session are all there, gapless, in order of their writer",
    stores=["file"],
    trials=(400, 8000),
    broken=[no_lock],
    broken_trials=1600,
)
@check(
    "S1",
    "appends of 8 processes to one session are all there, gapless, in order of their writer, and "
    "none is told that the database is locked",
    stores=["sqlite"],
    trials=(400, 8000),
    broken=[no_patience],
    broken_trials=8000,
)
def appends(place: Place, trials: int) -> Outcomes:
    with place.open() as repository:
        create(repository)
    names = {n: [f"{n} {i}" for i in range(trials // PROCESSES)] for n in range(PROCESSES)}

    def append(writer: int) -> None:
        with place.open() as repository:
            for name in names[writer]:
                change(repository, entries=messages(name))

    children = [forked(partial(append, n)) for n in range(PROCESSES)]
    codes = [exit_code(child, timeout=600) for child in children]
    with place.open() as repository:
        session = load(repository)
    stored = ids(session)
    if [entry.seq for entry in session.entries] != list(range(1, len(stored) + 1)):
        yield "the numbers have gaps"
    for writer, own in names.items():
        kept = [name for name in stored if name.startswith(f"{writer} ")]
        yield from (None if name in kept else f"{name} is lost" for name in own)
        if kept != [name for name in own if name in kept] or codes[writer]:
            yield f"writer {writer} ended with {codes[writer]}, its entries in another order"


@check(
    "S2",
    "of read-modify-writes by 8 processes none is lost, and none is told that the database is "
    "locked",
    stores=["sqlite"],
    trials=(160, 2000),
    broken=[deferred_begin, any_version_will_do],
    broken_trials=4000,
)
def read_modify_writes(place: Place, trials: int) -> Outcomes:
    with place.open() as repository:
        create(repository, state={"n": 0})

    def work() -> None:
        with place.open() as repository:
            for _ in range(trials // PROCESSES):
                while not _incremented(repository):
                    pass

    children = [forked(work) for _ in range(PROCESSES)]
    codes = [exit_code(child, timeout=600) for child in children]
    with place.open() as repository:
        found = load(repository).state["n"]
    yield from (
        None if n < found else f"lost; the processes ended with {codes}" for n in range(trials)
    )


def _incremented(repository: SessionRepository) -> bool:
    session = load(repository)
    try:
        change(repository, state={"n": session.state["n"] + 1}, expected_version=session.version)
    except StaleSessionError:
        return False
    return True


@check(
    "F13",
    "the lock of a holder that is killed is free in under a second",
    stores=["file"],
    trials=(5, 100),
    broken=[lock_by_a_files_existence],
)
def killed_lock_holder(place: Place, trials: int) -> Outcomes:
    with place.open(lock_timeout=5) as repository:
        create(repository)
        for n in range(trials):
            holder = forked(lambda: _hold(place))
            while not (place.directory / "held").exists():
                time.sleep(0.001)
            (place.directory / "held").unlink()
            threading.Timer(0.02, kill, [holder]).start()
            start = time.monotonic()
            try:
                change(repository, entries=messages(f"{n}"))
            except StoreUnavailableError as error:
                yield str(error)
                return
            waited = time.monotonic() - start
            yield None if 0.01 < waited < 1 else f"waited for {waited:.3f} s"


def _hold(place: Place) -> None:
    lock = FileLock(Path(f"{place.json_file}.lock"), 30)
    with lock.held(lock.deadline()):
        (place.directory / "held").touch()
        time.sleep(30)


@check(
    "F14",
    "readers during saves see whole states only",
    stores=["file"],
    trials=(300, 10_000),
    broken=[written_in_place],
    broken_trials=10_000,
)
def readers(place: Place, trials: int) -> Outcomes:
    with place.open() as repository:
        create(repository, state={"n": 0, "text": "", "again": 0})

    def write() -> None:
        with place.open() as repository:
            for n in range(1, trials + 1):
                state = {"n": n, "text": "x" * (n % 97) * 20, "again": n}
                change(repository, state=state, entries=[], moment=at(n))

    writer = forked(write)
    problems, newest = [], 0
    with place.open() as repository:
        while newest < trials and os.waitpid(writer, os.WNOHANG) == (0, 0):
            found = _whole(repository)
            if isinstance(found, str):
                problems.append(found)
            else:
                newest = max(newest, found)
    yield from problems[:trials]
    yield from [None] * (trials - len(problems))


def _whole(repository: SessionRepository) -> int | str:
    """The number of the state that is seen, or what is wrong with it."""
    try:
        state = load(repository).state
    except SessionStoreError as error:
        return str(error)
    n: int = state["n"]
    fine = state == {"n": n, "text": "x" * (n % 97) * 20, "again": n} or n == 0
    return n if fine else f"half a state: {n}, {state['again']}, {len(state['text'])}"
