"""Copies by real processes: killed twenty times, and beside an application that goes on writing."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from session_store.backends import open_repository
from session_store.repository import SessionRepository
from session_store.session import Changes, NewEntry
from session_store.testing.given import KEY, at
from session_store.transfer import sessions
from session_store.transfer.copying import copy_sessions
from session_store.transfer.exporting import export_sessions
from session_store.transfer.importing import import_sessions
from tests.backends.places import quick_directory
from tests.backends.processes import exit_code, forked, kill
from tests.conftest import BACKENDS
from tests.servers.stores import PostgresStore
from tests.transfer.support import held, many, stock

KILLS = 20

Work = Callable[[SessionRepository], object]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there are many moments at which a process can be killed."""
    monkeypatch.setattr(sessions, "BATCH_SESSIONS", 20)


def killed_again_and_again(work: Callable[[], object], longest: float) -> int:
    """How many of the processes that did ``work`` were killed before they had finished it."""
    chance, unfinished = random.Random(7), 0
    for _ in range(KILLS):
        pid = forked(work)
        time.sleep(chance.uniform(0.02, longest))
        done, _ = os.waitpid(pid, os.WNOHANG)
        if not done:
            unfinished += 1
            kill(pid)
    return unfinished


@pytest.mark.parametrize("kind", ["file", "sqlite", "postgresql"])
def test_a_copy_that_is_killed_twenty_times_is_whole_in_the_end(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    with quick_directory() as directory, BACKENDS["sqlite"].open_in(directory) as source:
        stock(source)
        many(source, 600)

        def opened() -> SessionRepository:
            if kind == "postgresql":
                store: PostgresStore = request.getfixturevalue("postgres_store")
                return store.open_in(tmp_path)
            return BACKENDS[kind].open_in(directory / "destination")

        def work() -> None:
            with opened() as destination:
                copy_sessions(source, destination)

        if kind != "postgresql":
            (directory / "destination").mkdir()
        with opened():
            pass
        unfinished = killed_again_and_again(work, 0.15)
        assert unfinished > KILLS / 4
        with opened() as destination:
            copy_sessions(source, destination)
            assert held(destination) == held(source)


def test_an_import_that_is_killed_twenty_times_is_whole_in_the_end() -> None:
    with quick_directory() as directory, BACKENDS["sqlite"].open_in(directory) as source:
        stock(source)
        many(source, 600)
        export_sessions(source, directory / "all.jsonl.gz")
        place = str(directory / "imported.db")

        def work() -> None:
            with open_repository(place) as destination:
                import_sessions(directory / "all.jsonl.gz", destination)

        with open_repository(place):
            pass
        assert killed_again_and_again(work, 0.15) > KILLS / 4
        with open_repository(place) as destination:
            import_sessions(directory / "all.jsonl.gz", destination)
            assert held(destination) == held(source)


def test_an_export_that_is_killed_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with quick_directory() as directory, BACKENDS["sqlite"].open_in(directory) as source:
        many(source, 600)
        path = directory / "all.jsonl"

        def work() -> None:
            export_sessions(source, path, overwrite=True)

        killed_again_and_again(work, 0.1)
        assert not path.exists() or import_into_memory(path) == held(source)


def import_into_memory(path: Path) -> list[str]:
    with BACKENDS["memory"].open_in(path.parent) as memory:
        import_sessions(path, memory)
        return held(memory)


def writing(repository: SessionRepository, log: Path, stop: Path) -> None:
    """An application: it appends to ten sessions in turn, and notes what was acknowledged."""
    number = 0
    with log.open("w") as noted:
        while not stop.exists():
            number += 1
            key = KEY._replace(session_id=f"n{number % 10:05}")
            entry = NewEntry(payload=number, entry_id=f"w{number}")
            repository.apply(key, Changes(entries=(entry,)), at(number))
            print(key.session_id, f"w{number}", file=noted, flush=True)


@pytest.mark.parametrize(
    ("kind", "target"),
    [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("file", "sqlite"), ("sqlite", "file")],
)
def test_an_application_moves_with_all_that_was_acknowledged(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, target: str
) -> None:
    log, stop = tmp_path / "log", tmp_path / "stop"
    with quick_directory() as directory:

        def opened(name: str, place: str) -> SessionRepository:
            if name == "postgresql":
                store: PostgresStore = request.getfixturevalue("postgres_store")
                return store.open_in(tmp_path)
            (directory / place).mkdir(exist_ok=True)
            return BACKENDS[name].open_in(directory / place)

        def application() -> None:
            with opened(kind, "source") as repository:
                writing(repository, log, stop)

        with opened(kind, "source") as source:
            many(source, 200 if kind == "file" else 600)
        pid = forked(application)
        frozen: list[float] = []

        def freeze() -> None:
            stop.touch()
            assert exit_code(pid) == 0
            frozen.append(time.perf_counter())

        with opened(kind, "source") as source, opened(target, "destination") as destination:
            while not log.exists() or not log.read_text():
                time.sleep(0.01)
            copy_sessions(source, destination, freeze=freeze)
            acknowledged = [line.split() for line in log.read_text().splitlines()]
            assert held(destination) == held(source)
            found = destination.fetch_many([stamp.key for stamp in destination.scan(None, 1000)])
    there = {(key.session_id, one[1]) for key, (_, all_) in found.items() for one in all_}
    assert len(acknowledged) > 10
    assert {tuple(pair) for pair in acknowledged} <= there
