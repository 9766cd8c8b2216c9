"""Several processes, or threads where a store is in memory, on the store of a check."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from tests.backends.processes import exit_code, forked
from tests.faults.place import Place

PROCESSES = 8

Work = Callable[[SessionRepository, int], object]


def in_processes(open_store: Callable[[], SessionRepository], work: Work) -> list[str]:
    """Do ``work`` in each process on a store of its own; which of them did not end as they should.

    A process that raises says why on stderr.
    """

    def begin(number: int) -> None:
        with open_store() as own:
            work(own, number)

    children = [forked(partial(begin, number)) for number in range(PROCESSES)]
    codes = [exit_code(child, timeout=900) for child in children]
    return [f"process {n} ended with {code}" for n, code in enumerate(codes) if code]


def at_once(place: Place, repository: SessionRepository, work: Work) -> list[str]:
    """Like ``in_processes``; what is in memory is for threads only."""
    if place.store != "memory":
        return in_processes(place.open, work)
    with ThreadPoolExecutor(PROCESSES) as threads:
        done = [threads.submit(work, repository, number) for number in range(PROCESSES)]
        raised = [future.exception() for future in done]
    return [f"thread {n} raised {error!r}" for n, error in enumerate(raised) if error]


def refusal(work: Callable[[], object]) -> str:
    """The name of the error of ours that ``work`` raises; empty if it raises none."""
    try:
        work()
    except SessionStoreError as error:
        return type(error).__name__
    return ""
