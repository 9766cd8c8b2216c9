"""``python -m tests.faults.soak --minutes 30``: everything at once, for long.

Four processes append, read, list, delete and sweep in an SQLite store and a PostgreSQL store. Three
of them are killed and started again, PostgreSQL crashes, both stores are copied and SQLite is
backed up, all while they go on. What was acknowledged must be there: in every backup and copy, and
in the end. The memory and the file descriptors of the process that is never killed must stay flat.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import selectors
import signal
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionNotFoundError
from session_store.repository import SessionRepository
from session_store.session import Entry
from session_store.testing.given import BEGINNING
from session_store.transfer.copying import copy_sessions
from session_store.transfer.sources import duplicate
from tests.backends.processes import forked, kill
from tests.faults.soak_worker import Opening, key, work
from tests.servers.postgres import PostgresServer, running_postgres
from tests.servers.stores import upgrade

WORKERS: Final = 4
KILLS, COPIES, BACKUPS, CRASHES, SAMPLES = 3.0, 40.0, 20.0, 60.0, 5.0
"""Seconds from one to the next."""


class Book:
    """What the workers have acknowledged: of each session, the entries of each writer."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        self.deleting: set[tuple[str, str]] = set()
        self.wrong: list[str] = []
        self.acknowledged = 0

    def note(self, line: str) -> None:
        verb, _, rest = line.partition(" ")
        if verb == "wrong":
            self.wrong.append(rest)
            return
        store, session, *words = rest.split(" ")
        place = store, session
        if verb == "missing":
            if place in self.entries and place not in self.deleting:
                self.wrong.append(f"{' '.join(words)}: session {session} is not in {store}")
            return
        if verb == "add":
            self.entries[place][words[0]] = int(words[1]) + 1
            self.acknowledged += 1
        elif verb == "delete":
            self.deleting.add(place)
        else:
            self.deleting.discard(place)
            self.entries.pop(place, None)

    def problems(self, name: str, store: SessionRepository) -> Iterator[str]:
        """Lines on what is not in the store, or in a copy of it."""
        for place, writers in list(self.entries.items()):
            if place[0] == name and place not in self.deleting:
                try:
                    entries = store.load(key(*place[1].split("/")), BEGINNING).entries
                except SessionNotFoundError:
                    yield f"missing {name} {place[1]}"  # unless it was deleted meanwhile
                else:
                    for problem in self._gaps(writers, entries):
                        yield f"wrong {name} {place[1]}: {problem}"

    def _gaps(self, writers: dict[str, int], entries: Sequence[Entry]) -> Iterator[str]:
        if [entry.seq for entry in entries] != list(range(1, len(entries) + 1)):
            yield "the numbers have gaps"
        found: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            writer, number = entry.entry_id.split(" ")
            found[writer].append(int(number))
        for writer, wanted in writers.items():
            if len(found[writer]) < wanted or found[writer] != list(range(len(found[writer]))):
                yield f"{found[writer][-3:]} of {wanted} by {writer}"


@dataclass
class Process:
    pid: int
    reports: int
    rest: bytes = b""


@dataclass
class Figures:
    """What was done, and what the process took that is never killed."""

    done: Counter[str] = field(default_factory=Counter)
    memory: list[float] = field(default_factory=list)
    descriptors: list[float] = field(default_factory=list)

    def sample(self, pid: int) -> None:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        self.descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))

    def grown(self, samples: list[float]) -> tuple[float, float]:
        """Its median in the second quarter of the time, and in the last."""
        quarter = max(1, len(samples) // 4)
        middle, end = samples[quarter : 2 * quarter], samples[-quarter:]
        return statistics.median(middle or samples), statistics.median(end)


class Soak:
    def __init__(self, directory: Path, server: PostgresServer) -> None:
        self.directory, self.server = directory, server
        self.book, self.figures, self.chance = Book(), Figures(), random.Random(8)
        self.file, self.url = directory / "sessions.db", server.create_database()
        upgrade(self.url)
        open_sqlite(self.file).close()
        self.openings: dict[str, Opening] = {
            "sqlite": lambda: open_sqlite(self.file),
            "postgresql": lambda: open_postgres(self.url),
        }
        self.processes: dict[int, Process] = {}
        self.selector = selectors.DefaultSelector()

    def run(self, minutes: float, *, pace: float = 1) -> None:
        """``pace``: what the pauses are multiplied with."""
        for number in range(WORKERS):
            self._start(number)
        now = time.monotonic()
        end = now + 60 * minutes
        tasks: dict[Callable[[], None], float] = {
            self._kill_one: KILLS,
            self._back_up: BACKUPS,
            self._copy: COPIES,
            self._crash: CRASHES,
            lambda: self.figures.sample(self.processes[0].pid): SAMPLES,
        }
        due = {task: now + pace * pause for task, pause in tasks.items()}
        while time.monotonic() < end:
            self._listen(0.1)
            for task, pause in tasks.items():
                if time.monotonic() >= due[task]:
                    task()
                    due[task] = time.monotonic() + pace * pause
        for number in list(self.processes):
            self._kill(number)
        for name, opening in self.openings.items():
            with opening() as store:
                self._judge(self.book.problems(name, store), "in the end")

    def _start(self, number: int) -> None:
        reading, writing = os.pipe()
        others = [process.reports for process in self.processes.values()]

        def started() -> None:
            for descriptor in (reading, *others):
                os.close(descriptor)
            work(f"worker-{number}", self.openings, writing)

        process = self.processes[number] = Process(forked(started), reading)
        os.close(writing)
        self.selector.register(reading, selectors.EVENT_READ, process)

    def _listen(self, timeout: float) -> None:
        for ready, _ in self.selector.select(timeout):
            self._read(ready.data)

    def _read(self, process: Process) -> bool:
        data = os.read(process.reports, 2**16)
        *lines, process.rest = (process.rest + data).split(b"\n")
        for line in lines:
            self.book.note(line.decode())
        if not data:
            time.sleep(0.05)  # a worker has ended by itself: its last words say why
        return bool(data)

    def _kill(self, number: int) -> None:
        process = self.processes.pop(number)
        kill(process.pid)
        while self._read(process):
            pass
        self.selector.unregister(process.reports)
        os.close(process.reports)

    def _kill_one(self) -> None:
        number = self.chance.randrange(1, WORKERS)
        self._kill(number)
        self._start(number)
        self.figures.done["kills"] += 1

    def _crash(self) -> None:
        if self.server.is_ours:
            self.server.restart("immediate")
            self.figures.done["crashes of PostgreSQL"] += 1

    def _back_up(self) -> None:
        """All that was acknowledged before it began is in it."""

        def back_up(copy: Path) -> Iterator[str]:
            duplicate(self.file, copy)
            with open_sqlite(copy) as store:
                yield from self.book.problems("sqlite", store)

        self._in_a_child("backups", back_up)

    def _copy(self) -> None:
        """In the end of a copy the workers are stopped, as an application is."""
        for name, opening in self.openings.items():

            def copied(file: Path, name: str = name, opening: Opening = opening) -> Iterator[str]:
                with opening() as source, open_sqlite(file) as copy, self._stopping() as stop:
                    copy_sessions(source, copy, freeze=stop)
                    yield from self.book.problems(name, copy)

            self._in_a_child(f"copies of {name}", copied)

    @contextmanager
    def _stopping(self) -> Iterator[Callable[[], None]]:
        pids = [process.pid for process in self.processes.values()]

        def signal_all(number: int) -> None:
            for pid in pids:
                os.kill(pid, number)

        try:
            yield lambda: signal_all(signal.SIGSTOP)
        finally:
            signal_all(signal.SIGCONT)

    def _in_a_child(self, what: str, work: Callable[[Path], Iterator[str]]) -> None:
        """Which knows what was acknowledged until it began, while the workers go on."""
        self._listen(0)
        reading, writing = os.pipe()

        def child() -> None:
            with TemporaryDirectory(dir=self.directory) as directory:
                for problem in work(Path(directory, "copy.db")):
                    os.write(writing, problem.encode() + b"\n")

        pid = forked(child)
        os.close(writing)
        code = self._ended(pid)
        with open(reading) as problems:
            self._judge(problems, what)
        if code:
            self.book.wrong.append(f"{what}: the process ended with {code}")
        self.figures.done[what] += 1

    def _judge(self, problems: Iterable[str], what: str) -> None:
        """After all that the workers had to say before they deleted something."""
        found = list(problems)
        for _ in range(100 if self.processes else 0):
            self._listen(0)
        for problem in found:
            self.book.note(f"{problem.strip()} {what}")

    def _ended(self, pid: int) -> int:
        """How it ended; the others are listened to meanwhile."""
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            self._listen(0.05)
        return os.waitstatus_to_exitcode(ended[1])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args(arguments).minutes
    logging.getLogger().addHandler(logging.NullHandler())
    with TemporaryDirectory() as directory, running_postgres(durable=True) as server:
        soak = Soak(Path(directory), server)
        soak.run(minutes)
    return report(soak, minutes)


def report(soak: Soak, minutes: float) -> int:
    figures, wrong = soak.figures, soak.book.wrong
    memory, descriptors = figures.grown(figures.memory), figures.grown(figures.descriptors)
    print(f"{minutes:g} minutes, {soak.book.acknowledged:,} acknowledged entries; ", end="")
    print(", ".join(f"{number:,} {what}" for what, number in figures.done.items()))
    print(f"memory: {memory[0]:.1f} MB, in the end {memory[1]:.1f} MB")
    print(f"file descriptors: {descriptors[0]:g}, in the end {descriptors[1]:g}")
    print(f"lost or wrong: {len(wrong)}")
    print(*wrong[:20], sep="\n")
    is_flat = memory[1] <= 1.1 * memory[0] + 1 and descriptors[1] <= descriptors[0] + 2
    return int(bool(wrong) or not is_flat)


if __name__ == "__main__":
    sys.exit(main())
