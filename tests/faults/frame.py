"""The frame of the fault suite: how a check is declared, and how it is run.

    @contextmanager
    def no_lock() -> Iterator[None]:
        with patch.object(FileLock, "held", ...):
            yield

    @check("F12", "appends of eight processes are all there", stores=["file"],
           trials=(400, 8000), broken=[no_lock])
    def appends(place: Place, trials: int) -> Outcomes:
        ...
        yield None if name in stored else f"{name} is lost"

A check yields once per trial: what went wrong, or ``None``; an error of the store that it lets
through is a failure, too. It is run as it stands, which must not
fail more often than its bound; and within each *broken variant*, a block that really breaks the
store or what it stands on, which must. A check that can't fail shows nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Final

from session_store.errors import SessionStoreError
from tests.backends.places import quick_directory
from tests.faults.place import Place, Servers

Outcomes = Iterator[str | None]
Work = Callable[[Place, int], Outcomes]
Broken = Callable[[], AbstractContextManager[object]]
Need = Callable[[], str | None]
"""Why a check can't be made here, or nothing."""

EVERY: Final = sys.maxsize
"""As many trials as there are places for a fault."""

CHECKS: Final[list[Check]] = []


@dataclass(frozen=True)
class Check:
    id: str
    """As in the list of faults: F for the file, S for SQLite, P for PostgreSQL, X, C."""
    promise: str
    stores: Sequence[str]
    trials: tuple[int, int]
    """In ``make test`` and in ``make test-faults``."""
    broken: Sequence[Broken]
    work: Work
    broken_trials: int
    bound: int
    needs: Sequence[Need]
    remark: str
    """Why the figure of the list is not met, where it is not."""

    @property
    def name(self) -> str:
        return f"{self.id}-{self.work.__name__}"

    def missing(self) -> str | None:
        return next(filter(None, (need() for need in self.needs)), None)


@dataclass(frozen=True)
class Run:
    """What came of a check."""

    trials: int
    failures: Sequence[str]
    seconds: float


def check(
    id: str,
    promise: str,
    *,
    stores: Sequence[str],
    trials: tuple[int, int],
    broken: Sequence[Broken],
    broken_trials: int | None = None,
    bound: int = 0,
    needs: Sequence[Need] = (),
    remark: str = "",
) -> Callable[[Work], Work]:
    """Declare a check. A broken variant has ``broken_trials``, by default the small count, and
    ends when it is caught."""
    if not broken:
        raise TypeError(f"{id} has no broken variant that shows that it can fail")

    def declare(work: Work) -> Work:
        tries = broken_trials or trials[0]
        CHECKS.append(Check(id, promise, stores, trials, broken, work, tries, bound, needs, remark))
        return work

    return declare


def run(check: Check, store: str, servers: Servers, trials: int) -> Run:
    """The check as it stands."""
    return _run(check, store, servers, trials, None)


def run_broken(check: Check, store: str, servers: Servers, broken: Broken) -> Run:
    """Until the broken variant is caught, or all trials of it are over."""
    return _run(check, store, servers, check.broken_trials, broken)


def is_caught(check: Check, run: Run) -> bool:
    return len(run.failures) > check.bound


def spread(points: Sequence[int], trials: int) -> Sequence[int]:
    """So many of the points, evenly; the first and the last among them."""
    if trials >= len(points):
        return points
    step = (len(points) - 1) / max(1, trials - 1)
    return [points[round(n * step)] for n in range(trials)]


def _run(check: Check, store: str, servers: Servers, trials: int, broken: Broken | None) -> Run:
    start, failures, done = time.monotonic(), [], 0
    with quick_directory() as directory, broken() if broken else nullcontext():
        place = Place(store, directory, servers, broken)
        with closing(_outcomes(check.work(place, trials))) as outcomes:
            for done, outcome in enumerate(outcomes, 1):  # noqa: B007
                if outcome is not None:
                    failures.append(outcome)
                if broken and len(failures) > check.bound:
                    break
    return Run(done, failures, time.monotonic() - start)


def _outcomes(work: Outcomes) -> Generator[str | None, None, None]:
    """An error of the store that a check did not expect is a failure, and ends it."""
    try:
        yield from work
    except SessionStoreError as error:
        yield f"{type(error).__name__}: {error}"


# What checks need. -------------------------------------------------------------------------------


def root() -> str | None:
    return None if os.geteuid() == 0 else "needs root"


def linux() -> str | None:
    return None if sys.platform == "linux" else "needs Linux"


def compiler() -> str | None:
    """For the fault shim."""
    found = shutil.which("gcc") or shutil.which("cc")
    return linux() or (None if found else "needs a C compiler")


def mounts() -> str | None:
    """For file systems in memory, small ones."""
    return root() or _tried("a file system can't be mounted", "mount", "-t", "tmpfs", "tmpfs")


def _tried(problem: str, *command: str) -> str | None:
    with quick_directory() as directory:
        if not shutil.which(command[0]):
            return problem
        if subprocess.run([*command, directory], capture_output=True, check=False).returncode:
            return problem
        subprocess.run(["umount", directory], check=True)
    return None
