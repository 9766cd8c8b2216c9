"""The JSON file under several processes at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from unittest.mock import patch

from session_store.backends.file_lock import FileLock
from session_store.testing.given import change, create, ids, load, messages
from tests.backends.processes import exit_code, forked
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place

PROCESSES = 8


@contextmanager
def no_lock() -> Iterator[None]:
    with patch.object(FileLock, "held", lambda lock, deadline: nullcontext()):
        yield


@check(
    "F12",
    "appends of 8 processes to one session are all there, gapless, in order of their writer",
    stores=["file"],
    trials=(400, 8000),
    broken=[no_lock],
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
