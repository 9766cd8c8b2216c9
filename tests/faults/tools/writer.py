"""A process that saves and acknowledges, until it is killed: what it acknowledged must be there."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.testing.given import change, create, load, message
from tests.backends.processes import forked, kill

TEXT: Final = "x" * 1000
Opening = Callable[[], SessionRepository]

_ACKNOWLEDGEMENT: Final = struct.Struct("I")


class Writer:
    """Appends entries with the numbers ``first``, ``first + 1``… and sets ``n`` to the last one.

    With a ``pause`` it rests up to so many seconds after each, as applications do.
    """

    def __init__(self, opening: Opening, first: int, pause: float = 0) -> None:
        self._acknowledged = first - 1
        self._answers, writing = os.pipe()

        def work() -> None:
            with opening() as store:
                for number in count(first):
                    change(store, entries=(message(f"{number}", TEXT),), state={"n": number})
                    os.write(writing, _ACKNOWLEDGEMENT.pack(number))
                    time.sleep(random.uniform(0, pause))

        self.pid = forked(work)
        os.close(writing)

    def wait(self, number: int) -> int:
        """For so many acknowledgements; the last number of all that came."""
        for _ in range(number):
            self._read()
        return self._acknowledged

    def stop(self) -> None:
        """When this returns, it does nothing any more, in the kernel neither."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def killed(self) -> int:
        """The last number that it acknowledged."""
        kill(self.pid)
        while self._read():
            pass
        os.close(self._answers)
        return self._acknowledged

    def _read(self) -> bool:
        if answer := os.read(self._answers, _ACKNOWLEDGEMENT.size):
            (self._acknowledged,) = _ACKNOWLEDGEMENT.unpack(answer)
        return bool(answer)


def begin(opening: Opening) -> None:
    """The store in which a writer writes."""
    with opening() as store:
        create(store)


def problem(opening: Opening, acknowledged: int) -> tuple[str | None, int]:
    """What is wrong with the store after the writer's end, and the number to go on with."""
    try:
        with opening() as store:
            session = load(store)
    except SessionStoreError as error:
        return f"unreadable: {error}", acknowledged + 1
    there = [int(entry.entry_id) for entry in session.entries]
    following = len(there)
    if following <= acknowledged:
        return f"{acknowledged - following + 1} acknowledged saves are lost", following
    if there != list(range(following)) or session.state != {"n": following - 1}:
        return f"half a save is there: {there[-3:]}, {session.state}", following
    if following > acknowledged + 2:
        return f"{following - acknowledged - 1} saves were never made", following
    return None, following
